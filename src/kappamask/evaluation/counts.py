"""Count confusion by scene and block, and the reliability of scores."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kappamask.evaluation.boundary import BANDS, count_edge_pixels, remove_edge_band
from kappamask.evaluation.metrics import CLASSES, IGNORED, count_confusion
from kappamask.udf.schemes import CLEAR, CLOUD, SEMI_TRANSPARENT, SHADOW

__all__ = [
    "BINS",
    "FEWEST",
    "SIDE",
    "ConfusionCounts",
    "MergedClasses",
    "ResamplingUnits",
    "compute_calibration_error",
    "count_blocks",
    "count_reliability",
]

BINS = 15
"""Of the highest score (Guo et al. 2017)."""
SIDE = 128
"""Pixels: a cumulus and its shadow lie within 1.3 km, so that neighbours are nearly, but not quite, independent."""
COLUMNS = len(CLASSES) + 1
CELLS = len(CLASSES) * COLUMNS
Codes = NDArray[np.uint8]
Counts = NDArray[np.int64]
EMPTY = (len(CLASSES), len(CLASSES) + 1)
FEWEST = 2
"""Products or places below which squares of the one are drawn instead, and squares below which nothing is."""


def count_reliability(
    scores: NDArray[np.floating], truth: NDArray[np.uint8], *, merge_thin: bool = False
) -> NDArray[np.float64]:
    """Count pixels by the highest score, in `BINS`: (bin, 3).

    Columns: pixels, the sum of that score, and how many pixels are right.

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
    sums = [np.bincount(places, weight, BINS) for weight in (np.ones_like(best), best, right)]
    return np.stack(sums, axis=1).astype(np.float64, copy=False)


def compute_calibration_error(bins: NDArray[np.float64]) -> float | None:
    """Return the expected calibration error of `count_reliability`; None for no pixel.

    The mean distance of score and share of right pixels.
    """
    pixels, score, right = bins.T
    return float(np.abs(score - right).sum() / pixels.sum()) if pixels.sum() else None


def count_blocks(truth: NDArray[np.uint8], mask: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.int64]:
    """Count `count_confusion` of every square of `side` px, row by row: (block, 4, 5).

    Squares without a judged pixel are left out.

    truth, mask: codes 0 to 5 and 255, (y, x). The truth alone decides which squares are kept, so that those of two
    masks go together.
    """
    rows = range(0, truth.shape[0], side)
    return np.concatenate([_count_row(truth[y : y + side], mask[y : y + side], side) for y in rows])


