"""Draw patches from labelled data sets by shares of sets and kinds of place."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets import Patch
from kappamask.training.cutouts import CutOuts

__all__ = [
    "InterleavedPatches",
    "LabelledSets",
    "LoadedPatches",
    "weigh_patches",
]

#: Sampling weight by the kind that an image shows first, 1 where it is not named; tuned on what a network did worst.
KIND_SHARES: Final[Mapping[str, float]] = {
    "snow": 3.0, "harbour": 3.0, "shadow": 2.5, "city": 2.5, "cirrus": 4.0, "sand": 1.8, "cumulus": 1.6, "thin": 1.5,
    "thick": 1.5, "closed": 2.0, "fields": 0.8, "lake": 0.8, "water": 0.6, "frost": 0.5, "series": 0.5,
}  # fmt: skip
#: Share of the samples from own scenes that are clouds and shadows cut out of one and laid over another.
CUTOUT_SHARE: Final = 0.2
#: Share of labelled pixels below which an image is drawn less often.
HARDLY_JUDGED: Final = 0.15


class LoadedPatches(list[Patch]):
    """Labelled scenes of the user's own, held in memory."""


class LabelledSets:
    """Labelled sets to draw from, each set with the same probability.

    Within scenes of the user's own, places and kinds are drawn equally often; `CUTOUT_SHARE` of what is drawn from them
    are clouds and shadows of one laid over another.
    """

    def __init__(self, parts: Sequence[Sequence[Patch]]) -> None:
        self.parts = [part for part in parts if len(part)]
        self.shares = [weigh_patches(part) for part in self.parts]
        self.cutouts = [CutOuts(part if isinstance(part, LoadedPatches) else ()) for part in self.parts]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def draw(self, rng: np.random.Generator) -> Patch:
        """Draw a patch."""
        which = int(rng.integers(len(self.parts)))
        if len(self.cutouts[which]) and rng.random() < CUTOUT_SHARE:
            return self.cutouts[which].draw(rng)
        return self.parts[which][int(rng.choice(len(self.shares[which]), p=self.shares[which]))]


class InterleavedPatches(Sequence[Patch]):
    """Patches of several sets as one sequence, in turn.

    Each set occurs as often as the others, however large it is.
    """

    def __init__(self, parts: Sequence[Sequence[Patch]]) -> None:
        self.parts = [part for part in parts if len(part)]

    def __len__(self) -> int:
        return len(self.parts) * max(map(len, self.parts), default=0)

    @overload
    def __getitem__(self, index: int) -> Patch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Patch]: ...
    def __getitem__(self, index: int | slice) -> Patch | list[Patch]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        part = self.parts[index % len(self.parts)]
        return part[index // len(self.parts) % len(part)]


def weigh_patches(part: Sequence[Patch]) -> NDArray[np.float64]:
    """Return the probability of drawing each patch (n,); the sum is 1.

    Patches of published sets have equal weights; own scenes are weighted by place and kind.

    An image counts less the more of its place show the same, by the square root; `KIND_SHARES` by what it shows.
    """
    if not isinstance(part, LoadedPatches):
        return np.full(len(part), 1 / len(part))
    kinds = [(patch.group, patch.kinds[0] if patch.kinds else "") for patch in part]
    counts = Counter(kinds)
    judged = [float(np.mean(patch.class_sets() > 0)) for patch in part]
    weights = np.array([KIND_SHARES.get(kind[1], 1.0) / math.sqrt(counts[kind]) for kind in kinds])
    weights *= np.where(np.array(judged) < HARDLY_JUDGED, 0.3, 1.0)
    return np.asarray(weights / weights.sum())
