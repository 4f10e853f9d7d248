"""Which class a pixel is of, by the scores of all."""

import numpy as np
from numpy.typing import NDArray

from kappamask.udf.prepare import Reading

__all__ = ["best"]


def best(scores: NDArray[np.float32], reading: Reading) -> NDArray[np.uint8]:
    """Index of the class (y, x) from `scores` (class, y, x): the highest, unless `reading` has thresholds.

    A class with a threshold is taken where its score reaches it; of several, the one furthest above, as a ratio. Else
    the best of the classes without threshold; if all have one, the nearest to its own.
    """
    if not reading.thresholds:
        return _highest(scores)
    given = dict(reading.thresholds)
    limits = np.array([given.get(name, np.nan) for name in reading.card.output_names], dtype=np.float32)
    limits = limits[:, np.newaxis, np.newaxis]
    ratio = scores / limits
    reached = np.where(ratio >= 1, 1 + ratio, ratio - 2)
    return _highest(np.where(np.isnan(limits), scores, reached))


def _highest(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """What `scores.argmax(axis=0)` gives where no score is NaN, sooner: it goes through whole planes."""
    index, top = np.zeros(scores.shape[1:], dtype=np.uint8), scores[0].copy()
    for number, plane in enumerate(scores[1:], 1):
        index[plane > top] = number
        np.maximum(top, plane, out=top)
    return index
