"""How far scores would move with other scenes: the bootstrap over scenes, paired where two masks are compared."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONFIDENCE", "RESAMPLES", "Statistic", "bootstrap", "interval", "paired"]

RESAMPLES = 1000
"""Percentiles of 2.5 % then rest on 25 values each (Efron and Tibshirani 1993 ask for 1000 and more)."""
CONFIDENCE = 0.95
SEED = 20210
"""Of the draws, so that a report can be made again; the number means nothing."""
Counts = NDArray[np.int64]
Statistic = Callable[[Counts], NDArray[np.float64]]
"""Of counts, and of many of them stacked along the first axis, which stays."""


def bootstrap(scenes: Sequence[Counts], statistic: Statistic, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """The statistic of the pooled counts of scenes drawn with replacement: (resamples, …), NaN where not defined.

    scenes: counts of each scene, all of one shape. The draws depend on the number of scenes alone, so those of two
    masks of the same scenes are paired.
    """
    return statistic(np.tensordot(_times(len(scenes), resamples), np.stack(scenes), 1))


def paired(
    ours: Sequence[Counts], theirs: Sequence[Counts], statistic: Statistic, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """The statistic of `ours` less that of `theirs`, both of the same scenes in each draw."""
    return bootstrap(ours, statistic, resamples) - bootstrap(theirs, statistic, resamples)


def interval(draws: NDArray[np.float64], confidence: float = CONFIDENCE) -> NDArray[np.float64]:
    """Percentile interval (2, …) of draws along their first axis; NaN where fewer than two draws are defined."""
    tail = 50 * (1 - confidence)
    few = np.isfinite(draws).sum(axis=0) < 2
    bounds = np.nanpercentile(np.where(few, 0, draws), [tail, 100 - tail], axis=0)
    return np.where(few, np.nan, bounds)


def _times(scenes: int, resamples: int) -> Counts:
    """How often each scene is drawn: (resamples, scenes)."""
    rng = np.random.default_rng(SEED)
    return np.stack([np.bincount(rng.integers(scenes, size=scenes), minlength=scenes) for _ in range(resamples)])
