"""`kappamask demo`: the whole road on this machine, from real pixels to a judged mask."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kappamask.cli.options import AsJson, print_result
from kappamask.models.errors import require_extra

if TYPE_CHECKING:
    import xarray as xr

    from kappamask.workflows.demo import DemoScene

__all__ = ["demo"]

EXAMPLE = "kappamask demo -o demo"
COLLECTION = "SENTINEL2_L1C"
PYTHON = platform.python_version().rpartition(".")[0]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the mask, quicklook and report.")]
Seed = Annotated[int, typer.Option(help="Another seed paints other clouds.")]


def demo(output: Output = Path("demo"), seed: Seed = 8, as_json: AsJson = False) -> None:
    """Paint clouds on a real Sentinel-2 scene, mask it through openEO, and score it.

    Starts the embedded openEO back-end on this machine, submits a real batch job whose graph holds
    apply_neighborhood with the UDF, downloads the mask and writes mask.tif, mask.nc, quicklook.png and report.html.
    """
    with require_extra("demo"):
        from kappamask.evaluation import scores
        from kappamask.openeo_process.archive import build
        from kappamask.reports import shares
        from kappamask.scenes import quicklook, write_mask
        from kappamask.workflows.demo import TITLE, paint, write_report

    output.mkdir(parents=True, exist_ok=True)
    with _step("Paint clouds and their shadows over a clear Sentinel-2 scene"):
        scene = paint(output / "scenes", seed)
    with _step("Build the dependency archive that the job's workers unpack"):
        archive = build(output / "archive")
    job, log, files = _run_job(scene, archive, output)
    with _step("Judge the mask, draw it, report"):
        mask = _mask_cube(files)
        truth = scene.truth.sel(x=mask.x, y=mask.y, method="nearest", tolerance=1)
        judged = scores(truth.values, mask.values)
        written = [*write_mask(mask, output / "mask.tif"), *write_mask(mask, output / "mask.nc")]
        shown = scene.cube.sel(x=mask.x, y=mask.y, method="nearest", tolerance=1)
        written.append(quicklook(shown, mask, output / "quicklook.png", truth, title=TITLE))
        seen = {"scene": shown, "truth": truth}
        written.append(write_report(output / "report.html", mask, **seen, judged=judged, job={**job, "log": log}))
    counted = shares(mask)
    percentages = {name: share for name, share in counted.percentages.items() if share}
    result = {
        "job": job["id"], "files": [str(path) for path in written],
        "classes": counted.fractions, "percent_of_valid": percentages, **judged,
    }  # fmt: skip
    print_result(result, _format_lines(result), as_json)


def _run_job(scene: "DemoScene", archive: Path, output: Path) -> tuple[dict[str, Any], list[str], list[Path]]:
    """Serve, submit, wait, download; return the job's description, its log, and the files."""
    import openeo

    from kappamask.backend.server import running_server
    from kappamask.openeo_process import cloud_mask, fetch, load, submit

    journal = output / "jobs.sqlite"
    with running_server(scene.folder) as server:
        typer.echo(f"openEO back-end for {scene.folder} at {server.url}", err=True)
        connection = openeo.connect(server.url).authenticate_basic(server.user, server.password)
        cube = load(connection, COLLECTION, area=scene.area, dates=scene.dates)
        masked = cloud_mask(cube, level="L1C", clip_to=scene.area, python=PYTHON)
        with _step("Batch job: load_collection, apply_neighborhood with the UDF, save_result"):
            job = submit(
                masked, archive=str(archive.resolve()), title="KappaMask demo", wait=True, report=_print_status,
                repeat=True, journal=journal,
            )  # fmt: skip
        with _step("Download the mask cube"):
            files = fetch(job, output / "job", report=None, journal=journal)
        log = [f"{entry['level']}: {entry['message']}" for entry in job.logs()]
        return dict(job.describe()), log, files


def _mask_cube(files: list[Path]) -> "xr.DataArray":
    """Read the job's raster as a mask, uint8 (y, x), with its provenance.

    Its nodata of 255, all of it inside the area, becomes code 5.
    """
    from kappamask.models import load_card
    from kappamask.models.card import NODATA_CODE
    from kappamask.scenes import read_mask
    from kappamask.udf.schemes import MISSING, flag_attributes

    card = load_card("compact")
    (raster,) = [path for path in files if path.suffix == ".tif"]
    found = read_mask(raster).compute()
    mask = found.where(found != NODATA_CODE, MISSING).astype("uint8")
    provenance = {"model_id": card.id, "model_sha256": card.sha256, "radiometry": "dn_harmonized", "level": "L1C"}
    return mask.assign_attrs({**flag_attributes(card), **provenance})


def _format_lines(result: dict[str, Any]) -> list[str]:
    from kappamask.scenes.encoding import words
    from kappamask.scenes.writers.captions import percent

    shares = ", ".join(f"{words(name)} {percent(share)}" for name, share in result["percent_of_valid"].items())
    dice = ", ".join(f"{name} {value:.3f}" for name, value in result["dice"].items() if value is not None)
    return [f"Share of each class: {shares}", f"Dice against the painted truth: {dice}", *result["files"]]


@contextmanager
def _step(what: str) -> Iterator[None]:
    started = perf_counter()
    typer.echo(f"{what} …", err=True)
    yield
    typer.echo(f"  {perf_counter() - started:.1f} s", err=True)


def _print_status(line: str) -> None:
    typer.echo(f"  {line}", err=True)
