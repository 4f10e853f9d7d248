"""Growing by a disc, exact in Euclidean distance between pixel centres: numpy only."""

from math import floor, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["grown"]

Bools = NDArray[np.bool_]
STRIP = 128
"""Rows at a time: what is read again and again then stays in a processor's cache."""


def grown(where: Bools, radius: float) -> Bools:
    """Pixels (y, x) whose centre is at most `radius` pixels from the centre of a pixel in `where`."""
    reach = floor(radius)
    out = where.copy()
    if reach == 0:
        return out
    beside = _beside(where, reach)
    widths = [floor(sqrt(radius**2 - down**2)) for down in range(reach + 1)]
    occupied = np.asarray(where.any(axis=1))
    for top in range(0, len(where), STRIP):
        if not occupied[max(top - reach, 0) : top + STRIP + reach].any():
            continue
        strip = out[top : top + STRIP]
        for down in range(-reach, reach + 1):
            first, last = max(top + down, 0), max(min(top + len(strip) + down, len(where)), 0)
            target = strip[first - top - down : max(last - top - down, 0)]
            np.logical_or(target, beside[first:last] <= widths[abs(down)], out=target)
    return out


def _beside(where: Bools, reach: int) -> NDArray[Any]:
    """Pixels along the row to the nearest in `where`; `reach` + 1 stands for all that is more."""
    out = np.empty(where.shape, dtype=np.min_scalar_type(2 * reach + 1))
    for top in range(0, len(where), STRIP):
        strip = out[top : top + STRIP]
        np.multiply(~where[top : top + STRIP], out.dtype.type(reach + 1), out=strip)
        for line in (strip, strip[:, ::-1]):
            _nearer(line, reach)
    return out


def _nearer(away: NDArray[Any], reach: int) -> None:
    """Lower `away` (y, x) to what the pixels before say: one more for each pixel from them, in doubling steps."""
    step = 1
    while step <= min(reach, away.shape[1] - 1):
        np.minimum(away[:, step:], away[:, :-step] + away.dtype.type(step), out=away[:, step:])
        step *= 2
