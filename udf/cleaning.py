"""Remove small objects, fill holes and add buffers, on NumPy and dask."""

from collections.abc import Callable, Mapping, Sequence
from math import cos, radians, sin
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import CubeError
from kappamask.models.cleaning import (
    ROUNDING_TOLERANCE,
    SHADOW_MARGIN_M,
    Cleaning,
    Pixel,
    read_cleaning,
    shadow_wedge_steps,
    split_pixel_size,
)
from kappamask.models.schemes import find_class_codes
from kappamask.udf.morphology import dilate_disc, find_components
from kappamask.udf.pixel_size import check_pixel_m, infer_pixel_m
from kappamask.udf.schemes import CLEAR, CLOUD, MISSING, SHADOW, to_kappamask

__all__ = ["clean", "clean_codes", "clean_mask"]

DEGREE_DIMS = {"lat": "y", "latitude": "y", "lon": "x", "longitude": "x"}
"""Dims of masks in degrees, as xarray's users name them -> this project's."""
Codes = NDArray[np.uint8]
Bools = NDArray[np.bool_]


def clean_codes(codes: Codes, cleaning: Cleaning, pixel_m: Pixel) -> Codes:
    """Apply all steps of `cleaning` to codes (y, x).

    `kappamask.udf.clean` says what each step does, and in which order.
    """
    framed = np.pad(codes, 1, constant_values=MISSING)
    steps: tuple[Callable[[Codes, Cleaning, Pixel], None], ...] = (
        _remove_uncast_shadow,
        _remove_small_objects,
        _fill_small_holes,
        _add_buffers,
    )
    for step in steps:
        step(framed, cleaning, pixel_m)
    return framed[1:-1, 1:-1]


def _remove_uncast_shadow(codes: Codes, cleaning: Cleaning, pixel_m: Pixel) -> None:
    """Set shadow to clear where no cloud, or missing pixel, could cast it."""
    if not cleaning.shadow_length_m or not (codes == SHADOW).any():
        return
    (height, width), source = split_pixel_size(pixel_m), (codes != CLEAR) & (codes != SHADOW)
    length, ratio = cleaning.shadow_length_m / width, height / width
    if cleaning.sun:
        shade = _shadow_wedge(source, length, cleaning.sun, SHADOW_MARGIN_M / width, ratio)
    else:
        shade = dilate_disc(source, length, ratio)
    np.putmask(codes, (codes == SHADOW) & ~shade, CLEAR)


def _shadow_wedge(source: Bools, length: float, sun: tuple[float, float], margin: float, ratio: float) -> Bools:
    """Find where the shadow of `source` may fall.

    The sun stands at zenith and azimuth; shadows are up to `length` pixels' widths long.
    """
    shade, (zenith, azimuth) = dilate_disc(source, margin, ratio), sun
    for step, radius in shadow_wedge_steps(length, zenith, ratio):
        down, right = round(step * cos(radians(azimuth)) / ratio), round(-step * sin(radians(azimuth)))
        shade |= _shift(dilate_disc(shade, radius, ratio), down, right)
    return shade


def _shift(image: Bools, down: int, right: int) -> Bools:
    """Move `image`; what comes in from outside is True."""
    moved = np.ones_like(image)
    height, width = image.shape
    if abs(down) < height and abs(right) < width:
        rows = slice(max(down, 0), height + min(down, 0))
        columns = slice(max(right, 0), width + min(right, 0))
        back = slice(rows.start - down, rows.stop - down), slice(columns.start - right, columns.stop - right)
        moved[rows, columns] = image[back]
    return moved


def _remove_small_objects(codes: Codes, cleaning: Cleaning, pixel_m: Pixel) -> None:
    """Set connected cloud and shadow of too few pixels to clear."""
    least, _ = cleaning.min_pixels(pixel_m)
    if least > 1:
        runs = find_components((codes >= SHADOW) & (codes <= CLOUD), diagonal=True)
        codes.ravel()[runs.positions(runs.sizes() < least)] = CLEAR


def _fill_small_holes(codes: Codes, cleaning: Cleaning, pixel_m: Pixel) -> None:
    """Fill small clear areas within cloud and shadow with the strongest class around them."""
    _, least = cleaning.min_pixels(pixel_m)
    if least > 1:
        runs = find_components(codes == CLEAR, diagonal=False)
        touching = runs.max_per_component(_max_of_neighbours(codes).ravel())
        chosen = (runs.sizes() < least) & (touching < MISSING)
        codes.ravel()[runs.positions(chosen)] = np.repeat(touching[chosen], (runs.stop - runs.start)[chosen])


def _max_of_neighbours(codes: Codes) -> Codes:
    """Return the highest code of each pixel's four neighbours.

    All that is neither clear, shadow nor cloud counts as missing.
    """
    ranked = np.where((codes >= CLEAR) & (codes <= CLOUD), codes, np.uint8(MISSING))
    found, before, after = ranked.copy(), slice(None, -1), slice(1, None)
    for here, there in ((before, after), (after, before)):
        np.maximum(found[here], ranked[there], out=found[here])
        np.maximum(found[:, here], ranked[:, there], out=found[:, here])
    return found