def _count_row(truth: NDArray[np.uint8], mask: NDArray[np.uint8], side: int) -> NDArray[np.int64]:
    """Count the squares of one row.

    Row by row, because a whole product at once takes gigabytes.
    """
    across = -(-truth.shape[1] // side)
    judged = ~np.isin(truth, IGNORED)
    places = np.broadcast_to(np.arange(truth.shape[1]) // side, truth.shape)[judged]
    rows, columns = (codes[judged].astype(np.int64) - 1 for codes in (truth, mask))
    columns = np.where((columns >= 0) & (columns < len(CLASSES)), columns, len(CLASSES))
    flat = places * CELLS + rows * COLUMNS + columns
    counts = np.bincount(flat, minlength=across * CELLS).reshape(-1, len(CLASSES), COLUMNS)
    return counts[counts.any(axis=(1, 2))]


class ResamplingUnits(NamedTuple):
    """The units that bootstrap draws from.

    `of` "groups" (products or places) or "blocks" (squares of the only one).
    """

    of: str
    counts: list[NDArray[np.int64]]
    """`count_confusion` (4, 5) of each."""

    def as_json(self) -> dict[str, str | int]:
        """Return the units as JSON holds them."""
        return {"of": self.of, "number": len(self.counts)}


@dataclass(frozen=True)
class MergedClasses:
    """Classes that count as another one."""

    thin: bool = False
    """Thin cloud counts as cloud."""
    shadow: bool = False
    """Shadow counts as clear."""

    @property
    def codes(self) -> dict[int, int]:
        """Code -> the code that it counts as."""
        return ({SEMI_TRANSPARENT: CLOUD} if self.thin else {}) | ({SHADOW: CLEAR} if self.shadow else {})


NOTHING_MERGED: Final = MergedClasses()


def _create_band_counts() -> dict[int, Counts]:
    return {width: np.zeros(EMPTY, np.int64) for width in BANDS}


@dataclass
class ConfusionCounts:
    """Counts of one mask, pooled over scenes, and for intervals by scene and block.

    They take 160 bytes a scene and 160 a block.
    """

    scenes: dict[str, Counts] = field(default_factory=dict)
    """Scene -> `count_confusion` (4, 5)."""
    group_of: dict[str, str] = field(default_factory=dict)
    """Scene -> its product or place: scenes of one are not independent."""
    blocks: dict[str, Counts] = field(default_factory=dict)
    """Scene -> `count_blocks` (block, 4, 5)."""
    bands: dict[int, Counts] = field(default_factory=_create_band_counts)
    """Pixels on either side of edges that are left out -> the same of all scenes."""
    edges: Counts = field(default_factory=lambda: np.zeros((len(CLASSES), 4), np.int64))
    """`count_edge_pixels` of all scenes."""
    bins: NDArray[np.float64] = field(default_factory=lambda: np.zeros((BINS, 3)))
    """`count_reliability` of all scenes."""

    @property
    def confusion_matrix(self) -> Counts:
        """`count_confusion` (4, 5) of all scenes."""
        return sum(self.scenes.values(), np.zeros(EMPTY, np.int64))

    def by_group(self, scenes: Collection[str] | None = None) -> list[Counts]:
        """Return `count_confusion` (4, 5) of each product or place, in the order of their names.

        scenes: count these alone.
        """
        summed: dict[str, Counts] = {}
        for name in self.scenes if scenes is None else scenes:
            group = self.group_of[name]
            summed[group] = summed.get(group, 0) + self.scenes[name]
        return [summed[group] for group in sorted(summed)]

    def resampling_units(self, scenes: Collection[str] | None = None) -> ResamplingUnits:
        """Return the units that intervals of these scenes, or of all, are drawn from.

        They are the same for two masks of the same scenes.
        """
        groups = self.by_group(scenes)
        if len(groups) >= FEWEST:
            return ResamplingUnits("groups", groups)
        kept = sorted(self.scenes if scenes is None else scenes)
        return ResamplingUnits("blocks", [one for name in kept for one in self.blocks[name]])

    def add(
        self,
        scene: str,
        truth: Codes,
        mask: Codes,
        *,
        group: str | None = None,
        scores: NDArray[np.floating] | None = None,
        merge: MergedClasses = NOTHING_MERGED,
    ) -> None:
        """Count a scene: truth and mask in KappaMask codes (y, x).

        `scores` (4, y, x) of the classes where there are.

        group: the product or place; left out, the scene is one of its own. merge: classes that count as another one;
        where shadow does, `scores` are not used, because they separate the two.
        Raises CubeError as `count_confusion` does, and then counts nothing.
        """
        true, found = (_replace_codes(codes, merge.codes) for codes in (truth, mask))
        matrix = count_confusion(true, found)
        self.scenes[scene] = self.scenes.get(scene, 0) + matrix
        blocks = count_blocks(true, found)
        self.blocks[scene] = np.concatenate([self.blocks[scene], blocks]) if scene in self.blocks else blocks
        self.group_of[scene] = group or scene
        for width, counts in self.bands.items():
            inner = remove_edge_band(true, width)
            if not np.isin(inner, IGNORED).all():
                counts += count_confusion(inner, found)
        self.edges += count_edge_pixels(true, found)
        if scores is not None and not merge.shadow:
            self.bins += count_reliability(scores, true, merge_thin=merge.thin)


def _replace_codes(codes: Codes, classes: Mapping[int, int]) -> Codes:
    out = codes
    for one, other in classes.items():
        out = np.where(out == one, np.uint8(other), out)
    return out


# Earlier names, which the documentation showed.
reliability = count_reliability
