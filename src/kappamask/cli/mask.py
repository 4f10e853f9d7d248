"""`kappamask mask`: scenes in, masks out."""

from typing import Any

import typer

from kappamask.cli import mask_arguments as words
from kappamask.cli.mask_extras import EXTRAS
from kappamask.cli.mask_many import Failures, here, on_cluster, planned
from kappamask.cli.mask_options import Asked, bands_of, cleaning_of, limits_of, scheme_of
from kappamask.cli.mask_plan import told
from kappamask.cli.mask_targets import targets
from kappamask.cli.options import AsJson, Model, Radiometry, say

__all__ = ["mask"]

EXAMPLE = "kappamask mask S2_L1C_20210527.tif -o mask.tif"


def mask(
    scenes: words.Scenes,
    output: words.Output,
    level: words.OfLevel = None,
    model: Model = "compact",
    radiometry: words.Reading = Radiometry.AUTO,
    bands: words.Bands = None,
    scores: words.Scores = False,
    threshold: words.Thresholds = None,
    mosaic: words.Mosaic = "blended",
    resampling: words.Resampling = "bilinear",
    resolution: words.Resolution = 10,
    scheme: words.Scheme = "KappaMask",
    buffer_m: words.Buffer = None,
    min_object_m2: words.MinObject = 0,
    fill_holes_m2: words.FillHoles = 0,
    shadow_length_m: words.ShadowLength = 0,
    quicklook: words.Quicklook = False,
    report: words.Report = False,
    style: words.Style = False,
    stac: words.Stac = False,
    overwrite: words.Overwrite = False,
    dry_run: words.DryRun = False,
    threads: words.Threads = 0,
    engine: words.Where = words.Engine.HERE,
    scheduler: words.Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Write the cloud mask of a scene: 1 clear, 2 cloud shadow, 3 semi-transparent cloud, 4 cloud, 5 missing.

    A mask that is there already, made with the same network, card and options, and younger than its scene, is not made
    again.
    """
    if scheduler and engine is not words.Engine.DASK:
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
        threads=threads,
        extras=tuple(word for word in EXTRAS if wanted[word]),
    )
    jobs = targets(scenes, output, asked)
    failures = Failures(jobs)
    if dry_run:
        done = planned(jobs, asked, failures, anew=overwrite)
    elif engine is words.Engine.DASK:
        done = on_cluster(jobs, asked, failures, anew=overwrite, scheduler=scheduler)
    else:
        done = here(jobs, asked, failures, anew=overwrite)
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
