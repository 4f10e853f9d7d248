"""Run the demo: serve a painted scene, mask it by a batch job, score it."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import openeo
import xarray as xr

from kappamask.backend.server import running_server
from kappamask.evaluation import compute_scores
from kappamask.models import load_card
from kappamask.models.card import NODATA_CODE
from kappamask.openeo_process import cloud_mask, fetch, load, submit
from kappamask.openeo_process.archive import build
from kappamask.reports import count_shares
from kappamask.scenes import read_mask, write_mask, write_quicklook
from kappamask.scenes.writers.captions import format_shares
from kappamask.udf.schemes import MISSING, flag_attributes
from kappamask.workflows.demo import TITLE, DemoScene, paint, write_report
from kappamask.workflows.progress import print_line

__all__ = ["format_demo", "run_demo"]

COLLECTION = "SENTINEL2_L1C"
PYTHON = platform.python_version().rpartition(".")[0]
NAMES = {"shadow": "cloud shadow", "semi_transparent": "semi-transparent cloud", "all": "mean"}
"""Key of a score -> what is printed, the same words as in the line of shares."""


def run_demo(output: Path, seed: int) -> dict[str, Any]:
    """Run the demo into a folder, and return job, files, shares and scores.

    Each step is printed on stderr.
    """
    output.mkdir(parents=True, exist_ok=True)
    with _step("Paint clouds and their shadows over a clear Sentinel-2 scene"):
        scene = paint(output / "scenes", seed)
    with _step("Build the dependency archive that the job's workers unpack"):
        archive = build(output / "archive")
    job, log, files = _run_job(scene, archive, output)
    with _step("Judge the mask, draw it, report"):
        mask = _mask_cube(files)
        truth = scene.truth.sel(x=mask.x, y=mask.y, method="nearest", tolerance=1)
        judged = compute_scores(truth.values, mask.values)
        written = [*write_mask(mask, output / "mask.tif"), *write_mask(mask, output / "mask.nc")]
        shown = scene.cube.sel(x=mask.x, y=mask.y, method="nearest", tolerance=1)
        written.append(write_quicklook(shown, mask, output / "quicklook.png", truth, title=TITLE))
        seen = {"scene": shown, "truth": truth}
        written.append(write_report(output / "report.html", mask, **seen, judged=judged, job={**job, "log": log}))
    counted = count_shares(mask)
    percentages = {name: share for name, share in counted.percentages.items() if share}
    return {
        "job": job["id"], "files": [str(path) for path in written],
        "classes": counted.fractions, "percent_of_valid": percentages, **judged,
    }  # fmt: skip


def _run_job(scene: DemoScene, archive: Path, output: Path) -> tuple[dict[str, Any], list[str], list[Path]]:
    """Serve, submit, wait, download; return the job's description, its log, and the files."""
    journal = output / "jobs.sqlite"
    with running_server(scene.folder) as server:
        print_line(f"openEO back-end for {scene.folder} at {server.url}")
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


def _mask_cube(files: list[Path]) -> xr.DataArray:
    """Read the job's raster as a mask, uint8 (y, x), with its provenance.

    Its nodata of 255, all of it inside the area, becomes code 5.
    """
    card = load_card("compact")
    (raster,) = [path for path in files if path.suffix == ".tif"]
    found = read_mask(raster).compute()
    mask = found.where(found != NODATA_CODE, MISSING).astype("uint8")
    provenance = {"model_id": card.id, "model_sha256": card.sha256, "radiometry": "dn_harmonized", "level": "L1C"}
    return mask.assign_attrs({**flag_attributes(card), **provenance})


def format_demo(result: dict[str, Any]) -> list[str]:
    """Format shares, scores and files of `run_demo` as lines."""
    named = {name: value for name, value in result["dice"].items() if value is not None}
    dice = ", ".join(f"{NAMES.get(name, name)} {value:.3f}" for name, value in named.items())
    return [
        f"Share of each class: {format_shares(result['percent_of_valid'])}",
        f"Dice against the painted truth: {dice}",
        *result["files"],
    ]


@contextmanager
def _step(what: str) -> Iterator[None]:
    started = perf_counter()
    print_line(f"{what} …")
    yield
    print_line(f"  {perf_counter() - started:.1f} s")


def _print_status(line: str) -> None:
    print_line(f"  {line}")
