"""`kappamask mask`: scenes in, masks out."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from kappamask.cli.options import AsJson, Level, Model, Radiometry, bands_of, cleaning_of, limits_of, say, scheme_of
from kappamask.cli.progress import echo, shown, warn
from kappamask.models import SceneError
from kappamask.workflows.mask_many import Failures, here, on_cluster, planned
from kappamask.workflows.mask_options import EXTRAS, Asked, targets

__all__ = [
    "Bands",
    "Buffer",
    "DryRun",
    "Engine",
    "FillHoles",
    "MinObject",
    "Mosaic",
    "OfLevel",
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
    "Scheme",
    "Scores",
    "ShadowLength",
    "Stac",
    "Style",
    "Threads",
    "Thresholds",
    "Where",
    "mask",
    "told",
]

SHAPES = "Classes and cleaning"
BESIDE = "Beside the mask"
RUNNING = "Running"
EXAMPLE = "kappamask mask S2_L1C_20210527.tif -o mask.tif"


class Engine(StrEnum):
    """Where masks are made."""

    HERE = "here"
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


Reading = Annotated[Radiometry, typer.Option("--radiometry", help="What the numbers mean.")]


Bands = Annotated[
    str | None, typer.Option(help="Bands to use, B02,B03,…; names them, in order, if the scene does not.")
]


Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        help="CLASS=SCORE: take the class from that score on, as cloud=0.3; may be repeated.", metavar="CLASS=SCORE"
    ),
]


Resampling = Annotated[
    str, typer.Option(help="Of coarser bands: nearest, bilinear, cubic, sinc (KappaZeta's tool's).", metavar="WORD")
]


Resolution = Annotated[int, typer.Option(help="10, or 20: quicker, but less sure of small clouds.", metavar="METRES")]


Mosaic = Annotated[str, typer.Option(help="blended, or own: as the network's own tool does.", metavar="WORD")]


Scores = Annotated[bool, typer.Option("--scores", help="Also write the score of each class (OUT_scores.tif).")]


Scheme = Annotated[
    str,
    typer.Option(help="Classes of another mask: SCL, CMIX, Fmask, …, or bits.", metavar="NAME", rich_help_panel=SHAPES),
]


Buffer = Annotated[
    list[str] | None,
    typer.Option(
        help="Let cloud and shadow grow by METRES, or one class by CLASS=METRES.",
        metavar="METRES",
        rich_help_panel=SHAPES,
    ),
]


MinObject = Annotated[
    float, typer.Option(help="Smaller clouds and shadows become clear.", metavar="AREA", rich_help_panel=SHAPES)
]


FillHoles = Annotated[
    float, typer.Option(help="Smaller clear areas inside clouds are filled.", metavar="AREA", rich_help_panel=SHAPES)
]


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


Quicklook = Annotated[bool, typer.Option("--quicklook", help="A picture: OUT.png.", rich_help_panel=BESIDE)]


Report = Annotated[bool, typer.Option("--report", help="A page: OUT.html.", rich_help_panel=BESIDE)]


Style = Annotated[bool, typer.Option("--style", help="A style for QGIS: OUT.qml.", rich_help_panel=BESIDE)]


Stac = Annotated[bool, typer.Option("--stac", help="A STAC item: OUT.json.", rich_help_panel=BESIDE)]


Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Make masks anew that are there already.", rich_help_panel=RUNNING)
]


DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done.", rich_help_panel=RUNNING)]


Threads = Annotated[
    int, typer.Option(min=0, help="0: as many as there are cores.", rich_help_panel=RUNNING, metavar="N")
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
    engine: Where = Engine.HERE,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Write the cloud mask of a scene: 1 clear, 2 cloud shadow, 3 semi-transparent cloud, 4 cloud, 5 missing.

    A mask that is there already, made with the same network, card and options, and younger than its scene, is not made
    again.
    """
    if scheduler and engine is not Engine.DASK:
        raise typer.BadParameter("is for --engine dask", param_hint="--scheduler")
    wanted = {"quicklook": quicklook, "report": report, "style": style, "stac": stac}
    asked = Asked(
        level=level.value if level else None,
        model=model,
        radiometry=radiometry.value,
        bands=bands_of(bands),
        scores=scores,
        thresholds=limits_of(threshold or []),
        mosaic=mosaic,
        resampling=resampling,
        resolution=resolution,
        scheme=scheme_of(scheme),
        cleaning=cleaning_of(buffer_m or [], min_object_m2, fill_holes_m2, shadow_length_m),
        pixel_m=pixel_m,
        threads=threads,
        extras=tuple(word for word in EXTRAS if wanted[word]),
    )
    try:
        jobs = targets(scenes, output, asked)
    except SceneError as error:
        raise typer.BadParameter(str(error), param_hint="--output") from error
    failures = Failures(jobs, lambda message: echo(f"kappamask: {message}"))
    if dry_run:
        done = planned(jobs, asked, failures, anew=overwrite)
    elif engine is Engine.DASK:
        done = on_cluster(jobs, asked, failures, anew=overwrite, scheduler=scheduler, tell=shown, warn=warn)
    else:
        done = here(jobs, asked, failures, anew=overwrite, tell=shown, warn=warn)
    result: Any = done[0] if len(jobs) == 1 else [*done, *failures.told]
    say(result, [line for one in done for line in (told(one) if dry_run else _lines(one))], as_json)
    failures.settle()


def _lines(result: dict[str, Any]) -> list[str]:
    files = ", ".join(result["files"])
    if result.get("skipped"):
        return [f"{files}: there already, made of this scene with these options; --overwrite makes it anew"]
    size = f"{result['width']} x {result['height']} px in {result['seconds']:.1f} s"
    reading = f"{result['radiometry']} ({result['radiometry_reason']})"
    shares = ", ".join(f"{name} {share:.1%}" for name, share in result["classes"].items() if share)
    return [f"{files}: {size}, {result['level']}, {result['model_id']}, {reading}", shares]


def told(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    size = f"{found['width']} x {found['height']} px" + (f", {found['dates']} dates" if found["dates"] > 1 else "")
    reading = f"{found['radiometry'] or 'radiometry'} ({found['radiometry_reason']})"
    bands = f"{len(found['used_bands'])} of {len(found['bands'])} bands"
    cost = (
        f"{found['windows']} windows, {found['megapixels']:.1f} Mpx, about {found['memory_mb'] / 1024:.1f} GB of memory"
    )
    to = ("there already: " if found["skipped"] else "to ") + ", ".join(found["files"])
    return [f"{found['scene']}: {found['level']}, {bands}, {reading}, {size}", f"  {cost}; {to}"]
