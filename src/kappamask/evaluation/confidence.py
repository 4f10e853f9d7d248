"""Bootstrap confidence intervals of scores, strata and differences between masks."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.evaluation.class_groups import VIEWS, ClassGroups
from kappamask.evaluation.counts import FEWEST, ResamplingUnits
from kappamask.evaluation.metrics import RATES, compute_ratios, mean_defined

__all__ = [
    "CONFIDENCE",
    "ERRORS",
    "RESAMPLES",
    "Statistic",
    "bootstrap",
    "bootstrap_difference",
    "compare_scores",
    "compute_dice",
    "compute_errors",
    "compute_percentile_interval",
    "compute_stratum_intervals",
    "score_intervals",
]

RESAMPLES = 1000
"""Percentiles of 2.5 % then rest on 25 values each (Efron and Tibshirani 1993 ask for 1000 and more)."""
CONFIDENCE = 0.95
SEED = 20210
"""Of the draws, so that a report can be made again; the number means nothing."""
Counts = NDArray[np.int64]
Statistic = Callable[[Counts], NDArray[np.float64]]
"""Of counts, and of many of them stacked along the first axis, which stays."""
ERRORS = ("false", "missed")
Bounds = list[float] | None


def bootstrap(scenes: Sequence[Counts], statistic: Statistic, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Return the statistic of resampled scenes' pooled counts: (resamples, …).

    NaN where it is not defined.

    scenes: counts of each scene, all of one shape. The draws depend on the number of scenes alone, so those of two
    masks of the same scenes are paired.
    """
    return statistic(np.tensordot(_draw_counts(len(scenes), resamples), np.stack(scenes), 1))


def bootstrap_difference(
    ours: Sequence[Counts], theirs: Sequence[Counts], statistic: Statistic, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Return the statistic of `ours` less that of `theirs`.

    Both are of the same scenes in each draw.
    """
    return bootstrap(ours, statistic, resamples) - bootstrap(theirs, statistic, resamples)


def compute_percentile_interval(draws: NDArray[np.float64], confidence: float = CONFIDENCE) -> NDArray[np.float64]:
    """Return the percentile interval (2, …) of draws along their first axis.

    NaN where fewer than two draws are defined.
    """
    tail = 50 * (1 - confidence)
    few = np.isfinite(draws).sum(axis=0) < 2
    bounds = np.nanpercentile(np.where(few, 0, draws), [tail, 100 - tail], axis=0)
    return np.where(few, np.nan, bounds)


def _draw_counts(scenes: int, resamples: int) -> Counts:
    """Draw how often each scene occurs in each resample: (resamples, scenes)."""
    rng = np.random.default_rng(SEED)
    return np.stack([np.bincount(rng.integers(scenes, size=scenes), minlength=scenes) for _ in range(resamples)])


def compute_dice(view: ClassGroups, judged: Collection[str]) -> Statistic:
    """Return the dice (…, class and all) of groups from counts (…, 4, 5).

    NaN where not defined.
    """
    table = _compute_rates(view, judged)
    return lambda counts: np.asarray(table(counts)[..., RATES.index("dice"), :])


def compute_errors(predicts: Collection[int]) -> Statistic:
    """Return `ERRORS` (…, 2) of cloud of either kind, of counts (…, 4, 5).

    Shares; NaN where not defined.

    The first is of the pixels without cloud those that are called cloud, the second of those with cloud the others.
    """

    def errors(counts: Counts) -> NDArray[np.float64]:
        merged = VIEWS["cloud"].merge_counts(counts)
        wrong, total = np.stack([merged[..., 0, 1], merged[..., 1, 0]], axis=-1), merged.sum(axis=-1)
        known = (total > 0) & bool(VIEWS["cloud"].scored_groups(predicts))
        return np.where(known, wrong / np.maximum(total, 1), np.nan)

    return errors


def score_intervals(drawn: ResamplingUnits, view: ClassGroups, judged: Collection[str]) -> dict[str, dict[str, Bounds]]:
    """Return 95 % bounds: score -> class -> bounds.

    Empty where there is too little to draw from.
    """
    if len(drawn.counts) < FEWEST:
        return {}
    bounds = compute_percentile_interval(bootstrap(drawn.counts, _compute_rates(view, judged)))
    return {rate: _compute_bounds([*view.groups, "all"], bounds[:, i].T) for i, rate in enumerate(RATES)}


def compute_stratum_intervals(
    drawn: ResamplingUnits, predicts: Collection[int], view: ClassGroups, judged: Collection[str]
) -> dict[str, Any]:
    """Return 95 % bounds of `false`, `missed` and of the dice of each class `judged`.

    Empty as above.
    """
    if len(drawn.counts) < FEWEST:
        return {}
    errors = _compute_bounds(ERRORS, compute_percentile_interval(bootstrap(drawn.counts, compute_errors(predicts))).T)
    dice = compute_percentile_interval(bootstrap(drawn.counts, compute_dice(view, judged))).T
    return {**errors, "dice": _compute_bounds([*view.groups, "all"], dice)}


def compare_scores(
    ours: ResamplingUnits, theirs: ResamplingUnits, statistic: Statistic, names: Iterable[str]
) -> dict[str, Any]:
    """Return what `ours` has more than `theirs` of the same scenes, by name.

    `intervals` of it are drawn in pairs.
    """
    listed = list(names)
    one, other = (statistic(np.sum(each.counts, axis=0)) for each in (ours, theirs))
    enough = len(ours.counts) >= FEWEST
    bounds = (
        compute_percentile_interval(bootstrap_difference(ours.counts, theirs.counts, statistic))
        if enough
        else np.full((2, len(listed)), np.nan)
    )
    named = {name: float(v) if np.isfinite(v) else None for name, v in zip(listed, one - other, strict=True)}
    return {"values": named, "intervals": _compute_bounds(listed, bounds.T)}


def _compute_rates(view: ClassGroups, judged: Collection[str]) -> Statistic:
    """Compute `RATES` (…, 6, class and all)."""
    known = np.array([name in judged for name in view.groups])

    def table(counts: Counts) -> NDArray[np.float64]:
        values = np.where(known, np.moveaxis(compute_ratios(view.merge_counts(counts)), 0, -2), np.nan)
        return np.concatenate([values, mean_defined(values)], axis=-1)

    return table


def _compute_bounds(names: Iterable[str], bounds: NDArray[np.float64]) -> dict[str, Bounds]:
    """Return None if all draws agree: a zero-width interval would suggest certainty."""
    return {name: _to_list(*pair) for name, pair in zip(names, bounds.tolist(), strict=True)}


def _to_list(low: float, high: float) -> Bounds:
    return [low, high] if low < high else None
