"""Split areas along UTM zones into rectangles of whole pixels.

No pixel is resampled at a border of zones: each part lies in one zone, on the grid of that zone's products.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import shapely.affinity
from shapely.geometry.base import BaseGeometry

from kappamask.models import CubeError
from kappamask.models.cleaning import PIXEL_M
from kappamask.models.hints import option
from kappamask.openeo_process.jobs.areas import LONLAT, NORTH, SOUTH, project_shape

__all__ = ["Cell", "split_by_zone", "split_into_cells"]

GRID = 60
"""Metres that corners of cells are multiples of: the coarsest bands' pixels, so that all grids stay in phase."""
VERTEX = 0.05
"""Degrees between vertices that are added before edges are projected: 5 km, which bends by less than a metre."""
MAX_CELLS = 20_000
"""Of an area: more would take minutes to lay, and so many are surely a mistake."""
SPECIAL = (
    (56.0, 64.0, ((0.0, 3.0, 31), (3.0, 12.0, 32))),
    (72.0, 84.0, ((0.0, 9.0, 31), (9.0, 21.0, 33), (21.0, 33.0, 35), (33.0, 42.0, 37))),
)
"""Latitudes, then longitudes with their zone, where MGRS (NGA.STND.0037) departs from six degrees: Norway, Svalbard."""


@dataclass(frozen=True)
class Cell:
    """A rectangle in one UTM zone, metres, corners at multiples of `GRID`."""

    epsg: int
    west: int
    south: int
    east: int
    north: int

    @property
    def name(self) -> str:
        """Short, unique within a batch, and a file name."""
        return f"{self.epsg}_{self.west}_{self.south}"

    @property
    def extent(self) -> dict[str, Any]:
        """As openEO has it."""
        corners = {"west": self.west, "south": self.south, "east": self.east, "north": self.north}
        return {**corners, "crs": f"EPSG:{self.epsg}"}

    def pixels(self, size: int = PIXEL_M) -> tuple[int, int]:
        """Return width and height in pixels of `size` metres."""
        return (self.east - self.west) // size, (self.north - self.south) // size


def split_by_zone(area: BaseGeometry) -> Iterator[tuple[int, BaseGeometry]]:
    """Yield the EPSG code of each UTM zone, and the part of `area` in it.

    area: in longitude and latitude.
    """
    for code, pieces in sorted(_by_zone(area).items()):
        yield code, shapely.union_all(pieces)


def _by_zone(area: BaseGeometry) -> dict[int, list[BaseGeometry]]:
    found: dict[int, list[BaseGeometry]] = {}
    for south, north, west, east, zone in _iter_zone_strips():
        for base, low, high in ((32600, max(south, 0.0), north), (32700, south, min(north, 0.0))):
            piece = shapely.intersection(area, shapely.box(west, low, east, high)) if low < high else None
            if piece is not None and piece.area > 0:
                found.setdefault(base + zone, []).append(piece)
    return found


def _iter_zone_strips() -> Iterator[tuple[float, float, float, float, int]]:
    """Yield south, north, west, east and zone of strips that cover the world once."""
    edges = [SOUTH, *(edge for south, north, _ in SPECIAL for edge in (south, north))]
    special = {south: strips for south, _, strips in SPECIAL}
    for south, north in zip(edges, [*edges[1:], NORTH], strict=True):
        own = special.get(south, ())
        yield from ((south, north, west, east, zone) for west, east, zone in own)
        taken = max((east for _, east, _ in own), default=0.0)
        for zone in range(1, 61):
            west = zone * 6.0 - 186
            if not 0 <= west < taken:
                yield south, north, west, west + 6, zone


def split_into_cells(area: BaseGeometry, side_km: float) -> list[Cell]:
    """Cover `area` with cells of at most `side_km`, cut to what it needs.

    area: in longitude and latitude. Raises CubeError for more than `MAX_CELLS`, before any is made.
    """
    most = max(GRID, floor(side_km * 1000 / GRID) * GRID)
    shapes = {
        code: project_shape(shapely.segmentize(piece, VERTEX), LONLAT, f"EPSG:{code}")
        for code, piece in split_by_zone(area)
    }
    if (least := sum(shape.area for shape in shapes.values()) / most**2) > MAX_CELLS:
        raise CubeError(
            f"The area would become more than {least:.0f} jobs of {side_km:g} km, at most {MAX_CELLS} are planned at "
            f"once: cut it, or say larger jobs with {option('part_km', 100)}. Across the antimeridian a box has its "
            "west larger than its east (179,-18,-179,-16), and a polygon is cut at 180 degrees."
        )
    return [cell for code, shape in shapes.items() for cell in _in_zone(code, shape, most)]


def _in_zone(code: int, shape: BaseGeometry, most: int) -> Iterator[Cell]:
    """Split the bounds of `shape`, in metres, into equal cells of at most `most` metres.

    Cells that `shape` does not touch are left out.
    """
    west, south, east, north = _snap_to_grid(shape.bounds)
    for left, right in _cut_evenly(west, east, most):
        for bottom, top in _cut_evenly(south, north, most):
            part = shapely.intersection(shape, shapely.box(left, bottom, right, top))
            if part.area > 0:
                yield Cell(code, *_snap_to_grid(part.bounds))


def _cut_evenly(first: int, last: int, most: int) -> list[tuple[int, int]]:
    step = ceil((last - first) / ceil((last - first) / most) / GRID) * GRID
    return [(start, min(start + step, last)) for start in range(first, last, step)]


def _snap_to_grid(bounds: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    west, south, east, north = bounds
    return floor(west / GRID) * GRID, floor(south / GRID) * GRID, ceil(east / GRID) * GRID, ceil(north / GRID) * GRID
