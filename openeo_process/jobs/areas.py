"""Split areas of any shape along UTM zones into rectangles of whole pixels.

No pixel is resampled at a border of zones: each part lies in one zone, on the grid of that zone's products.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Any

import pyproj
import shapely
import shapely.affinity
from shapely.geometry.base import BaseGeometry

from kappamask.files.geojson import list_geometries, parse_crs_name, spans_globe, split_box
from kappamask.files.untrusted import parse_json
from kappamask.models import CubeError, MissingExtraError
from kappamask.models.hints import option

__all__ = ["Cell", "read_area", "split_by_zone", "split_into_cells"]

GRID = 60
"""Metres that corners of cells are multiples of: the coarsest bands' pixels, so that all grids stay in phase."""
LONLAT = "EPSG:4326"
SOUTH, NORTH = -80.0, 84.0
"""Degrees of latitude that UTM covers."""
TURN, HALF = 360.0, 180.0
"""Degrees around the globe, and to the antimeridian."""
VERTEX = 0.05
"""Degrees between vertices that are added before edges are projected: 5 km, which bends by less than a metre."""
MAX_CELLS = 20_000
"""Of an area: more would take minutes to lay, and nobody means them."""
MAX_AREA_BYTES = 2**27
"""Of a GeoJSON file: fields of a country are some 50 MB."""
GEOPACKAGE = b"SQLite format 3\0"
"""The first bytes of a GeoPackage (OGC 12-128); other files are read as GeoJSON."""
SPECIAL = (
    (56.0, 64.0, ((0.0, 3.0, 31), (3.0, 12.0, 32))),
    (72.0, 84.0, ((0.0, 9.0, 31), (9.0, 21.0, 33), (21.0, 33.0, 35), (33.0, 42.0, 37))),
)
"""Latitudes, then longitudes with their zone, where MGRS (NGA.STND.0037) departs from six degrees: Norway, Svalbard."""
UNREADABLE = (
    ValueError, TypeError, LookupError, OSError, RuntimeError, shapely.errors.ShapelyError,
    pyproj.exceptions.ProjError,
)  # fmt: skip
"""What is raised where a text or file is no area; RuntimeError is what the readers of GeoPackages derive from."""


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

    def pixels(self, size: int = 10) -> tuple[int, int]:
        """Width and height in pixels of `size` metres."""
        return (self.east - self.west) // size, (self.north - self.south) // size


def read_area(text: str, crs: str | None = None) -> BaseGeometry:
    """Read an area, and return it in longitude and latitude (EPSG:4326).

    text: the path of a GeoJSON or GeoPackage, "W,S,E,N", or WKT; what exists as a file is one. crs: of its coordinates;
    left out, what the file says, else EPSG:4326. A box of degrees whose west is larger than its east crosses the
    antimeridian, where polygons of degrees are to be cut (RFC 7946, 3.1.9).
    Raises CubeError if it is none of these, empty, outside of the world, or a polygon that is not cut there, and
    MissingExtraError for a GeoPackage without geopandas.
    """
    try:
        found, own = _parse_area(text, crs)
        crs = crs or own or LONLAT
        area, uncut = _to_lonlat(found, crs), _is_geographic(crs) and spans_globe(found)
    except UNREADABLE as error:
        raise CubeError(
            f"The area {text[:80]!r} cannot be read ({' '.join(str(error).split())}): give W,S,E,N, a polygon as WKT, "
            "or the path of a GeoJSON or GeoPackage."
        ) from error
    if uncut and not _is_box(text):
        raise CubeError(
            f"The area {text[:80]!r} has an edge over most of the globe. Across the antimeridian cut a "
            "polygon at 180 degrees (RFC 7946, 3.1.9), count its longitudes on (179.9, 180.1), or give a box with west "
            "larger than east (179.9,-18,-179.9,-17); for the long way round give its edges more corners."
        )
    area = shapely.make_valid(area)
    if area.is_empty or not area.area > 0:
        raise CubeError(f"The area {text[:80]!r} is empty: give W,S,E,N, a polygon as WKT, a GeoJSON or a GeoPackage.")
    west, south, east, north = area.bounds
    if west >= -180 and east <= 180 and south >= -90 and north <= 90 and (south < SOUTH or north > NORTH):
        raise CubeError(
            f"The area reaches from latitude {south:g} to {north:g}; Sentinel-2's UTM tiles end at {SOUTH:g} and "
            f"{NORTH:g}: cut it there."
        )
    if west < -180 or east > 180 or south < SOUTH or north > NORTH:
        raise CubeError(
            f"The area reaches from {west:g}, {south:g} to {east:g}, {north:g}; is its CRS given? ({option('crs')})"
        )
    return area


