"""What a batch is made of: pieces of labelled scenes, and patchworks of labelled pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets import Patch
from kappamask.training.material import Pixels
from kappamask.training.spectra import BANDS, FloatArray

#: Patches in a patchwork, each number as often, and the most that a pixel's noise deviates by.
PATCHES, GRAIN = (1, 1, 2, 4, 8), 0.05


@dataclass(frozen=True)
class Sample:
    """Reflectance `scene` (13, y, x) of `level`, its `truth` (y, x), and whether 4 in it means 3 or 4."""

    scene: FloatArray
    truth: NDArray[Any]
    level: str = "L1C"
    merged: bool = False


class Joined(Sequence[Patch]):
    """Patches of several sets, each set as often as the others, however large it is."""

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


def piece(patch: Patch, side: int, where: NDArray[np.uint64]) -> Sample:
    """A square of `side` from `patch`; one that is too small is put into a frame without data."""
    height, width = patch.truth.shape
    frame = ((0, max(0, side - height)), (0, max(0, side - width)))
    scene = np.pad(patch.stack(BANDS), ((0, 0), *frame), constant_values=np.nan)
    truth = np.pad(patch.truth, frame)
    return Sample(cut(scene, side, where), cut(truth, side, where), patch.level, patch.merged)


def patchwork(pixels: Pixels, side: int, rng: np.random.Generator) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Patches of real spectra, float32 (13, side, side), and their truth: 4 cloud of either kind, 1 clear.

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
    return scene, np.where(pixels.cloudy[which], 4, 1).astype(np.uint8)


def cut(array: NDArray[Any], side: int, where: NDArray[np.uint64]) -> NDArray[Any]:
    """Square of `side` from the last two axes of `array`, its corner taken from two random words."""
    y, x = (int(w % np.uint64(n - side + 1)) for w, n in zip(where, array.shape[-2:], strict=True))
    return array[..., y : y + side, x : x + side]
