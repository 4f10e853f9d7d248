"""Scenes by how much cloud their truth has: what a mean over all hides, false alarms over clear ground above all."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.evaluation.metrics import CLASSES
from kappamask.evaluation.views import VIEWS

__all__ = ["STRATA", "strata", "stratum"]

Counts = NDArray[np.int64]
_ORDER = list(CLASSES)
STRATA: Mapping[str, Callable[[Mapping[str, int]], bool]] = {
    "all_clear": lambda pixels: pixels["clear"] == sum(pixels.values()),
    "all_cloud": lambda pixels: pixels["semi_transparent"] + pixels["cloud"] == sum(pixels.values()),
    "thin_cloud_only": lambda pixels: pixels["semi_transparent"] > 0 and pixels["cloud"] == 0,
    "mixed": lambda _: True,
}
"""Stratum -> whether a scene with so many pixels of each class in the truth is of it; the first that fits."""


def stratum(counts: Counts) -> str:
    """The stratum of a scene from its counts (4, 5), whose rows are the truth."""
    pixels = dict(zip(_ORDER, counts.sum(axis=1).tolist(), strict=True))
    return next(name for name, fits in STRATA.items() if fits(pixels))


def strata(scenes: Collection[Counts], tells: Collection[int] = tuple(CLASSES.values())) -> dict[str, dict[str, Any]]:
    """For each stratum that occurs: `scenes`, and of cloud of either kind `false` and `missed`, 0 to 1 or None.

    scenes: counts (4, 5) of each. false: share of the pixels without cloud that are called cloud; missed: of those with
    cloud that are called clear or shadow; None where the truth has no such pixel, or the mask no such class.
    """
    named = [(stratum(one), one) for one in scenes]
    grouped = {name: [one for key, one in named if key == name] for name in STRATA}
    return {name: _errors(found, tells) for name, found in grouped.items() if found}


def _errors(scenes: list[Counts], tells: Collection[int]) -> dict[str, Any]:
    counts = VIEWS["cloud"].merged(np.sum(scenes, axis=0))
    wrong, total = counts[[0, 1], [1, 0]], counts.sum(axis=1)
    known = (total > 0) & bool(VIEWS["cloud"].judged(tells))
    false, missed = (float(w / t) if k else None for w, t, k in zip(wrong, total, known, strict=True))
    return {"scenes": len(scenes), "false": false, "missed": missed}
