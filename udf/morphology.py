"""Dilation by a disc and connected components, with NumPy only."""

from math import floor, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ConnectedComponents", "dilate_disc", "find_components"]

Bools = NDArray[np.bool_]
STRIP_ROWS = 128
"""Rows at a time: what is read again and again then stays in a processor's cache."""
Numbers = NDArray[np.intp]


def dilate_disc(where: Bools, radius: float, ratio: float = 1.0) -> Bools:
    """Dilate an image (y, x) by a disc, measured between pixel centres.

    The unit is a pixel's width, of which its height is `ratio`.
    """
    reach, across = floor(radius / ratio), floor(radius)
    out = where.copy()
    if reach == across == 0:
        return out
    distance = _row_distance(where, across)
    widths = [floor(sqrt(max(0.0, radius**2 - (down * ratio) ** 2))) for down in range(reach + 1)]
    occupied = np.asarray(where.any(axis=1))
    for top in range(0, len(where), STRIP_ROWS):
        if not occupied[max(top - reach, 0) : top + STRIP_ROWS + reach].any():
            continue
        strip = out[top : top + STRIP_ROWS]
        for down in range(-reach, reach + 1):
            first, last = max(top + down, 0), max(min(top + len(strip) + down, len(where)), 0)
            target = strip[first - top - down : max(last - top - down, 0)]
            np.logical_or(target, distance[first:last] <= widths[abs(down)], out=target)
    return out


def _row_distance(where: Bools, reach: int) -> NDArray[Any]:
    """Count the pixels along the row to the nearest in `where`.

    `reach` + 1 stands for all that is more.
    """
    out = np.empty(where.shape, dtype=np.min_scalar_type(2 * reach + 1))
    for top in range(0, len(where), STRIP_ROWS):
        strip = out[top : top + STRIP_ROWS]
        np.multiply(~where[top : top + STRIP_ROWS], out.dtype.type(reach + 1), out=strip)
        for line in (strip, strip[:, ::-1]):
            _propagate_distance(line, reach)
    return out


def _propagate_distance(away: NDArray[Any], reach: int) -> None:
    """Lower `away` (y, x) to the distance from the pixels before, in doubling steps."""
    step = 1
    while step <= min(reach, away.shape[1] - 1):
        np.minimum(away[:, step:], away[:, :-step] + away.dtype.type(step), out=away[:, step:])
        step *= 2


class ConnectedComponents(NamedTuple):
    """Connected components of an image, as runs along its rows."""

    start: Numbers
    """First pixel of each, counted through all rows."""
    stop: Numbers
    """The pixel after its last."""
    label: Numbers
    """Number of its object: that of one of the object's runs."""

    def sizes(self) -> Numbers:
        """Count the pixels of the component of each run."""
        sizes = np.bincount(self.label, weights=self.stop - self.start, minlength=len(self.label))
        return np.asarray(sizes[self.label], dtype=np.intp)

    def max_per_component(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return for each run the highest of `values` (flat) in its component."""
        ends = np.column_stack((self.start, self.stop)).ravel()
        of_run = np.maximum.reduceat(values, ends)[::2] if len(ends) else values[:0]
        found = np.zeros(len(self.label), dtype=values.dtype)
        np.maximum.at(found, self.label, of_run)
        return found[self.label]

    def positions(self, chosen: NDArray[np.bool_]) -> Numbers:
        """List the flat positions of all pixels of the chosen runs, in order."""
        start, length = self.start[chosen], (self.stop - self.start)[chosen]
        return np.asarray(np.arange(length.sum()) + np.repeat(start - (np.cumsum(length) - length), length))


def find_components(where: NDArray[np.bool_], *, diagonal: bool) -> ConnectedComponents:
    """Find the connected components of an image (y, x).

    Pixels that meet at a corner are connected if `diagonal`.

    The image's outermost pixels must be False.
    """
    flat = where.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    start, stop, width, corner = edges[::2], edges[1::2], where.shape[1], int(diagonal)
    first = np.searchsorted(stop + width, start - corner, side="right")
    last = np.searchsorted(start + width, stop + corner, side="left")
    count = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(start)), count)
    above = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
    return ConnectedComponents(start, stop, _join_labels(len(start), below, above))


def _join_labels(count: int, one: Numbers, other: Numbers) -> Numbers:
    """Number the components of `count` things, where one[i] and other[i] are connected.

    Each root that has a lower neighbour is hung on it and paths are shortened, until no pair is apart.
    """
    root = np.arange(count)
    while len(one):
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(shorter := root[root], root):
            root = shorter
        one, other = root[one], root[other]
        apart = one != other
        one, other = one[apart], other[apart]
    return root
