"""Parse untrusted GeoJSON into geometries and a CRS."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

__all__ = ["join_boxes", "list_geometries", "make_box_geometry", "parse_crs_name", "spans_globe", "split_box"]

Box = tuple[float, float, float, float]
"""West, south, east, north."""
TURN, HALF = 360.0, 180.0
"""Degrees around the globe, and to the antimeridian."""
UNCUT = 270.0
"""Degrees along an edge from which on a polygon across the antimeridian is likelier, whose short way is meant."""


def split_box(
    west: float, south: float, east: float, north: float, *, degrees: bool = True, widest: float = 180.0
) -> list[Box]:
    """Split a box that crosses the antimeridian, where west is larger than east.

    See RFC 7946, 5.2.
    degrees: whether the numbers are longitudes and latitudes; longitudes up to 360 are taken as well. widest:
    degrees beyond which west and east are rather exchanged. Raises ValueError for a box that is none.
    """
    edges = (west, south, east, north)
    if not south < north or west == east or (west > east and not (degrees and east + 360 - west <= widest)):
        raise ValueError("west must be less than east and south less than north")
    if not degrees or (-180 <= west < east <= 180):
        return [edges]
    if not (-360 <= west <= 360 and -360 <= east <= 360) or (west < east and east - west > 360):
        raise ValueError("longitudes are degrees from -180 to 180, and west of the antimeridian more than east of it")
    first, last = _normalise_longitude(west), _normalise_longitude(east)
    last = 180.0 if last == -180 else last
    if first < last:
        return [(first, south, last, north)]
    halves = ((first, south, 180.0, north), (-180.0, south, last, north))
    return [half for half in halves if half[0] < half[2]]


def join_boxes(boxes: Iterable[Box]) -> Box:
    """Find the box of degrees round others.

    Its west is larger than its east across the antimeridian; one across that would be wider than half the globe becomes
    that around the globe.
    """
    wests, souths, easts, norths = zip(*boxes, strict=True)
    south, north = min(souths), max(norths)
    if all(west <= east for west, east in zip(wests, easts, strict=True)):
        return min(wests), south, max(easts), north
    west = min(edge % TURN for edge in wests)
    east = max(first % TURN + (last - first) % TURN for first, last in zip(wests, easts, strict=True))
    if east - west > HALF:
        return -HALF, south, HALF, north
    return west, south, east - TURN, north


def make_box_geometry(box: Box) -> dict[str, Any]:
    """Outline a box of degrees as GeoJSON, cut at the antimeridian (RFC 7946, 3.1.9)."""
    rings = [[[[w, s], [e, s], [e, n], [w, n], [w, s]]] for w, s, e, n in split_box(*box, widest=TURN)]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def spans_globe(shape: "BaseGeometry") -> bool:
    """Tell whether an edge of a shape of degrees spans most of the globe.

    That is the mark of a polygon across the antimeridian that was not cut there. All around the globe is no doubt.
    """
    import numpy as np
    import shapely

    if shape.is_empty or shape.bounds[0] < -TURN or shape.bounds[2] > TURN:  # metres whose CRS is not given
        return False
    lines = shapely.get_parts(shapely.boundary(shapely.get_parts(shape)))
    spans = [np.abs(np.diff(shapely.get_coordinates(line)[:, 0])).max(initial=0) for line in lines]
    return any(UNCUT < span < TURN for span in spans)


def _normalise_longitude(degrees: float) -> float:
    """Normalise a longitude to -180, included, to 180."""
    return degrees if -180 <= degrees < 180 else (degrees + 180) % 360 - 180


def list_geometries(document: Any) -> list[Mapping[str, Any]]:
    """List the geometries of a GeoJSON object of any type (RFC 7946).

    Features without one (3.2) are left out.
    Raises ValueError if it is no such object; what is in the geometries is not looked at.
    """
    match document:
        case {"type": "FeatureCollection", "features": [*features]}:
            return [one for feature in features for one in list_geometries(feature)]
        case {"type": "Feature", "geometry": None}:
            return []
        case {"type": "Feature", "geometry": {"type": str()} as geometry}:
            return [geometry]
        case {"type": str() as kind} if not kind.startswith("Feature"):
            return [document]
    raise ValueError("it is no GeoJSON geometry, Feature or FeatureCollection")


def parse_crs_name(document: Mapping[str, Any]) -> str | None:
    """Read the CRS that GeoJSON of 2008 may name and GDAL still writes.

    None where longitude and latitude are meant.
    Raises ValueError for a CRS that is stated in another way.
    """
    match document.get("crs"):
        case None:
            return None
        case {"properties": {"name": str() as name}}:
            return name
    raise ValueError(f"its crs is {document['crs']!r}, needed is one with a name")
