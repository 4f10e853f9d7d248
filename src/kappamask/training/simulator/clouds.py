"""Draw fields of cloud optical depth by kind, and the position of layers and sun."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import fft, ndimage

from kappamask.training.simulator.spectra import FloatArray

__all__ = [
    "KINDS",
    "CloudKind",
    "Layer",
    "draw_fractal",
    "draw_kind",
    "draw_layer",
    "draw_trails",
    "shade_relief",
]

Range = tuple[float, float]


@dataclass(frozen=True)
class CloudKind:
    """Ranges of the parameters of one kind of cloud.

    Heights and thickness in km, cell size in m, the rest unitless.
    """

    name: str
    weight: float
    base_km: Range
    thick_km: Range
    depth: Range
    cell_m: Range
    slope: Range
    cover: Range
    stretch: Range
    edge: Range
    ice: bool
    line: bool = False


#: Heights after the WMO cloud atlas, optical depths after ISCCP's classes; the rest is this project's choice.
#: Columns as in `CloudKind`.
# fmt: off
KINDS: Final = (
    CloudKind("cumulus", 8.0, (0.5, 2.5), (0.2, 2.0), (4, 40),
              (600, 4500), (3.1, 4.2), (0.05, 0.6), (1.0, 1.7), (0.4, 1.0), False),
    CloudKind("small cumulus", 1.8, (0.4, 2.0), (0.1, 0.4), (1.5, 12),
              (150, 600), (3.2, 4.2), (0.02, 0.3), (1.0, 1.5), (0.4, 1.1), False),
    CloudKind("fractus", 1.4, (0.3, 2.0), (0.1, 0.5), (0.8, 9),
              (150, 1500), (2.6, 3.5), (0.05, 0.5), (1.0, 2.0), (0.8, 1.5), False),
    CloudKind("stratocumulus", 2.0, (0.4, 2.5), (0.2, 0.6), (2, 20),
              (600, 5000), (2.8, 3.8), (0.5, 1.0), (1.0, 2.5), (0.5, 0.9), False),
    CloudKind("altocumulus", 2.0, (2.5, 5.5), (0.2, 0.6), (1, 14),
              (250, 1500), (2.8, 3.8), (0.2, 0.8), (1.2, 4.0), (0.5, 1.2), False),
    CloudKind("cirrus", 4.5, (6.0, 12.0), (0.3, 1.0), (0.2, 4),
              (1500, 9000), (2.6, 3.5), (0.2, 1.0), (1.0, 9.0), (1.0, 1.8), True),
    CloudKind("high deck", 2.2, (5.5, 11.0), (0.5, 3.0), (1.5, 25),
              (3000, 12000), (2.8, 3.5), (0.4, 1.0), (1.0, 4.0), (0.6, 1.2), True),
    CloudKind("contrail", 0.8, (8.0, 12.0), (0.1, 0.4), (0.3, 3),
              (150, 900), (2.8, 3.8), (0.02, 0.15), (1.0, 2.0), (0.8, 1.5), True, line=True),
    CloudKind("haze", 1.2, (0.1, 1.5), (0.1, 0.3), (0.8, 5),
              (1500, 9000), (3.0, 3.8), (0.2, 0.9), (1.0, 3.0), (1.0, 1.6), False),
)


#: From this coverage on the sky is closed and no land is seen.
OVERCAST: Final = 0.999


#: Share of the layers whose clouds stand in a thin ragged veil.
VEIL_SHARE: Final = 0.5


@dataclass(frozen=True)
class Layer:
    """One cloud layer on its canvas.

    Optical `depth` and relative `height` in [0, 1], both float32 (y, x).
    """

    kind: CloudKind
    base_km: float
    thick_km: float
    depth: FloatArray
    height: FloatArray

    @property
    def top_km(self) -> float:
        """Height of the highest top above ground."""
        return self.base_km + self.thick_km


def draw_fractal(
    shape: tuple[int, int], slope: float, cell_px: float, rng: np.random.Generator, *, stretch: float = 1.0
) -> FloatArray:
    """Draw a Gaussian random field, float32 (y, x), mean 0, standard deviation 1.

    Its power is k**-slope within `cell_px`; it is stretched in a random direction.
    """
    y, x = (fft.next_fast_len(n, real=True) for n in shape)
    ky, kx = fft.fftfreq(y)[:, None], fft.rfftfreq(x)[None, :]
    angle = rng.uniform(0, np.pi)
    along = (ky * np.sin(angle) + kx * np.cos(angle)) * stretch
    across = ky * np.cos(angle) - kx * np.sin(angle)
    amplitude = ((along**2 + across**2 + cell_px**-2.0) ** (-slope / 4)).astype(np.float32)
    white = fft.rfft2(rng.standard_normal((y, x), dtype=np.float32))
    field = fft.irfft2(white * amplitude, s=(y, x))[: shape[0], : shape[1]]
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), np.float32)


def draw_trails(shape: tuple[int, int], cell_px: float, rng: np.random.Generator) -> FloatArray:
    """Draw one to three straight trails about `cell_px` wide, float32 (y, x).

    0 on the nearest one, negative elsewhere.
    """
    y, x = np.ogrid[: shape[0], : shape[1]]
    far = np.full(shape, np.inf)
    for _ in range(int(rng.integers(1, 4))):
        angle, (y0, x0) = rng.uniform(0, np.pi), rng.uniform(0, 1, 2) * shape
        far = np.minimum(far, np.abs((y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)))
    return np.asarray(-2 * far / cell_px, np.float32)


def draw_kind(rng: np.random.Generator, pool: Sequence[CloudKind] = KINDS) -> CloudKind:
    """Draw a kind of `pool`, by weight."""
    weights = np.array([kind.weight for kind in pool])
    return pool[int(rng.choice(len(pool), p=weights / weights.sum()))]


def draw_layer(
    kind: CloudKind,
    shape: tuple[int, int],
    pixel_m: float,
    rng: np.random.Generator,
    *,
    coverage: float | None = None,
    highest_km: float = 20.0,
) -> Layer:
    """Draw a layer of `kind` on a canvas of `shape`.

    coverage: share of the canvas that it covers, drawn if None. highest_km: height that its tops stay below.
    """
    cover = float(rng.uniform(*kind.cover)) if coverage is None else coverage
    # At 20 and 30 m the drawn sizes would be a pixel or two: part of such tiles has larger clouds.
    larger = float(rng.uniform(1, pixel_m / 10)) if pixel_m > 10 else 1.0
    cell_px = float(np.exp(rng.uniform(*np.log(kind.cell_m)))) * larger / pixel_m
    slope, stretch = float(rng.uniform(*kind.slope)), float(rng.uniform(*kind.stretch))
    noise = draw_fractal(shape, slope, max(cell_px, 4.0), rng, stretch=stretch)
    noise += np.float32(rng.uniform(0, 0.8)) * draw_fractal(shape, 3.5, 6 * max(cell_px, 4.0), rng)
    if kind.line:
        noise = np.asarray(draw_trails(shape, max(cell_px, 3.0), rng) + np.float32(0.4) * noise, np.float32)
    deepest = float(np.exp(rng.uniform(*np.log(kind.depth))))
    depth, height = _shape_layer(noise, cover, deepest, float(rng.uniform(*kind.edge)))
    if rng.random() < VEIL_SHARE:
        veil = _shape_layer(noise, min(1.0, cover * float(rng.uniform(1.0, 1.6))), float(rng.uniform(0.3, 4.0)), 1.5)[0]
        depth += veil * np.exp(0.5 * draw_fractal(shape, 2.8, max(cell_px / 2, 4.0), rng)).astype(np.float32)
    depth *= np.exp(0.25 * draw_fractal(shape, 2.6, max(cell_px / 4, 3.0), rng)).astype(np.float32)
    if cover >= OVERCAST:
        depth = np.maximum(depth, np.float32(12))
    base = min(float(rng.uniform(*kind.base_km)), 0.6 * highest_km)
    return Layer(kind, base, min(float(rng.uniform(*kind.thick_km)), highest_km - base), depth, height)


def _shape_layer(noise: FloatArray, cover: float, deepest: float, edge: float) -> tuple[FloatArray, FloatArray]:
    """Return optical depth and relative height of a share `cover` of `noise`."""
    if cover >= OVERCAST:
        floor = float(noise.min()) - 0.5 * float(np.ptp(noise))
    else:
        floor = float(np.quantile(noise[::3, ::3], 1 - cover)) if cover > 0 else float(noise.max())
    top = max(float(np.quantile(noise[::3, ::3], 0.995)), floor + 0.3)
    height = np.clip((noise - floor) / (top - floor), 0, 1.2).astype(np.float32)
    return deepest * height ** np.float32(edge), np.sqrt(np.minimum(height, 1))


def shade_relief(layer: Layer, toward_sun: tuple[float, float], pixel_m: float, strength: float) -> FloatArray:
    """Return the factor (y, x) on a cloud's brightness that its relief gives.

    Sides that face the sun are brighter, the others darker.
    """
    metres = ndimage.gaussian_filter(layer.height, max(1.0, 20 / pixel_m)) * layer.thick_km * 1000 / pixel_m
    slope_y, slope_x = np.gradient(metres)
    facing = -(slope_y * toward_sun[0] + slope_x * toward_sun[1])
    return np.asarray(1 + strength * np.tanh(0.5 * facing), np.float32)
