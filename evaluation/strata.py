"""Scenes by how much cloud their truth has and by their ground: what a mean over all hides, false alarms above all."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets.patch import GROUNDS
from kappamask.evaluation.metrics import CLASSES, rates
from kappamask.evaluation.views import VIEWS, View

__all__ = ["CLOUDS", "STRATA", "strata", "stratum"]

Counts = NDArray[np.int64]
_ORDER = list(CLASSES)
CLOUDS: Mapping[str, Callable[[Mapping[str, int]], bool]] = {
    "all_clear": lambda pixels: pixels["clear"] == sum(pixels.values()),
    "all_cloud": lambda pixels: pixels["semi_transparent"] + pixels["cloud"] == sum(pixels.values()),
    "thin_cloud_only": lambda pixels: pixels["semi_transparent"] > 0 and pixels["cloud"] == 0,
    "mixed": lambda _: True,
}
"""Stratum -> whether a scene with so many pixels of each class in the truth is of it; the first that fits."""
STRATA = tuple(dict.fromkeys([*CLOUDS, *GROUNDS]))
"""Those by cloud, of which a scene is in one, and those by ground, of which it may be in several."""


def stratum(counts: Counts) -> str:
    """The stratum by cloud of a scene from its counts (4, 5), whose rows are the truth."""
    pixels = dict(zip(_ORDER, counts.sum(axis=1).tolist(), strict=True))
    return next(name for name, fits in CLOUDS.items() if fits(pixels))


def strata(
    scenes: Mapping[str, Counts],
    tells: Collection[int] = tuple(CLASSES.values()),
    *,
    view: View = VIEWS["classes"],
    grounds: Mapping[str, Collection[str]] | None = None,
    groups: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """For each stratum that occurs: `scenes`, `groups`, `dice` by `view`, and of cloud of any kind `false`, `missed`.

    scenes: name -> counts (4, 5). grounds: name -> its strata by ground. groups: name -> its product or place.
    dice: of the classes that the truth has there, and `all`, their mean. false: share of the pixels without cloud that
    are called cloud; missed: of those with cloud that are called clear or shadow; 0 to 1, None where the truth has no
    such pixel, or the mask no such class.
    """
    of = {name: {stratum(counts), *(grounds or {}).get(name, ())} for name, counts in scenes.items()}
    found = {}
    for one in STRATA:
        inside = {name: counts for name, counts in scenes.items() if one in of[name]}
        if inside:
            pooled = np.sum([*inside.values()], axis=0)
            known = len({(groups or {}).get(name, name) for name in inside})
            found[one] = {"scenes": len(inside), "groups": known, "dice": _dice(pooled, tells, view)}
            found[one] |= _errors(pooled, tells)
    return found


def _dice(pooled: Counts, tells: Collection[int], view: View) -> dict[str, float | None]:
    """None for what the truth has not: over clear ground the dice of cloud is 0, whether a pixel is wrong or all."""
    counts = view.merged(pooled)
    there = [name for name, true in zip(view.groups, counts.sum(axis=1), strict=True) if true]
    return rates(counts, view.groups, [name for name in view.judged(tells) if name in there])["dice"]


def _errors(pooled: Counts, tells: Collection[int]) -> dict[str, float | None]:
    counts = VIEWS["cloud"].merged(pooled)
    wrong, total = counts[[0, 1], [1, 0]], counts.sum(axis=1)
    known = (total > 0) & bool(VIEWS["cloud"].judged(tells))
    false, missed = (float(w / t) if k else None for w, t, k in zip(wrong, total, known, strict=True))
    return {"false": false, "missed": missed}
