"""Skies and grounds apart, for a trainer that lays any sky over any ground: tens of millions of tiles from thousands.

`sky-<seed>.npz` holds `planes`, float16 (5, 512 + 2 * 24, 512): for each of two layers, from the lower up, the optical
depth and the brightness of its slopes (-1 to 1), then the sun's beam on the ground; and the fields of `Numbers`.
`ground-<seed>.npy` holds 13 bands of digital numbers, L1C, int16 (13, 512, 512).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.training.clouds import KINDS, Layer, relief
from kappamask.training.material import Ground, load_ground
from kappamask.training.shadows import sunbeam
from kappamask.training.sky import EDGE_PX, View, draw_sky, draw_sun
from kappamask.training.surfaces import draw_ground
from kappamask.training.tiles import CLOUD_FREE, OVERCAST, SIZE, draw_pixel

LAYERS: Final = 2
Array = NDArray[Any]


@dataclass(frozen=True)
class Numbers:
    """What the planes of a sky do not hold; `kind` is -1 where a layer is absent, else its place in `clouds.KINDS`."""

    zenith_deg: float
    pixel_m: float
    kind: tuple[int, ...]
    base_km: tuple[float, ...]
    thick_km: tuple[float, ...]

    def layer(self, number: int) -> Layer:
        """That layer without its planes."""
        none = np.zeros((0, 0), np.float32)
        return Layer(KINDS[self.kind[number]], self.base_km[number], self.thick_km[number], none, none)


def draw_parts(seed: int) -> tuple[Array, Numbers]:
    """Sky number `seed`: its planes and numbers. None is cloud-free: the trainer leaves clouds out where it wants."""
    rng = np.random.default_rng([seed, 2])
    pixel_m = draw_pixel(rng)
    sun = draw_sun(rng)
    coverage = 1.0 if rng.random() < OVERCAST / (1 - CLOUD_FREE) else None
    layers, view = draw_sky((SIZE, SIZE), sun, pixel_m, rng, coverage)
    planes = np.zeros((2 * LAYERS + 1, SIZE + 2 * EDGE_PX, SIZE), np.float16)
    for number, layer in enumerate(layers):
        planes[2 * number] = _window(view, layer.depth)
        planes[2 * number + 1] = _window(view, relief(layer, sun.toward, pixel_m, 1.0) - 1)
    planes[-1, EDGE_PX:-EDGE_PX] = sunbeam(layers, view, sun, pixel_m)
    none = LAYERS - len(layers)
    return planes, Numbers(
        sun.zenith_deg,
        pixel_m,
        (*(KINDS.index(layer.kind) for layer in layers), *[-1] * none),
        (*(layer.base_km for layer in layers), *[0.0] * none),
        (*(layer.thick_km for layer in layers), *[0.0] * none),
    )


def _window(view: View, canvas: Array) -> Array:
    """The tile's part of `canvas`, and as many rows above and below as parallax moves it."""
    y, x = view.corner
    return canvas[y - EDGE_PX : y + SIZE + EDGE_PX, x : x + SIZE]


def read_sky(path: Path) -> tuple[Array, Numbers]:
    """What `write_parts` wrote to `path`."""
    with np.load(path) as archive:
        zenith_deg, pixel_m = (float(archive[name]) for name in ("zenith_deg", "pixel_m"))
        layers = (tuple(archive[name].tolist()) for name in ("kind", "base_km", "thick_km"))
        return archive["planes"], Numbers(zenith_deg, pixel_m, *layers)


def write_parts(
    data: Path,
    out: Path,
    first: int,
    count: int,
    show: Callable[[int, int], None] | None = None,
    grounds: Path | None = None,
) -> None:
    """Write skies and grounds `first` to `first + count - 1` under `out`; what is there stays, none appears half."""
    ground = load_ground(data, grounds)
    out.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        _write(out / f"ground-{seed:07d}.npy", partial(_ground, ground, seed))
        _write(out / f"sky-{seed:07d}.npz", partial(_sky, seed))
        if show:
            show(seed - first + 1, count)


def _write(path: Path, save: Callable[[Any], None]) -> None:
    if not path.exists():
        beside = path.with_suffix(f".{os.getpid()}.part")
        with beside.open("wb") as stream:
            save(stream)
        beside.rename(path)


def _ground(ground: Ground, seed: int, stream: Any) -> None:
    np.save(stream, (draw_ground(ground, SIZE, seed) * 1e4).clip(1, 30000).round().astype(np.int16))


def _sky(seed: int, stream: Any) -> None:
    planes, numbers = draw_parts(seed)
    np.savez(stream, planes=planes, **asdict(numbers))
