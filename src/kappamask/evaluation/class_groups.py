"""Groups of classes, so that masks of fewer classes are compared fairly."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kappamask.evaluation.metrics import CLASSES, Scores, compute_rates
from kappamask.udf.schemes import CLEAR, CLOUD, SEMI_TRANSPARENT, SHADOW

__all__ = ["MERGED", "VIEWS", "ClassGroups"]

STANDS_FOR = {SHADOW: CLEAR, SEMI_TRANSPARENT: CLOUD}
"""What a mask without the class calls such pixels: shadow clear, thin cloud cloud (scheme table of `models`)."""


@dataclass(frozen=True)
class ClassGroups:
    """Groups of KappaMask classes that are scored as one.

    Together they are the classes 1 to 4.
    """

    title: str
    groups: Mapping[str, tuple[int, ...]]
    question: bool = False
    """Whether one group says nothing without the other, as in yes or no."""

    def merge_counts(self, matrix: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sum counts (…, 4, 5) of classes to groups (…, n, n + 1)."""
        codes = list(CLASSES.values())
        rows = np.array([[code in group for code in codes] for group in self.groups.values()], np.int64)
        return np.concatenate([rows @ matrix[..., :-1] @ rows.T, rows @ matrix[..., -1:]], axis=-1)

    def scored_groups(self, predicts: Collection[int]) -> tuple[str, ...]:
        """Return the groups that a mask with the classes `predicts` has.

        What stands for a class must be of the same group.
        """
        known = tuple(
            name
            for name, group in self.groups.items()
            if all(code in predicts or {STANDS_FOR.get(code)} & {*group} & {*predicts} for code in group)
        )
        return () if self.question and len(known) < len(self.groups) else known

    def scores(self, matrix: NDArray[np.int64], predicts: Collection[int] = tuple(CLASSES.values())) -> Scores:
        """Return `rates` of the groups from counts (4, 5) of the classes.

        None for what a mask of `predicts` cannot say.
        """
        return compute_rates(self.merge_counts(matrix), self.groups, self.scored_groups(predicts))


VIEWS = {
    "classes": ClassGroups("All classes", {name: (code,) for name, code in CLASSES.items()}),
    "merged": ClassGroups(
        "Semi-transparent cloud counted as cloud",
        {"clear": (CLEAR,), "shadow": (SHADOW,), "cloud": (SEMI_TRANSPARENT, CLOUD)},
    ),
    "cloud": ClassGroups(
        "Cloud of either kind against all else",
        {"no_cloud": (CLEAR, SHADOW), "cloud": (SEMI_TRANSPARENT, CLOUD)}, question=True,
    ),
    "shadow": ClassGroups(
        "Shadow against all else", {"no_shadow": (CLEAR, SEMI_TRANSPARENT, CLOUD), "shadow": (SHADOW,)}, question=True
    ),
    "valid": ClassGroups(
        "Clear against cloud and shadow", {"valid": (CLEAR,), "invalid": (SHADOW, SEMI_TRANSPARENT, CLOUD)},
        question=True,
    ),
}  # fmt: skip
"""Name -> view. Cloud, shadow and valid are the three questions of CloudSEN12 (Aybar et al. 2022)."""


MERGED = "merged"
"""The view of truths that do not tell thin cloud from thick."""


# Earlier names, which the documentation showed.
View = ClassGroups
