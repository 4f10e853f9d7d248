"""`kappamask mask`: scenes in, masks out."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from kappamask.cli.options import (
    PIXELS,
    RUNNING,
    SHAPES,
    AsJson,
    Buffer,
    FillHoles,
    Level,
    MinObject,
    Model,
    Radiometry,
    Scheme,
    parse_bands,
    parse_cleaning,
    parse_scheme,
    parse_thresholds,
    print_result,
)
from kappamask.models import SceneError
from kappamask.workflows.display import print_line, print_warning
from kappamask.workflows.many_scenes import RunOptions, ScenesFailedError, mask_many
from kappamask.workflows.mask_files import list_targets
from kappamask.workflows.scene_options import EXTRAS, SceneOptions

__all__ = [
    "Bands",
    "Device",
    "DryRun",
    "Engine",
    "Mosaic",
    "OfLevel",
    "OnDevice",
    "Output",
    "Overwrite",
    "PixelSize",
    "Quicklook",
    "Reading",
    "Report",
    "Resampling",
    "Resolution",
    "Scenes",
    "Scheduler",
    "Scores",
    "ShadowLength",
    "Stac",
    "Style",
    "Threads",
    "Thresholds",
    "Where",
    "mask",
]

EXTRA_FILES = "Files next to the mask"
EXAMPLE = "kappamask mask S2_L1C_20210527.tif -o mask.tif"


class Device(StrEnum):
    """What runs the network."""

    CPU = "cpu"
    CUDA = "cuda"
    OPENVINO = "openvino"
    AUTO = "auto"


class Engine(StrEnum):
    """Where masks are made."""

    LOCAL = "local"
    DASK = "dask"


Scenes = Annotated[
    list[str],
    typer.Argument(
        help="A product (.SAFE, .zip), a GeoTIFF with band descriptions, a netCDF, a Zarr, a VRT, a STAC item, or a "
        "folder of JP2s; several, or a folder of them.",
        show_default=False,
        metavar="SCENE",
    ),
]


Output = Annotated[
    Path,
    typer.Option("--output", "-o", help="The mask: .tif or .nc; for several scenes a folder.", show_default=False),
]


OfLevel = Annotated[Level | None, typer.Option("--level", help="Product level, if the scene does not say.")]


Reading = Annotated[
    Radiometry,
    typer.Option(
        "--radiometry",
        help="Scaling of the numbers: reflectance, or digital numbers with or without the offset.",
        rich_help_panel=PIXELS,
    ),
]


Bands = Annotated[
    str | None,
    typer.Option(help="Bands to use, B02,B03,…; names them, in order, if the scene does not.", rich_help_panel=PIXELS),
]


Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        help="CLASS=SCORE: take the class from that score on, as cloud=0.3; may be repeated.",
        metavar="CLASS=SCORE",
        rich_help_panel=PIXELS,
    ),
]


Resampling = Annotated[
    str,
    typer.Option(
        help="Resampling of 20 and 60 m bands: nearest, bilinear, cubic, or sinc as in KappaZeta's tool.",
        metavar="WORD",
        rich_help_panel=PIXELS,
    ),
]


Resolution = Annotated[
    int,
    typer.Option(help="10, or 20: quicker, but less sure of small clouds.", metavar="METRES", rich_help_panel=PIXELS),
]


Mosaic = Annotated[
    str,
    typer.Option(help="blended, or vendor: as the network's own tool does.", metavar="WORD", rich_help_panel=PIXELS),
]


Scores = Annotated[bool, typer.Option("--scores", help="Also write the score of each class (OUT_scores.tif).")]


ShadowLength = Annotated[
    float,
    typer.Option(help="Shadow farther from any cloud becomes clear.", metavar="METRES", rich_help_panel=SHAPES),
]


PixelSize = Annotated[
    float | None,
    typer.Option(
        min=0.001, help="Side of a pixel, if the scene does not tell.", metavar="METRES", rich_help_panel=SHAPES
    ),
]


Quicklook = Annotated[bool, typer.Option("--quicklook", help="A picture: OUT.png.", rich_help_panel=EXTRA_FILES)]


Report = Annotated[bool, typer.Option("--report", help="A page: OUT.html.", rich_help_panel=EXTRA_FILES)]


Style = Annotated[bool, typer.Option("--style", help="A style for QGIS: OUT.qml.", rich_help_panel=EXTRA_FILES)]


Stac = Annotated[bool, typer.Option("--stac", help="A STAC item: OUT.json.", rich_help_panel=EXTRA_FILES)]


Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Make masks again that are there already.", rich_help_panel=RUNNING)
]


DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done.", rich_help_panel=RUNNING)]


Threads = Annotated[
    int, typer.Option(min=0, help="0: as many as there are cores.", rich_help_panel=RUNNING, metavar="N")
]


OnDevice = Annotated[
    Device,
    typer.Option("--device", help="What runs the network; auto: a GPU if there is one.", rich_help_panel=RUNNING),
]


Where = Annotated[Engine, typer.Option("--engine", help="dask: one task for each scene.", rich_help_panel=RUNNING)]


Scheduler = Annotated[
    str | None,
    typer.Option(help="Of --engine dask: tcp://HOST:PORT; else workers here.", rich_help_panel=RUNNING, metavar="URL"),
]


def mask(
    scenes: Scenes,
    output: Output,
    level: OfLevel = None,
    model: Model = "compact",
    radiometry: Reading = Radiometry.AUTO,
    bands: Bands = None,
    scores: Scores = False,
    threshold: Thresholds = None,
    mosaic: Mosaic = "blended",
    resampling: Resampling = "bilinear",
    resolution: Resolution = 10,
    scheme: Scheme = "KappaMask",
    buffer_m: Buffer = None,
    min_object_m2: MinObject = 0,
    fill_holes_m2: FillHoles = 0,
    shadow_length_m: ShadowLength = 0,
    pixel_m: PixelSize = None,
    quicklook: Quicklook = False,
    report: Report = False,
    style: Style = False,
    stac: Stac = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    threads: Threads = 0,
    device: OnDevice = Device.CPU,
    engine: Where = Engine.LOCAL,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Write the cloud mask of a scene, or of many.

    Classes: 1 clear, 2 cloud shadow, 3 semi-transparent cloud, 4 cloud, 5 missing.

    A mask that is there already, made with the same network, card and options, and younger than its scene, is not made
    again.
    """
    if scheduler and engine is not Engine.DASK:
        raise typer.BadParameter("is for --engine dask", param_hint="--scheduler")
    extras = {"quicklook": quicklook, "report": report, "style": style, "stac": stac}
    options = SceneOptions(
        level=level.value if level else None,
        model=model,
        radiometry=radiometry.value,
        bands=parse_bands(bands),
        scores=scores,
        thresholds=parse_thresholds(threshold or []),
        mosaic=mosaic,
        resampling=resampling,
        resolution=resolution,
        scheme=parse_scheme(scheme),
        cleaning=parse_cleaning(buffer_m or [], min_object_m2, fill_holes_m2, shadow_length_m),
        pixel_m=pixel_m,
        threads=threads,
        device=device.value,
        extras=tuple(word for word in EXTRAS if extras[word]),
    )
    try:
        list_targets(scenes, output, options)
    except SceneError as error:
        raise typer.BadParameter(str(error), param_hint="--output") from error
    run = RunOptions(overwrite, dry_run, engine is Engine.DASK, scheduler, _print_error, print_warning)
    try:
        _print_results(mask_many(scenes, output, options, run=run), dry_run, as_json)
    except ScenesFailedError as error:
        _print_results(error.results, dry_run, as_json, lone=False)
        raise


