"""Place layers of cloud and the sun over a tile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kappamask.training.simulator.clouds import KINDS, Layer, draw_kind, draw_layer
from kappamask.training.simulator.spectra import PARALLAX, FloatArray

__all__ = [
    "EDGE_PX",
    "LONGEST_PX",
    "OPAQUE_KINDS",
    "CanvasView",
    "Sky",
    "Sun",
    "draw_sky",
    "draw_sun",
    "shift_by_parallax",
]

#: Pixels kept around the canvas for the bands' parallax, and the longest shadow simulated.
EDGE_PX, LONGEST_PX = 24, 384
#: Kinds that a sky of a given coverage is made of, each as often: ice among them, so that it is not taken for snow.
OPAQUE_KINDS: Final = tuple(kind for kind in KINDS if kind.depth[1] >= 20)


@dataclass(frozen=True)
class Sun:
    """Direction to the sun in degrees.

    Zenith from the vertical, azimuth clockwise from north (up in the image).
    """

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
    """Draw any azimuth, and a zenith angle from 18 to 70 degrees."""
    return Sun(float(rng.uniform(18, 70)), float(rng.uniform(0, 360)))


@dataclass(frozen=True)
class CanvasView:
    """Position of the tile on the canvas of the layers.

    The tile's shape and corner, and pixels of shadow per km of height.
    """

    shape: tuple[int, int]
    corner: tuple[int, int]
    step: tuple[float, float]

    def cut(self, canvas: FloatArray, height_km: float = 0.0, rows: int = 0) -> FloatArray:
        """Cut the part of `canvas` that shades the tile from `height_km`.

        At 0 it is the part straight above. rows: by how many rows to move it.
        """
        y, x = (round(c + height_km * s) for c, s in zip(self.corner, self.step, strict=True))
        return canvas[y + rows : y + rows + self.shape[0], x : x + self.shape[1]]


@dataclass(frozen=True)
class Sky:
    """Clouds over a tile, and the light and grid under which they are seen."""

    layers: Sequence[Layer]
    """From the lowest up."""
    view: CanvasView
    sun: Sun
    pixel_m: float
    """Size of a pixel in metres."""


def draw_sky(shape: tuple[int, ...], sun: Sun, pixel_m: float, rng: np.random.Generator, coverage: float | None) -> Sky:
    """Draw one or two layers on a canvas large enough for all shadows.

    It holds every cloud whose shadow can fall on a tile of `shape`.
    """
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
    view = CanvasView((shape[0], shape[1]), (y, x), step)
    return Sky(sorted(layers, key=lambda layer: layer.base_km), view, sun, pixel_m)


def shift_by_parallax(base_km: float, pixel_m: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows (13,) by which each band sees a cloud at `base_km` moved.

    All up the image, or all down.
    """
    rows = np.round(PARALLAX * (base_km * 1000 / pixel_m) / 2 * rng.choice((-1, 1)))
    return np.asarray(rows.clip(-EDGE_PX, EDGE_PX), np.int64)
