"""Simulate skies and grounds separately, on disk, for batches that are painted on a GPU."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kappamask.training.simulator.clouds import KINDS, Layer, shade_relief
from kappamask.training.simulator.illumination import compute_direct_beam
from kappamask.training.simulator.materials import Ground, load_ground
from kappamask.training.simulator.sky import EDGE_PX, CanvasView, draw_sky, draw_sun
from kappamask.training.simulator.surfaces import draw_ground
from kappamask.training.simulator.tiles import (
    CLOUD_FREE,
    LAYERS,
    OVERCAST,
    SIZE,
    Array,
    draw_pixel_size,
    write_numbered,
)

__all__ = ["SkyParameters", "draw_sky_planes", "read_sky", "write_components"]


@dataclass(frozen=True)
class SkyParameters:
    """The parameters of a sky that its planes do not hold.

    `kind` is -1 where a layer is absent, else its index in `clouds.KINDS`.
    """

    zenith_deg: float
    pixel_m: float
    kind: tuple[int, ...]
    base_km: tuple[float, ...]
    thick_km: tuple[float, ...]

    def layer(self, number: int) -> Layer:
        """Return that layer without its planes."""
        none = np.zeros((0, 0), np.float32)
        return Layer(KINDS[self.kind[number]], self.base_km[number], self.thick_km[number], none, none)


def draw_sky_planes(seed: int) -> tuple[Array, SkyParameters]:
    """Draw sky number `seed`: its planes and parameters.

    None is cloud-free: the trainer leaves clouds out where it wants.
    """
    rng = np.random.default_rng([seed, 2])
    pixel_m = draw_pixel_size(rng)
    sun = draw_sun(rng)
    coverage = 1.0 if rng.random() < OVERCAST / (1 - CLOUD_FREE) else None
    sky = draw_sky((SIZE, SIZE), sun, pixel_m, rng, coverage)
    planes = np.zeros((2 * LAYERS + 1, SIZE + 2 * EDGE_PX, SIZE), np.float16)
    for number, layer in enumerate(sky.layers):
        planes[2 * number] = _cut_window(sky.view, layer.depth)
        planes[2 * number + 1] = _cut_window(sky.view, shade_relief(layer, sun.toward, pixel_m, 1.0) - 1)
    planes[-1, EDGE_PX:-EDGE_PX] = compute_direct_beam(sky)
    none = LAYERS - len(sky.layers)
    return planes, SkyParameters(
        sun.zenith_deg,
        pixel_m,
        (*(KINDS.index(layer.kind) for layer in sky.layers), *[-1] * none),
        (*(layer.base_km for layer in sky.layers), *[0.0] * none),
        (*(layer.thick_km for layer in sky.layers), *[0.0] * none),
    )


def _cut_window(view: CanvasView, canvas: Array) -> Array:
    """Cut the tile's part of `canvas`, with the rows that parallax needs."""
    y, x = view.corner
    return canvas[y - EDGE_PX : y + SIZE + EDGE_PX, x : x + SIZE]


def read_sky(path: Path) -> tuple[Array, SkyParameters]:
    """Read a file that `write_components` wrote to `path`."""
    with np.load(path) as archive:
        zenith_deg, pixel_m = (float(archive[name]) for name in ("zenith_deg", "pixel_m"))
        layers = (tuple(archive[name].tolist()) for name in ("kind", "base_km", "thick_km"))
        return archive["planes"], SkyParameters(zenith_deg, pixel_m, *layers)


def write_components(
    data: Path,
    out: Path,
    first: int,
    count: int,
    progress: Callable[[int, int], None] | None = None,
    grounds: Path | None = None,
) -> None:
    """Write skies and grounds `first` to `first + count - 1` under `out`.

    Existing ones stay; no file appears incomplete.
    """
    savers: dict[str, Callable[[int, Path], None]] = {
        "ground-{:07d}.npy": partial(_save_ground, load_ground(data, grounds)),
        "sky-{:07d}.npz": _save_sky,
    }
    write_numbered(out, range(first, first + count), savers, progress)


def _save_ground(ground: Ground, seed: int, path: Path) -> None:
    np.save(path, (draw_ground(ground, SIZE, seed) * 1e4).clip(1, 30000).round().astype(np.int16))


def _save_sky(seed: int, path: Path) -> None:
    planes, numbers = draw_sky_planes(seed)
    np.savez(path, planes=planes, **asdict(numbers))
