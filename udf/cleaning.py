"""Remove small objects, fill holes and add buffers, on NumPy and dask."""

import re
from collections.abc import Callable, Mapping, Sequence
from math import atan, cos, exp, inf, pi, radians, sin
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import CubeError
from kappamask.models.cleaning import MARGIN_M, ROUNDING, Cleaning, Pixel, doublings, read_cleaning, sides
from kappamask.models.schemes import class_codes
from kappamask.udf.morphology import find_runs, grown
from kappamask.udf.schemes import CLEAR, CLOUD, MISSING, SHADOW, in_own_scheme

__all__ = ["clean", "clean_mask", "cleaned", "pixel_of"]

Codes = NDArray[np.uint8]
Bools = NDArray[np.bool_]
SQUARE = 0.01
"""Relative difference of a pixel's sides that is none: coordinates are rounded."""
KNOWN = (10.0, 20.0, 30.0, 60.0)
"""Metres: pixels of Sentinel-2 and of what is harmonised with it, which are known as such without a CRS."""
RADIUS = 6_378_137.0
"""Metres: the sphere of web maps (EPSG:3857)."""
BENT = 0.05
"""Relative difference that a pixel's size may have between the middle of a mask and its ends."""
UNIT = re.compile(r'(?<![A-Z])(?:LENGTH)?UNIT\["[^"]*",\s*([0-9.eE+-]+)')
"""Metres of a unit of length in the text of a CRS (OGC 01-009, 18-010); the last is that of the coordinates."""
FURTHER = re.compile(r"VERT_?C|TARGETCRS")
"""What begins another CRS in the text of one: heights, and what coordinates can be changed to."""
REMEDY = "say pixel_m=10 (--pixel-m 10), or what its side is in metres"


def cleaned(codes: Codes, cleaning: Cleaning, pixel_m: Pixel) -> Codes:
    """`codes` (y, x) after all steps of `cleaning`; see `kappamask.udf.clean` for what each does and in which order."""
    framed = np.pad(codes, 1, constant_values=MISSING)
    steps: tuple[Callable[[Codes, Cleaning, Pixel], None], ...] = (_cast, _objects, _holes, _buffers)
    for step in steps:
        step(framed, cleaning, pixel_m)
    return framed[1:-1, 1:-1]


def _cast(codes: Codes, cleaning: Cleaning, pixel_m: Pixel) -> None:
    """Shadow that no cloud casts becomes clear; what is missing may be cloud."""
    if not cleaning.shadow_length_m or not (codes == SHADOW).any():
        return
    (height, width), source = sides(pixel_m), (codes != CLEAR) & (codes != SHADOW)
    length, ratio = cleaning.shadow_length_m / width, height / width
    if cleaning.sun:
        shade = _wedge(source, length, cleaning.sun, MARGIN_M / width, ratio)
    else:
        shade = grown(source, length, ratio)
    np.putmask(codes, (codes == SHADOW) & ~shade, CLEAR)


def _wedge(source: Bools, length: float, sun: tuple[float, float], margin: float, ratio: float) -> Bools:
    """Where the shadow of `source` may fall with the sun at zenith and azimuth, up to `length` pixels' widths away."""
    shade, (zenith, azimuth) = grown(source, margin, ratio), sun
    for step, radius in doublings(length, zenith, ratio):
        down, right = round(step * cos(radians(azimuth)) / ratio), round(-step * sin(radians(azimuth)))
        shade |= _shifted(grown(shade, radius, ratio), down, right)
    return shade


def _shifted(image: Bools, down: int, right: int) -> Bools:
    """`image` moved; what comes in from outside is True."""
    moved = np.ones_like(image)
    height, width = image.shape
    if abs(down) < height and abs(right) < width:
        rows = slice(max(down, 0), height + min(down, 0))
        columns = slice(max(right, 0), width + min(right, 0))
        back = slice(rows.start - down, rows.stop - down), slice(columns.start - right, columns.stop - right)
        moved[rows, columns] = image[back]
    return moved


def _objects(codes: Codes, cleaning: Cleaning, pixel_m: Pixel) -> None:
    """Connected cloud and shadow of too few pixels becomes clear."""
    least, _ = cleaning.least(pixel_m)
    if least > 1:
        runs = find_runs((codes >= SHADOW) & (codes <= CLOUD), diagonal=True)
        codes.ravel()[runs.pixels(runs.area() < least)] = CLEAR


