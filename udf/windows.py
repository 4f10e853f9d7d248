"""Lay overlapping windows and blend their scores to one image.

Along each axis lie the fewest windows of the given size that cover the image, all shrunk to the smallest size with
which so many still cover it. They are `size - 2 * overlap` apart; the last is moved back to end with the image. Scores
are blended with weights that fall where windows overlap. Sums are formed in one order whatever part of the image is
asked for, so a block computed on its own equals the same block of the whole, bit for bit.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kappamask.models import Mosaic

__all__ = [
    "BlendedPiece",
    "Span",
    "blend_windows",
    "intersecting_windows",
    "padded_length",
    "plan_windows",
    "vendor_windows",
]

Scores = NDArray[np.float32]
MIN_WEIGHT = 1e-6
"""Next to a weight near 1 it moves no float32 score by more than its rounding."""

CACHE_CONFLICT_PX = 128
"""Pixels: rows of a multiple of it lie so in the processor's cache that convolutions take an eighth longer (measured
with `compact`, on Intel Xeon)."""

NEGLIGIBLE_WEIGHT = 1e-12
"""Too small to change a score, and above 0, so that the sum of weights can be divided by."""


BlendedPiece = tuple[slice, slice, Scores]
"""Rows, columns, and scores (class, y, x)."""


class Span(NamedTuple):
    """One window along one axis: first pixel, and the weight of each pixel."""

    start: int
    weight: Scores

    @property
    def stop(self) -> int:
        """The pixel after its last."""
        return self.start + len(self.weight)

    @property
    def pixels(self) -> slice:
        """Where it lies."""
        return slice(self.start, self.stop)


def plan_windows(length: int, size: int, overlap: int, stride: int = 1) -> list[Span]:
    """Lay windows along an axis of `length` pixels.

    An axis no longer than `size` gets one window. No window is larger than `size`, and each is a multiple of `stride`,
    as `size` is.
    """
    if length <= size:
        return [Span(0, np.ones(length, dtype=np.float32))]
    size = _smallest_size(length, size, overlap, stride)
    starts = [*range(0, length - size, size - 2 * overlap), length - size]
    return [Span(start, _blend_weight(start, length, size, overlap)) for start in starts]


def _smallest_size(length: int, size: int, overlap: int, stride: int) -> int:
    """Return the smallest size that needs no more windows than `size` does."""
    count = -(-(length - 2 * overlap) // (size - 2 * overlap))
    least = -(-(length + (count - 1) * 2 * overlap) // (count * stride)) * stride
    return least + stride if least % CACHE_CONFLICT_PX == 0 and least + stride <= size else least


def _blend_weight(start: int, length: int, size: int, overlap: int) -> Scores:
    """Weigh the pixels of a window for blending.

    1 inside, almost 0 over the outer overlap / 2, linear between; 1 up to an edge of the image.

    Scores near a window's edge lack context, so there the neighbour's are taken.
    """
    before = np.arange(size) + 1.0 if start > 0 else np.full(size, np.inf)
    after = np.arange(size)[::-1] + 1.0 if start + size < length else np.full(size, np.inf)
    outer = overlap // 2
    linear = (np.minimum(before, after) - outer) / (2 * (overlap - outer) + 1)
    return np.asarray(np.clip(linear, MIN_WEIGHT, 1), dtype=np.float32)


def vendor_windows(length: int, size: int, mosaic: Mosaic) -> list[Span]:
    """Lay windows along an axis as the network's own tool does.

    length: as `padded_length` gives it.
    """
    starts = range(0, length - size + 1, mosaic.step)
    weights = np.tile(_vendor_weight(size, mosaic), (len(starts), 1))
    if mosaic.taper == "crop":
        cut = int(mosaic.amount)
        weights[0, :cut] = weights[-1, size - cut :] = 1
    return [Span(start, weight) for start, weight in zip(starts, weights, strict=True)]


def padded_length(length: int, size: int, mosaic: Mosaic) -> int:
    """Return the length to which `vendor_windows` wants an axis padded."""
    return (-(-(mosaic.before + length) // mosaic.step) - 1) * mosaic.step + size


def _vendor_weight(size: int, mosaic: Mosaic) -> Scores:
    """Weigh the pixels of a window as the vendor's tool does, shape (size,)."""
    from_end = np.minimum(np.arange(size), np.arange(size)[::-1])
    if mosaic.taper == "crop":
        weight = (from_end >= mosaic.amount).astype(np.float64)
    else:
        share = np.minimum(from_end / max(mosaic.amount * (size - 1) / 2, MIN_WEIGHT), 1)
        weight = (1 - np.cos(np.pi * share)) / 2
    return np.maximum(weight, NEGLIGIBLE_WEIGHT).astype(np.float32)


def intersecting_windows(spans: list[Span], first: int, last: int) -> list[Span]:
    """Select the windows that hold any pixel of [first, last)."""
    return [span for span in spans if span.start < last and span.stop > first]


def blend_windows(
    rows: list[Span], columns: list[Span], score: Callable[[slice, slice], Scores]
) -> Iterator[BlendedPiece]:
    """Yield finished pieces of blended scores, from left to right and from top to bottom.

    `score(y, x)` gives float32 (class, y, x) for one window; where that is NaN, so is the piece. What is in memory is
    one window, and what windows of the next row share with this one.
    """
    above: Scores | None = None
    for row, below in zip(rows, [*rows[1:], None], strict=True):
        height = (below.start if below else row.stop) - row.start
        shared: Scores | None = None
        for column, summed in _blend_row(row, columns, score):
            if above is not None:
                summed[:, : above.shape[1]] += above[:, :, column]
            if shared is None:
                shared = np.empty((len(summed), summed.shape[1] - height, columns[-1].stop), dtype=np.float32)
            shared[:, :, column] = summed[:, height:]
            yield slice(row.start, row.start + height), column, summed[1:, :height] / summed[0, :height]
        above = shared


def _blend_row(
    row: Span, columns: list[Span], score: Callable[[slice, slice], Scores]
) -> Iterator[tuple[slice, Scores]]:
    """Yield one row of windows, piece by piece.

    Plane 0 sums the weights, the others the weighted scores.
    """
    left: Scores | None = None
    for column, right in zip(columns, [*columns[1:], None], strict=True):
        found = score(row.pixels, column.pixels)
        summed = np.empty((len(found) + 1, *found.shape[1:]), dtype=np.float32)
        np.outer(row.weight, column.weight, out=summed[0])
        np.multiply(found, summed[0], out=summed[1:])
        if left is not None:
            summed[:, :, : left.shape[2]] += left
        width = (right.start if right else column.stop) - column.start
        left = summed[:, :, width:].copy()
        yield slice(column.start, column.start + width), summed[:, :, :width]
