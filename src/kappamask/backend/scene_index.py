"""Index of a scenes folder, and filters on the properties of scenes."""

import operator
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from openeo_driver.errors import FeatureUnsupportedException
from openeo_driver.filter_properties import extract_literal_match
from openeo_driver.utils import EvalEnv

from kappamask.backend.grid import Bounds, transform_bounds
from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.scenes import find_scenes, open_scene
from kappamask.scenes.readers.raster import open_local_raster

__all__ = ["ANNOUNCED", "CLOUD_COVER", "COLLECTIONS", "SceneRecord", "filter_scenes", "index", "record"]

COLLECTIONS = {"SENTINEL2_L1C": "L1C", "SENTINEL2_L2A": "L2A"}
"""Collection -> processing level; named as on the Copernicus back-end so that graphs carry over."""
ANNOUNCED = {
    "L1C": tuple(b for b in SENTINEL2_BANDS if b not in ("AOT", "WVP")),
    "L2A": tuple(b for b in SENTINEL2_BANDS if b != "B10"),
}
"""Bands a collection announces while no scene says otherwise; Level-2A has no cirrus band."""
TIFFS = (".tif", ".tiff")
RASTERS = (*TIFFS, ".nc", ".jp2")
CLOUD_COVER = "eo:cloud_cover"
"""Percent of a scene that is cloud: the property by which openEO's clients leave out cloudy ones."""
COMPARED: dict[str, Callable[[float, float], bool]] = {"lte": operator.le, "gte": operator.ge, "eq": operator.eq}
"""openEO process, the property being its x -> comparison."""


@dataclass(frozen=True)
class SceneRecord:
    """Facts of a scene that can be had without reading pixels."""

    path: Path
    level: str
    datetime: pd.Timestamp
    """Sensing time, UTC, without a time zone."""
    bands: tuple[str, ...]
    epsg: int
    bounds: Bounds
    """Outer edges in units of `epsg`."""
    step: float
    """Pixel size in units of `epsg`."""
    cloud_cover: float | None = None
    """Percent, where the scene says so: a GeoTIFF by its tag `cloud_cover`, a STAC item by `eo:cloud_cover`."""

    @property
    def day(self) -> pd.Timestamp:
        """Label on the time dimension: the day at 00:00, as on the Copernicus back-end."""
        return self.datetime.normalize()

    def lonlat(self) -> Bounds:
        """Bounds in EPSG:4326."""
        return transform_bounds(self.bounds, self.epsg, 4326)


def index(folder: Path, collection: str | None = None) -> list[SceneRecord]:
    """List the scenes of a folder (of one collection), in order of time.

    Raises SceneError, which names the file, for a file that is no scene, and for a scene without level, date or CRS: no
    request could select it. Raises it, too, for a folder of rasters, such as masks, none of which is a scene.
    """
    records = [record(path) for path in _list_scene_paths(folder)]
    chosen = [r for r in records if collection is None or r.level == COLLECTIONS[collection]]
    return sorted(chosen, key=lambda r: (r.datetime, r.path))


def _list_scene_paths(folder: Path) -> list[Path]:
    """Index what `find_scenes` finds; nothing in a folder without any raster.

    Such a folder may wait for its scenes, or hold STAC items only.
    """
    try:
        return find_scenes(folder)
    except SceneError:
        if folder.is_dir() and not any(path.suffix.lower() in RASTERS for path in folder.iterdir()):
            return []
        raise


def record(path: Path) -> SceneRecord:
    """Read the facts of one scene."""
    return _make_record(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _make_record(path: Path, _changed: int) -> SceneRecord:
    return replace(describe_scene(open_scene(path), path), cloud_cover=_cloud_cover(path))


def _cloud_cover(path: Path) -> float | None:
    """Read a GeoTIFF's tag; None for other scenes, and for what is no number."""
    if path.suffix.lower() not in TIFFS:
        return None
    with open_local_raster(path) as dataset, suppress(KeyError, ValueError):
        return float(dataset.tags()["cloud_cover"])
    return None


def describe_scene(cube: xr.DataArray, path: Path) -> SceneRecord:
    """Describe the facts of an open scene with dims (bands, y, x)."""
    missing = [key for key in ("level", "datetime") if not cube.attrs.get(key)]
    epsg = cube.rio.crs.to_epsg() if cube.rio.crs else None
    if missing or epsg is None:
        what = " and ".join([*missing, *(["CRS with an EPSG code"] if epsg is None else [])])
        raise SceneError(
            f"Scene {path.name} has no {what}; the back-end needs both tags and a CRS. Add them to the file."
        )
    west, south, east, north = cube.rio.bounds()
    return SceneRecord(
        path=path,
        level=cube.attrs["level"],
        datetime=pd.Timestamp(cube.attrs["datetime"]).tz_convert(None),
        bands=tuple(str(b) for b in cube.bands.values),
        epsg=epsg,
        bounds=(west, south, east, north),
        step=abs(float(cube.rio.resolution()[0])),
    )


def filter_scenes(scenes: list[SceneRecord], properties: Mapping[str, Any], env: EvalEnv) -> list[SceneRecord]:
    """Select scenes by the conditions; one without a cloud cover stays.

    Raises openEO's FeatureUnsupported for other properties and for other comparisons.
    """
    for name, condition in properties.items():
        ((process, limit),) = extract_literal_match(condition, env).items()
        if name != CLOUD_COVER or process not in COMPARED:
            raise FeatureUnsupportedException(
                f"A filter on the property {name} by {process} is not supported; there is {CLOUD_COVER} by "
                f"{', '.join(COMPARED)}. Choose by temporal_extent."
            )
        keeps = COMPARED[process]
        scenes = [one for one in scenes if one.cloud_cover is None or keeps(one.cloud_cover, float(limit))]
    return scenes
