"""Make training batches: crops, zoom, jitter, dropped bands, nodata corners."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, overload

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from kappamask.datasets import Patch, class_sets
from kappamask.training.cutouts import CutOuts
from kappamask.training.simulator.materials import Pixels, read_pixels
from kappamask.training.simulator.spectra import B02, B09, B10, B11, BANDS, MEAN, STD, FloatArray, to_surface
from kappamask.training.simulator.tiles import read_truth

#: Patches in a patchwork, each number as often, and the most that a pixel's noise deviates by.
PATCHES, GRAIN = (1, 1, 2, 4, 8), 0.05
#: Width of the rim of a cumulus in pixels, where thin cloud is cloud of either kind.
RIM_PX: Final = 3
#: How often an image is drawn by what it shows first, 1 where it is not named: chosen by what a network found worst.
KIND_SHARES: Final[Mapping[str, float]] = {
    "snow": 3.0, "harbour": 3.0, "city": 2.5, "cirrus": 4.0, "sand": 1.8, "cumulus": 1.6, "thin": 1.5, "thick": 1.5,
    "closed": 1.2, "fields": 0.8, "lake": 0.8, "water": 0.6, "frost": 0.5, "series": 0.5,
}  # fmt: skip
#: Of samples from own scenes, this share are clouds and shadows cut out of one and laid over another.
CUTOUT_SHARE: Final = 0.2
#: Share of judged pixels below which an image is drawn less often.
HARDLY_JUDGED: Final = 0.15
#: Deviation of B02 below which ground is flat, and the side of the square in pixels that it is taken over.
FLAT, AROUND_PX = 0.03, 15
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
    """Draw from labelled sets alike, and within own scenes from places and kinds alike.

    `CUTOUT_SHARE` of what is drawn from own scenes are clouds and shadows of one laid over another.
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
        ...


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
