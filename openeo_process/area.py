"""An area of interest, enlarged so that every pixel of it is masked with its surroundings in view.

Back-ends pad chunks with nodata where the cube ends, even where the archive has pixels, so the cube is loaded
larger than asked for and clipped afterwards.
"""

from math import ceil, cos, radians
from typing import Any

from kappamask.models import CubeError

__all__ = ["enlarged"]

PIXEL = 10.0
"""Metres; the grid of KappaMask."""
GRID = 60.0
"""Metres; a margin that is a multiple of the coarsest band's pixel leaves all grids in phase."""
METRES_PER_DEGREE_LATITUDE = 110_574.0
"""At the equator, where it is least, so that a margin is never too small (WGS 84)."""
METRES_PER_DEGREE_LONGITUDE = 111_319.0
"""At the equator, rounded down; elsewhere times the cosine of the latitude (on the ellipsoid it is more)."""
LATITUDES = 84.0
"""Sentinel-2's UTM grid ends here."""


def enlarged(extent: dict[str, Any], pixels: int) -> dict[str, Any]:
    """`extent` (west, south, east, north, crs as openEO has them) with a margin of at least `pixels` of 10 m.

    crs: EPSG:4326 (also if left out) or a UTM zone of WGS 84. Raises CubeError for another, or for no area.
    """
    missing = [key for key in ("west", "south", "east", "north") if key not in extent]
    if missing:
        raise CubeError(f"The area lacks {', '.join(missing)}: give west, south, east, north (and crs).")
    if not (extent["west"] < extent["east"] and extent["south"] < extent["north"]):
        raise CubeError(f"The area {extent} is empty: west must be less than east, south less than north.")
    dx, dy = _margin(extent, ceil(pixels * PIXEL / GRID) * GRID)
    return {
        **extent,
        "west": extent["west"] - dx,
        "east": extent["east"] + dx,
        "south": extent["south"] - dy,
        "north": extent["north"] + dy,
    }


def _margin(extent: dict[str, Any], metres: float) -> tuple[float, float]:
    code = _epsg(extent.get("crs"))
    if 32601 <= code <= 32660 or 32701 <= code <= 32760:
        return metres, metres
    if code != 4326:
        raise CubeError(f"The area's crs is EPSG:{code}; give it in EPSG:4326 or in a UTM zone (EPSG:326xx, 327xx).")
    latitude = max(abs(extent["south"]), abs(extent["north"]))
    if latitude > LATITUDES:
        raise CubeError(f"The area reaches latitude {latitude}; Sentinel-2's grid ends at {LATITUDES:.0f} degrees.")
    return metres / (METRES_PER_DEGREE_LONGITUDE * cos(radians(latitude))), metres / METRES_PER_DEGREE_LATITUDE


def _epsg(crs: Any) -> int:
    text = str(crs if crs is not None else 4326).upper().removeprefix("EPSG:")
    if not text.isdigit():
        raise CubeError(f"The area's crs is {crs!r}; give it as EPSG:4326 or as a UTM zone, EPSG:326xx or EPSG:327xx.")
    return int(text)