def _add_buffers(codes: Codes, cleaning: Cleaning, pixel_m: Pixel) -> None:
    """Grow each class over the classes that are weaker."""
    before, (height, width) = codes.copy(), split_pixel_size(pixel_m)
    for name, metres in cleaning.buffers:
        (code,) = find_class_codes([name])
        near = dilate_disc(before == code, metres / width * (1 + ROUNDING_TOLERANCE), height / width)
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
    """Clean a mask: shadows that no cloud casts, small objects, holes, then buffers.

    mask: KappaMask codes, or the scheme that its attribute `scheme` names; dims (y, x) and any others, numpy or dask;
        lat and lon, or latitude and longitude, are as good.
    shadow_length_m: metres; shadow farther than this from any cloud becomes clear; 0 leaves shadows alone.
    sun: its zenith and azimuth in degrees (azimuth clockwise from north, rows from north to south): then shadow must
        lie away from the sun, too, up to 12 km * tan(zenith) from its cloud if `shadow_length_m` is left out; 12
        degrees off the vertical, the widest angle of Sentinel-2, are allowed for.
    min_object_m2: square metres; connected cloud or shadow (by sides or corners) that is smaller becomes clear.
    fill_holes_m2: square metres; clear pixels, connected by sides, of less, which cloud and shadow enclose, take the
        strongest class that touches them.
    buffer_m: metres by which cloud, semi-transparent cloud and shadow grow, measured between pixel centres, or
        {"cloud": 60, "cloud_shadow": 120, "semi_transparent_cloud": 30}.
    pixel_m: metres of a pixel's side; left out, the coordinates x and y tell, in metres, feet or degrees as their CRS
        has it; without a CRS pixels of 10, 20, 30 or 60 are metres, and others are asked about.

    The strongest class wins: cloud, then semi-transparent cloud, shadow, clear. Missing, undefined and nodata pixels
    never change and never grow. A shadow next to them, or at the image's edge, stays, for its cloud may lie there; a
    hole that touches them is not filled.

    Returns KappaMask codes, uint8, lazy if the mask is, with an attribute `cleaning` that says what was done. Raises
    CubeError for options that are no sensible numbers, unknown codes, or pixels of unknown size.
    """
    options = {"buffer_m": buffer_m, "min_object_m2": min_object_m2, "fill_holes_m2": fill_holes_m2}
    cleaning = read_cleaning({**options, "shadow_length_m": shadow_length_m, "sun": sun})
    mask = to_kappamask(mask)
    own = {new: old for old, new in DEGREE_DIMS.items() if old in mask.dims}
    own = own if len(own) == 2 else {}
    mask = mask.rename({old: new for new, old in own.items()})
    if not {"y", "x"} <= set(mask.dims):
        raise CubeError(f"The mask has dims {mask.dims}; needed are y and x, or lat and lon: mask.rename({{…: 'y'}}).")
    if cleaning:
        if sun is not None:
            _check_axis_order(mask)
        mask = clean_mask(mask, cleaning, infer_pixel_m(mask) if pixel_m is None else check_pixel_m(pixel_m))
    return mask.rename(own)


def clean_mask(mask: xr.DataArray, cleaning: Cleaning, pixel_m: Pixel) -> xr.DataArray:
    """Clean a mask in KappaMask codes with options that are checked already."""
    planes = mask.transpose(..., "y", "x")

    def block(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        made = np.empty_like(codes)
        for index in np.ndindex(codes.shape[:-2]):
            made[index] = clean_codes(codes[index], cleaning, pixel_m)
        return made

    data = block(planes.data) if mask.chunks is None else _map_overlap(block, planes.data, cleaning.support_px(pixel_m))
    return planes.copy(data=data).transpose(*mask.dims).assign_attrs(cleaning=str(cleaning))


def _map_overlap(block: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], data: Any, reach: int) -> Any:
    """Apply `block` to each chunk with the neighbours that it needs.

    The result is that of the whole array.
    """
    plane = (data.ndim - 2, data.ndim - 1)
    data = data.rechunk({axis: -1 for axis in plane if reach >= data.shape[axis]})
    depth = {axis: reach if data.numblocks[axis] > 1 else 0 for axis in plane}
    return data.map_overlap(block, depth=depth, boundary=MISSING, dtype=np.uint8)


def _check_axis_order(mask: xr.DataArray) -> None:
    for axis, forwards, order in (("y", False, "rows from north to south"), ("x", True, "columns from west to east")):
        if axis in mask.coords and mask.sizes[axis] > 1 and bool(mask[axis][0] < mask[axis][-1]) is not forwards:
            raise CubeError(
                f"The sun's azimuth needs {order}: turn them with mask.sortby('{axis}', ascending={forwards})."
            )
