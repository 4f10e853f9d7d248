"""Choose the grid, dtype and nodata value that STAC items share."""

from collections.abc import Iterable, Sequence
from math import ceil, cos, floor, radians, sqrt
from typing import Any, Final

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform_bounds

from kappamask.files.geojson import split_box
from kappamask.models import SceneError
from kappamask.scenes.encoding import fits
from kappamask.scenes.grid import DEGREE, read_grid, to_rasterio_crs
from kappamask.scenes.readers.raster import NODATA_DN, number_type
from kappamask.scenes.readers.remote import open_raster
from kappamask.scenes.readers.stac_items import StacItem

__all__ = ["find_anchor", "find_common_grid", "find_common_nodata"]

EDGE: Final = 1e-6
"""Pixels: edges this near count as one."""
LONLAT: Final = "EPSG:4326"
FEW: Final = 0.1
"""Numbers below this are degrees where a CRS has degrees: no pixel of Sentinel-2 has so few metres."""
SIDE_TOLERANCE: Final = 0.01
"""Relative difference of a pixel's side in feet and the like from the metres asked for that is none."""
Bounds = tuple[float, float, float, float]
ANCHORS: Final = ("B02", "B03", "B04", "B08")
"""Bands of 10 m, of which the first that an item has gives the grid, whichever bands are asked for."""


def find_common_grid(grids: Sequence[GeoBox], resolution: float, bbox: Sequence[float] | None) -> GeoBox:
    """Make a grid of `resolution`, metres, over all `grids` from their north-west corner.

    In a CRS of degrees the items' own pixels stay where their mean side is nearer to `resolution` than to its half or
    double; numbers below 0.1 are degrees there. `bbox`: west, south, east, north in degrees, west the larger one across
    the antimeridian; of the pixels only those that it touches.
    Raises SceneError if the grids are of several CRS, or the box is none or lies outside them.
    """
    crs = to_rasterio_crs(grids[0])
    if any(grid.crs != grids[0].crs for grid in grids):
        found = {str(to_rasterio_crs(grid)) for grid in grids}
        raise SceneError(f"The items lie in several CRS ({', '.join(found)}); open them apart.")
    edges = list(zip(*(grid.boundingbox for grid in grids), strict=True))
    covered = (min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3]))
    asked = covered if bbox is None else _project_boxes(_check_bbox(bbox), crs)
    west, south, east, north = covered
    across, down = _pixel_sides(grids[0], resolution)
    left = max(0, floor((asked[0] - west) / across + EDGE))
    top = max(0, floor((north - asked[3]) / down + EDGE))
    right = ceil((min(asked[2], east) - west) / across - EDGE)
    bottom = ceil((north - max(asked[1], south)) / down - EDGE)
    if right <= left or bottom <= top:
        raise SceneError(f"The bbox {bbox} does not touch the scene, which covers {covered} in {crs}.")
    corner = Affine(across, 0, west + left * across, 0, -down, north - top * down)
    return GeoBox((bottom - top, right - left), corner, grids[0].crs)


def _pixel_sides(grid: GeoBox, resolution: float) -> tuple[float, float]:
    """Return width and height of pixels of `resolution`, in the unit of the grid's CRS."""
    own = grid.transform.a, -grid.transform.e
    crs = to_rasterio_crs(grid)
    if crs is not None and crs.is_geographic:
        if resolution < FEW:
            return resolution, resolution
        _, south, _, north = grid.boundingbox
        size = DEGREE * cos(radians((south + north) / 2)), DEGREE
        mean = sqrt(own[0] * size[0] * own[1] * size[1])
        return own if sqrt(0.5) < mean / resolution < sqrt(2) else (resolution / size[0], resolution / size[1])
    metres = crs.linear_units_factor[1] if crs is not None else 1.0
    side = resolution / metres
    near = metres != 1 and all(abs(one - side) <= SIDE_TOLERANCE * side for one in own)
    return own if near else (side, side)


def _project_boxes(pieces: Sequence[Bounds], crs: CRS) -> Bounds:
    """Project the box around all `pieces`, degrees, to `crs`."""
    west, south, east, north = zip(*(transform_bounds(LONLAT, crs, *piece) for piece in pieces), strict=True)
    return min(west), min(south), max(east), max(north)


def _check_bbox(bbox: Sequence[float]) -> list[Bounds]:
    """Return the box, or its two parts where it crosses the antimeridian."""
    try:
        west, south, east, north = (float(edge) for edge in bbox)
        if not (-90 <= south < north <= 90):
            raise ValueError("south must be less than north")
        return split_box(west, south, east, north)
    except (TypeError, ValueError) as error:
        raise SceneError(f"The bbox is {bbox}; needed are west, south, east, north in degrees.") from error


def find_anchor(item: StacItem, loopback: bool) -> tuple[GeoBox, np.dtype[Any], float]:
    """Find grid, dtype and nodata value of the item's band that stands for all."""
    label = next(band for band in (*ANCHORS, *item.assets) if band in item.assets)
    with open_raster(item.source(label, loopback=loopback)) as dataset:
        grid, dtype, nodata = read_grid(dataset), number_type(dataset, item.number(label)), dataset.nodata
        fitting = [value for value in item.nodata(label) if fits(value, dtype)]
        nodata = next(iter(fitting), None) if nodata is None else nodata
    if grid.crs is None:
        raise SceneError(f"Item {item.id}: {label} has no coordinate reference system.")
    return grid, dtype, NODATA_DN if nodata is None else nodata


def find_common_nodata(fills: Iterable[float], stated: Iterable[Iterable[float]], dtype: np.dtype[Any]) -> float:
    """Choose one nodata value for a cube of several items and bands.

    If possible not 0, which may be measured.
    """
    every = [*fills, *(value for values in stated for value in values if fits(value, dtype))]
    return next((value for value in every if value != NODATA_DN), float(NODATA_DN))