def _holes(codes: Codes, cleaning: Cleaning, pixel_m: Pixel) -> None:
    """Clear areas of too few pixels within cloud and shadow take the strongest class that touches them."""
    _, least = cleaning.least(pixel_m)
    if least > 1:
        runs = find_runs(codes == CLEAR, diagonal=False)
        touching = runs.most(_strongest_beside(codes).ravel())
        chosen = (runs.area() < least) & (touching < MISSING)
        codes.ravel()[runs.pixels(chosen)] = np.repeat(touching[chosen], (runs.stop - runs.start)[chosen])


def _strongest_beside(codes: Codes) -> Codes:
    """The highest code of each pixel's four neighbours, where all that is neither clear nor cloud counts as missing."""
    ranked = np.where((codes >= CLEAR) & (codes <= CLOUD), codes, np.uint8(MISSING))
    found, before, after = ranked.copy(), slice(None, -1), slice(1, None)
    for here, there in ((before, after), (after, before)):
        np.maximum(found[here], ranked[there], out=found[here])
        np.maximum(found[:, here], ranked[:, there], out=found[:, here])
    return found


def _buffers(codes: Codes, cleaning: Cleaning, pixel_m: Pixel) -> None:
    """Each class grows over what is weaker than itself."""
    before, (height, width) = codes.copy(), sides(pixel_m)
    for name, metres in cleaning.buffers:
        (code,) = class_codes([name])
        near = grown(before == code, metres / width * (1 + ROUNDING), height / width)
        np.putmask(codes, near & (codes >= CLEAR) & (codes < code), code)


def clean(
    mask: xr.DataArray,
    *,
    buffer_m: float | Mapping[str, float] = 0.0,
    min_object_m2: float = 0.0,
    fill_holes_m2: float = 0.0,
    shadow_length_m: float = 0.0,
    sun: Sequence[float] | None = None,
    pixel_m: float | None = None,
) -> xr.DataArray:
    """A mask cleaned in this order: shadows that no cloud casts, small objects, holes, buffers.

    mask: KappaMask codes, or the scheme that its attribute `scheme` names; dims (y, x) and any others, numpy or dask.
    shadow_length_m: metres; shadow farther than this from any cloud becomes clear; 0 leaves shadows alone.
    sun: its zenith and azimuth in degrees (azimuth clockwise from north, rows from north to south): then shadow must
        lie away from the sun, too, up to 12 km * tan(zenith) from its cloud if `shadow_length_m` is left out; 12
        degrees off the vertical, as far as Sentinel-2 looks aslant, are allowed for.
    min_object_m2: square metres; cloud and shadow of any class, connected by sides or corners, of less becomes clear.
    fill_holes_m2: square metres; clear pixels, connected by sides, of less, which cloud and shadow enclose, take the
        strongest class that touches them.
    buffer_m: metres by which cloud, semi-transparent cloud and shadow grow, measured between pixel centres, or
        {"cloud": 60, "cloud_shadow": 120, "semi_transparent_cloud": 30}.
    pixel_m: metres of a pixel's side; left out, the coordinates x and y tell, in metres, feet or degrees as their CRS
        has it; without a CRS pixels of 10, 20, 30 or 60 are metres, and others are asked about.

    The strongest class wins: cloud, then semi-transparent cloud, shadow, clear. Missing, undefined and nodata pixels
    never change and never grow; they, and what is outside the image, may hide the cloud of a shadow, and enclose
    no hole.

    Returns KappaMask codes, uint8, lazy if the mask is, with an attribute `cleaning` that says what was done. Raises
    CubeError for options that are no sensible numbers, unknown codes, or pixels of unknown size.
    """
    options = {"buffer_m": buffer_m, "min_object_m2": min_object_m2, "fill_holes_m2": fill_holes_m2}
    cleaning = read_cleaning({**options, "shadow_length_m": shadow_length_m, "sun": sun})
    mask = in_own_scheme(mask)
    if not {"y", "x"} <= set(mask.dims):
        raise CubeError(f"The mask has dims {mask.dims}; needed are y and x.")
    if not cleaning:
        return mask
    if sun is not None:
        _check_order(mask)
    return clean_mask(mask, cleaning, pixel_of(mask) if pixel_m is None else _checked(pixel_m))


def clean_mask(mask: xr.DataArray, cleaning: Cleaning, pixel_m: Pixel) -> xr.DataArray:
    """What `clean` does with a mask in KappaMask codes and options that are checked already."""
    planes = mask.transpose(..., "y", "x")

    def block(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        made = np.empty_like(codes)
        for index in np.ndindex(codes.shape[:-2]):
            made[index] = cleaned(codes[index], cleaning, pixel_m)
        return made

    data = block(planes.data) if mask.chunks is None else _lazily(block, planes.data, cleaning.reach(pixel_m))
    return planes.copy(data=data).transpose(*mask.dims).assign_attrs(cleaning=str(cleaning))


def _lazily(block: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], data: Any, reach: int) -> Any:
    """`block` of each chunk of a dask array with all the neighbours that have a say, so as on the whole array."""
    plane = (data.ndim - 2, data.ndim - 1)
    data = data.rechunk({axis: -1 for axis in plane if reach >= data.shape[axis]})
    depth = {axis: reach if data.numblocks[axis] > 1 else 0 for axis in plane}
    return data.map_overlap(block, depth=depth, boundary=MISSING, dtype=np.uint8)


