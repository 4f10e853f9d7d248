"""Vary samples as sensors and users do: level, calibration, bands, rotation, missing corners."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kappamask.datasets import class_sets
from kappamask.training.model_card import SUBSTITUTES
from kappamask.training.samples import Sample
from kappamask.training.simulator.spectra import B02, B09, B8A, B10, B11, BANDS, MEAN, STD, FloatArray, to_surface

__all__ = [
    "FILL",
    "GAIN",
    "L2A_SHARE",
    "LEVELS",
    "NODATA_SHARE",
    "OFFSETS",
    "SEES_LAND",
    "SIX",
    "SNOW_B02",
    "SNOW_B11",
    "UNLIT",
    "draw_air",
    "draw_bands",
    "draw_dry_light",
    "draw_level",
    "draw_saturation",
    "drop_nodata_corners",
    "is_like_cloud",
    "observe",
    "rotate",
    "show_ground_in_b10",
    "shows_cirrus",
    "to_input",
]

#: Value of a band that is absent or a pixel without data, after z-scoring.
FILL: Final = np.float32(-2.0)
LEVELS: Final = {"L1C": 0.0, "L2A": 1.0}
SIX: Final = ("B02", "B03", "B04", "B08", "B11", "B12")
#: Probability and bands of each subset that a sample keeps; None: the visible bands, and each other one by chance.
BAND_SETS: Final[tuple[tuple[float, tuple[str, ...] | None], ...]] = (
    (0.24, BANDS),
    (0.08, tuple(b for b in BANDS if b != "B10")),
    (0.18, SIX),
    (0.12, tuple(b for b in BANDS if b not in ("B01", "B09", "B10"))),
    (0.20, ("B02", "B03", "B04")),
    (0.12, ("B02", "B03", "B04", "B08")),
    (0.10, None),
)
#: Standard deviation of the logarithm of a sample's brightness, and of each band's: sensors and lands differ.
GAIN: Final = (0.06, 0.03)
#: Share of the scenes whose brightness changes much, and its standard deviation: a network must recognise shadow by
#: its surroundings, for the brightness of a shaded meadow is that of a forest in the sun.
UNLIT: Final = (0.4, 0.25)
#: 0 for B10, which sees cirrus and no land: its reflectance is that of the cirrus however bright the land is, and
#: cirrus (0.01 and more) must stay apart from high snow (up to 0.008).
SEES_LAND: Final = np.where(np.array(BANDS) == "B10", 0.0, 1.0)
#: Share of samples of a sensor that saturates, and the range of the limit: Landsat 5 saturates at 0.39 in blue.
BLIND, CEILING = 0.08, (0.35, 1.2)
#: Standard deviation of the constant added to each band; B10 has no path radiance, which makes the others uncertain.
OFFSETS: Final = np.where(np.array(BANDS) == "B10", 0.0003, 0.003)
L2A_SHARE, NODATA_SHARE = 0.34, 0.08
#: Share of the samples whose level is given wrong. Few real L2A images have labelled shadows, and the network took the
#: level for a sign that there are none: minicubes (portugal, four bands) had a shadow dice of 0.41 given as L2A, and of
#: 0.61 given as L1C.
WRONG_LEVEL = 0.1
#: Share of the samples with B10 that are seen through dry air, as over deserts, high and polar land, and the share of
#: the ground's light that reaches B10 then: of 2910 labelled pixels 83 are clear with B10 from 0.009 to 0.05, for most
#: of them 2 to 15 % of what B8A and B11 have. Without it, whatever is bright in B10 is cirrus.
DRY_SHARE, DRY_LIGHT = 0.15, (0.01, 0.15)
#: Share of the samples with cirrus in B10 that keep all bands: few others teach what B10 means; and B10 of cirrus.
CIRRUS_KEPT, CIRRUS_B10 = 0.6, 0.0045
#: Clear ground brighter than this in B02 and B11 is not labelled where no texture distinguishes snow from cloud.
SNOW_B02, SNOW_B11 = 0.45, 0.13


def shows_cirrus(sample: Sample) -> bool:
    """Return whether B10 shows semi-transparent cloud anywhere in a sample."""
    thin = sample.sets == class_sets.SEMI_TRANSPARENT
    return bool((thin & (np.nan_to_num(sample.scene[B10]) > CIRRUS_B10)).any())


def observe(sample: Sample, rng: np.random.Generator) -> tuple[FloatArray, NDArray[np.int64]]:
    """Vary a sample as sensors and users do; return input and class sets.

    Input (14, y, x) and sets (y, x).

    Some at the ground's level, calibration a little off, bands dropped, turned.
    """
    scene, level = sample.scene, sample.level
    whole = not np.isnan(scene[[0, B09, B10]]).all(axis=(1, 2)).any()
    if level == "L1C" and whole and rng.random() < L2A_SHARE:
        level, scene = "L2A", to_surface(scene, *draw_air(rng))
        scene[B10] = np.nan
    spread = UNLIT[1] if not sample.is_isolated and rng.random() < UNLIT[0] else GAIN[0]
    gain = rng.normal(0, spread) * SEES_LAND + rng.normal(0, GAIN[1], len(BANDS))
    scene = scene * np.exp(gain)[:, None, None].astype(np.float32)
    scene += (rng.normal(0, 1, (13, 1, 1)) * OFFSETS[:, None, None]).astype(np.float32)
    scene = np.minimum(scene, draw_saturation(rng)[:, None, None])
    kept = draw_bands(rng)
    if shows_cirrus(sample) and rng.random() < CIRRUS_KEPT:
        kept[:] = True
    if (share := draw_dry_light(rng)) and not np.isnan(scene[B10]).all():
        scene = show_ground_in_b10(scene, share)
    scene[~kept] = np.nan
    sets = sample.sets_without_b10 if np.isnan(scene[B10]).all() else sample.sets
    if sample.flat is not None:
        ambiguous = sample.flat & is_like_cloud(scene)
        sets = np.where((sets == class_sets.CLEAR) & ambiguous, class_sets.NOT_JUDGED, sets)
    return rotate(to_input(scene, draw_level(level, rng)), sets.astype(np.int64), rng)


def draw_level(level: str, rng: np.random.Generator) -> str:
    """Return `level`, or the other one for `WRONG_LEVEL` of the samples."""
    return next(other for other in LEVELS if other != level) if rng.random() < WRONG_LEVEL else level


def to_input(reflectance: FloatArray, level: str) -> FloatArray:
    """Return the network's input (14, y, x) for `reflectance` (13, y, x).

    `reflectance` is NaN where absent; `level` is L1C or L2A. An absent band of `SUBSTITUTES` takes the values of
    another, as with a card that says so.
    """
    for band, other in SUBSTITUTES.items():
        if np.isnan(reflectance[BANDS.index(band)]).all():
            reflectance = reflectance.copy()
            reflectance[BANDS.index(band)] = reflectance[BANDS.index(other)]
    scores = (reflectance - MEAN[:, None, None]) / STD[:, None, None]
    plane = np.full((1, *reflectance.shape[1:]), LEVELS[level], np.float32)
    return np.concatenate([np.where(np.isnan(scores), FILL, scores), plane]).astype(np.float32)


def draw_dry_light(rng: np.random.Generator) -> float:
    """Draw the share of the ground's light that reaches B10; 0 for most samples."""
    share = float(np.exp(rng.uniform(*np.log(DRY_LIGHT))))
    return share if rng.random() < DRY_SHARE else 0.0


