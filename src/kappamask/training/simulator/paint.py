"""Paint clouds, cirrus among them, and their shadows on a clear L1C scene, with truth."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from kappamask.models.cleaning import PIXEL_M
from kappamask.training.simulator.clouds import shade_relief
from kappamask.training.simulator.illumination import (
    AOT,
    SIDES,
    THINNEST,
    cast_shadows,
    compute_direct_beam,
    compute_reflectance,
    draw_real_colour,
    draw_table_colour,
    transmit_through_cloud,
)
from kappamask.training.simulator.sky import Sky, Sun, draw_sky, draw_sun, shift_by_parallax
from kappamask.training.simulator.spectra import (
    B02,
    B10,
    B11,
    BANDS,
    FloatArray,
    estimate_water,
    transmit_through_vapour,
)

__all__ = [
    "ALL_SHADE",
    "BEAM",
    "BLUR_PX",
    "CLEAR",
    "CLOUD",
    "DROP",
    "ONLY_B10",
    "OPAQUE",
    "RELIEF",
    "SHADOW",
    "THIN",
    "VISIBLE",
    "VISIBLE_B10",
    "SkyOptions",
    "label_truth",
    "paint_clouds",
    "paint_layers",
    "paint_options",
]

CLEAR, SHADOW, THIN, CLOUD = 1, 2, 3, 4
#: Added to the code of semi-transparent cloud that B10 shows and B02 does not.
ONLY_B10: Final = 16
#: Opacity at B02, down and up again, from which land cannot be seen through a cloud, and from which a cloud is seen:
#: there ukis-csmask calls half of the simulated pixels cloud. In the median labels end at 0.12 (validation), 0.055
#: (Landsat 5) and 0.03 (Landsat 7).
OPAQUE, VISIBLE, VISIBLE_B10 = 0.45, 0.05, 0.006
#: A pixel is shadow where the sun's beam is weaker than this and B02, B03 or B08 has lost more than this share of its
#: light. Taught 0.22, a network called pixels of two Landsat scenes shadow that had lost 0.22 of B08 (medians), where
#: those labelled so had lost half: a third lies between.
BEAM, DROP = 0.65, 0.33
#: Share of shadow among the ground that is seen, above which it is not judged: nobody can tell it from dark land.
ALL_SHADE: Final = 0.75
#: How much brighter a slope of a cloud is that faces the sun, and the blur of a cloud's edge where it is labelled.
RELIEF, BLUR_PX = (0.1, 0.45), 0.8


@dataclass(frozen=True)
class SkyOptions:
    """What is given of a sky; the rest is drawn at random."""

    coverage: float | None = None
    """Share of the canvas under cloud, 0 to 1."""
    sun: Sun | None = None
    pixel_m: float = PIXEL_M
    """Size of a pixel in metres."""
    spectra: FloatArray | None = None
    """float32 (n, 13), TOA reflectance of real thick clouds; half of the layers take their colour from these."""
    aot: float | None = None
    """Aerosol optical depth at 550 nm, whose light stays in shadows; drawn from `AOT` if None."""

    def __post_init__(self) -> None:
        if self.coverage is not None and not 0 <= self.coverage <= 1:
            raise ValueError(f"coverage={self.coverage} was given; a share from 0 to 1 is needed.")


def paint_clouds(
    reflectance: FloatArray,
    seed: int,
    *,
    coverage: float | None = None,
    sun: Sun | None = None,
    pixel_m: float = PIXEL_M,
    spectra: FloatArray | None = None,
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Paint clouds and their shadows on a clear scene.

    reflectance: float32 (13, y, x), L1C, unitless, bands in the order of `spectra.BANDS`; NaN stays NaN.
    seed: same seed, same clouds. coverage, sun, pixel_m, spectra: as in `SkyOptions`.
    Returns the painted scene, float32 (13, y, x), and the truth, uint8 (y, x): 1 clear, 2 shadow, 3 semi-transparent
    cloud, 4 cloud.
    Raises ValueError if the scene has not 13 bands or coverage is outside 0 to 1.
    """
    scene, marked = paint_options(reflectance, seed, SkyOptions(coverage, sun, pixel_m, spectra))
    return scene, marked % ONLY_B10


def paint_options(reflectance: FloatArray, seed: int, options: SkyOptions) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Paint a sky of these options as `paint_clouds` does.

    The truth has `ONLY_B10` added to the code of cloud that only B10 shows.
    """
    if reflectance.ndim != 3 or reflectance.shape[0] != len(BANDS):
        raise ValueError(f"Scene has shape {reflectance.shape}; (13, y, x) is needed, bands {', '.join(BANDS)}.")
    rng = np.random.default_rng(seed)
    sun = options.sun or draw_sun(rng)
    scene = np.array(reflectance, np.float32)
    if options.coverage == 0:
        return scene, np.full(scene.shape[1:], CLEAR, np.uint8)
    sky = draw_sky(scene.shape[1:], sun, options.pixel_m, rng, options.coverage)
    return paint_layers(scene, sky, rng, options.spectra, options.aot)


def paint_layers(
    scene: FloatArray, sky: Sky, rng: np.random.Generator, spectra: FloatArray | None = None, aot: float | None = None
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Cast shadows on the ground, then paint the layers from the lowest up.

    spectra, aot: as in `SkyOptions`. Returns the scene and its truth, with `ONLY_B10`.
    """
    sun, view, pixel_m = sky.sun, sky.view, sky.pixel_m
    water = estimate_water(scene, sun.zenith_deg)
    beam = compute_direct_beam(sky)
    sides, drawn = float(rng.uniform(*SIDES)), float(np.exp(rng.uniform(*np.log(AOT))))
    scene, drop = cast_shadows(scene, beam, sun, sides, drawn if aot is None else aot)
    through, b10 = np.ones(view.shape, np.float32), np.zeros(view.shape, np.float32)
    strength = float(rng.uniform(*RELIEF))
    for layer in sky.layers:
        colour = draw_real_colour(layer, spectra, rng)
        if colour is None:
            colour = draw_table_colour(layer, rng) * transmit_through_vapour(
                water, layer.base_km + 0.6 * layer.thick_km, sun.zenith_deg
            )
        bright = shade_relief(layer, sun.toward, pixel_m, strength)
        rows = shift_by_parallax(layer.base_km, pixel_m, rng)
        for band in range(len(BANDS)):
            opacity = compute_reflectance(view.cut(layer.depth, rows=int(rows[band])), layer.kind.ice)
            tint = colour[band] ** (THINNEST + (1 - THINNEST) * opacity) if band >= B11 else colour[band]
            light = opacity * tint * view.cut(bright, rows=int(rows[band]))
            scene[band] = light + transmit_through_cloud(scene[band], opacity)
            if band == B02:
                through *= (1 - opacity) ** 2
            elif band == B10:
                b10 += light
    return scene, label_truth(ndimage.gaussian_filter(through, BLUR_PX), b10, beam, drop)


def label_truth(through: FloatArray, b10: FloatArray, beam: FloatArray, drop: FloatArray) -> NDArray[np.uint8]:
    """Label each pixel (y, x): cloud before semi-transparent cloud, shadow and clear.

    See `ONLY_B10`.
    """
    shaded = ndimage.median_filter((beam < BEAM) & (drop > DROP), 3)  # nobody draws a shadow of one pixel
    truth = np.where(shaded, SHADOW, CLEAR)
    truth = np.where(b10 > VISIBLE_B10, THIN + ONLY_B10, truth)
    truth = np.where(1 - through > VISIBLE, THIN, truth)
    return np.where(1 - through > OPAQUE, CLOUD, truth).astype(np.uint8)
