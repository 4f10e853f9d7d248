"""Read areas of any shape and CRS as longitude and latitude, cut at the antimeridian."""

import json
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

__all__ = ["LONLAT", "NORTH", "SOUTH", "project_shape", "read_area"]

LONLAT = "EPSG:4326"
SOUTH, NORTH = -80.0, 84.0
"""Degrees of latitude that UTM covers."""
TURN, HALF = 360.0, 180.0
"""Degrees around the globe, and to the antimeridian."""
MAX_AREA_BYTES = 2**27
"""Of a GeoJSON file: fields of a country are some 50 MB."""
GEOPACKAGE = b"SQLite format 3\0"
"""The first bytes of a GeoPackage (OGC 12-128); other files are read as GeoJSON."""
UNREADABLE = (
    ValueError, TypeError, LookupError, OSError, RuntimeError, shapely.errors.ShapelyError,
    pyproj.exceptions.ProjError,
)  # fmt: skip
"""What is raised where a text or file is no area; RuntimeError is what the readers of GeoPackages derive from."""


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
        return _wrap_longitudes(project_shape(shape, crs, LONLAT))
    return _unite_shapes(
        [_wrap_longitudes(_unwrap_longitudes(project_shape(part, crs, LONLAT))) for part in shapely.get_parts(shape)]
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


def project_shape(shape: BaseGeometry, source: str, target: str) -> BaseGeometry:
    """Convert the coordinates (x, y) of a shape from one CRS to another.

    Raises pyproj's ProjError where that cannot be.
    """
    move = pyproj.Transformer.from_crs(source, target, always_xy=True)
    return shapely.transform(shape, lambda points: points if source == target else _transform_points(points, move))


def _transform_points(points: Any, move: pyproj.Transformer) -> Any:
    x, y = move.transform(points[:, 0], points[:, 1], errcheck=True)
    moved = points.copy()
    moved[:, 0], moved[:, 1] = x, y
    return moved
