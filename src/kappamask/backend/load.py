"""Load scenes as one harmonised cube with common grid, bands and dates."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer

from kappamask.backend.grid import SNAP, Bounds, intersect_boxes, make_grid, overlap, transform_bounds, unite_boxes
from kappamask.backend.scene_index import SceneRecord
from kappamask.files.geojson import join_boxes
from kappamask.models import RadiometryError, SceneError
from kappamask.scenes import open_scene
from kappamask.scenes.grid import to_coordinates
from kappamask.udf.pixel_statistics import compute_statistics
from kappamask.udf.radiometry import decide_radiometry
from kappamask.udf.radiometry_metadata import AUXILIARY, find_scale_and_offset

__all__ = ["Request", "load", "remove_offset"]

log = logging.getLogger(__name__)
DIGITAL_NUMBERS = 10_000
"""Digital numbers per unit of reflectance (QUANTIFICATION_VALUE of every product so far)."""
SAMPLE = 512
"""Pixels along a side of the sample on which a scene's radiometry is judged where its metadata is silent."""

EDGE_M = 5000.0
"""Metres between points along the outline of a scene in another zone, which bends there by less than a metre."""
SLIVER = 1e-3
"""Share of an extent that such a scene may cover alone and still add nothing."""


def remove_offset(cube: xr.DataArray, path: Path) -> xr.DataArray:
    """Turn a scene's stored numbers into float32 digital numbers without offset; NaN is nodata.

    Nodata is what the file declares and, as in all Sentinel-2 products, a pixel with 0 in all bands; where the offset
    is in the numbers, a 0 in any band too, for there it cannot be a measurement.
    Metadata says what the numbers mean; where it is silent the pixels of all bands are asked; where they leave a
    doubt the numbers are taken for harmonised ones, and the log says so.
    """
    mode = _find_radiometry(path, path.stat().st_mtime_ns)
    values = cube.astype(np.float32).where(_find_measured(cube, path, mode))
    if mode == "dn_harmonized":
        return values
    scale, offset = zip(*(find_scale_and_offset(str(band), mode) for band in cube.bands.values), strict=True)
    return values * _per_band(scale) + _per_band(offset)


def _per_band(factors: Sequence[float]) -> xr.DataArray:
    return xr.DataArray(np.asarray([DIGITAL_NUMBERS * f for f in factors], np.float32), dims="bands")


def _find_measured(cube: xr.DataArray, path: Path, mode: str) -> xr.DataArray:
    """Find numbers that are no nodata; other bands are read only if needed."""
    declared = cube.attrs.get("_FillValue", np.nan)
    measured: xr.DataArray = cube != declared
    if mode == "dn_offset":
        measured &= cube != 0
        return measured
    if declared == 0:
        return measured
    whole = open_scene(path)
    reflective = whole.sel(bands=[band for band in whole.bands.values if band not in AUXILIARY])
    measured &= (reflective != 0).any("bands")
    return measured