def _is_geographic(crs: str) -> bool:
    return bool(pyproj.CRS.from_user_input(crs).is_geographic)


def _is_box(text: str) -> bool:
    return not _is_file(text) and "(" not in text


def _parse_area(text: str, crs: str | None) -> tuple[BaseGeometry, str | None]:
    if _is_file(text):
        return _read_file(Path(text))
    if "(" in text:
        return shapely.from_wkt(text), None
    numbers = text.split(",")
    if len(numbers) != 4:
        raise FileNotFoundError("there is no such file")
    degrees = crs is None or _is_geographic(crs)
    edges = [float(number) for number in numbers]
    inside = max(map(abs, edges[::2])) <= 360  # others are metres whose CRS is not given
    return shapely.union_all([shapely.box(*box) for box in split_box(*edges, degrees=degrees and inside)]), None


def _to_lonlat(shape: BaseGeometry, crs: str) -> BaseGeometry:
    """Convert a shape to longitude and latitude, cut at the antimeridian."""
    if _is_geographic(crs):
        return _wrap_longitudes(_project_shape(shape, crs, LONLAT))
    return _unite_shapes(
        [_wrap_longitudes(_unwrap_longitudes(_project_shape(part, crs, LONLAT))) for part in shapely.get_parts(shape)]
    )


def _unwrap_longitudes(shape: BaseGeometry) -> BaseGeometry:
    """Remove jumps in the longitudes of a shape narrower than half the globe.

    They may then be beyond 180 degrees.
    """
    if shape.is_empty or shape.bounds[2] - shape.bounds[0] <= HALF:
        return shape
    return shapely.transform(shape, lambda points: points + (points[:, :1] < 0) * (TURN, 0.0))


def _wrap_longitudes(shape: BaseGeometry) -> BaseGeometry:
    """Move what lies beyond 180 degrees, as with longitudes from 0 to 360."""
    if shape.is_empty or (shape.bounds[0] >= -HALF and shape.bounds[2] <= HALF):
        return shape
    if shape.bounds[0] < -TURN or shape.bounds[2] > TURN or shape.bounds[2] - shape.bounds[0] > TURN:
        return shape
    globe = shapely.box(-HALF, -90, HALF, 90)
    moved = (shapely.affinity.translate(shape, turn) for turn in (-TURN, 0, TURN))
    return _unite_shapes([shapely.intersection(shapely.make_valid(one), globe) for one in moved])


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, as WKT often is, or no name at all
        return False


def _read_file(path: Path) -> tuple[BaseGeometry, str | None]:
    with path.open("rb") as file:
        head = file.read(16)
    if head == GEOPACKAGE:
        return _read_geopackage(path)
    document = parse_json(path.read_bytes(), max_bytes=MAX_AREA_BYTES)
    return _unite_shapes([shapely.from_geojson(json.dumps(one)) for one in list_geometries(document)]), parse_crs_name(
        document
    )


def _read_geopackage(path: Path) -> tuple[BaseGeometry, str | None]:
    try:
        import geopandas
    except ModuleNotFoundError as error:
        raise MissingExtraError("A GeoPackage needs geopandas: pip install geopandas, or give GeoJSON.") from error
    table = geopandas.read_file(path)
    if not isinstance(table, geopandas.GeoDataFrame):
        raise ValueError("its table holds no geometries")
    return _unite_shapes(table.geometry.values), table.crs.to_wkt() if table.crs else None


def _unite_shapes(shapes: Any) -> BaseGeometry:
    return shapely.union_all(shapely.make_valid(shapes))


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
    """South, north, west, east and zone of strips that cover the world once."""
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
        code: _project_shape(shapely.segmentize(piece, VERTEX), LONLAT, f"EPSG:{code}")
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


def _project_shape(shape: BaseGeometry, source: str, target: str) -> BaseGeometry:
    move = pyproj.Transformer.from_crs(source, target, always_xy=True)
    return shapely.transform(shape, lambda points: points if source == target else _transform_points(points, move))


def _transform_points(points: Any, move: pyproj.Transformer) -> Any:
    x, y = move.transform(points[:, 0], points[:, 1], errcheck=True)
    moved = points.copy()
    moved[:, 0], moved[:, 1] = x, y
    return moved
