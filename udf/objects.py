"""Connected pixels, found by runs along rows: numpy only, for workers that have no scipy."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Runs", "find_runs"]

Numbers = NDArray[np.intp]


class Runs(NamedTuple):
    """Stretches of an image's rows, each with the number of the object that it is part of."""

    start: Numbers
    """First pixel of each, counted through all rows."""
    stop: Numbers
    """The pixel after its last."""
    root: Numbers
    """Number of its object: that of one of the object's runs."""

    def area(self) -> Numbers:
        """Pixels of the object of each run."""
        sizes = np.bincount(self.root, weights=self.stop - self.start, minlength=len(self.root))
        return np.asarray(sizes[self.root], dtype=np.intp)

    def most(self, values: NDArray[Any]) -> NDArray[Any]:
        """For each run the highest of `values` (flat, one a pixel) in its object."""
        ends = np.column_stack((self.start, self.stop)).ravel()
        of_run = np.maximum.reduceat(values, ends)[::2] if len(ends) else values[:0]
        found = np.zeros(len(self.root), dtype=values.dtype)
        np.maximum.at(found, self.root, of_run)
        return found[self.root]

    def pixels(self, chosen: NDArray[np.bool_]) -> Numbers:
        """Flat positions of all pixels of the chosen runs, in order."""
        start, length = self.start[chosen], (self.stop - self.start)[chosen]
        return np.asarray(np.arange(length.sum()) + np.repeat(start - (np.cumsum(length) - length), length))


def find_runs(where: NDArray[np.bool_], *, diagonal: bool) -> Runs:
    """The connected objects of an image (y, x), as runs; pixels that meet at a corner are connected if `diagonal`.

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
    return Runs(start, stop, _joined(len(start), below, above))


def _joined(count: int, one: Numbers, other: Numbers) -> Numbers:
    """Number of the component of each of `count` things, of which one[i] and other[i] belong together.

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
