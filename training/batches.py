"""From tiles to batches: crops, zoom, jitter, dropped bands, nodata wedges; every batch follows from (seed, step)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kappamask.training.material import Pixels, read_pixels, read_scene
from kappamask.training.spectra import B10, BANDS, MEAN, STD, FloatArray, to_surface

#: Value of a band that is absent or a pixel without data, after z-scoring.
FILL: Final = np.float32(-2.0)
LEVELS: Final = {"L1C": 0.0, "L2A": 1.0}
SIX: Final = ("B02", "B03", "B04", "B08", "B11", "B12")
#: Which bands a sample keeps, and how often; None keeps the visible bands and each other one by the toss of a coin.
BAND_SETS: Final[tuple[tuple[float, tuple[str, ...] | None], ...]] = (
    (0.30, BANDS),
    (0.08, tuple(b for b in BANDS if b != "B10")),
    (0.20, SIX),
    (0.12, tuple(b for b in BANDS if b not in ("B01", "B09", "B10"))),
    (0.08, ("B02", "B03", "B04")),
    (0.10, ("B02", "B03", "B04", "B08")),
    (0.12, None),
)
#: Pixels of a crop before and after zooming, and how often; a batch of small chips has more of them.
Sides = tuple[tuple[tuple[int, int], float], ...]
SIDES: Final[Sides] = (
    ((160, 256), 0.14), ((256, 256), 0.40), ((384, 256), 0.17), ((512, 256), 0.15), ((128, 128), 0.07), ((64, 64), 0.07)
)  # fmt: skip
#: Deviation of the constant added to each band; B10 has none of the air's light that makes the others doubtful.
OFFSETS: Final = np.where(np.array(BANDS) == "B10", 0.0003, 0.003)
L2A_SHARE, NODATA_SHARE, LABELLED_SHARE, PIXEL_SHARE = 0.28, 0.08, 0.12, 0.14


@dataclass(frozen=True)
class Batch:
    """`image` float32 (n, 14, y, x), `truth` int64 (n, y, x) with 0 not judged, `merged` (n,) where 4 means 3 or 4."""

    image: Tensor
    truth: Tensor
    merged: Tensor

    def on(self, device: str) -> Batch:
        """The same batch in the memory of `device`."""
        return Batch(self.image.to(device), self.truth.to(device), self.merged.to(device))


def to_input(reflectance: FloatArray, level: str) -> FloatArray:
    """The network's input (14, y, x) from `reflectance` (13, y, x), NaN where absent, of `level` L1C or L2A."""
    scores = (reflectance - MEAN[:, None, None]) / STD[:, None, None]
    plane = np.full((1, *reflectance.shape[1:]), LEVELS[level], np.float32)
    return np.concatenate([np.where(np.isnan(scores), FILL, scores), plane]).astype(np.float32)


