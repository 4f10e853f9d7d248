"""How scores are spread over patches: the median, and shares of low, middling and high ones, as CloudSEN12 has them."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from kappamask.evaluation.metrics import CLASSES
from kappamask.evaluation.views import VIEWS

__all__ = ["LIMITS", "QUESTIONS", "share_of_patches", "spread"]

LIMITS = (0.1, 0.9)
"""Below the first a patch is low, from the second on high (Aybar et al. 2022, table 6, as remembered by others)."""
QUESTIONS = {"cloud": "cloud", "shadow": "shadow", "valid": "invalid"}
"""View -> the group whose scores are spread."""
SPREAD = ("recall", "precision", "balanced_accuracy")
"""Producer's and user's accuracy, and what CloudSEN12 calls balanced overall accuracy."""
Spread = dict[str, float | int | None]


def share_of_patches(
    patches: Sequence[NDArray[np.int64]], tells: Collection[int] = tuple(CLASSES.values())
) -> dict[str, dict[str, Spread]]:
    """`spread` of `SPREAD` of cloud, shadow and invalid over counts (4, 5) of patches."""
    return {
        group: _spreads([VIEWS[view].scores(one, tells) for one in patches], group) for view, group in QUESTIONS.items()
    }


def _spreads(scored: Sequence[dict[str, dict[str, float | None]]], group: str) -> dict[str, Spread]:
    return {rate: spread([one[rate][group] for one in scored]) for rate in SPREAD}


def spread(values: Sequence[float | None]) -> Spread:
    """`median`, `low`, `middle` and `high` (shares of the patches, which sum to 1) and `patches` with a value."""
    known = np.array([value for value in values if value is not None])
    if not known.size:
        return {"median": None, "low": None, "middle": None, "high": None, "patches": 0}
    low, high = float((known < LIMITS[0]).mean()), float((known >= LIMITS[1]).mean())
    middle = float(((known >= LIMITS[0]) & (known < LIMITS[1])).mean())
    return {"median": float(np.median(known)), "low": low, "middle": middle, "high": high, "patches": known.size}
