"""Make training batches on the CPU, from tiles, labelled sets and labelled pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from kappamask.training.appearance import add_aerosol, vary_relief, vary_shadow
from kappamask.training.augmentation import drop_nodata_corners, observe
from kappamask.training.labelled import LabelledSets
from kappamask.training.samples import Sample, crop_patch, crop_tile, make_patchwork
from kappamask.training.simulator.materials import read_pixels

__all__ = [
    "PIXEL_SHARE",
    "SIDES",
    "Batch",
    "Batches",
    "Sides",
    "TileBatches",
    "list_tiles",
]

#: Side in pixels of a crop before and after zooming, and its probability; a batch of small chips has more of them.
#: Real patches are 256 px wide, so half of that is how cumulus at 20 m is learnt from them.
Sides = tuple[tuple[tuple[int, int], float], ...]
SIDES: Final[Sides] = (
    ((160, 256), 0.12), ((256, 256), 0.42), ((384, 256), 0.10), ((512, 256), 0.10), ((256, 128), 0.12),
    ((128, 128), 0.07), ((64, 64), 0.07),
)  # fmt: skip
#: Share of samples that are patchworks of labelled pixels.
PIXEL_SHARE: Final = 0.12
#: Most real patches are 256 px wide: larger crops pad them with nodata, and so draw them less often.
LARGE_PX, LARGE_SHARE = 256, 0.3


@dataclass(frozen=True)
class Batch:
    """One batch of network inputs and class sets.

    `image` float32 (n, 14, y, x), and `sets` int64 (n, y, x), the classes that a pixel may have (`class_sets`).
    """

    image: Tensor
    sets: Tensor

    def to_device(self, device: str) -> Batch:
        """Copy the batch to `device`."""
        return Batch(self.image.to(device), self.sets.to(device))


class Batches(Protocol):
    """A source of training batches."""

    def refresh(self) -> None:
        """List new files."""

    def batch(self, seed: int, step: int, count: int) -> Batch:
        """Make batch number `step` of `count` samples; the same for the same numbers."""
        ...


class TileBatches:
    """Make batches from simulated tiles, labelled sets and the pixel table.

    `share` of the samples are from labelled sets.
    """

    def __init__(
        self,
        tiles: Path,
        data: Path,
        labelled: LabelledSets | None = None,
        share: float = 0.5,
        sides: Sides = SIDES,
    ) -> None:
        self.folder, self.sides, self.pixels = tiles, sides, read_pixels(data)
        self.labelled, self.share = labelled, share if labelled else 0.0
        self.paths: list[Path] = []
        self.refresh()

    def refresh(self) -> None:
        """List the tiles again; raises FileNotFoundError if there are none."""
        self.paths = list_tiles(self.folder)

    def batch(self, seed: int, step: int, count: int) -> Batch:
        """Make batch number `step` of `count` samples of the largest size.

        Of smaller sizes there are more samples, with as many pixels.
        """
        rng = np.random.default_rng([seed, step])
        sides, shares = zip(*self.sides, strict=True)
        side, size = sides[int(rng.choice(len(sides), p=shares))]
        largest = max(after for _, after in sides)
        samples = [observe(self._draw(side, rng), rng) for _ in range(count * (largest // size) ** 2)]
        image, sets = (torch.from_numpy(np.stack(parts)) for parts in zip(*samples, strict=True))
        if side != size:
            mode = "area" if side > size else "bilinear"
            image = torch.nn.functional.interpolate(image, (size, size), mode=mode)
            index = ((torch.arange(size) + 0.5) * side / size).long()
            sets = sets[:, index][:, :, index]
        drop_nodata_corners(image, sets, rng)
        return Batch(image, sets)

    def _draw(self, side: int, rng: np.random.Generator) -> Sample:
        kind = rng.random()
        if kind < PIXEL_SHARE:
            return make_patchwork(self.pixels, side, rng)
        share = self.share * (LARGE_SHARE if side > LARGE_PX else 1.0)
        if self.labelled and kind < PIXEL_SHARE + share * (1 - PIXEL_SHARE):
            sample = crop_patch(self.labelled.draw(rng), side, rng.bit_generator.random_raw(2))
            return add_aerosol(vary_shadow(vary_relief(sample, rng), rng), rng)
        path = self.paths[int(rng.integers(len(self.paths)))]
        tile = np.load(path, mmap_mode="r")
        return vary_shadow(crop_tile(tile, side, rng.bit_generator.random_raw(2)), rng)


def list_tiles(folder: Path) -> list[Path]:
    """List the tiles in `folder`, in order.

    Raises FileNotFoundError if there are none.
    """
    paths = sorted(folder.glob("*.npy"))
    if not paths:
        raise FileNotFoundError(f"No tiles in {folder}; make some with kappamask simulate -o {folder}.")
    return paths