def _check_order(mask: xr.DataArray) -> None:
    for axis, forwards, order in (("y", False, "rows from north to south"), ("x", True, "columns from west to east")):
        if axis in mask.coords and mask.sizes[axis] > 1 and bool(mask[axis][0] < mask[axis][-1]) is not forwards:
            raise CubeError(
                f"The sun's azimuth needs {order}: turn them with mask.sortby('{axis}', ascending={forwards})."
            )


def pixel_of(array: xr.DataArray) -> Pixel:
    """Metres of a pixel, from the coordinates x and y and their CRS; CubeError where these do not tell.

    Of degrees, and of maps that stretch towards the poles, it is the pixel in the middle.
    """
    lacking = [dim for dim in ("x", "y") if dim not in array.coords or array.sizes[dim] < 2]
    if lacking:
        raise CubeError(f"The mask has no coordinates along {', '.join(lacking)} to tell a pixel's size: {REMEDY}.")
    across, down = (abs(float(array[dim][-1] - array[dim][0])) / (array.sizes[dim] - 1) for dim in ("x", "y"))
    wkt, middle, ends = _wkt(array), float(array["y"].mean()), [float(array["y"][end]) for end in (0, -1)]
    if "PROJC" not in wkt and ("GEOG" in wkt or str(array["y"].attrs.get("units", "")).startswith("degree")):
        return _straight([_of_degrees(across, down, place) for place in (middle, *ends)])
    metres = float((UNIT.findall(wkt) or [1.0])[-1])
    if not wkt and not any(max(abs(across - side), abs(down - side)) <= SQUARE * side for side in KNOWN):
        raise CubeError(
            f"Pixels are {across:g} x {down:g}, not squares in metres as far as is known, for no CRS tells the unit: "
            f"{REMEDY}."
        )
    if re.search(r'"(Popular Visualisation Pseudo.)?Mercator', wkt):
        return _straight([_of_mercator(across * metres, down * metres, place * metres) for place in (middle, *ends)])
    if abs(across - down) > SQUARE * down:
        return round(down * metres, 6), round(across * metres, 6)
    return round(down * metres, 6)


def _wkt(array: xr.DataArray) -> str:
    """The text of the CRS that a coordinate holds, as CF and GDAL write it; "" where none does."""
    texts = [coord.attrs.get("crs_wkt") or coord.attrs.get("spatial_ref") for coord in array.coords.values()]
    found = next((str(text) for text in texts if text), "")
    if not found and any(c.attrs.get("grid_mapping_name") == "latitude_longitude" for c in array.coords.values()):
        found = "GEOG"
    return FURTHER.split(found)[0]


def _of_degrees(across: float, down: float, latitude: float) -> tuple[float, float]:
    """Height and width in metres at a latitude (WGS 84, by the series of its arcs)."""
    phi = radians(latitude)
    high = 111_132.95 - 559.85 * cos(2 * phi) + 1.175 * cos(4 * phi)
    wide = 111_412.88 * cos(phi) - 93.5 * cos(3 * phi) + 0.118 * cos(5 * phi)
    return down * high, across * wide


def _of_mercator(across: float, down: float, northing: float) -> tuple[float, float]:
    scale = cos(2 * atan(exp(northing / RADIUS)) - pi / 2)
    return down * scale, across * scale


def _straight(found: list[tuple[float, float]]) -> tuple[float, float]:
    """The first of pixels, in the middle; CubeError if those at the ends have another size."""
    middle, *ends = found
    if min(middle) <= 0 or any(abs(end[1] - middle[1]) > BENT * middle[1] for end in ends):
        raise CubeError(
            f"The mask spans so many latitudes that its pixels differ in metres: warp it to UTM, or {REMEDY}."
        )
    return round(middle[0], 6), round(middle[1], 6)


def _checked(pixel_m: float) -> float:
    if isinstance(pixel_m, bool) or not isinstance(pixel_m, int | float) or not 0 < pixel_m < inf:
        raise CubeError(f"pixel_m is {pixel_m!r}; needed are metres, such as 10.")
    return float(pixel_m)