def _print_error(message: str) -> None:
    print_line(f"kappamask: {message}")


def _print_results(results: list[dict[str, Any]], dry_run: bool, as_json: bool, *, lone: bool = True) -> None:
    """Print a lone result as an object, several as a list.

    Errors were printed as they came.
    """
    format_one = format_plan if dry_run else _format_result
    lines = [line for one in results if "error" not in one for line in format_one(one)]
    print_result(results[0] if lone and len(results) == 1 else results, lines, as_json)


def _format_result(result: dict[str, Any]) -> list[str]:
    files = ", ".join(result["files"])
    if result.get("skipped"):
        return [f"{files}: there already, made of this scene with these options; --overwrite makes it again"]
    size = f"{result['width']} x {result['height']} px in {result['seconds']:.1f} s"
    reading = f"{result['radiometry']} ({result['radiometry_reason']})"
    shares = ", ".join(f"{name} {share:.1%}" for name, share in result["classes"].items() if share)
    return [f"{files}: {size}, {result['level']}, {result['model_id']}, {reading}", shares]


def format_plan(found: dict[str, Any]) -> list[str]:
    """Format what a dry run found as lines."""
    size = f"{found['width']} x {found['height']} px" + (f", {found['dates']} dates" if found["dates"] > 1 else "")
    reading = f"{found['radiometry'] or 'radiometry'} ({found['radiometry_reason']})"
    bands = f"{len(found['used_bands'])} of {len(found['bands'])} bands"
    cost = (
        f"{found['windows']} windows, {found['megapixels']:.1f} Mpx, about {found['memory_mb'] / 1024:.1f} GB of memory"
    )
    to = ("there already: " if found["skipped"] else "to ") + ", ".join(found["files"])
    return [f"{found['scene']}: {found['level']}, {bands}, {reading}, {size}", f"  {cost}; {to}"]
