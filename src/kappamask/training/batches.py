"""Make batches: crops, zoom, jitter, dropped bands, nodata wedges; every batch follows from (seed, step)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kappamask.datasets import class_sets
from kappamask.training.material import read_pixels
from kappamask.training.samples import LabelledSets, Sample, cut_patch, cut_tile, make_patchwork
from kappamask.training.spectra import B02, B09, B10, B11, BANDS, MEAN, STD, FloatArray, to_surface

#: Value of a band that is absent or a pixel without data, after z-scoring.
FILL: Final = np.float32(-2.0)
LEVELS: Final = {"L1C": 0.0, "L2A": 1.0}
SIX: Final = ("B02", "B03", "B04", "B08", "B11", "B12")
#: Which bands a sample keeps, and how often; None keeps the visible bands and each other one by the toss of a coin.
BAND_SETS: Final[tuple[tuple[float, tuple[str, ...] | None], ...]] = (
    (0.24, BANDS),
    (0.08, tuple(b for b in BANDS if b != "B10")),
    (0.18, SIX),
    (0.12, tuple(b for b in BANDS if b not in ("B01", "B09", "B10"))),
    (0.20, ("B02", "B03", "B04")),
    (0.12, ("B02", "B03", "B04", "B08")),
    (0.10, None),
)
#: Pixels of a crop before and after zooming, and how often; a batch of small chips has more of them.
Sides = tuple[tuple[tuple[int, int], float], ...]
SIDES: Final[Sides] = (
    ((160, 256), 0.16), ((256, 256), 0.48), ((384, 256), 0.12), ((512, 256), 0.08), ((128, 128), 0.08), ((64, 64), 0.08)
)  # fmt: skip
#: Real patches are 256 px wide for the most part: in larger crops they are framed by nothing, and so are drawn less.
LARGE_PX, LARGE_SHARE = 256, 0.3
#: Deviation of the logarithm of a sample's brightness, and of each band's: sensors and lands differ.
GAIN: Final = (0.06, 0.03)
#: Share of the scenes that are much brighter or darker than they were, and the deviation: what is shadow must be told
#: from its surroundings, for the brightness of a shaded meadow is that of a forest in the sun.
UNLIT: Final = (0.4, 0.25)
#: Share of samples of a sensor that saturates, and where: Landsat 5 does so at 0.39 in blue.
BLIND, CEILING = 0.08, (0.35, 1.2)
#: Deviation of the constant added to each band; B10 has none of the air's light that makes the others doubtful.
OFFSETS: Final = np.where(np.array(BANDS) == "B10", 0.0003, 0.003)
L2A_SHARE, NODATA_SHARE, PIXEL_SHARE = 0.28, 0.08, 0.12
#: Of samples with cirrus that only B10 shows, this share keeps all bands: few others teach what B10 means.
CIRRUS_KEPT: Final = 0.6
#: Clear ground so bright in B02 is not judged where nothing tells snow from cloud: no texture, B11 absent or bright.
SNOW_B02, SNOW_B11 = 0.45, 0.13


@dataclass(frozen=True)
class Batch:
    """`image` float32 (n, 14, y, x), and `sets` int64 (n, y, x), the classes that a pixel may be of (`class_sets`)."""

    image: Tensor
    sets: Tensor

    def on(self, device: str) -> Batch:
        """Return the same batch in the memory of `device`."""
        return Batch(self.image.to(device), self.sets.to(device))


def to_input(reflectance: FloatArray, level: str) -> FloatArray:
    """The network's input (14, y, x) from `reflectance` (13, y, x), NaN where absent, of `level` L1C or L2A."""
    scores = (reflectance - MEAN[:, None, None]) / STD[:, None, None]
    plane = np.full((1, *reflectance.shape[1:]), LEVELS[level], np.float32)
    return np.concatenate([np.where(np.isnan(scores), FILL, scores), plane]).astype(np.float32)


class Batches(Protocol):
    """Where a trainer's batches come from."""

    def refresh(self) -> None:
        """Take in what has been made meanwhile."""

    def batch(self, seed: int, step: int, count: int) -> Batch:
        """Batch number `step` of `count` samples; the same for the same numbers."""


class Source:
    """Draws from simulated tiles, from labelled sets (`share` of the samples), and from the pixel table."""

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
        """Make batch number `step`: `count` samples of the largest size, or as many pixels in smaller ones."""
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
        return _lose_wedges(image, sets, rng)

    def _draw(self, side: int, rng: np.random.Generator) -> Sample:
        kind = rng.random()
        if kind < PIXEL_SHARE:
            return make_patchwork(self.pixels, side, rng)
        share = self.share * (LARGE_SHARE if side > LARGE_PX else 1.0)
        if self.labelled and kind < PIXEL_SHARE + share * (1 - PIXEL_SHARE):
            return cut_patch(self.labelled.draw(rng), side, rng.bit_generator.random_raw(2))
        path = self.paths[int(rng.integers(len(self.paths)))]
        return cut_tile(np.load(path, mmap_mode="r"), side, rng.bit_generator.random_raw(2))


