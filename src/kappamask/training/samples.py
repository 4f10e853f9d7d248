"""Draw what a batch is made of: pieces of labelled scenes and of tiles, and patchworks of labelled pixels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from kappamask.datasets import Patch, class_sets
from kappamask.training.material import Pixels
from kappamask.training.spectra import B02, BANDS, FloatArray
from kappamask.training.tiles import read_truth

#: Patches in a patchwork, each number as often, and the most that a pixel's noise deviates by.
PATCHES, GRAIN = (1, 1, 2, 4, 8), 0.05
#: Width of the rim of a cumulus in pixels, where thin cloud is cloud of either kind.
RIM_PX: Final = 3
#: How often an image is drawn by what it shows first, 1 where it is not named: chosen by what a network found worst.
KIND_SHARES: Final[Mapping[str, float]] = {
    "snow": 3.0, "harbour": 3.0, "city": 2.5, "cirrus": 4.0, "sand": 1.8, "cumulus": 1.6, "thin": 1.5, "thick": 1.5,
    "closed": 1.2, "fields": 0.8, "lake": 0.8, "water": 0.6, "frost": 0.5, "series": 0.5,
}  # fmt: skip
#: Share of judged pixels below which an image is drawn less often.
HARDLY_JUDGED: Final = 0.15
#: Deviation of B02 below which ground is flat, and the side of the square in pixels that it is taken over.
FLAT, AROUND_PX = 0.03, 15


@dataclass(frozen=True)
class Sample:
    """A piece of a scene with the classes that its pixels may be of, as in `datasets.class_sets`."""

    scene: FloatArray
    """Reflectance (13, y, x), NaN where absent."""
    sets: NDArray[np.uint8]
    sets_without_b10: NDArray[np.uint8]
    """Both (y, x): for one who sees B10, and for one who does not."""
    level: str = "L1C"
    flat: NDArray[np.bool_] | None = None
    """(y, x), where there is no texture to tell snow from cloud by; None: nowhere."""
    is_lone: bool = False
    """Whether there are no surroundings to tell shadow from dark land by."""


class LabelledSets:
    """Labelled sets to draw from: each set as often as the others; within own scenes, places and kinds alike."""

    def __init__(self, parts: Sequence[Sequence[Patch]]) -> None:
        self.parts = [part for part in parts if len(part)]
        self.shares = [weigh_patches(part) for part in self.parts]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def draw(self, rng: np.random.Generator) -> Patch:
        """Draw a patch."""
        which = int(rng.integers(len(self.parts)))
        return self.parts[which][int(rng.choice(len(self.shares[which]), p=self.shares[which]))]


class InterleavedPatches(Sequence[Patch]):
    """Patches of several sets as one sequence, each set as often as the others, however large it is."""

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
    """Return how often to draw each patch (n,), the sum 1: alike in published sets, by place and kind in own scenes.

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


class LoadedPatches(list[Patch]):
    """Own scenes, few enough to be kept in memory."""


def cut_patch(patch: Patch, side: int, where: NDArray[np.uint64]) -> Sample:
    """Cut a square of `side` from `patch`; one that is too small is put into a frame without data."""
    height, width = patch.truth.shape
    frame = ((0, max(0, side - height)), (0, max(0, side - width)))
    scene = np.pad(patch.stack(BANDS), ((0, 0), *frame), constant_values=np.nan)
    both = [np.pad(patch.class_sets(with_b10=seen), frame) for seen in (True, False)]
    image = cut(scene, side, where)
    sets, unseen = (cut(one, side, where) for one in both)
    return Sample(image, sets, unseen, patch.level, find_flat(image[B02]) if "snow" in patch.kinds else None)


def cut_tile(tile: NDArray[np.uint16], side: int, where: NDArray[np.uint64]) -> Sample:
    """Cut a square of `side` from a simulated tile (14, y, x).

    Thin cloud within `RIM_PX` of thick is cloud of either kind: the rim of a cumulus. What only B10 shows may be clear
    for one who does not see B10.
    """
    part = np.asarray(cut(tile, side, where))
    codes, only_b10 = read_truth(part[13])
    sets = class_sets.from_codes(codes)
    rim = (codes == 3) & ndimage.binary_dilation(codes == 4, iterations=RIM_PX)
    sets[rim] = class_sets.CLOUD_OF_EITHER_KIND
    unseen = np.where(only_b10, np.uint8(class_sets.CLEAR_OR_SEMI_TRANSPARENT), sets)
    scene = part[:13].astype(np.float32) / np.float32(1e4)
    return Sample(scene, sets, unseen, flat=find_flat(scene[B02]))


def find_flat(blue: FloatArray) -> NDArray[np.bool_]:
    """Find pixels (y, x) about which reflectance `blue` hardly deviates."""
    known = np.nan_to_num(blue)
    mean, square = (ndimage.uniform_filter(values, AROUND_PX) for values in (known, known**2))
    return np.asarray(square - mean**2 < FLAT**2)


def make_patchwork(pixels: Pixels, side: int, rng: np.random.Generator) -> Sample:
    """Make a square of patches of real spectra, each clear or cloud of either kind.

    One patch or a few; a third of them all cloudy, a third all clear. Colour alone must do where there is no shape.
    """
    kind = rng.integers(3)
    pool = np.flatnonzero((pixels.cloudy == bool(kind)) | (kind == 2))
    chosen = rng.choice(pool, int(rng.choice(PATCHES)))
    seeds = rng.uniform(0, side, (len(chosen), 2))
    far = [np.hypot(*(np.ogrid[:side, :side][axis] - seed[axis] for axis in (0, 1))) for seed in seeds]
    which = chosen[np.argmin(far, axis=0)]
    grain = np.float32(rng.uniform(0, GRAIN)) * rng.standard_normal((side, side), dtype=np.float32)
    scene = pixels.spectra[which].transpose(2, 0, 1) * np.exp(grain)
    sets = np.where(pixels.cloudy[which], class_sets.CLOUD_OF_EITHER_KIND, class_sets.CLEAR).astype(np.uint8)
    return Sample(scene, sets, sets, flat=np.ones(sets.shape, bool), is_lone=True)


def cut(array: NDArray[Any], side: int, where: NDArray[np.uint64]) -> NDArray[Any]:
    """Square of `side` from the last two axes of `array`, its corner taken from two random words."""
    y, x = (int(w % np.uint64(n - side + 1)) for w, n in zip(where, array.shape[-2:], strict=True))
    return array[..., y : y + side, x : x + side]
