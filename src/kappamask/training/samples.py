"""Cut training samples from labelled patches, simulated tiles and labelled pixels."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from kappamask.datasets import Patch, class_sets
from kappamask.training.simulator.materials import Pixels
from kappamask.training.simulator.spectra import B02, BANDS, FloatArray
from kappamask.training.simulator.tiles import read_truth

__all__ = [
    "AROUND_PX",
    "FLAT",
    "GRAIN",
    "PATCHES",
    "RIM_PX",
    "Sample",
    "crop",
    "crop_patch",
    "crop_tile",
    "find_flat",
    "make_patchwork",
]

#: Numbers of patches in a patchwork, equally likely, and the largest standard deviation of its pixel noise.
PATCHES, GRAIN = (1, 1, 2, 4, 8), 0.05
#: Width of the rim of a cumulus in pixels, where thin cloud is cloud of either kind.
RIM_PX: Final = 3
#: Standard deviation of B02 below which ground is flat, and the side of the window in pixels.
FLAT, AROUND_PX = 0.03, 15


@dataclass(frozen=True)
class Sample:
    """A piece of a scene with the classes that each pixel may have.

    The sets are those of `datasets.class_sets`.
    """

    scene: FloatArray
    """Reflectance (13, y, x), NaN where absent."""
    sets: NDArray[np.uint8]
    sets_without_b10: NDArray[np.uint8]
    """Both (y, x): with B10, and without it."""
    level: str = "L1C"
    flat: NDArray[np.bool_] | None = None
    """(y, x), True without the texture that distinguishes snow from cloud; None: nowhere."""
    is_isolated: bool = False
    """True without the surroundings that distinguish shadow from dark land."""


def crop_patch(patch: Patch, side: int, where: NDArray[np.uint64]) -> Sample:
    """Crop a square of `side` from `patch`, padded without data where it is too small."""
    height, width = patch.truth.shape
    frame = ((0, max(0, side - height)), (0, max(0, side - width)))
    scene = np.pad(patch.stack(BANDS), ((0, 0), *frame), constant_values=np.nan)
    both = [np.pad(patch.class_sets(with_b10=seen), frame) for seen in (True, False)]
    image = crop(scene, side, where)
    sets, unseen = (crop(one, side, where) for one in both)
    return Sample(image, sets, unseen, patch.level, find_flat(image[B02]) if "snow" in patch.kinds else None)


def crop_tile(tile: NDArray[np.uint16], side: int, where: NDArray[np.uint64]) -> Sample:
    """Crop a square of `side` from a simulated tile (14, y, x).

    Thin cloud within `RIM_PX` of thick is cloud of either kind: the rim of a cumulus. What only B10 shows may be clear
    for one who does not see B10.
    """
    part = np.asarray(crop(tile, side, where))
    codes, only_b10 = read_truth(part[13])
    sets = class_sets.from_codes(codes)
    rim = (codes == 3) & ndimage.binary_dilation(codes == 4, iterations=RIM_PX)
    sets[rim] = class_sets.CLOUD_OF_EITHER_KIND
    unseen = np.where(only_b10, np.uint8(class_sets.CLEAR_OR_SEMI_TRANSPARENT), sets)
    scene = part[:13].astype(np.float32) / np.float32(1e4)
    return Sample(scene, sets, unseen, flat=find_flat(scene[B02]))


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
    return Sample(scene, sets, sets, flat=np.ones(sets.shape, bool), is_isolated=True)


def crop(array: NDArray[Any], side: int, where: NDArray[np.uint64]) -> NDArray[Any]:
    """Crop a square of `side` from the last two axes of `array`.

    where: two random words, which give the corner.
    """
    y, x = (int(w % np.uint64(n - side + 1)) for w, n in zip(where, array.shape[-2:], strict=True))
    return array[..., y : y + side, x : x + side]


def find_flat(blue: FloatArray) -> NDArray[np.bool_]:
    """Find pixels (y, x) where reflectance `blue` hardly varies in the neighbourhood."""
    known = np.nan_to_num(blue)
    mean, square = (ndimage.uniform_filter(values, AROUND_PX) for values in (known, known**2))
    return np.asarray(square - mean**2 < FLAT**2)
