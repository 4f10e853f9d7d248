"""`kappamask mask`: scenes in, masks out."""

from typing import Any

import typer

from kappamask.cli import mask_arguments as arguments
from kappamask.cli.options import (
    AsJson,
    Buffer,
    Engine,
    FillHoles,
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
from kappamask.models.cleaning import PIXEL_M
from kappamask.workflows.many_scenes import RunOptions, ScenesFailedError, mask_many
from kappamask.workflows.progress import print_line, print_warning
from kappamask.workflows.scene_options import EXTRAS, SceneOptions, list_targets

__all__ = ["mask"]

EXAMPLE = "kappamask mask S2_L1C_20210527.tif -o mask.tif"


def mask(
    scenes: arguments.Scenes,
    output: arguments.Output,
    level: arguments.OfLevel = None,
    model: Model = "compact",
    radiometry: arguments.Radiometries = Radiometry.AUTO,
    bands: arguments.Bands = None,
    scores: arguments.Scores = False,
    threshold: arguments.Thresholds = None,
    mosaic: arguments.Mosaic = "blended",
    resampling: arguments.Resampling = "bilinear",
    resolution: arguments.Resolution = PIXEL_M,
    scheme: Scheme = "KappaMask",
    buffer_m: Buffer = None,
    min_object_m2: MinObject = 0,
    fill_holes_m2: FillHoles = 0,
    shadow_length_m: arguments.ShadowLength = 0,
    pixel_m: arguments.PixelSize = None,
    quicklook: arguments.Quicklook = False,
    report: arguments.Report = False,
    style: arguments.Style = False,
    stac: arguments.Stac = False,
    overwrite: arguments.Overwrite = False,
    dry_run: arguments.DryRun = False,
    threads: arguments.Threads = 0,
    device: arguments.OnDevice = arguments.Device.CPU,
    engine: arguments.Where = Engine.LOCAL,
    scheduler: arguments.Scheduler = None,
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
        raise typer.BadParameter(str(error)) from error
    run = RunOptions(overwrite, dry_run, engine is Engine.DASK, scheduler, _print_error, print_warning)
    try:
        _print_results(mask_many(scenes, output, options, run=run), dry_run, as_json)
    except ScenesFailedError as error:
        _print_results(error.results, dry_run, as_json, is_single=False)
        raise


def _print_error(message: str) -> None:
    print_line(f"kappamask: {message}")


def _print_results(results: list[dict[str, Any]], dry_run: bool, as_json: bool, *, is_single: bool = True) -> None:
    """Print a single result as an object, several as a list.

    Errors were printed as they came.
    """
    format_one = format_plan if dry_run else _format_result
    lines = [line for one in results if "error" not in one for line in format_one(one)]
    print_result(results[0] if is_single and len(results) == 1 else results, lines, as_json)


def _format_result(result: dict[str, Any]) -> list[str]:
    from kappamask.scenes.writers.captions import format_shares  # loads xarray, which the help does not need

    files = ", ".join(result["files"])
    if result.get("skipped"):
        return [f"{files}: there already, made of this scene with these options; --overwrite makes it again"]
    size = f"{result['width']} x {result['height']} px in {result['seconds']:.1f} s"
    scaling = f"{result['radiometry']} ({result['radiometry_reason']})"
    return [
        f"{files}: {size}, {result['level']}, {result['model_id']}, {scaling}",
        format_shares(result["percent_of_valid"]),
    ]


def format_plan(found: dict[str, Any]) -> list[str]:
    """Format what a dry run found as lines."""
    size = f"{found['width']} x {found['height']} px" + (f", {found['dates']} dates" if found["dates"] > 1 else "")
    scaling = f"{found['radiometry'] or 'radiometry'} ({found['radiometry_reason']})"
    bands = f"{len(found['used_bands'])} of {len(found['bands'])} bands"
    windows = "1 window" if found["windows"] == 1 else f"{found['windows']} windows"
    cost = f"{windows}, {found['megapixels']:.1f} Mpx, about {found['memory_mb'] / 1024:.1f} GB of memory"
    to = ("there already: " if found["skipped"] else "to ") + ", ".join(found["files"])
    return [f"{found['scene']}: {found['level']}, {bands}, {scaling}, {size}", f"  {cost}; {to}"]
