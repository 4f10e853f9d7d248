"""Labelled patches, single labelled pixels, and the split of data sets."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kappamask.datasets import class_sets

__all__ = ["SIDE", "LabelledPixel", "make_chip"]

NOT_JUDGED: Final = 0
DIGITAL: Final = np.float32(1e4)
"""Digital numbers of reflectance 1 (Sentinel-2 products, harmonised)."""
GROUNDS: Final = {
    "snow": "Snow, ice",
    "water": "Water",
    "urban": "Urban",
    "desert": "Desert, bare ground",
    "forest": "Forest",
    "low_sun": "Low sun",
    "thin_cloud_only": "No cloud but thin cloud",
}
"""What a data set may tell of a patch -> in words."""
ENOUGH: Final = 0.1
"""Share of a patch's clear pixels from which on it is a patch of snow, water and so on: ours; a tenth of 512 x 512 px
is a lake of 2.6 km2, enough to be judged by."""
SIDE: Final = 64
"""Pixels of a chip: the smallest that networks of six levels take. It has no neighbours, no texture and no shadow's
cloud, so what looks at these is judged by colour alone."""
PARTS = ((0.8, "train"), (0.9, "validation"), (1.0, "test"))


@dataclass(frozen=True)
class Patch:
    """A labelled piece of a scene."""

    name: str
    group: str
    """Product or place; training and tests never share one."""
    split: str
    """`train`, `validation` or `test`."""
    level: str
    pixel_m: float | None
    bands: tuple[str, ...]
    reflectance: NDArray[np.float32]
    """(band, y, x), unitless, of AOT and WVP digital numbers / 10000; NaN where there is no data."""
    truth: NDArray[np.uint8]
    """(y, x): 1 clear, 2 cloud shadow, 3 semi-transparent cloud, 4 cloud, 0 not judged."""
    merges_thin: bool
    """True where 4 means cloud of either kind."""
    tells_shadow: bool = True
    """False where shadows are not labelled, or not those of clouds alone: 1 then means clear or shadow."""
    tags: Mapping[str, bool] = field(default_factory=dict)
    """Stratum (a name of `GROUNDS`) -> whether the patch is of it, for those that the set tells of."""
    window: tuple[str, tuple[int, int]] | None = None
    """Of a patch cut from a whole product: the product's name, and the first row and column."""
    sets: NDArray[np.uint8] | None = None
    """(y, x) classes that a pixel may be of, as in `class_sets`; None where `truth` tells all."""
    sets_without_b10: NDArray[np.uint8] | None = None
    """The same for one who does not see B10; None where that makes no difference."""
    kinds: tuple[str, ...] = ()
    """What the scene shows, the most important first: closed, cirrus, cumulus, snow, city …"""

    def class_sets(self, *, with_b10: bool = True) -> NDArray[np.uint8]:
        """Return the classes (y, x) that each pixel may have, with B10 or without it."""
        if self.sets is None:
            return class_sets.from_codes(self.truth, merges_thin=self.merges_thin, tells_shadow=self.tells_shadow)
        return self.sets if with_b10 or self.sets_without_b10 is None else self.sets_without_b10

    def stack(self, bands: Sequence[str]) -> NDArray[np.float32]:
        """Return reflectance (band, y, x) of `bands` in that order.

        NaN where the patch has no such band.
        """
        out = np.full((len(bands), *self.truth.shape), np.nan, np.float32)
        for i, band in enumerate(bands):
            if band in self.bands:
                out[i] = self.reflectance[self.bands.index(band)]
        return out


def translate_codes(labels: NDArray[Any], codes: Mapping[int, int]) -> NDArray[np.uint8]:
    """Translate labels to KappaMask's codes by the table `codes`.

    What it does not name is not judged.
    """
    out = np.full(labels.shape, NOT_JUDGED, np.uint8)
    for theirs, ours in codes.items():
        out[labels == theirs] = ours
    return out


def find_missing(numbers: NDArray[Any], *absent: int) -> NDArray[np.bool_]:
    """Find pixels (y, x) where all bands have the same value of `absent`.

    numbers: (band, y, x).
    """
    return np.asarray(np.any([(numbers == value).all(axis=0) for value in absent], axis=0), bool)


@dataclass(frozen=True)
class LabelledPixel:
    """The spectrum of one L1C pixel and its class."""

    bands: tuple[str, ...]
    reflectance: ArrayLike
    """(band,), unitless."""
    code: int
    """A class of `Patch.truth`."""


def make_chip(
    name: str,
    group: str,
    split: str,
    pixel: LabelledPixel,
    *,
    merges_thin: bool,
    tags: Mapping[str, bool] | None = None,
) -> Patch:
    """Make a patch (band, 64, 64) of one pixel's spectrum.

    Its truth is the pixel's class in the middle and 0 around; shadow is not labelled.
    """
    plane = np.asarray(pixel.reflectance, np.float32)[:, None, None]
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[SIDE // 2, SIDE // 2] = pixel.code
    whole = np.broadcast_to(plane, (len(pixel.bands), SIDE, SIDE)).copy()
    return Patch(
        name, group, split, "L1C", None, pixel.bands, whole, truth, merges_thin, tells_shadow=False, tags=tags or {}
    )


def assign_split(group: str) -> str:
    """Return the part of `group` (a product, a place) by its hash, always the same."""
    share = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64
    return next(name for end, name in PARTS if share < end)
