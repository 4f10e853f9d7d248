"""Intervals of what a comparison tells: of scores, of strata, of differences between two masks."""

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.evaluation.intervals import Statistic, bootstrap, interval, paired
from kappamask.evaluation.metrics import RATES, mean, ratios
from kappamask.evaluation.tally import FEWEST, Drawn
from kappamask.evaluation.views import VIEWS, View

__all__ = ["ERRORS", "dice_of", "difference", "errors_of", "score_intervals", "stratum_intervals"]

ERRORS = ("false", "missed")
Bounds = list[float] | None
Counts = NDArray[np.int64]


def dice_of(view: View, judged: Collection[str]) -> Statistic:
    """Dice (…, class and all) of the groups `judged`, of counts (…, 4, 5); NaN where not defined."""
    table = _table_of(view, judged)
    return lambda counts: np.asarray(table(counts)[..., RATES.index("dice"), :])


def errors_of(tells: Collection[int]) -> Statistic:
    """`ERRORS` (…, 2) of cloud of either kind, of counts (…, 4, 5), as shares; NaN where not defined.

    The first is of the pixels without cloud those that are called cloud, the second of those with cloud the others.
    """

    def errors(counts: Counts) -> NDArray[np.float64]:
        merged = VIEWS["cloud"].merged(counts)
        wrong, total = np.stack([merged[..., 0, 1], merged[..., 1, 0]], axis=-1), merged.sum(axis=-1)
        known = (total > 0) & bool(VIEWS["cloud"].judged(tells))
        return np.where(known, wrong / np.maximum(total, 1), np.nan)

    return errors


def score_intervals(drawn: Drawn, view: View, judged: Collection[str]) -> dict[str, dict[str, Bounds]]:
    """Score -> class -> bounds of 95 %; nothing where there is too little to draw from."""
    if len(drawn.counts) < FEWEST:
        return {}
    bounds = interval(bootstrap(drawn.counts, _table_of(view, judged)))
    return {rate: _bounds([*view.groups, "all"], bounds[:, i].T) for i, rate in enumerate(RATES)}


def stratum_intervals(drawn: Drawn, tells: Collection[int], view: View, judged: Collection[str]) -> dict[str, Any]:
    """Bounds of 95 % of `false`, `missed` and of the dice of each class `judged`; nothing as above."""
    if len(drawn.counts) < FEWEST:
        return {}
    errors = _bounds(ERRORS, interval(bootstrap(drawn.counts, errors_of(tells))).T)
    dice = interval(bootstrap(drawn.counts, dice_of(view, judged))).T
    return {**errors, "dice": _bounds([*view.groups, "all"], dice)}


def difference(ours: Drawn, theirs: Drawn, statistic: Statistic, names: Iterable[str]) -> dict[str, Any]:
    """What `ours` has more than `theirs` of the same scenes, by name, and `intervals` of it, drawn in pairs."""
    listed = list(names)
    one, other = (statistic(np.sum(each.counts, axis=0)) for each in (ours, theirs))
    enough = len(ours.counts) >= FEWEST
    bounds = interval(paired(ours.counts, theirs.counts, statistic)) if enough else np.full((2, len(listed)), np.nan)
    named = {name: float(v) if np.isfinite(v) else None for name, v in zip(listed, one - other, strict=True)}
    return {"values": named, "intervals": _bounds(listed, bounds.T)}


def _table_of(view: View, judged: Collection[str]) -> Statistic:
    """`RATES` (…, 6, class and all)."""
    known = np.array([name in judged for name in view.groups])

    def table(counts: Counts) -> NDArray[np.float64]:
        values = np.where(known, np.moveaxis(ratios(view.merged(counts)), 0, -2), np.nan)
        return np.concatenate([values, mean(values)], axis=-1)

    return table


def _bounds(names: Iterable[str], bounds: NDArray[np.float64]) -> dict[str, Bounds]:
    """None also where no draw differs, as where no error was made: that tells of what is there, not how sure it is."""
    return {name: _pair(*pair) for name, pair in zip(names, bounds.tolist(), strict=True)}


def _pair(low: float, high: float) -> Bounds:
    return [low, high] if low < high else None
