"""What is kept of a mask that is judged scene by scene: counts, never pixels."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kappamask.evaluation.blocks import block_counts
from kappamask.evaluation.boundary import BANDS, edge_counts, without_band
from kappamask.evaluation.metrics import CLASSES, IGNORED, confusion
from kappamask.evaluation.reliability import BINS, reliability
from kappamask.udf.classes import CLEAR, CLOUD, SEMI_TRANSPARENT, SHADOW

__all__ = ["FEWEST", "Drawn", "Tally"]

Codes = NDArray[np.uint8]
Counts = NDArray[np.int64]
EMPTY = (len(CLASSES), len(CLASSES) + 1)
FEWEST = 2
"""Products or places below which squares of the one are drawn instead, and squares below which nothing is."""


class Drawn(NamedTuple):
    """What an interval rests on: `of` "groups" (products or places) or "blocks" (squares of the one that there is)."""

    of: str
    counts: list[NDArray[np.int64]]
    """`confusion` (4, 5) of each."""

    def told(self) -> dict[str, str | int]:
        """For JSON."""
        return {"of": self.of, "number": len(self.counts)}


def _bands() -> dict[int, Counts]:
    return {width: np.zeros(EMPTY, np.int64) for width in BANDS}


@dataclass
class Tally:
    """Counts of one mask: pooled over scenes, but for 160 bytes a scene and 160 a square of it, for intervals."""

    scenes: dict[str, Counts] = field(default_factory=dict)
    """Scene -> `confusion` (4, 5)."""
    group_of: dict[str, str] = field(default_factory=dict)
    """Scene -> its product or place: scenes of one are not independent."""
    blocks: dict[str, Counts] = field(default_factory=dict)
    """Scene -> `block_counts` (block, 4, 5)."""
    bands: dict[int, Counts] = field(default_factory=_bands)
    """Pixels on either side of edges that are left out -> the same of all scenes."""
    edges: Counts = field(default_factory=lambda: np.zeros((len(CLASSES), 4), np.int64))
    """`edge_counts` of all scenes."""
    bins: NDArray[np.float64] = field(default_factory=lambda: np.zeros((BINS, 3)))
    """`reliability` of all scenes."""

    @property
    def pooled(self) -> Counts:
        """`confusion` (4, 5) of all scenes."""
        return sum(self.scenes.values(), np.zeros(EMPTY, np.int64))

    def by_group(self, scenes: Collection[str] | None = None) -> list[Counts]:
        """`confusion` (4, 5) of each product or place, in the order of their names; of these scenes alone if given."""
        summed: dict[str, Counts] = {}
        for name in self.scenes if scenes is None else scenes:
            group = self.group_of[name]
            summed[group] = summed.get(group, 0) + self.scenes[name]
        return [summed[group] for group in sorted(summed)]

    def drawn(self, scenes: Collection[str] | None = None) -> Drawn:
        """What intervals of these scenes, or of all, are drawn from; of two masks of the same scenes the same."""
        groups = self.by_group(scenes)
        if len(groups) >= FEWEST:
            return Drawn("groups", groups)
        kept = sorted(self.scenes if scenes is None else scenes)
        return Drawn("blocks", [one for name in kept for one in self.blocks[name]])

    def add(
        self,
        scene: str,
        truth: Codes,
        mask: Codes,
        *,
        group: str | None = None,
        scores: NDArray[np.floating] | None = None,
        merge_thin: bool = False,
        merge_shadow: bool = False,
    ) -> None:
        """Count a scene: truth and mask in KappaMask codes (y, x), `scores` (4, y, x) of the classes where there are.

        group: the product or place; left out, the scene is one of its own. merge_thin: thin cloud counts as cloud.
        merge_shadow: shadow counts as clear, and `scores` are not looked at, for they part the two.
        Raises CubeError as `confusion` does, and then counts nothing.
        """
        merged = {SEMI_TRANSPARENT: CLOUD} if merge_thin else {}
        merged |= {SHADOW: CLEAR} if merge_shadow else {}
        true, found = (_merged(codes, merged) for codes in (truth, mask))
        matrix = confusion(true, found)
        self.scenes[scene] = self.scenes.get(scene, 0) + matrix
        blocks = block_counts(true, found)
        self.blocks[scene] = np.concatenate([self.blocks[scene], blocks]) if scene in self.blocks else blocks
        self.group_of[scene] = group or scene
        for width, counts in self.bands.items():
            inner = without_band(true, width)
            if not np.isin(inner, IGNORED).all():
                counts += confusion(inner, found)
        self.edges += edge_counts(true, found)
        if scores is not None and not merge_shadow:
            self.bins += reliability(scores, true, merge_thin=merge_thin)


def _merged(codes: Codes, classes: Mapping[int, int]) -> Codes:
    out = codes
    for one, other in classes.items():
        out = np.where(out == one, np.uint8(other), out)
    return out
