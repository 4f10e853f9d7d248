"""Make training batches on the GPU, from parts in its memory.

A GPU trains a thousand crops in the time in which a core makes a hundred, so a batch from NumPy would keep it waiting.
The shares, spreads and formulas are those of `batches`; the random numbers are others.
"""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from kappamask.datasets import class_sets
from kappamask.training.augmentation import (
    FILL,
    GAIN,
    L2A_SHARE,
    LEVELS,
    OFFSETS,
    SEES_LAND,
    SNOW_B02,
    SNOW_B11,
    UNLIT,
    WRONG_LEVEL,
    draw_air,
    draw_bands,
    draw_dry_light,
    draw_saturation,
)
from kappamask.training.batches import PIXEL_SHARE, SIDES, Batch, Sides
from kappamask.training.gpu.images import (
    create_generator,
    drop_nodata_corners,
    to_device_of,
    to_planes,
    turn_each,
    zoom,
)
from kappamask.training.gpu.paint import measure_vapour_ratios, paint_batch
from kappamask.training.gpu.store import TensorStore, count_capacity
from kappamask.training.model_card import SUBSTITUTES
from kappamask.training.samples import AROUND_PX, FLAT, GRAIN, PATCHES, RIM_PX
from kappamask.training.simulator.components import SkyParameters, read_sky
from kappamask.training.simulator.materials import load_ground, read_pixels
from kappamask.training.simulator.paint import CLOUD, ONLY_B10, THIN
from kappamask.training.simulator.sky import EDGE_PX
from kappamask.training.simulator.spectra import (
    B02,
    B8A,
    B10,
    B11,
    BANDS,
    MEAN,
    STD,
    FloatArray,
    compute_surface_factors,
)
from kappamask.training.simulator.tiles import LAYERS, SIZE

__all__ = ["DeviceSource", "find_flat", "restrict_sets", "to_sets"]

#: Small chips for one large crop, at most: more would take longer to draw than to train on.
MOST_CHIPS: Final = 4


