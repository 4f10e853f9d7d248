"""Shadows on the ground: the beam that clouds leave of the sun's, and the light of the sky in their shade."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from scipy import ndimage

from kappamask.training.clouds import Layer
from kappamask.training.sky import Sun, View
from kappamask.training.spectra import B02, B03, B08, FloatArray, path, sky_light

#: Reflectance below which a drop is seen by nobody, and the bands in which one is looked for.
LEAST_DROP: Final = 0.004
SEEN: Final = (B02, B03, B08)
#: Share of a cloud's optical depth that takes light out of the sun's beam: 1 - g², g the asymmetry of droplets (0.85)
#: and of ice (0.77); the rest goes on nearly straight (Joseph, Wiscombe and Weinman 1976, delta-Eddington).
BLOCK: Final = {False: 0.28, True: 0.41}
#: Light from cloud sides in a shadow, as a share of full sunlight: a lone cloud, to a field of bright ones. With it the
#: medians of tiles lie about those of three labelled real scenes (B08 0.33, 0.50, 0.55; B11 0.24, 0.38, 0.42).
SIDES: Final = (0.02, 0.28)
#: Aerosol optical depth at 550 nm that shadows are seen through: a visibility of about 100 to 8 km.
AOT: Final = (0.03, 0.5)


def sunbeam(layers: list[Layer], view: View, sun: Sun, pixel_m: float) -> FloatArray:
    """Share (y, x) of the direct beam that reaches the ground; three cuts give a layer thickness."""
    depth = np.zeros(view.shape, np.float32)
    for layer in layers:
        if layer.kind.ice and _outside(layer, view):
            continue
        parts = [
            view.cut(layer.depth * (layer.height >= 0.85 * part), layer.base_km + part * layer.thick_km)
            for part in (0.0, 0.5, 1.0)
        ]
        depth += np.float32(BLOCK[layer.kind.ice]) * np.max(parts, axis=0)
    beam = np.exp(-depth / np.float32(np.cos(np.radians(sun.zenith_deg))))
    return np.asarray(ndimage.gaussian_filter(beam, max(0.4, 9 / pixel_m)))


def _outside(layer: Layer, view: View) -> bool:
    """True where the shadow of a high layer would come from beyond the canvas: thin ice casts none that can be seen."""
    start = [round(c + layer.top_km * s) for c, s in zip(view.corner, view.step, strict=True)]
    return any(a < 0 or a + n > m for a, n, m in zip(start, view.shape, layer.depth.shape, strict=True))


def darken(scene: FloatArray, beam: FloatArray, sun: Sun, sides: float, aot: float) -> tuple[FloatArray, FloatArray]:
    """Scene (13, y, x) with less direct light, and the largest relative drop (y, x) over B02, B03 and B08.

    sides: light from cloud sides, a share of full sunlight. aot: aerosol at 550 nm, which lights shadows too.
    """
    air = np.minimum(
        path(sun.zenith_deg, aot)[:, None, None], np.nanmin(scene, axis=(1, 2), initial=9.0)[:, None, None] * 0.95
    )
    share = np.minimum(sky_light(sun.zenith_deg, aot) + sides, 0.9)[:, None, None]
    shaded = lit(scene, air, share, beam)
    fallen = scene - shaded
    drop = np.max([np.where(fallen[b] > LEAST_DROP, fallen[b] / np.maximum(scene[b], 1e-4), 0) for b in SEEN], axis=0)
    return shaded.astype(np.float32), drop


def lit(scene: Any, air: Any, share: Any, beam: Any) -> Any:
    """`scene` where the sky gives `share` of the ground's light and the sun `beam` of the rest; arrays or tensors."""
    return air + (scene - air) * (share + (1 - share) * beam)
