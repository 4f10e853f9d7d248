"""Paint plausible clouds with geometric shadows on a clear Sentinel-2 L1C scene, with the truth of every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from kappamask.training.clouds import KINDS, Layer, draw_kind, draw_layer, relief
from kappamask.training.spectra import (
    ABSORPTION_SPREAD,
    B02,
    B03,
    B08,
    B10,
    B11,
    B12,
    BANDS,
    ICE_CLOUD,
    PARALLAX,
    WATER_CLOUD,
    FloatArray,
    path,
    sky_light,
    vapour,
    water_column,
)

CLEAR, SHADOW, THIN, CLOUD = 1, 2, 3, 4
#: Backscattered share (1 - g) of cloud droplets and of ice crystals (asymmetry 0.85 and 0.77).
BACKSCATTER: Final = {False: 0.15, True: 0.23}
#: Opacity at B02 from which land cannot be seen through a cloud, and from which a cloud can be seen at all.
OPAQUE, VISIBLE, VISIBLE_B10 = 0.45, 0.08, 0.006
#: Kinds that a sky of a given coverage is made of, each as often: ice among them, lest it be taken for snow.
OPAQUE_KINDS: Final = tuple(kind for kind in KINDS if kind.depth[1] >= 20)
#: A pixel is shadow where the sun's beam is weaker than this and B02, B03 or B08 drops by more than these: a share of
#: its light, and a reflectance, below which nobody sees it. Taught 0.22, a network called pixels of two Landsat scenes
#: shadow that had lost 0.22 of B08 (medians), where those labelled so had lost half: a third lies between.
BEAM, DROP, LEAST_DROP = 0.65, 0.33, 0.004
#: Share of shadow among the ground that is seen, above which it is not judged: nobody can tell it from dark land.
ALL_SHADE: Final = 0.75
SEEN: Final = (B02, B03, B08)
#: Share of a cloud's optical depth that takes light out of the sun's beam: 1 - g², g the asymmetry of droplets (0.85)
#: and of ice (0.77); the rest goes on nearly straight (Joseph, Wiscombe and Weinman 1976, delta-Eddington).
BLOCK: Final = {False: 0.28, True: 0.41}
#: Light from cloud sides in a shadow, as a share of full sunlight: a lone cloud, to a field of bright ones. With it the
#: medians of tiles lie about those of three labelled real scenes (B08 0.33, 0.50, 0.55; B11 0.24, 0.38, 0.42).
SIDES: Final = (0.02, 0.28)
#: Aerosol optical depth at 550 nm that shadows are seen through: a visibility of about 100 to 8 km.
AOT: Final = (0.03, 0.5)
#: A thin layer scatters light once and hardly absorbs it: its colour in B11 and B12 is the thick one's to this power.
THINNEST: Final = 0.45
#: B10 relative to B03 of real clouds whose colour a layer may take: below 2.5 km, between, and ice.
HEIGHT_B10: Final = ((0.0, 0.008), (0.002, 0.06), (0.02, 1.0))
#: How much brighter a slope of a cloud is that faces the sun, and the blur of a cloud's edge where it is labelled.
RELIEF, BLUR_PX = (0.1, 0.45), 0.8
#: Pixels kept around the canvas for the bands' parallax, and the longest shadow simulated.
EDGE_PX, LONGEST_PX = 24, 384


@dataclass(frozen=True)
class Sun:
    """Direction to the sun in degrees: zenith from the vertical, azimuth clockwise from north (up in the image)."""

    zenith_deg: float
    azimuth_deg: float

    @property
    def toward(self) -> tuple[float, float]:
        """Unit step (rows, columns) on the ground towards the sun."""
        azimuth = np.radians(self.azimuth_deg)
        return -float(np.cos(azimuth)), float(np.sin(azimuth))

    @property
    def tangent(self) -> float:
        """Metres of shadow for a metre of height."""
        return float(np.tan(np.radians(self.zenith_deg)))


def draw_sun(rng: np.random.Generator) -> Sun:
    """Any azimuth, from 18 to 70 degrees from the zenith."""
    return Sun(float(rng.uniform(18, 70)), float(rng.uniform(0, 360)))


@dataclass(frozen=True)
class View:
    """Where the tile lies on the layers' canvas: the tile's shape and corner, and pixels of shadow per km of height."""

    shape: tuple[int, int]
    corner: tuple[int, int]
    step: tuple[float, float]

    def cut(self, canvas: FloatArray, height_km: float = 0.0, rows: int = 0) -> FloatArray:
        """Part of `canvas` between the sun and the tile at `height_km` (0: straight above), moved by `rows`."""
        y, x = (round(c + height_km * s) for c, s in zip(self.corner, self.step, strict=True))
        return canvas[y + rows : y + rows + self.shape[0], x : x + self.shape[1]]


def paint_clouds(
    reflectance: FloatArray,
    seed: int,
    *,
    coverage: float | None = None,
    sun: Sun | None = None,
    pixel_m: float = 10.0,
    spectra: FloatArray | None = None,
    aot: float | None = None,
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Paint clouds and their shadows on a clear scene.

    reflectance: float32 (13, y, x), L1C, unitless, bands in the order of `spectra.BANDS`; NaN stays NaN.
    seed: same seed, same clouds. coverage: share of the canvas under cloud, 0 to 1; drawn at random if None.
    sun: its direction; drawn if None. pixel_m: size of a pixel in metres.
    spectra: float32 (n, 13), TOA reflectance of real thick clouds; half of the layers take their colour from these.
    aot: aerosol optical depth at 550 nm, whose light stays in shadows; drawn from `AOT` if None.
    Returns the painted scene, float32 (13, y, x), and the truth, uint8 (y, x): 1 clear, 2 shadow, 3 semi-transparent
    cloud, 4 cloud.
    Raises ValueError if the scene has not 13 bands or coverage is outside 0 to 1.
    """
    if reflectance.ndim != 3 or reflectance.shape[0] != len(BANDS):
        raise ValueError(f"Scene has shape {reflectance.shape}; (13, y, x) is needed, bands {', '.join(BANDS)}.")
    if coverage is not None and not 0 <= coverage <= 1:
        raise ValueError(f"coverage={coverage} was given; a share from 0 to 1 is needed.")
    rng = np.random.default_rng(seed)
    sun = sun or draw_sun(rng)
    scene = np.array(reflectance, np.float32)
    if coverage == 0:
        return scene, np.full(scene.shape[1:], CLEAR, np.uint8)
    layers, view = draw_sky(scene.shape[1:], sun, pixel_m, rng, coverage)
    return paint_layers(scene, layers, view, sun, pixel_m, rng, spectra, aot)


