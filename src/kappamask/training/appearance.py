"""Vary what a sample shows: the relief of closed cloud, the colour of shadow, haze."""

from dataclasses import replace
from typing import Final

import numpy as np
from scipy import ndimage

from kappamask.datasets import class_sets
from kappamask.training.augmentation import SEES_LAND
from kappamask.training.samples import Sample
from kappamask.training.simulator.spectra import B02, WAVELENGTH_UM
from kappamask.training.simulator.tiles import compute_haze

__all__ = ["HAZE_SHARE", "TINT_SHARE", "add_aerosol", "vary_relief", "vary_shadow"]

#: Share of a crop that must be cloud to be closed, and the standard deviation of the logarithm of its relief: few
#: closed clouds are labelled, and with three bands those with billows were taken for snow.
CLOSED_SHARE, RELIEF = 0.95, 0.5
#: Share of the samples whose shadow gets another colour: standard deviation and limits of the logarithm of what B12 is
#: multiplied by; B02 stays, and bands between follow their wavelength. Shadows of the Level-1C training scenes keep 0.2
#: to 0.46 of the light in B11, less than in B08; of thin cloud (biome-06, canberra) 0.57 to 0.65, hardly less.
TINT_SHARE, TINT, TINT_LIMITS = 0.35, 0.4, (-0.3, 0.8)
#: Standard deviation of the Gaussian that softens the tint at a shadow's edge, in pixels.
TINT_EDGE_PX: Final = 1.5
#: Share of the labelled Level-1C samples that are seen through more haze, its optical depth at 550 nm, and its exponent
#: by wavelength: dust is grey (0), smoke is blue. Without it dusty air over towns was thin cloud.
HAZE_SHARE, HAZE_DEPTH, HAZE_EXPONENT = 0.2, (0.1, 0.5), (0.0, 1.3)


def vary_relief(sample: Sample, rng: np.random.Generator) -> Sample:
    """Make closed cloud flatter or rougher; return other samples as they are.

    The difference from each band's mean is multiplied by a random number, and half of the mean is the least that is
    left, so that no billow becomes dark.
    """
    judged = sample.sets != class_sets.NOT_JUDGED
    if not judged.any() or class_sets.is_cloud(sample.sets)[judged].mean() < CLOSED_SHARE:
        return sample
    mean = np.stack([plane[judged].mean() for plane in sample.scene])[:, None, None]
    scene = np.maximum(mean + np.float32(np.exp(rng.normal(0, RELIEF))) * (sample.scene - mean), mean / 2)
    return replace(sample, scene=scene.astype(np.float32))


def vary_shadow(sample: Sample, rng: np.random.Generator) -> Sample:
    """Change the colour of the shadow in some samples; the classes stay."""
    shadow = sample.sets == class_sets.SHADOW
    if rng.random() >= TINT_SHARE or not shadow.any():
        return sample
    slope = (WAVELENGTH_UM - WAVELENGTH_UM[B02]) / (WAVELENGTH_UM[-1] - WAVELENGTH_UM[B02]) * SEES_LAND
    tint = np.clip(rng.normal(0, TINT), *TINT_LIMITS) * slope
    weight = ndimage.gaussian_filter(shadow.astype(np.float32), TINT_EDGE_PX)
    scene = sample.scene * np.exp(tint.astype(np.float32)[:, None, None] * weight)
    return replace(sample, scene=scene.astype(np.float32))


def add_aerosol(sample: Sample, rng: np.random.Generator) -> Sample:
    """Show some labelled samples through uniform haze; the classes stay."""
    if sample.level != "L1C" or rng.random() >= HAZE_SHARE:
        return sample
    depth, angstrom = float(np.exp(rng.uniform(*np.log(HAZE_DEPTH)))), float(rng.uniform(*HAZE_EXPONENT))
    light, loss = compute_haze(float(rng.uniform(20, 65)), depth, angstrom)
    scene = light[:, None, None] + loss[:, None, None] * sample.scene
    return replace(sample, scene=scene.astype(np.float32))