def observe(sample: Sample, rng: np.random.Generator) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return a sample as a sensor and a user may show it, input (14, y, x), and its sets of classes (y, x).

    Some at the ground's level, calibration a little off, bands dropped, turned.
    """
    scene, level = sample.scene, sample.level
    whole = not np.isnan(scene[[0, B09, B10]]).all(axis=(1, 2)).any()
    if level == "L1C" and whole and rng.random() < L2A_SHARE:
        level, scene = "L2A", to_surface(scene, *draw_air(rng))
        scene[B10] = np.nan
    spread = UNLIT[1] if not sample.is_lone and rng.random() < UNLIT[0] else GAIN[0]
    scene = scene * np.exp(rng.normal(0, spread) + rng.normal(0, GAIN[1], (13, 1, 1))).astype(np.float32)
    scene += (rng.normal(0, 1, (13, 1, 1)) * OFFSETS[:, None, None]).astype(np.float32)
    scene = np.minimum(scene, ceilings(rng)[:, None, None])
    kept = keep_bands(rng)
    if (sample.sets != sample.sets_without_b10).any() and rng.random() < CIRRUS_KEPT:
        kept[:] = True
    scene[~kept] = np.nan
    sets = sample.sets_without_b10 if np.isnan(scene[B10]).all() else sample.sets
    if sample.flat is not None:
        alike = sample.flat & is_like_cloud(scene)
        sets = np.where((sets == class_sets.CLEAR) & alike, class_sets.NOT_JUDGED, sets)
    return turn(to_input(scene, level), sets.astype(np.int64), rng)


def is_like_cloud(scene: FloatArray) -> NDArray[np.bool_]:
    """Find pixels (y, x) of `scene` (13, y, x) that flat snow and closed cloud may show alike."""
    swir = np.nan_to_num(scene[B11], nan=1.0)
    return np.asarray((np.nan_to_num(scene[B02]) > SNOW_B02) & (swir > SNOW_B11))


def draw_air(rng: np.random.Generator) -> tuple[float, float]:
    """Sun zenith in degrees and aerosol at 550 nm that an inversion to the ground goes by; not the true ones."""
    return float(rng.uniform(20, 65)), float(rng.uniform(0.02, 0.3))


def ceilings(rng: np.random.Generator) -> FloatArray:
    """Reflectance (13,) above which a sensor is blind: none, or for some samples low and of each band its own."""
    low = rng.uniform(*CEILING, len(BANDS)) if rng.random() < BLIND else np.full(len(BANDS), np.inf)
    return np.asarray(low, np.float32)


def list_tiles(folder: Path) -> list[Path]:
    """The tiles in `folder`, in order. Raises FileNotFoundError if there are none."""
    paths = sorted(folder.glob("*.npy"))
    if not paths:
        raise FileNotFoundError(f"No tiles in {folder}; make some with kappamask simulate -o {folder}.")
    return paths


def keep_bands(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of the 13 bands (13,) a sample keeps, drawn from `BAND_SETS`."""
    shares = np.array([share for share, _ in BAND_SETS])
    names = BAND_SETS[int(rng.choice(len(BAND_SETS), p=shares / shares.sum()))][1]
    coin = rng.random(len(BANDS)) < 0.5
    return np.array([b in names if names else (c or b in BANDS[1:4]) for b, c in zip(BANDS, coin, strict=True)])


def turn(image: FloatArray, truth: NDArray[np.int64], rng: np.random.Generator) -> tuple[FloatArray, NDArray[np.int64]]:
    """Both turned by a multiple of 90 degrees and perhaps flipped: shadows then fall the other way."""
    quarter, flip = int(rng.integers(4)), int(rng.choice((-1, 1)))
    image, truth = np.rot90(image, quarter, (1, 2)), np.rot90(truth, quarter)
    return np.ascontiguousarray(image[:, :, ::flip]), np.ascontiguousarray(truth[:, ::flip])


def _lose_wedges(image: Tensor, sets: Tensor, rng: np.random.Generator) -> Batch:
    """Fill one side of a slanted line in some samples, as at the edge of a swath; it is not judged."""
    size = image.shape[-1]
    grid = np.mgrid[:size, :size] / size - 0.5
    for i in range(len(image)):
        if rng.random() < NODATA_SHARE:
            angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.45)
            lost = torch.from_numpy(grid[0] * np.cos(angle) + grid[1] * np.sin(angle) > offset)
            image[i, :13, lost] = float(FILL)
            sets[i, lost] = class_sets.NOT_JUDGED
    return Batch(image, sets)