def show_ground_in_b10(scene: FloatArray, share: float) -> FloatArray:
    """Add to B10 what dry air lets through of the light below.

    scene: reflectance (13, y, x). share: of the mean of B8A and B11, between which B10 lies.
    """
    light = np.nan_to_num(scene[[B8A, B11]]).mean(axis=0)
    out = scene.copy()
    out[B10] += np.float32(share) * light
    return out


def is_like_cloud(scene: FloatArray) -> NDArray[np.bool_]:
    """Find pixels (y, x) where flat snow and closed cloud look the same.

    scene: reflectance (13, y, x).
    """
    swir = np.nan_to_num(scene[B11], nan=1.0)
    return np.asarray((np.nan_to_num(scene[B02]) > SNOW_B02) & (swir > SNOW_B11))


def draw_air(rng: np.random.Generator) -> tuple[float, float]:
    """Draw the sun zenith in degrees and the aerosol optical depth of a correction.

    They are not the true ones.
    """
    return float(rng.uniform(20, 65)), float(rng.uniform(0.02, 0.3))


def draw_saturation(rng: np.random.Generator) -> FloatArray:
    """Draw the reflectance (13,) at which a sensor saturates.

    Infinite for most samples; for the others a low one for each band.
    """
    low = rng.uniform(*CEILING, len(BANDS)) if rng.random() < BLIND else np.full(len(BANDS), np.inf)
    return np.asarray(low, np.float32)


def draw_bands(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw which of the 13 bands (13,) a sample keeps, from `BAND_SETS`."""
    shares = np.array([share for share, _ in BAND_SETS])
    names = BAND_SETS[int(rng.choice(len(BAND_SETS), p=shares / shares.sum()))][1]
    coin = rng.random(len(BANDS)) < 0.5
    return np.array([b in names if names else (c or b in BANDS[1:4]) for b, c in zip(BANDS, coin, strict=True)])


def rotate(
    image: FloatArray, truth: NDArray[np.int64], rng: np.random.Generator
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Rotate both by a multiple of 90 degrees and perhaps flip them.

    Shadows then fall in another direction.
    """
    quarter, flip = int(rng.integers(4)), int(rng.choice((-1, 1)))
    image, truth = np.rot90(image, quarter, (1, 2)), np.rot90(truth, quarter)
    return np.ascontiguousarray(image[:, :, ::flip]), np.ascontiguousarray(truth[:, ::flip])


def drop_nodata_corners(image: Tensor, sets: Tensor, rng: np.random.Generator) -> None:
    """Fill one side of a slanted line in some samples, as at a swath edge.

    image (n, 14, y, x) and sets (n, y, x) are changed in place; what is filled is not judged.
    """
    size = image.shape[-1]
    grid = np.mgrid[:size, :size] / size - 0.5
    for i in range(len(image)):
        if rng.random() < NODATA_SHARE:
            angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.45)
            lost = torch.from_numpy(grid[0] * np.cos(angle) + grid[1] * np.sin(angle) > offset)
            image[i, :13, lost] = float(FILL)
            sets[i, lost] = class_sets.NOT_JUDGED
