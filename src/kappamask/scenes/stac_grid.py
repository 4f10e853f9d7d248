"""The grid that STAC items share: that of their 10 m bands, coarser where asked for, cut to a box."""

from collections.abc import Sequence
from math import ceil, floor
from typing import Final

from rasterio.transform import Affine
from rasterio.warp import transform_bounds

from kappamask.models import SceneError
from kappamask.scenes.grid import Grid

__all__ = ["common_grid"]

EDGE: Final = 1e-6
"""Pixels: edges this near count as one."""
LONLAT: Final = "EPSG:4326"
Bounds = tuple[float, float, float, float]


def common_grid(grids: Sequence[Grid], resolution: float, bbox: Sequence[float] | None) -> Grid:
    """Pixels of `resolution`, in the CRS's unit, over all `grids` from their north-west corner on.

    `bbox`: west, south, east, north in degrees; of the pixels only those that it touches.
    Raises SceneError if the grids are of several CRS, or the box is none or lies beside them.
    """
    crs = grids[0].crs
    if any(grid.crs != crs for grid in grids):
        raise SceneError(f"The items lie in several CRS ({', '.join({str(g.crs) for g in grids})}); open them apart.")
    edges = list(zip(*(grid.bounds for grid in grids), strict=True))
    covered = (min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3]))
    asked = covered if bbox is None else transform_bounds(LONLAT, crs, *_degrees(bbox))
    west, south, east, north = covered
    left = max(0, floor((asked[0] - west) / resolution + EDGE))
    top = max(0, floor((north - asked[3]) / resolution + EDGE))
    right = ceil((min(asked[2], east) - west) / resolution - EDGE)
    bottom = ceil((north - max(asked[1], south)) / resolution - EDGE)
    if right <= left or bottom <= top:
        raise SceneError(f"The bbox {bbox} does not touch the scene, which covers {covered} in {crs}.")
    corner = Affine(resolution, 0, west + left * resolution, 0, -resolution, north - top * resolution)
    return Grid(crs, corner, right - left, bottom - top)


def _degrees(bbox: Sequence[float]) -> Bounds:
    try:
        west, south, east, north = (float(edge) for edge in bbox)
    except (TypeError, ValueError):
        west, south, east, north = 0.0, 0.0, 0.0, 0.0
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise SceneError(f"The bbox is {bbox}; needed are west, south, east, north in degrees.")
    return west, south, east, north
