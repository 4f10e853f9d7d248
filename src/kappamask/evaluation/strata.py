"""Scenes by how much cloud their truth has and by their ground: what a mean over all hides, false alarms above all."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets.patch import GROUNDS
from kappamask.evaluation.metrics import CLASSES, rates
from kappamask.evaluation.sureness import ERRORS, errors_of, stratum_intervals
from kappamask.evaluation.tally import Drawn
from kappamask.evaluation.views import VIEWS, View

__all__ = ["CLOUDS", "MIXED", "STRATA", "by_cloud", "members", "strata"]

Counts = NDArray[np.int64]
_ORDER = list(CLASSES)
CLOUDS: Mapping[str, Callable[[Mapping[str, int]], bool]] = {
    "all_clear": lambda pixels: pixels["clear"] == sum(pixels.values()),
    "all_cloud": lambda pixels: pixels["semi_transparent"] + pixels["cloud"] == sum(pixels.values()),
    "thin_cloud_only": lambda pixels: pixels["semi_transparent"] > 0 and pixels["cloud"] == 0,
}
"""Stratum -> whether a scene with so many pixels of each class in the truth is of it."""
MIXED = "mixed"
"""Stratum of the scenes that are of none of `CLOUDS`."""
STRATA = tuple(dict.fromkeys([*CLOUDS, MIXED, *GROUNDS]))
"""Those by cloud and those by ground; a scene may be in several: one wholly of thin cloud is also all cloud."""


def by_cloud(counts: Counts) -> set[str]:
    """The strata by cloud of a scene from its counts (4, 5), whose rows are the truth."""
    pixels = dict(zip(_ORDER, counts.sum(axis=1).tolist(), strict=True))
    return {name for name, fits in CLOUDS.items() if fits(pixels)} or {MIXED}


def members(scenes: Mapping[str, Counts], grounds: Mapping[str, Collection[str]] | None = None) -> dict[str, list[str]]:
    """Stratum -> the scenes that are of it, in the order of `STRATA`; those without a scene are left out.

    scenes: name -> counts (4, 5). grounds: name -> its strata by ground.
    """
    of = {name: {*by_cloud(counts), *(grounds or {}).get(name, ())} for name, counts in scenes.items()}
    found = {one: [name for name in scenes if one in of[name]] for one in STRATA}
    return {one: names for one, names in found.items() if names}


def strata(
    scenes: Mapping[str, Counts],
    tells: Collection[int] = tuple(CLASSES.values()),
    *,
    view: View = VIEWS["classes"],
    grounds: Mapping[str, Collection[str]] | None = None,
    groups: Mapping[str, str] | None = None,
    drawn: Callable[[Collection[str]], Drawn] | None = None,
) -> dict[str, dict[str, Any]]:
    """For each stratum that occurs: `scenes`, `groups`, `dice` by `view`, and of cloud of any kind `false`, `missed`.

    scenes: name -> counts (4, 5). grounds: name -> its strata by ground. groups: name -> its product or place.
    dice: of the classes that the truth has there, and `all`, their mean. false: share of the pixels without cloud that
    are called cloud; missed: of those with cloud that are called clear or shadow; 0 to 1, None where the truth has no
    such pixel, or the mask no such class. drawn: what intervals of some scenes rest on; with it also `drawn` and
    `intervals` of 95 % of `false`, `missed` and `dice`.
    """
    found = {}
    for one, names in members(scenes, grounds).items():
        pooled = np.sum([scenes[name] for name in names], axis=0)
        judged = _there(pooled, tells, view)
        known = len({(groups or {}).get(name, name) for name in names})
        found[one] = {"scenes": len(names), "groups": known, "dice": _dice(pooled, view, judged)}
        found[one] |= _errors(pooled, tells)
        if drawn:
            units = drawn(names)
            found[one] |= {"drawn": units.told(), "intervals": stratum_intervals(units, tells, view, judged)}
    return found


def _there(pooled: Counts, tells: Collection[int], view: View) -> list[str]:
    """Classes that the truth has: over clear ground the dice of cloud is 0, whether a pixel is wrong or all."""
    there = dict(zip(view.groups, view.merged(pooled).sum(axis=1), strict=True))
    return [name for name in view.judged(tells) if there[name]]


def _dice(pooled: Counts, view: View, judged: Collection[str]) -> dict[str, float | None]:
    return rates(view.merged(pooled), view.groups, judged)["dice"]


def _errors(pooled: Counts, tells: Collection[int]) -> dict[str, float | None]:
    shares = errors_of(tells)(pooled).tolist()
    return {name: None if share != share else share for name, share in zip(ERRORS, shares, strict=True)}