def draw_sky(
    shape: tuple[int, ...], sun: Sun, pixel_m: float, rng: np.random.Generator, coverage: float | None
) -> tuple[list[Layer], View]:
    """One or two layers on a canvas that holds every cloud whose shadow can fall on a tile of `shape`."""
    step = (1000 * sun.tangent * sun.toward[0] / pixel_m, 1000 * sun.tangent * sun.toward[1] / pixel_m)
    highest = LONGEST_PX * pixel_m / 1000 / max(sun.tangent, 0.05)
    if coverage is None:
        kinds = [draw_kind(rng) for _ in range(1 if rng.random() < 0.7 else 2)]
    else:
        kinds = [OPAQUE_KINDS[int(rng.integers(len(OPAQUE_KINDS)))]]
    low = [k for k in kinds if not k.ice] or [KINDS[0]]
    reach = min(highest, max(k.base_km[1] + k.thick_km[1] for k in low))
    pads = [int(np.ceil(abs(s) * reach)) + 2 * EDGE_PX for s in step]
    y, x = (EDGE_PX if s > 0 else p - EDGE_PX for s, p in zip(step, pads, strict=True))
    canvas = (shape[0] + pads[0], shape[1] + pads[1])
    layers = [
        draw_layer(k, canvas, pixel_m, rng, coverage=coverage, highest_km=20.0 if k.ice else reach) for k in kinds
    ]
    return sorted(layers, key=lambda layer: layer.base_km), View((shape[0], shape[1]), (y, x), step)


def paint_layers(
    scene: FloatArray,
    layers: list[Layer],
    view: View,
    sun: Sun,
    pixel_m: float,
    rng: np.random.Generator,
    spectra: FloatArray | None = None,
    aot: float | None = None,
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Shadows on the ground first, then the layers from the lowest up; returns the scene and its truth."""
    water = water_column(scene, sun.zenith_deg)
    beam = sunbeam(layers, view, sun, pixel_m)
    sides, drawn = float(rng.uniform(*SIDES)), float(np.exp(rng.uniform(*np.log(AOT))))
    scene, drop = darken(scene, beam, sun, sides, drawn if aot is None else aot)
    through, b10 = np.ones(view.shape, np.float32), np.zeros(view.shape, np.float32)
    strength = float(rng.uniform(*RELIEF))
    for layer in layers:
        colour = real_colour(layer, spectra, rng)
        if colour is None:
            colour = cloud_colour(layer, rng) * vapour(water, layer.base_km + 0.6 * layer.thick_km, sun.zenith_deg)
        bright = relief(layer, sun.toward, pixel_m, strength)
        rows = parallax(layer.base_km, pixel_m, rng)
        for band in range(len(BANDS)):
            opacity = reflect(view.cut(layer.depth, rows=int(rows[band])), layer.kind.ice)
            tint = colour[band] ** (THINNEST + (1 - THINNEST) * opacity) if band >= B11 else colour[band]
            light = opacity * tint * view.cut(bright, rows=int(rows[band]))
            scene[band] = light + below(scene[band], opacity)
            if band == B02:
                through *= (1 - opacity) ** 2
            elif band == B10:
                b10 += light
    return scene, label(ndimage.gaussian_filter(through, BLUR_PX), b10, beam, drop)


def parallax(base_km: float, pixel_m: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows (13,) by which each band sees a cloud at `base_km` moved, up the image or down."""
    rows = np.round(PARALLAX * (base_km * 1000 / pixel_m) / 2 * rng.choice((-1, 1)))
    return np.asarray(rows.clip(-EDGE_PX, EDGE_PX), np.int64)


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


def label(through: FloatArray, b10: FloatArray, beam: FloatArray, drop: FloatArray) -> NDArray[np.uint8]:
    """Truth codes (y, x): cloud over semi-transparent cloud over shadow over clear."""
    shaded = ndimage.median_filter((beam < BEAM) & (drop > DROP), 3)  # nobody draws a shadow of one pixel
    truth = np.where(shaded, SHADOW, CLEAR)
    truth = np.where((1 - through > VISIBLE) | (b10 > VISIBLE_B10), THIN, truth)
    return np.where(1 - through > OPAQUE, CLOUD, truth).astype(np.uint8)
