"""Whether scores mean what they say: of pixels with a score of 0.8, 80 % should be right."""

import numpy as np
from numpy.typing import NDArray

from kappamask.evaluation.metrics import CLASSES, IGNORED
from kappamask.udf.classes import CLOUD, SEMI_TRANSPARENT

__all__ = ["BINS", "calibration_error", "reliability"]

BINS = 15
"""Of the highest score (Guo et al. 2017)."""


def reliability(
    scores: NDArray[np.floating], truth: NDArray[np.uint8], *, merge_thin: bool = False
) -> NDArray[np.float64]:
    """For each of `BINS` of the highest score: pixels, the sum of that score, and how many of them are right: (bin, 3).

    scores: of the classes 1 to 4, (4, y, x), NaN where there is no data; scaled to sum to 1. truth: codes (y, x).
    merge_thin: semi-transparent cloud and cloud are one class, with the sum of their scores. May be summed over scenes.
    """
    counted = ~np.isin(truth, IGNORED) & np.isfinite(scores).all(axis=0)
    share, true = np.asarray(scores[:, counted], np.float64), truth[counted].astype(np.int64)
    share /= np.maximum(share.sum(axis=0), np.finfo(np.float64).tiny)
    if merge_thin:
        share = np.concatenate([share[:2], share[2:].sum(axis=0, keepdims=True)])
        true = np.where(true == CLOUD, SEMI_TRANSPARENT, true)
    best, right = share.max(axis=0), share.argmax(axis=0) + min(CLASSES.values()) == true
    places = np.minimum((best * BINS).astype(np.int64), BINS - 1)
    return np.stack([np.bincount(places, weight, BINS) for weight in (np.ones_like(best), best, right)], axis=1)


def calibration_error(bins: NDArray[np.float64]) -> float | None:
    """Expected calibration error of `reliability`: mean distance of score and share of right pixels; None for none."""
    pixels, score, right = bins.T
    return float(np.abs(score - right).sum() / pixels.sum()) if pixels.sum() else None