class DeviceSource:
    """Make batches on `device` from simulated skies and grounds, without labelled scenes.

    Otherwise as `TileBatches`. capacity: pairs to hold; left out, as many as fit.
    """

    def __init__(self, parts: Path, data: Path, device: str, capacity: int | None = None, sides: Sides = SIDES) -> None:
        self.folder, self.device, self.sides = parts, device, sides
        pixels, self.thick = read_pixels(data), load_ground(data).clouds
        self.spectra = torch.from_numpy(pixels.spectra).to(device)
        self.cloudy = pixels.cloudy
        room = capacity or count_capacity(device)
        self.grounds = TensorStore((room, 13, SIZE, SIZE), torch.int16, device)
        self.skies = TensorStore((room, 2 * LAYERS + 1, SIZE + 2 * EDGE_PX, SIZE), torch.float16, device)
        self.numbers: list[SkyParameters] = []
        self.refresh()

    def refresh(self) -> None:
        """Store new skies and grounds; raises FileNotFoundError if there are none."""
        for path in self.grounds.new(self.folder, "ground-*.npy"):
            self.grounds.add(path, np.load(path))
        for path in self.skies.new(self.folder, "sky-*.npz"):
            planes, numbers = read_sky(path)
            self.skies.add(path, planes)
            self.numbers.append(numbers)

    def batch(self, seed: int, step: int, count: int) -> Batch:
        """Make batch number `step` of `count` samples of the largest size.

        Of smaller sizes there are more samples; all have one zoom.
        """
        rng = np.random.default_rng([seed, step])
        sides, shares = zip(*self.sides, strict=True)
        side, size = sides[int(rng.choice(len(sides), p=shares))]
        count *= min(MOST_CHIPS, (max(after for _, after in sides) // size) ** 2)
        works = int(rng.binomial(count, PIXEL_SHARE))
        parts = self._paint_crops(count - works, side, rng), self._make_patchworks(works, side, rng)
        scene, sets = (torch.cat(both) for both in zip(*parts, strict=True))
        has_surroundings = np.arange(count) < count - works
        image, sets = turn_each(self._observe_scene(scene, sets, has_surroundings, rng), rng)
        return drop_nodata_corners(Batch(*zoom(image, sets, size)), rng)

    def _paint_crops(self, count: int, side: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Paint pieces of skies over pieces of grounds.

        Returns reflectance (n, 13, y, x) and sets of classes (n, y, x).
        """
        ground = self.grounds.cut(count, side, side, rng)[0].float() / 1e4
        ground = turn_each((ground,), rng)[0]
        planes, which = self.skies.cut(count, side, side + 2 * EDGE_PX, rng)
        scene, truth = paint_batch(ground, planes, [self.numbers[i] for i in which], self.thick, rng)
        return scene, to_sets(truth)

    def _make_patchworks(self, count: int, side: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Make patchworks of labelled pixels, as `samples.make_patchwork` does."""
        most = max(PATCHES)
        chosen = np.array([self._choose_pixels(most, rng) for _ in range(count)], np.int64).reshape(count, most)
        seeds = rng.uniform(0, side, (count, most, 2))
        seeds[np.arange(most) >= rng.choice(PATCHES, count)[:, None]] = 1e6
        grid = torch.arange(side, device=self.device, dtype=torch.float32)
        at = to_device_of(seeds.astype(np.float32), grid)[..., None]
        near = ((grid - at[:, :, 0])[..., None] ** 2 + (grid - at[:, :, 1])[:, :, None] ** 2).argmin(dim=1)
        which = to_device_of(chosen, near).gather(1, near.flatten(1)).view(near.shape)
        noise = torch.randn(near.shape, generator=create_generator(near.device, rng), device=near.device)
        grain = to_device_of(rng.uniform(0, GRAIN, (count, 1, 1)).astype(np.float32), near) * noise
        cloudy = to_device_of(self.cloudy, near)[which]
        sets = torch.where(cloudy, class_sets.CLOUD_OF_EITHER_KIND, class_sets.CLEAR)
        return self.spectra[which].permute(0, 3, 1, 2) * torch.exp(grain)[:, None], sets

    def _choose_pixels(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        kind = rng.integers(3)
        return rng.choice(np.flatnonzero((self.cloudy == bool(kind)) | (kind == 2)), count)

    def _observe_scene(
        self, scene: Tensor, sets: Tensor, has_surroundings: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Make input (n, 14, y, x) and class sets, as `augmentation.observe` does."""
        count = len(scene)
        level = self._to_surface(scene, np.flatnonzero(rng.random(count) < L2A_SHARE), rng)
        spread = np.where(has_surroundings & (rng.random(count) < UNLIT[0]), UNLIT[1], GAIN[0])[:, None]
        gain = np.exp(spread * rng.standard_normal((count, 1)) * SEES_LAND + rng.normal(0, GAIN[1], (count, 13)))
        gain, offset = gain.astype(np.float32), (rng.normal(0, 1, (count, 13)) * OFFSETS).astype(np.float32)
        dry = np.array([draw_dry_light(rng) for _ in range(count)], np.float32)
        scene[:, B10] += to_device_of(dry, scene)[:, None, None] * scene[:, [B8A, B11]].mean(dim=1)
        kept = np.stack([draw_bands(rng) for _ in range(count)])
        kept[:, B10] &= level == LEVELS["L1C"]
        low, mean = np.stack([draw_saturation(rng) for _ in range(count)]), MEAN[None]
        seen = torch.minimum(scene * to_planes(gain, scene) + to_planes(offset, scene), to_planes(low, scene))
        for band, other in SUBSTITUTES.items():
            _copy_plane(seen, kept, BANDS.index(other), BANDS.index(band))
        image = torch.where(
            to_planes(kept, scene) > 0, (seen - to_planes(mean, scene)) / to_planes(STD[None], scene), float(FILL)
        )
        given = np.where(rng.random(count) < WRONG_LEVEL, LEVELS["L1C"] + LEVELS["L2A"] - level, level)
        plane = to_device_of(given.astype(np.float32), scene)[:, None, None, None].expand(-1, 1, *scene.shape[2:])
        return torch.cat((image, plane), dim=1), restrict_sets(sets, seen, to_device_of(kept, scene))

    def _to_surface(self, scene: Tensor, which: NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
        """Convert the samples numbered `which` to L2A; return every sample's level.

        The level is encoded as the network has it.
        """
        level = np.full(len(scene), LEVELS["L1C"], np.float32)
        if len(which):
            level[which] = LEVELS["L2A"]
            part = scene[to_device_of(which, scene)]
            pairs = [compute_surface_factors(float(r), *draw_air(rng)) for r in measure_vapour_ratios(part)]
            air, scale = (to_planes(np.stack(values), scene) for values in zip(*pairs, strict=True))
            scene[to_device_of(which, scene)] = ((part - air) / scale).clamp(min=1e-4)
        return level


def _copy_plane(seen: Tensor, kept: NDArray[np.bool_], source: int, target: int) -> None:
    """Give the samples without band number `target` the values of number `source`, in place."""
    which = np.flatnonzero(kept[:, source] & ~kept[:, target])
    seen[which, target] = seen[which, source]
    kept[which, target] = True


def to_sets(truth: Tensor) -> Tensor:
    """Convert the simulator's codes (n, y, x) to sets, as `samples.crop_tile` does.

    `ONLY_B10` stays added.
    """
    thick = truth == CLOUD
    near = functional.max_pool2d(thick.float()[:, None], RIM_PX * 2 + 1, 1, RIM_PX)[:, 0] > 0
    only_b10 = torch.where(truth >= ONLY_B10, ONLY_B10, 0)
    codes = truth - only_b10
    sets = torch.where(codes > 0, 2 ** (codes - 1).clamp(min=0), class_sets.NOT_JUDGED)
    return torch.where((codes == THIN) & near, class_sets.CLOUD_OF_EITHER_KIND, sets + only_b10)


def restrict_sets(sets: Tensor, scene: Tensor, kept: Tensor) -> Tensor:
    """Return the class sets (n, y, x) seen with the bands `kept` (n, 13)."""
    only_b10, blind = sets >= ONLY_B10, ~kept[:, B10, None, None]
    sets = torch.where(only_b10, torch.where(blind, class_sets.CLEAR_OR_SEMI_TRANSPARENT, sets - ONLY_B10), sets)
    snowy = torch.where(kept[:, B11, None, None], scene[:, B11], 1.0) > SNOW_B11
    unknown = (sets == class_sets.CLEAR) & (scene[:, B02] > SNOW_B02) & snowy & find_flat(scene[:, B02])
    return torch.where(unknown, class_sets.NOT_JUDGED, sets)


def find_flat(blue: Tensor) -> Tensor:
    """Find pixels (n, y, x) where `blue` hardly varies, as `samples.find_flat` does."""
    mean, square = (
        functional.avg_pool2d(values[:, None], AROUND_PX, 1, AROUND_PX // 2, count_include_pad=False)[:, 0]
        for values in (blue, blue**2)
    )
    return square - mean**2 < FLAT**2
