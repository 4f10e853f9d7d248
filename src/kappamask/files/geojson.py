"""Parse untrusted GeoJSON into geometries and a CRS."""

from collections.abc import Mapping
from typing import Any

__all__ = ["list_geometries", "parse_crs_name", "split_box"]

Box = tuple[float, float, float, float]
"""West, south, east, north."""


def split_box(
    west: float, south: float, east: float, north: float, *, degrees: bool = True, widest: float = 180.0
) -> list[Box]:
    """Cut a box at the antimeridian, which it crosses where west is larger than east (RFC 7946, 5.2).

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
    first, last = _longitude(west), _longitude(east)
    last = 180.0 if last == -180 else last
    if first < last:
        return [(first, south, last, north)]
    halves = ((first, south, 180.0, north), (-180.0, south, last, north))
    return [half for half in halves if half[0] < half[2]]


def _longitude(degrees: float) -> float:
    """From -180, included, to 180."""
    return degrees if -180 <= degrees < 180 else (degrees + 180) % 360 - 180


def list_geometries(document: Any) -> list[Mapping[str, Any]]:
    """The geometries of a GeoJSON object of any type (RFC 7946); features without one (3.2) are left out.

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
    """The CRS that GeoJSON of 2008 may name and GDAL still writes, None where longitude and latitude are meant.

    Raises ValueError for a CRS that is told in another way.
    """
    match document.get("crs"):
        case None:
            return None
        case {"properties": {"name": str() as name}}:
            return name
    raise ValueError(f"its crs is {document['crs']!r}, needed is one with a name")
