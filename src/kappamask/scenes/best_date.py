"""From which date of a series each pixel of a composite is taken."""

from collections.abc import Callable, Sequence
from math import ceil, cos, radians
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models.card import NODATA_CODE
from kappamask.models.schemes import class_codes
from kappamask.scenes.grid import pixel_size
from kappamask.scenes.raster import CHUNK
from kappamask.udf.classes import MISSING, UNDEFINED
from kappamask.udf.schemes import in_own_scheme

__all__ = ["NONE", "choose"]

da: Any = dask.array  # its annotations are partial
NONE = -1
"""In place of a date's number: no date is clear."""
FINEST = 10.0
"""Metres of a pixel where nothing tells: Sentinel-2's finest."""
DEGREE = 111_320.0
"""Metres of a degree of longitude on the equator (WGS 84)."""
Codes = NDArray[np.uint8]
Planes = NDArray[np.int16]


def choose(mask: xr.DataArray, classes: Sequence[str], order: Sequence[int], reach_m: float) -> xr.DataArray:
    """The number of the date that each pixel is best on, NONE where it is clear on none, and how often it is clear.

    mask: (t, y, x). classes: what is not clear, beside undefined and missing pixels. order: numbers of the dates, the
    preferred first. reach_m: metres up to which a date is the better the farther a pixel is from `classes` on it; of
    equals the first in `order` counts.

    Returns int16 (2, y, x): number, times. Lazy if the mask is; equal block by block, for blocks overlap by `reach_m`.
    """
    away, size = class_codes(classes), _metres(mask)
    hidden = np.array(sorted({*away, UNDEFINED, MISSING, NODATA_CODE}), np.uint8)
    codes = in_own_scheme(mask).transpose("t", "y", "x")

    def best(block: Codes) -> Planes:
        return _best(block, np.array(away, np.uint8), hidden, order, size, reach_m)

    depth = tuple(min(ceil(reach_m / side), length) for side, length in zip(size, codes.shape[1:], strict=True))
    data = best(codes.data) if codes.chunks is None else _overlapping(codes.data, best, depth)
    coords = {dim: codes[dim] for dim in ("y", "x") if dim in codes.coords}
    return xr.DataArray(data, dims=("which", "y", "x"), coords=coords)


def _overlapping(codes: Any, best: Callable[[Codes], Planes], depth: tuple[int, ...]) -> Any:
    """`best` of blocks that are large enough to see `depth` pixels, in y and x, beyond those they answer for."""
    margins = {0: 0, 1: depth[0], 2: depth[1]}
    wide = da.overlap.overlap(codes.rechunk({0: -1, 1: CHUNK, 2: CHUNK}), margins, boundary="none")
    empty = np.empty((0, 0, 0), np.int16)
    found = wide.map_blocks(best, chunks=((2,), *wide.chunks[1:]), dtype=np.int16, meta=empty)
    return da.overlap.trim_internal(found, margins, boundary="none")


def _best(
    codes: Codes, away: Codes, hidden: Codes, order: Sequence[int], size: tuple[float, float], reach: float
) -> Planes:
    number = np.full(codes.shape[1:], NONE, np.int16)
    farthest, times = np.full(codes.shape[1:], -1.0), np.zeros(codes.shape[1:], np.int16)
    for date in order:
        clear = ~np.isin(codes[date], hidden)
        times += clear
        distance = _distance(np.isin(codes[date], away), size, reach)
        better = clear & (distance > farthest)
        np.copyto(number, date, where=better)
        np.copyto(farthest, distance, where=better)
    return np.stack([number, times])


def _distance(cloud: NDArray[np.bool_], size: tuple[float, float], reach: float) -> NDArray[np.float64]:
    """Metres to the nearest True pixel, at most `reach`."""
    if not reach or not cloud.any():
        return np.array(reach, np.float64)
    from scipy.ndimage import distance_transform_edt

    return np.asarray(np.minimum(distance_transform_edt(~cloud, sampling=size), reach))


def _metres(mask: xr.DataArray) -> tuple[float, float]:
    """Height and width of a pixel."""
    width, height, unit = pixel_size(mask) or (FINEST, FINEST, "m")
    if unit == "degree":
        return height * DEGREE, width * DEGREE * cos(radians(float(mask["y"].mean())))
    return (height, width) if unit == "m" else (FINEST, FINEST)
