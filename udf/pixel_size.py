"""Infer the metres of a pixel from coordinates and CRS, or check them."""

import re
from math import atan, cos, exp, inf, pi, radians

import xarray as xr

from kappamask.models import CubeError
from kappamask.models.cleaning import PIXEL_M, Pixel
from kappamask.models.hints import option

__all__ = ["check_pixel_m", "find_chunk_pixel_m", "infer_pixel_m"]

SQUARE_TOLERANCE = 0.01
"""Relative difference of a pixel's sides that is none: coordinates are rounded."""
SENTINEL2_PIXELS_M = (10.0, 20.0, 30.0, 60.0)
"""Metres: pixels of Sentinel-2 and of what is harmonised with it, which are known as such without a CRS."""
CHUNK_TOLERANCE = 0.05
"""The same in a back-end's chunk, whose coordinates are rounded to 32 bits."""
WEB_MERCATOR_RADIUS_M = 6_378_137.0
"""Metres: the sphere of web maps (EPSG:3857)."""
MAX_SIZE_CHANGE = 0.05
"""Relative difference that a pixel's size may have between the middle of a mask and its ends."""
COUNTED = 1.0
"""Step of coordinates that only count the pixels."""
WKT_UNIT = re.compile(r'(?<![A-Z])(?:LENGTH)?UNIT\["[^"]*",\s*([0-9.eE+-]+)')
"""Metres of a unit of length in the text of a CRS (OGC 01-009, 18-010); the last is that of the coordinates."""
WKT_NEXT_CRS = re.compile(r"VERT_?C|TARGETCRS")
"""What begins another CRS in the text of one: heights, and what coordinates can be changed to."""
PIXEL_HINT = f"say {option('pixel_m', 10)}, or what its side is in metres"


def infer_pixel_m(array: xr.DataArray) -> Pixel:
    """Infer a pixel's metres from coordinates and CRS; CubeError where these do not suffice.

    Of degrees, and of maps that stretch towards the poles, it is the pixel in the middle.
    """
    lacking = [dim for dim in ("x", "y") if dim not in array.coords or array.sizes[dim] < 2]
    if lacking:
        raise CubeError(f"The mask has no coordinates along {', '.join(lacking)} to tell a pixel's size: {PIXEL_HINT}.")
    across, down = (abs(float(array[dim][-1] - array[dim][0])) / (array.sizes[dim] - 1) for dim in ("x", "y"))
    wkt, middle, ends = _crs_wkt(array), float(array["y"].mean()), [float(array["y"][end]) for end in (0, -1)]
    if "PROJC" not in wkt and ("GEOG" in wkt or str(array["y"].attrs.get("units", "")).startswith("degree")):
        return _check_uniform([_degrees_to_metres(across, down, place) for place in (middle, *ends)])
    metres = float((WKT_UNIT.findall(wkt) or [1.0])[-1])
    if not wkt and not any(
        max(abs(across - side), abs(down - side)) <= SQUARE_TOLERANCE * side for side in SENTINEL2_PIXELS_M
    ):
        raise CubeError(
            f"Pixels are {across:g} x {down:g}, not squares in metres as far as is known, for no CRS tells the unit: "
            f"{PIXEL_HINT}."
        )
    if re.search(r'"(Popular Visualisation Pseudo.)?Mercator', wkt):
        return _check_uniform(
            [_mercator_to_metres(across * metres, down * metres, place * metres) for place in (middle, *ends)]
        )
    if abs(across - down) > SQUARE_TOLERANCE * down:
        return round(down * metres, 6), round(across * metres, 6)
    return round(down * metres, 6)


def find_chunk_pixel_m(chunk: xr.DataArray) -> float:
    """Find the metres of a pixel in a chunk (…, y, x) without CRS.

    10 where its coordinates only count the pixels, or are not there. Raises CubeError for sides that Sentinel-2 does
    not have.
    """
    if any(dim not in chunk.coords or chunk.sizes[dim] < 2 for dim in ("x", "y")):
        return PIXEL_M
    sides = [abs(float(chunk[dim][-1] - chunk[dim][0])) / (chunk.sizes[dim] - 1) for dim in ("x", "y")]
    for metres in (*SENTINEL2_PIXELS_M, COUNTED):
        if max(abs(side - metres) for side in sides) <= CHUNK_TOLERANCE * metres:
            return PIXEL_M if metres == COUNTED else metres
    raise CubeError(
        f"The chunk's pixels are {sides[0]:g} x {sides[1]:g}, and a UDF does not know the unit of their CRS: bring the "
        "cube to pixels of 10 m in UTM before the UDF (resample_spatial(resolution=10, projection=32635)), or clean "
        "the mask when it is fetched (kappamask.udf.clean)."
    )


def check_pixel_m(pixel_m: float) -> float:
    if isinstance(pixel_m, bool) or not isinstance(pixel_m, int | float) or not 0 < pixel_m < inf:
        raise CubeError(f"{option('pixel_m')} is {pixel_m!r}; needed are metres, such as 10.")
    return float(pixel_m)


def _crs_wkt(array: xr.DataArray) -> str:
    """Return the WKT of the CRS that a coordinate holds, or ""."""
    texts = [coord.attrs.get("crs_wkt") or coord.attrs.get("spatial_ref") for coord in array.coords.values()]
    found = next((str(text) for text in texts if text), "")
    if not found and any(c.attrs.get("grid_mapping_name") == "latitude_longitude" for c in array.coords.values()):
        found = "GEOG"
    return WKT_NEXT_CRS.split(found)[0]


def _degrees_to_metres(across: float, down: float, latitude: float) -> tuple[float, float]:
    """Convert degrees to height and width in metres at a latitude (WGS 84)."""
    phi = radians(latitude)
    high = 111_132.95 - 559.85 * cos(2 * phi) + 1.175 * cos(4 * phi)
    wide = 111_412.88 * cos(phi) - 93.5 * cos(3 * phi) + 0.118 * cos(5 * phi)
    return down * high, across * wide


def _mercator_to_metres(across: float, down: float, northing: float) -> tuple[float, float]:
    scale = cos(2 * atan(exp(northing / WEB_MERCATOR_RADIUS_M)) - pi / 2)
    return down * scale, across * scale


def _check_uniform(found: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the size of the middle pixel; CubeError if those at the ends differ."""
    middle, *ends = found
    if min(middle) <= 0 or any(abs(end[1] - middle[1]) > MAX_SIZE_CHANGE * middle[1] for end in ends):
        raise CubeError(
            f"The mask spans so many latitudes that its pixels differ in metres: warp it to UTM, or {PIXEL_HINT}."
        )
    return round(middle[0], 6), round(middle[1], 6)
