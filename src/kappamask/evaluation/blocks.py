"""Counts of squares of a scene: what intervals rest on where one product or place is all there is."""

import numpy as np
from numpy.typing import NDArray

from kappamask.evaluation.metrics import CLASSES, IGNORED

__all__ = ["SIDE", "block_counts"]

SIDE = 128
"""Pixels: a cumulus and its shadow lie within 1.3 km, so that neighbours are nearly, but not quite, independent."""
COLUMNS = len(CLASSES) + 1
CELLS = len(CLASSES) * COLUMNS


def block_counts(truth: NDArray[np.uint8], mask: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.int64]:
    """`confusion` of every square of `side` px, row by row: (block, 4, 5); squares without a judged pixel are left out.

    truth, mask: codes 0 to 5 and 255, (y, x). The truth alone decides which squares are kept, so that those of two
    masks go together.
    """
    rows = range(0, truth.shape[0], side)
    return np.concatenate([_row(truth[y : y + side], mask[y : y + side], side) for y in rows])


def _row(truth: NDArray[np.uint8], mask: NDArray[np.uint8], side: int) -> NDArray[np.int64]:
    """Of the squares side by side; row by row, for a whole product takes gigabytes otherwise."""
    across = -(-truth.shape[1] // side)
    judged = ~np.isin(truth, IGNORED)
    places = np.broadcast_to(np.arange(truth.shape[1]) // side, truth.shape)[judged]
    rows, columns = (codes[judged].astype(np.int64) - 1 for codes in (truth, mask))
    columns = np.where((columns >= 0) & (columns < len(CLASSES)), columns, len(CLASSES))
    flat = places * CELLS + rows * COLUMNS + columns
    counts = np.bincount(flat, minlength=across * CELLS).reshape(-1, len(CLASSES), COLUMNS)
    return counts[counts.any(axis=(1, 2))]
