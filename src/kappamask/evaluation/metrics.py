"""Compute scores of a mask from one confusion matrix pooled over all pixels."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kappamask.models import CubeError
from kappamask.udf.schemes import CLEAR, CLOUD, SEMI_TRANSPARENT, SHADOW

__all__ = [
    "CLASSES",
    "IGNORED",
    "RATES",
    "PairScores",
    "Scores",
    "compute_rates",
    "compute_ratios",
    "compute_scores",
    "count_confusion",
    "mean_defined",
]

CLASSES = {"clear": CLEAR, "shadow": SHADOW, "semi_transparent": SEMI_TRANSPARENT, "cloud": CLOUD}
"""The classes that are scored, as in the KappaMask paper's tables."""
IGNORED = (0, 5, 255)
"""Codes of a truth that are left out: undefined, missing, outside."""
RATES = ("dice", "precision", "recall", "overall_accuracy", "balanced_accuracy", "iou")
"""Scores of a class, those of the paper's tables first."""

Scores = dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class PairScores:
    """Scores of one mask file against one truth file, and which classes they are about."""

    scores: Scores
    merges_thin: bool
    """Thin cloud counts as cloud, as the truth does not tell them apart, or the caller says so."""
    merges_shadow: bool
    """Shadow counts as clear, as the truth's scheme has no shadow."""
    lacking: tuple[str, ...]
    """Classes that the mask's scheme does not have; they are not scored."""
    unnamed: tuple[str, ...] = ()
    """Which of truth and mask name no scheme: their codes are taken for KappaMask's."""
    unplaced: tuple[str, ...] = ()
    """Which of truth and mask alone has no georeference: its rows are taken to run from north to south."""


def count_confusion(truth: ArrayLike, mask: ArrayLike, *, merge_thin: bool = False) -> NDArray[np.int64]:
    """Count pixels (4, 5): rows are true classes 1 to 4, columns the mask's.

    The last column is anything else.

    Pixels whose truth is in `IGNORED` are left out. A mask that says undefined or missing where the truth has a
    class is wrong there, so there is a fifth column. `merge_thin` makes semi-transparent cloud (3) cloud (4) in both,
    for truths that do not tell them apart.
    Raises CubeError if the shapes differ, a code is unknown, or no pixel is left.
    """
    true, found = np.asarray(truth), np.asarray(mask)
    if true.shape != found.shape:
        raise CubeError(f"The truth has the shape {true.shape}, the mask {found.shape}; both need the same.")
    unknown = np.setdiff1d(np.concatenate([np.unique(true), np.unique(found)]), [*CLASSES.values(), *IGNORED])
    if unknown.size:
        raise CubeError(f"Codes {unknown.tolist()} are no KappaMask classes: known are 0 to 5, and 255 for outside.")
    counted = ~np.isin(true, IGNORED)
    if not counted.any():
        raise CubeError("The truth labels no pixel: it holds only 0, 5 or 255.")
    rows, columns = _class_indices(true[counted], merge_thin), _class_indices(found[counted], merge_thin)
    flat = np.bincount(rows * (len(CLASSES) + 1) + columns, minlength=len(CLASSES) * (len(CLASSES) + 1))
    return flat.reshape(len(CLASSES), len(CLASSES) + 1)


def compute_scores(truth: ArrayLike, mask: ArrayLike, merge_thin: bool = False) -> Scores:
    """Return the scores of each class as `rates` does, and `all`, their plain mean.

    The mean is over the classes that are defined.

    truth, mask: KappaMask codes of the same shape. Definitions: sections 5 and 6 of the metrics in Domnich et al. 2021
    (KappaMask), pooled over pixels. Raises CubeError as `count_confusion` does.
    """
    return compute_rates(count_confusion(truth, mask, merge_thin=merge_thin))


def compute_rates(
    matrix: NDArray[np.int64], names: Iterable[str] = CLASSES, judged: Collection[str] | None = None
) -> Scores:
    """Return the scores of each class in `names`, and `all`, their plain mean.

    counts: a matrix (n, n + 1). Scores are 0 to 1 or None.

    matrix: as `count_confusion` returns it, or a sum of such. judged: the classes that the mask can tell; others are
    None and no part of `all`, as the dashes in the tables of Domnich et al. 2021.
    Dice, precision (user's accuracy), recall (producer's accuracy), one-vs-rest overall accuracy, balanced accuracy
    (mean of the shares of right pixels in the class and outside it), IoU. None where a score is not defined: dice,
    accuracy and IoU where neither has the class, precision where the mask, recall where the truth lacks it, balanced
    accuracy where the truth has nothing else or nothing of it. `pixels` counts the truth.
    """
    listed = list(names)
    table = np.where([judged is None or name in judged for name in listed], compute_ratios(matrix), np.nan)
    counts: dict[str, float | None] = {name: int(n) for name, n in zip(listed, matrix.sum(axis=1), strict=True)}
    named = {key: _name_values(values, listed) for key, values in zip(RATES, table, strict=True)}
    return named | {"pixels": counts | {"all": int(matrix.sum())}}


def compute_ratios(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return `RATES` (6, …, class) of counts (…, n, n + 1).

    NaN where not defined.

    counts: as `count_confusion` returns them.
    """
    hit = np.diagonal(matrix, axis1=-2, axis2=-1).astype(float)
    true, found = matrix.sum(axis=-1), matrix[..., :-1].sum(axis=-2)
    either, total = true + found, true.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, right = hit / true, (total - either + 2 * hit) / total
        elsewhere = (total - either + hit) / (total - true)
        accuracy = np.where(either > 0, right, np.nan)
        return np.stack(
            [2 * hit / either, hit / found, recall, accuracy, (recall + elsewhere) / 2, hit / (either - hit)]
        )


def mean_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average along the last axis, which stays, over what is defined; else NaN."""
    known = np.isfinite(values)
    total, count = np.where(known, values, 0).sum(axis=-1, keepdims=True), known.sum(axis=-1, keepdims=True)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _class_indices(codes: NDArray[Any], merge_thin: bool) -> NDArray[np.int64]:
    """Map classes 1 to 4 to 0 to 3, anything else to 4."""
    merged = np.where(codes == SEMI_TRANSPARENT, CLOUD, codes) if merge_thin else codes
    places = merged.astype(np.int64) - CLEAR
    return np.where((places >= 0) & (places < len(CLASSES)), places, len(CLASSES))


def _name_values(values: NDArray[np.float64], names: list[str]) -> dict[str, float | None]:
    listed = zip([*names, "all"], [*values, *mean_defined(values)], strict=True)
    return {name: float(v) if np.isfinite(v) else None for name, v in listed}


# Earlier names, which the documentation showed.
confusion = count_confusion
rates = compute_rates
scores = compute_scores
