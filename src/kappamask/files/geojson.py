"""Parse untrusted GeoJSON into geometries and a CRS."""

from collections.abc import Mapping
from typing import Any

__all__ = ["geometries", "named_crs"]


def geometries(document: Any) -> list[Mapping[str, Any]]:
    """The geometries of a GeoJSON object of any type (RFC 7946); features without one (3.2) are left out.

    Raises ValueError if it is no such object; what is in the geometries is not looked at.
    """
    match document:
        case {"type": "FeatureCollection", "features": [*features]}:
            return [one for feature in features for one in geometries(feature)]
        case {"type": "Feature", "geometry": None}:
            return []
        case {"type": "Feature", "geometry": {"type": str()} as geometry}:
            return [geometry]
        case {"type": str() as kind} if not kind.startswith("Feature"):
            return [document]
    raise ValueError("it is no GeoJSON geometry, Feature or FeatureCollection")


def named_crs(document: Mapping[str, Any]) -> str | None:
    """The CRS that GeoJSON of 2008 may name and GDAL still writes, None where longitude and latitude are meant.

    Raises ValueError for a CRS that is told in another way.
    """
    match document.get("crs"):
        case None:
            return None
        case {"properties": {"name": str() as name}}:
            return name
    raise ValueError(f"its crs is {document['crs']!r}, needed is one with a name")