class Source:
    """Simulated tiles under `tiles`; at times `labelled` scenes, or patchworks of the pixel table under `data`."""

    def __init__(self, tiles: Path, data: Path, labelled: tuple[Path, ...] = (), sides: Sides = SIDES) -> None:
        self.folder, self.sides, self.pixels = tiles, sides, read_pixels(data)
        self.real = [(x, y) for x, y in (read_scene(path) for path in labelled) if y is not None]
        self.paths: list[Path] = []
        self.refresh()

    def refresh(self) -> None:
        """List the tiles anew; raises FileNotFoundError if there are none."""
        self.paths = sorted(self.folder.glob("*.npy"))
        if not self.paths:
            raise FileNotFoundError(f"No tiles in {self.folder}; make some with kappamask simulate -o {self.folder}.")

    def batch(self, seed: int, step: int, count: int) -> Batch:
        """Batch number `step`: `count` samples of the largest size, or as many pixels in smaller ones; one zoom."""
        rng = np.random.default_rng([seed, step])
        sides, shares = zip(*self.sides, strict=True)
        side, size = sides[int(rng.choice(len(sides), p=shares))]
        largest = max(after for _, after in sides)
        samples = [self._sample(side, rng) for _ in range(count * (largest // size) ** 2)]
        image, truth = (torch.from_numpy(np.stack([s[i] for s in samples])) for i in (0, 1))
        if side != size:
            mode = "area" if side > size else "bilinear"
            image = torch.nn.functional.interpolate(image, (size, size), mode=mode)
            index = ((torch.arange(size) + 0.5) * side / size).long()
            truth = truth[:, index][:, :, index]
        return _finish(image, truth, torch.tensor([s[2] for s in samples]), rng)

    def _draw(self, side: int, rng: np.random.Generator) -> tuple[FloatArray, NDArray[Any], bool]:
        """Reflectance (13, side, side), its truth, and whether its cloud is merged."""
        kind = rng.random()
        if kind < PIXEL_SHARE:
            return *patchwork(self.pixels, side, rng), True
        where = rng.bit_generator.random_raw(2)
        if self.real and kind < PIXEL_SHARE + LABELLED_SHARE:
            scene, codes = self.real[int(rng.integers(len(self.real)))]
            return cut(scene, side, where), cut(codes, side, where), True
        piece = np.asarray(cut(np.load(self.paths[int(rng.integers(len(self.paths)))], mmap_mode="r"), side, where))
        return piece[:13].astype(np.float32) / np.float32(1e4), piece[13], False

    def _sample(self, side: int, rng: np.random.Generator) -> tuple[FloatArray, NDArray[np.int64], bool]:
        """One crop (13 bands of reflectance and the level's plane), its truth, and whether its cloud is merged."""
        scene, truth, merged = self._draw(side, rng)
        whole = not np.isnan(scene[B10]).any()
        level = "L2A" if whole and rng.random() < L2A_SHARE else "L1C"
        if level == "L2A":
            scene = to_surface(scene, float(rng.uniform(20, 65)), float(rng.uniform(0.02, 0.3)))
            scene[B10] = np.nan
        scene = scene * np.exp(rng.normal(0, 0.06) + rng.normal(0, 0.02, (13, 1, 1))).astype(np.float32)
        scene += (rng.normal(0, 1, (13, 1, 1)) * OFFSETS[:, None, None]).astype(np.float32)
        scene[~keep_bands(rng)] = np.nan
        image, truth = turn(to_input(scene, level), truth.astype(np.int64), rng)
        return image, truth, merged


def patchwork(pixels: Pixels, side: int, rng: np.random.Generator) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Patches of real spectra, float32 (13, side, side), and their truth: 4 cloud of either kind, 1 clear.

    One patch or a few; a third of them all cloudy, a third all clear. Colour alone must do where there is no shape.
    """
    kind = rng.integers(3)
    pool = np.flatnonzero((pixels.cloudy == bool(kind)) | (kind == 2))
    chosen = rng.choice(pool, int(rng.choice((1, 1, 2, 4, 8))))
    seeds = rng.uniform(0, side, (len(chosen), 2))
    far = [np.hypot(*(np.ogrid[:side, :side][axis] - seed[axis] for axis in (0, 1))) for seed in seeds]
    which = chosen[np.argmin(far, axis=0)]
    grain = np.float32(rng.uniform(0, 0.05)) * rng.standard_normal((side, side), dtype=np.float32)
    scene = pixels.spectra[which].transpose(2, 0, 1) * np.exp(grain)
    return scene, np.where(pixels.cloudy[which], 4, 1).astype(np.uint8)


def cut(array: NDArray[Any], side: int, where: NDArray[np.uint64]) -> NDArray[Any]:
    """Square of `side` from the last two axes of `array`, its corner taken from two random words."""
    y, x = (int(w % np.uint64(n - side + 1)) for w, n in zip(where, array.shape[-2:], strict=True))
    return array[..., y : y + side, x : x + side]


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


def _finish(image: Tensor, truth: Tensor, merged: Tensor, rng: np.random.Generator) -> Batch:
    """Nodata wedges: one side of a slanted line is filled in some samples, and not judged."""
    size = image.shape[-1]
    grid = np.mgrid[:size, :size] / size - 0.5
    for i in range(len(image)):
        if rng.random() < NODATA_SHARE:
            angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.45)
            lost = torch.from_numpy(grid[0] * np.cos(angle) + grid[1] * np.sin(angle) > offset)
            image[i, :13, lost] = float(FILL)
            truth[i, lost] = 0
    return Batch(image, truth, merged)
