"""Light of clouds: what a layer reflects and lets through, and of what colour it is."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from kappamask.training.clouds import Layer
from kappamask.training.spectra import (
    ABSORPTION_SPREAD,
    B03,
    B10,
    B11,
    B12,
    BANDS,
    ICE_CLOUD,
    WATER_CLOUD,
    FloatArray,
)

#: Backscattered share (1 - g) of cloud droplets and of ice crystals (asymmetry 0.85 and 0.77).
BACKSCATTER: Final = {False: 0.15, True: 0.23}
#: A thin layer scatters light once and hardly absorbs it: its colour in B11 and B12 is the thick one's to this power.
THINNEST: Final = 0.45
#: B10 relative to B03 of real clouds whose colour a layer may take: below 2.5 km, between, and ice.
HEIGHT_B10: Final = ((0.0, 0.008), (0.002, 0.06), (0.02, 1.0))


def reflect(depth: FloatArray, ice: bool) -> FloatArray:
    """Reflectance of a layer of optical `depth` without absorption: the two-stream formula s t / (2 + s t)."""
    return np.asarray(two_stream(np.float32(BACKSCATTER[ice]) * depth))


def two_stream(back: Any) -> Any:
    """Reflectance of a layer that scatters `back` of its optical depth back; an array or a tensor."""
    return back / (2 + back)


def below(scene: Any, opacity: Any) -> Any:
    """Light of `scene` that comes through a layer twice, and to and fro between the two; arrays or tensors."""
    return (1 - opacity) ** 2 * scene / (1 - opacity * scene.clip(max=0.95))


def cloud_colour(layer: Layer, rng: np.random.Generator) -> FloatArray:
    """Colour (13,) of a layer: its phase's table, from water towards ice with height, and the spread of real clouds."""
    table = ICE_CLOUD if layer.kind.ice else WATER_CLOUD
    if not layer.kind.ice and layer.base_km > 2.5:
        table = table + np.float32(rng.uniform(0, 0.8)) * (ICE_CLOUD - WATER_CLOUD)
    both, alone = ABSORPTION_SPREAD[layer.kind.ice]
    jitter = rng.normal(0, 0.012, len(BANDS)) + np.linspace(-1, 1, len(BANDS)) * rng.normal(0, 0.045)
    jitter[B11:] += rng.normal(0, both)
    jitter[B12] += rng.normal(0, alone)
    return np.asarray(table * np.exp(jitter), np.float32)


def real_colour(layer: Layer, spectra: FloatArray | None, rng: np.random.Generator) -> FloatArray | None:
    """Colour (13,) of a real cloud of about the layer's height, vapour above it included; None half of the time."""
    if spectra is None or rng.random() < 0.5:
        return None
    low, high = HEIGHT_B10[2 if layer.kind.ice else int(layer.base_km > 2.5)]
    relative = spectra[:, B10] / spectra[:, B03]
    fitting = np.flatnonzero((relative >= low) & (relative <= high))
    if not len(fitting):
        return None
    real = spectra[int(rng.choice(fitting))]
    return np.asarray(real / real[B03] * np.exp(rng.normal(0, 0.02, len(BANDS))), np.float32)
