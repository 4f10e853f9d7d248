"""Choose the grid, dtype and nodata value that STAC items share."""

from collections.abc import Iterable, Sequence
from math import ceil, cos, floor, radians, sqrt
from typing import Any, Final, NamedTuple

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.warp import transform_bounds

from kappamask.files.geojson import split_box
from kappamask.files.urls import redact
from kappamask.models import SceneError
from kappamask.models.hints import option
from kappamask.scenes.encoding import fits
from kappamask.scenes.grid import DEGREE, read_grid, to_rasterio_crs
from kappamask.scenes.readers.raster import NODATA_DN, number_type
from kappamask.scenes.readers.remote import open_raster
from kappamask.scenes.readers.stac_items import StacItem

__all__ = ["Footprint", "check_box", "check_footprint", "find_anchor", "find_common_grid", "find_common_nodata"]

EDGE: Final = 1e-6
"""Pixels: edges this near count as one."""
LONLAT: Final = "EPSG:4326"
TURNS: Final = (-360.0, 0.0, 360.0)
"""Longitudes of one place differ by these: 355 is -5."""
FEW: Final = 0.1
"""Numbers below this are degrees where a CRS has degrees: no pixel of Sentinel-2 has so few metres."""
SIDE_TOLERANCE: Final = 0.01
"""Relative difference of a pixel's side in feet and the like from the metres asked for that is none."""
EDGE_PX: Final = 2
"""Pixels, of the coarser grid, by which the bands of one item may differ in extent."""
EDGE_SHARE: Final = 0.02
"""The same as a share of the side of what is read, for a band in another CRS, whose tile is not upright there."""
Bounds = tuple[float, float, float, float]
ANCHORS: Final = ("B02", "B03", "B04", "B08")
"""Bands of 10 m, of which the first that an item has gives the grid, whichever bands are asked for."""


class Footprint(NamedTuple):
    """Where the pixels of a band's file should be."""

    item: str
    band: str
    source: str
    """File or address."""
    bounds: Bounds
    """Of the band that gives the item's grid, in the cube's CRS."""


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
    asked = covered if bbox is None else _project_boxes(check_box(bbox), crs, covered)
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


def _project_boxes(pieces: Sequence[Bounds], crs: CRS, covered: Bounds) -> Bounds:
    """Project the box around all `pieces`, degrees, to `crs`.

    Where the scene, `covered`, counts longitudes from 0 to 360, so does the box.
    """
    boxes = [transform_bounds(LONLAT, crs, *piece) for piece in pieces]
    if crs.is_geographic:
        turned = [(w + turn, s, e + turn, n) for w, s, e, n in boxes for turn in TURNS]
        boxes = [box for box in turned if box[0] < covered[2] and box[2] > covered[0]] or boxes
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)


def check_box(bbox: Sequence[float]) -> list[Bounds]:
    """Return a box with longitudes from -180 to 180.

    It is cut in two where it crosses the antimeridian. Raises SceneError for a box that is none.
    """
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


def check_footprint(dataset: DatasetReader, footprint: Footprint, target: GeoBox) -> None:
    """Raise SceneError if a band's file lacks pixels of `target` that its item's grid has.

    They would be missing in that band only, and the mask be made without it.
    """
    crs, same_crs = to_rasterio_crs(target), dataset.crs == to_rasterio_crs(target)
    edges = [*zip(target.boundingbox, footprint.bounds, strict=True)]
    needed = (*map(max, edges[:2]), *map(min, edges[2:]))
    if needed[0] >= needed[2] or needed[1] >= needed[3]:
        return
    asked = needed if same_crs else transform_bounds(crs, dataset.crs, *needed)
    sides = asked[2] - asked[0], asked[3] - asked[1]
    pixels = [
        abs(step) * side / (last - first)
        for step, side, first, last in zip(target.transform[:5:4], sides, needed[:2], needed[2:], strict=True)
    ]
    spare = [
        EDGE_PX * max(own, pixel) + (0 if same_crs else EDGE_SHARE * side)
        for own, pixel, side in zip(dataset.res, pixels, sides, strict=True)
    ]
    left, bottom, right, top = dataset.bounds
    held = (min(left, right), min(bottom, top), max(left, right), max(bottom, top))
    lacking = [held[i] - asked[i] > spare[i] or asked[i + 2] - held[i + 2] > spare[i] for i in (0, 1)]
    if any(lacking):
        raise SceneError(
            f"Item {footprint.item}: {footprint.band} lies elsewhere than the band that gives the grid: "
            f"{redact(footprint.source)} covers {held} in {dataset.crs}, and {needed} in {crs} is needed. Mend the "
            f"item's asset, or name the bands without it: {option('bands', ['B02', '…'])}."
        )