@lru_cache(maxsize=4096)
def _find_radiometry(path: Path, _changed: int) -> str:
    cube = open_scene(path)
    stated = decide_radiometry("auto", cube.attrs, {}, []).mode
    if stated != "unknown":
        return stated
    every = max(1, min(cube.sizes["y"], cube.sizes["x"]) // SAMPLE)
    sample = np.asarray(cube.isel(y=slice(None, None, every), x=slice(None, None, every)).values, np.float32)
    pixels = sample.reshape(sample.shape[0], -1)
    valid = np.isfinite(pixels).all(axis=0) & (pixels != cube.attrs.get("_FillValue", np.nan)).all(axis=0)
    try:
        mode = decide_radiometry(
            "auto", {}, {}, [compute_statistics(pixels, tuple(str(b) for b in cube.bands.values), valid)]
        ).mode
    except RadiometryError as error:
        log.warning("Scene %s is served as if harmonised. %s", path.name, error)
        return "dn_harmonized"
    return "dn_harmonized" if mode == "unknown" else mode


@dataclass(frozen=True)
class Request:
    """What a graph asks of a collection."""

    bands: Sequence[str] | None = None
    extent: Bounds | None = None
    crs: int | str = 4326
    start: str | None = None
    end: str | None = None
    """Left-closed: scenes of `end` itself are left out."""
    margin: int = 0
    """Pixels wanted beyond `extent` on each side, where scenes have them."""


def load(scenes: Sequence[SceneRecord], request: Request) -> tuple[xr.DataArray, Bounds]:
    """Load the cube and the area asked for, in the cube's CRS.

    The cube is lazy float32 with dims (t, bands, y, x), NaN without data, digital numbers without radiometric offset.
    It covers the part of `extent` that scenes cover, snapped outward to the scenes' pixel grid, plus the margin. Where
    scenes of one day overlap, the earliest wins. Raises SceneError if no scene fits, or if they lie on different grids:
    scenes of two UTM zones are not warped onto each other; those in the zone of `crs` do where others add nothing.
    """
    chosen = _choose_scenes(scenes, request)
    epsg, step = _one_grid(chosen)
    origin = (chosen[0].bounds[0], chosen[0].bounds[3])
    covered = unite_boxes([s.bounds for s in chosen])
    wanted = covered if request.extent is None else transform_bounds(request.extent, request.crs, epsg)
    area = make_grid(intersect_boxes(wanted, covered), epsg, step, origin)
    if area.is_empty():
        raise SceneError(
            f"The extent {request.extent} (CRS {request.crs}) has no area; give a box with width and height."
        )
    wider = area.pad(request.margin).boundingbox.bbox
    grid = make_grid(intersect_boxes(wider, covered), epsg, step, origin)
    bands = list(request.bands or _bands_of(chosen))
    days = sorted({s.day for s in chosen})
    cube = xr.concat(
        [_load_day([s for s in chosen if s.day == day], bands, grid) for day in days], pd.DatetimeIndex(days, name="t")
    )
    return cube.rio.write_crs(epsg).rio.write_transform(grid.transform), area.boundingbox.bbox


def _choose_scenes(scenes: Sequence[SceneRecord], request: Request) -> list[SceneRecord]:
    dated = [s for s in scenes if _lies_within(s.datetime, request.start, request.end)]
    if not dated:
        have = ", ".join(sorted({f"{s.day:%Y-%m-%d}" for s in scenes})) or "none"
        raise SceneError(f"No scene is dated in [{request.start}, {request.end}); dates available: {have}.")
    if request.extent is None:
        return dated
    chosen = [s for s in dated if overlap(transform_bounds(request.extent, request.crs, s.epsg), s.bounds)]
    if not chosen:
        west, south, east, north = join_boxes(s.lonlat() for s in dated)
        raise SceneError(
            f"No scene covers {request.extent} (CRS {request.crs}); the scenes lie in west {west:.4f}, "
            f"south {south:.4f}, east {east:.4f}, north {north:.4f} (EPSG:4326)."
        )
    return _prefer_zone(chosen, request)


def _prefer_zone(scenes: list[SceneRecord], request: Request) -> list[SceneRecord]:
    """Select the scenes in the extent's CRS, if others cover nothing more of it.

    Products of neighbouring zones overlap, so an extent along a border of zones meets those of both.
    """
    epsg = CRS.from_user_input(request.crs).to_epsg()
    own = [s for s in scenes if s.epsg == epsg]
    if not own or len(own) == len(scenes) or any(_adds_cover(s, own, request) for s in scenes if s not in own):
        return scenes
    others = ", ".join(s.path.name for s in scenes if s not in own)
    log.warning("Left out are %s: the extent is in EPSG:%s, whose own scenes cover it as far.", others, epsg)
    return own


def _adds_cover(scene: SceneRecord, own: list[SceneRecord], request: Request) -> bool:
    """Tell whether a scene of another CRS covers what those of its day do not."""
    move = Transformer.from_crs(scene.epsg, request.crs, always_xy=True).transform
    outline = shapely.segmentize(shapely.box(*scene.bounds), EDGE_M)
    there = shapely.transform(outline, lambda points: np.column_stack(move(*points.T)))
    extent = shapely.box(*(request.extent or there.bounds))
    covered = shapely.union_all([shapely.box(*one.bounds) for one in own if one.day == scene.day])
    more = shapely.intersection(there, extent).difference(covered).area
    return bool(more > SLIVER * extent.area)


def _lies_within(when: pd.Timestamp, start: str | None, end: str | None) -> bool:
    return (start is None or when >= _parse_utc(start)) and (end is None or when < _parse_utc(end))


def _parse_utc(text: str) -> pd.Timestamp:
    stamp = pd.Timestamp(text)
    return stamp.tz_convert(None) if stamp.tzinfo else stamp


def _one_grid(scenes: Sequence[SceneRecord]) -> tuple[int, float]:
    """Find the scenes' common CRS and pixel size."""
    kinds = {(s.epsg, s.step) for s in scenes}
    if len(kinds) > 1:
        listed = "; ".join(f"{s.path.name}: EPSG:{s.epsg}, {s.step:g} m" for s in scenes)
        raise SceneError(
            f"The scenes lie on different grids ({listed}); ask for a smaller spatial_extent that one grid "
            "covers, or state it in the CRS of the scenes that cover it."
        )
    origin = scenes[0].bounds
    for scene in scenes:
        shift = [abs((a - b) / scene.step) for a, b in zip(scene.bounds, origin, strict=True)]
        if any(abs(s - round(s)) > SNAP for s in shift):
            raise SceneError(
                f"{scene.path.name} is off the pixel grid of {scenes[0].path.name}; "
                "warp it to that grid first (gdalwarp -tap)."
            )
    return kinds.pop()


def _bands_of(scenes: Sequence[SceneRecord]) -> list[str]:
    found = {band for scene in scenes for band in scene.bands}
    return [band for scene in scenes[:1] for band in scene.bands] + sorted(found - set(scenes[0].bands))


def _load_day(scenes: Sequence[SceneRecord], bands: list[str], grid: GeoBox) -> xr.DataArray:
    cubes = [_load_scene(scene, bands, grid) for scene in scenes]
    first, *others = cubes
    for other in others:
        first = first.where(first.notnull(), other)
    return first


def _load_scene(scene: SceneRecord, bands: list[str], grid: GeoBox) -> xr.DataArray:
    """Place a scene on the grid: float32, NaN outside and in absent bands."""
    held = [band for band in bands if band in scene.bands]
    missing = [band for band in bands if band not in held]
    if missing:
        log.warning("Scene %s lacks %s: served as no data.", scene.path.name, ", ".join(missing))
    cube = _place_on_grid(remove_offset(open_scene(scene.path, bands=held or None), scene.path), scene, grid)
    return cube.reindex(bands=bands).drop_vars("spatial_ref", errors="ignore").drop_attrs()


def _place_on_grid(cube: xr.DataArray, scene: SceneRecord, grid: GeoBox) -> xr.DataArray:
    column = round((grid.transform.c - scene.bounds[0]) / scene.step)
    row = round((scene.bounds[3] - grid.transform.f) / scene.step)
    windows, pads = {}, {}
    for dim, first, count in (("x", column, grid.width), ("y", row, grid.height)):
        size = cube.sizes[dim]
        start, stop = min(max(first, 0), size), min(max(first + count, 0), size)
        windows[dim] = slice(start, stop)
        before = min(max(-first, 0), count)
        pads[dim] = (before, count - before - (stop - start))
    placed = cube.isel(windows).pad(pads, constant_values=np.nan)
    return placed.assign_coords(to_coordinates(grid))
