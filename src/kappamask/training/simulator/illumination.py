"""Compute reflectance and transmittance of clouds, and the shadows that they cast."""

from typing import Any, Final

import numpy as np
from scipy import ndimage

from kappamask.training.simulator.clouds import Layer
from kappamask.training.simulator.sky import CanvasView, Sky, Sun
from kappamask.training.simulator.spectra import (
    ABSORPTION_SPREAD,
    B02,
    B03,
    B08,
    B10,
    B11,
    B12,
    BANDS,
    ICE_CLOUD,
    WATER_CLOUD,
    FloatArray,
    compute_diffuse_share,
    compute_path_reflectance,
)

__all__ = [
    "AOT",
    "BACKSCATTER",
    "LEAST_DROP",
    "PROBE_BANDS",
    "SIDES",
    "THINNEST",
    "cast_shadows",
    "compute_direct_beam",
    "compute_reflectance",
    "compute_two_stream_reflectance",
    "draw_real_colour",
    "draw_table_colour",
    "illuminate",
    "transmit_through_cloud",
]

#: Backscattered share (1 - g) of cloud droplets and of ice crystals (asymmetry 0.85 and 0.77).
BACKSCATTER: Final = {False: 0.15, True: 0.23}
#: A thin layer scatters light once and hardly absorbs it: its colour in B11 and B12 is the thick one's to this power.
THINNEST: Final = 0.45
#: B10 relative to B03 of real clouds whose colour a layer may take: below 2.5 km, between, and ice.
HEIGHT_B10: Final = ((0.0, 0.008), (0.002, 0.06), (0.02, 1.0))
#: Reflectance below which a drop is seen by nobody, and the bands in which one is looked for.
LEAST_DROP: Final = 0.004
PROBE_BANDS: Final = (B02, B03, B08)
#: Share of a cloud's optical depth that takes light out of the sun's beam: 1 - g², g the asymmetry of droplets (0.85)
#: and of ice (0.77); the rest goes on nearly straight (Joseph, Wiscombe and Weinman 1976, delta-Eddington).
BLOCK: Final = {False: 0.28, True: 0.41}
#: Light from cloud sides in a shadow, as a share of full sunlight: one cloud, to a field of bright ones. With it the
#: medians of tiles lie about those of three labelled real scenes (B08 0.33, 0.50, 0.55; B11 0.24, 0.38, 0.42).
SIDES: Final = (0.02, 0.28)
#: Aerosol optical depth at 550 nm that shadows are seen through: a visibility of about 100 to 8 km.
AOT: Final = (0.03, 0.5)


def compute_reflectance(depth: FloatArray, ice: bool) -> FloatArray:
    """Return the reflectance of a layer of optical `depth` without absorption.

    The two-stream formula s t / (2 + s t).
    """
    return np.asarray(compute_two_stream_reflectance(np.float32(BACKSCATTER[ice]) * depth))


def compute_two_stream_reflectance(back: Any) -> Any:
    """Return the reflectance of a layer that scatters `back` of its depth back.

    back: an array or a tensor.
    """
    return back / (2 + back)


def transmit_through_cloud(scene: Any, opacity: Any) -> Any:
    """Return the light of `scene` that passes a layer twice, multiple reflections included.

    Arrays or tensors.
    """
    return (1 - opacity) ** 2 * scene / (1 - opacity * scene.clip(max=0.95))


def draw_table_colour(layer: Layer, rng: np.random.Generator) -> FloatArray:
    """Draw the colour (13,) of a layer from the table of its phase.

    The colour goes from water towards ice with height, with the spread of real clouds.
    """
    table = ICE_CLOUD if layer.kind.ice else WATER_CLOUD
    if not layer.kind.ice and layer.base_km > 2.5:
        table = table + np.float32(rng.uniform(0, 0.8)) * (ICE_CLOUD - WATER_CLOUD)
    both, alone = ABSORPTION_SPREAD[layer.kind.ice]
    jitter = rng.normal(0, 0.012, len(BANDS)) + np.linspace(-1, 1, len(BANDS)) * rng.normal(0, 0.045)
    jitter[B11:] += rng.normal(0, both)
    jitter[B12] += rng.normal(0, alone)
    return np.asarray(table * np.exp(jitter), np.float32)


def draw_real_colour(layer: Layer, spectra: FloatArray | None, rng: np.random.Generator) -> FloatArray | None:
    """Draw the colour (13,) of a real cloud of about the layer's height.

    Vapour above it is included. None half of the time, and where no cloud fits.
    """
    if spectra is None or rng.random() < 0.5:
        return None
    low, high = HEIGHT_B10[2 if layer.kind.ice else int(layer.base_km > 2.5)]
    relative = spectra[:, B10] / spectra[:, B03]
    fitting = np.flatnonzero((relative >= low) & (relative <= high))
    if not len(fitting):
        return None
    real = spectra[int(rng.choice(fitting))]
    return np.asarray(real / real[B03] * np.exp(rng.normal(0, 0.02, len(BANDS))), np.float32)


def compute_direct_beam(sky: Sky) -> FloatArray:
    """Return the share (y, x) of the direct beam that reaches the ground.

    Each layer is cut at three heights, which gives it thickness.
    """
    view, depth = sky.view, np.zeros(sky.view.shape, np.float32)
    for layer in sky.layers:
        if layer.kind.ice and _is_outside_canvas(layer, view):
            continue
        parts = [
            view.cut(layer.depth * (layer.height >= 0.85 * part), layer.base_km + part * layer.thick_km)
            for part in (0.0, 0.5, 1.0)
        ]
        depth += np.float32(BLOCK[layer.kind.ice]) * np.max(parts, axis=0)
    beam = np.exp(-depth / np.float32(np.cos(np.radians(sky.sun.zenith_deg))))
    return np.asarray(ndimage.gaussian_filter(beam, max(0.4, 9 / sky.pixel_m)))


def _is_outside_canvas(layer: Layer, view: CanvasView) -> bool:
    """Return whether the shadow of a high layer would come from beyond the canvas.

    Thin ice casts none that can be seen.
    """
    start = [round(c + layer.top_km * s) for c, s in zip(view.corner, view.step, strict=True)]
    return any(a < 0 or a + n > m for a, n, m in zip(start, view.shape, layer.depth.shape, strict=True))


def cast_shadows(
    scene: FloatArray, beam: FloatArray, sun: Sun, sides: float, aot: float
) -> tuple[FloatArray, FloatArray]:
    """Reduce the direct light on `scene` (13, y, x).

    Also returns the largest relative drop (y, x) over B02, B03 and B08.

    sides: light from cloud sides, a share of full sunlight. aot: aerosol at 550 nm, which lights shadows too.
    """
    air = np.minimum(
        compute_path_reflectance(sun.zenith_deg, aot)[:, None, None],
        np.nanmin(scene, axis=(1, 2), initial=9.0)[:, None, None] * 0.95,
    )
    share = np.minimum(compute_diffuse_share(sun.zenith_deg, aot) + sides, 0.9)[:, None, None]
    shaded = illuminate(scene, air, share, beam)
    fallen = scene - shaded
    drop = np.max(
        [np.where(fallen[b] > LEAST_DROP, fallen[b] / np.maximum(scene[b], 1e-4), 0) for b in PROBE_BANDS], axis=0
    )
    return shaded.astype(np.float32), drop


def illuminate(scene: Any, air: Any, share: Any, beam: Any) -> Any:
    """Return `scene` under reduced direct light.

    The sky gives `share` of the ground's light and the sun `beam` of the rest; arrays or tensors.
    """
    return air + (scene - air) * (share + (1 - share) * beam)
