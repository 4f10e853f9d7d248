"""Areas of any kind that Python users have, as pixels of a grid."""

from collections.abc import Mapping, Sequence
from math import floor, isfinite
from typing import Any, cast

import numpy as np
import pyproj
import shapely
import xarray as xr
from pyproj.exceptions import ProjError
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from rioxarray.exceptions import RioXarrayError
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from kappamask.files.geojson import list_geometries, parse_crs_name, spans_globe, split_box
from kappamask.models import CubeError
from kappamask.scenes.grid import check_regular

__all__ = ["clip_to_area"]

LONLAT = "EPSG:4326"
"""Of GeoJSON (RFC 7946, 4)."""
TURN = 360.0
"""Degrees around the globe."""
SEGMENTS = 100
"""Parts that a side as long as the cube is split into before it is projected: a line that is straight in degrees and
110 km long bends by 0.2 km in UTM, one of 1.1 km by 2 cm."""
MARGIN = 0.01
"""Of the cube's sides, beyond which an area is cut off before it is projected: far from its zone UTM has no answer."""
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, shapely.errors.ShapelyError, ProjError)
"""What is raised where an object is no area."""
NEEDED = "needed is a shapely geometry, GeoJSON, a GeoDataFrame, or a box (west, south, east, north)"


def clip_to_area(
    array: xr.DataArray, geometry: Any, crs: Any, *, all_touched: bool
) -> tuple[xr.DataArray, xr.DataArray]:
    """Clip `array` (…, y, x) to the bounding box of an area.

    Returns the clipped array, and which of its pixels lie in the area: bool (y, x).
    geometry, crs, all_touched: see `statistics`. Raises CubeError if the array lacks a CRS or a regular grid, or if the
    area cannot be read or holds no pixel.
    """
    grid = _find_transform(array)
    local = _project_area(*_read(geometry, crs), array)
    rows, columns = _find_window(local.bounds, grid, array)
    part, corner = array.isel(y=rows, x=columns), grid @ Affine.translation(columns.start, rows.start)
    inside = np.zeros((part.sizes["y"], part.sizes["x"]), bool)
    if inside.size:
        inside = geometry_mask([local], inside.shape, corner, all_touched=all_touched, invert=True)
    if not inside.any():
        raise CubeError(
            "The area holds the centre of no pixel of the cube: say all_touched=True, or give a larger one."
        )
    return part, xr.DataArray(inside, dims=("y", "x"))


def _find_transform(array: xr.DataArray) -> Affine:
    if array.rio.crs is None or not {"y", "x"} <= set(array.coords):
        raise CubeError(
            "The cube lacks coordinates y and x or a coordinate reference system, which an area needs: "
            "cube.rio.write_crs('EPSG:…')."
        )
    check_regular("The cube", array)
    try:
        array.rio.resolution(recalc=True)  # the transform is made up where this fails
    except RioXarrayError as error:
        raise CubeError("The cube is one pixel wide or high, and nothing tells how large that is.") from error
    grid: Affine = array.rio.transform(recalc=True)
    return grid


def _read(geometry: Any, crs: Any) -> tuple[BaseGeometry, pyproj.CRS]:
    try:
        shape, carried = _parse_shape(geometry, crs)
        found = shapely.make_valid(shapely.force_2d(shape))
        systems = [pyproj.CRS.from_user_input(one) for one in (crs, carried) if one is not None]
    except UNREADABLE as error:
        raise CubeError(f"The area cannot be read: {' '.join(str(error).split())}; {NEEDED}.") from error
    if found.is_empty:
        raise CubeError(f"The area is empty; {NEEDED}.")
    systems = systems or ([pyproj.CRS(LONLAT)] if isinstance(geometry, Mapping) else [])
    if not systems:
        raise CubeError("The area carries no coordinate reference system: say crs='EPSG:4326' for degrees.")
    if not systems[0].equals(systems[-1], ignore_axis_order=True):
        raise CubeError(
            f"The area carries the CRS {systems[-1].to_string()}, not {systems[0].to_string()}: leave it out."
        )
    if systems[0].is_geographic and not isinstance(geometry, Sequence | np.ndarray) and spans_globe(found):
        raise CubeError(
            "The area has an edge over most of the globe. Across the antimeridian cut it at 180 degrees (RFC 7946, "
            "3.1.9), count its longitudes on (179.9, 180.1), or give a box (179.9, -18, -179.9, -17); for the long way "
            "round give its edges more corners: shapely.segmentize(area, 10)."
        )
    return found, systems[0]


def _parse_shape(geometry: Any, crs: Any) -> tuple[BaseGeometry, Any]:
    """Return one geometry, and the CRS that it carries, or None."""
    if isinstance(geometry, Sequence | np.ndarray) and not isinstance(geometry, str):
        degrees = crs is not None and pyproj.CRS.from_user_input(crs).is_geographic
        return shapely.union_all([shapely.box(*box) for box in split_box(*map(float, geometry), degrees=degrees)]), None
    document = geometry if isinstance(geometry, Mapping) else cast("Any", geometry).__geo_interface__
    shapes = [shapely.geometry.shape(dict(one)) for one in list_geometries(document)]
    return shapely.union_all(shapely.make_valid(shapes)), getattr(geometry, "crs", parse_crs_name(document))


def _project_area(shape: BaseGeometry, crs: pyproj.CRS, array: xr.DataArray) -> BaseGeometry:
    """Project the part of an area in or near the cube to its CRS."""
    to_area = pyproj.Transformer.from_crs(array.rio.crs, crs, always_xy=True)
    west, south, east, north = array.rio.bounds(recalc=True)
    x, y = (MARGIN * (east - west), MARGIN * (north - south))
    near = to_area.transform_bounds(west - x, south - y, east + x, north + y)
    if not all(map(isfinite, near)):
        raise CubeError(
            f"The cube does not lie where the area's CRS {crs.to_string()} is defined; is it the right one?"
        )
    turns = (-TURN, 0, TURN) if crs.is_geographic else (0,)
    shapes = [translate(shape, turn) if turn else shape for turn in turns]  # areas may count longitudes to 360
    seen = [shapely.box(*box) for box in split_box(*near, degrees=crs.is_geographic, widest=TURN)]
    found = shapely.union_all([shapely.intersection(one, box) for one in shapes for box in seen])
    if found.is_empty:
        box, cube = (", ".join(f"{edge:g}" for edge in edges) for edges in (shape.bounds, near))
        raise CubeError(f"The area ({box}) lies outside the cube ({cube}, {crs.to_string()}); is its crs right?")
    split = (
        shapely.segmentize(found, max(near[2] - near[0], near[3] - near[1]) / SEGMENTS) if near[0] < near[2] else found
    )
    back = pyproj.Transformer.from_crs(crs, array.rio.crs, always_xy=True)
    return shapely.transform(split, lambda points: np.column_stack(back.transform(points[:, 0], points[:, 1])))


def _find_window(bounds: tuple[float, ...], grid: Affine, array: xr.DataArray) -> tuple[slice, slice]:
    """Find the rows and columns that bounds touch."""
    x, y = zip(*(~grid @ corner for corner in (bounds[:2], bounds[2:])), strict=True)
    ends = ((floor(min(y)), floor(max(y)) + 1, array.sizes["y"]), (floor(min(x)), floor(max(x)) + 1, array.sizes["x"]))
    rows, columns = (slice(min(max(first, 0), n), min(max(last, 0), n)) for first, last, n in ends)
    return rows, columns
