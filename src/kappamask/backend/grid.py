"""Boxes and pixel grids: snapping, cutting, moving from one CRS to another."""

from collections.abc import Sequence
from math import ceil, floor

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.transform import Affine

__all__ = ["SNAP", "Bounds", "crop", "intersect_boxes", "make_grid", "overlap", "transform_bounds", "unite_boxes"]

Bounds = tuple[float, float, float, float]
"""West, south, east, north."""
SNAP = 1e-3
"""Part of a pixel by which a box may miss the grid and still be on it: the way to degrees and back loses some."""


def make_grid(bounds: Bounds, epsg: int, step: float, origin: tuple[float, float]) -> GeoBox:
    """Make the smallest grid through `origin` (x, y) that covers `bounds`.

    Its pixels have `step` units of the CRS a side. It is empty where `bounds` are.
    """
    left, top = floor((bounds[0] - origin[0]) / step + SNAP), floor((origin[1] - bounds[3]) / step + SNAP)
    right, bottom = ceil((bounds[2] - origin[0]) / step - SNAP), ceil((origin[1] - bounds[1]) / step - SNAP)
    place = Affine(step, 0.0, origin[0] + left * step, 0.0, -step, origin[1] - top * step)
    return GeoBox((max(bottom - top, 0), max(right - left, 0)), place, epsg)


def transform_bounds(bounds: Bounds, source: int | str, target: int | str) -> Bounds:
    """Find the box round `bounds` in another CRS; edges are followed, not only corners."""
    if source == target:
        return bounds
    west, south, east, north = Transformer.from_crs(source, target, always_xy=True).transform_bounds(
        *bounds, densify_pts=21
    )
    return west, south, east, north


def overlap(a: Bounds, b: Bounds) -> bool:
    """Tell whether two boxes share more than an edge."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def intersect_boxes(a: Bounds, b: Bounds) -> Bounds:
    """Intersect two boxes; the result is empty if east <= west or north <= south."""
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def unite_boxes(boxes: Sequence[Bounds]) -> Bounds:
    """Find the box round all boxes."""
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)


def crop(array: xr.DataArray, bounds: Bounds) -> xr.DataArray:
    """Cut out the pixels whose centres lie within the bounds."""
    west, south, east, north = bounds
    x, y = array.x.values, array.y.values
    return array.isel(x=np.flatnonzero((x > west) & (x < east)), y=np.flatnonzero((y > south) & (y < north)))
