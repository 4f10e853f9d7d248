"""Simulate training tiles, and skies and grounds apart, on disk.

A tile is `<seed>.npy`, uint16 (14, size, size): 13 bands in digital numbers (reflectance * 10000, L1C) and
the truth code, plus `ONLY_B10` where semi-transparent cloud is seen in B10 alone.

`sky-<seed>.npz` holds `planes`, float16 (5, 512 + 2 * 24, 512): for each of two layers, from the lower up, the optical
depth and the brightness of its slopes (-1 to 1), then the sun's beam on the ground; and the fields of `Numbers`.
`ground-<seed>.npy` holds 13 bands of digital numbers, L1C, int16 (13, 512, 512).
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.training.simulator.clouds import EDGE_PX, KINDS, Layer, Sun, View, draw_sky, draw_sun, relief
from kappamask.training.simulator.illumination import sunbeam
from kappamask.training.simulator.materials import Ground, load_ground
from kappamask.training.simulator.paint import ALL_SHADE, CLEAR, ONLY_B10, SHADOW, paint_clouds
from kappamask.training.simulator.resample import KERNELS, blur_to_native
from kappamask.training.simulator.spectra import FloatArray, path, transmission
from kappamask.training.simulator.surfaces import draw_ground

SIZE = 512
CLOUD_FREE, OVERCAST = 0.18, 0.07
#: Share of tiles under dim light (winter, low sun), and what is left then of the light from the ground.
DIM, DIM_TO = 0.35, (0.35, 0.9)
#: Share of tiles under more haze than their ground was seen through, and its aerosol optical depth at 550 nm.
HAZY, HAZE, CLEAR_AIR = 0.4, (0.1, 0.6), 0.05
#: Deviation of the logarithm of a tile's brightness, and of its slope from B01 to B12: dark land is no shadow.
BRIGHTNESS, SLOPE = 0.2, 0.1
LAYERS: Final = 2
Array = NDArray[Any]


def make_tile(ground: Ground, seed: int, size: int = SIZE) -> NDArray[np.uint16]:
    """Tile number `seed`: ground, clouds, the sensor's grids and noise; uint16 (14, size, size)."""
    rng = np.random.default_rng([seed, 1])
    pixel_m = draw_pixel(rng)
    sun = draw_sun(rng)
    share = rng.random()
    coverage = 0.0 if share < CLOUD_FREE else 1.0 if share < CLOUD_FREE + OVERCAST else None
    clear = np.clip(draw_ground(ground, size, seed) * shade(rng), 1e-4, 1.2).astype(np.float32)
    if rng.random() < DIM:
        clear = dim(clear, sun, float(rng.uniform(*DIM_TO)))
    aot = float(np.exp(rng.uniform(*np.log(HAZE)))) if rng.random() < HAZY else None
    clear = clear if aot is None else hazy(clear, sun, aot)
    scene, truth = paint_clouds(
        clear, seed, coverage=coverage, sun=sun, pixel_m=pixel_m, spectra=ground.clouds, aot=aot, mark_only_b10=True
    )
    scene = blur_to_native(scene, pixel_m, str(rng.choice(list(KERNELS))))
    truth = unsure(truth)
    noise = rng.standard_normal(scene.shape, dtype=np.float32) * noise_of(scene)
    dn = np.clip((scene + noise) * 10000, 1, 30000).round().astype(np.uint16)
    return np.concatenate([dn, truth[None].astype(np.uint16)])


def read_truth(plane: NDArray[np.uint16]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the class codes (y, x) of a tile's last plane, and where only B10 shows the cloud."""
    only_b10 = plane >= ONLY_B10
    return (plane - np.where(only_b10, ONLY_B10, 0)).astype(np.uint8), only_b10


def unsure(truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Truth (y, x) with 0, not judged, for shadow where hardly any ground is in the sun."""
    shade, sunny = ((truth == code).sum() for code in (SHADOW, CLEAR))
    return np.where((truth == SHADOW) & (shade > ALL_SHADE * (shade + sunny)), np.uint8(0), truth)


def noise_of(scene: Any) -> Any:
    """Deviation of the sensor's noise; an array or a tensor."""
    return 0.0008 + 0.006 * scene


def draw_pixel(rng: np.random.Generator) -> float:
    """Size of a tile's pixels in metres: Sentinel-2's 10 and 20, and Landsat's 30."""
    return float(rng.choice((10.0, 20.0, 30.0), p=(0.55, 0.3, 0.15)))


def shade(rng: np.random.Generator) -> FloatArray:
    """Factor (13, 1, 1) that makes a land darker or brighter, and redder or bluer."""
    slope = rng.normal(0, SLOPE) * np.linspace(-1, 1, 13)
    return np.exp(rng.normal(0, BRIGHTNESS) + slope)[:, None, None].astype(np.float32)


def hazy(scene: FloatArray, sun: Sun, aot: float) -> FloatArray:
    """Scene (13, y, x) through air of aerosol optical depth `aot` at 550 nm instead of clear air's."""
    light, loss = haze(sun.zenith_deg, aot)
    return np.asarray(light[:, None, None] + loss[:, None, None] * scene, np.float32)


def dim(scene: FloatArray, sun: Sun, share: float) -> FloatArray:
    """Scene (13, y, x) of a darker land under the same air: only a `share` of the ground's light is left."""
    air = np.minimum(path(sun.zenith_deg, CLEAR_AIR)[:, None, None], 0.9 * scene)
    return np.asarray(air + (scene - air) * np.float32(share), np.float32)


def haze(sun_zenith_deg: float, aot: float) -> tuple[FloatArray, FloatArray]:
    """Light (13,) that air of aerosol optical depth `aot` adds to that of clear air, and the factor on the ground's."""
    light = path(sun_zenith_deg, aot) - path(sun_zenith_deg, CLEAR_AIR)
    return light, transmission(sun_zenith_deg, aot) / transmission(sun_zenith_deg, CLEAR_AIR)


def write_tiles(
    data: Path,
    out: Path,
    first: int,
    count: int,
    show: Callable[[int, int], None] | None = None,
    grounds: Path | None = None,
) -> None:
    """Write tiles `first` to `first + count - 1` under `out`; those that are there stay, none appears half.

    show: called after each tile with how many there are and how many there will be.
    grounds: folder of clear scenes of one's own, to paint on as well.
    """
    ground = load_ground(data, grounds)
    out.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        path = out / f"{seed:07d}.npy"
        if not path.exists():
            beside = path.with_suffix(f".{os.getpid()}.part")
            with beside.open("wb") as stream:
                np.save(stream, make_tile(ground, seed))
            beside.rename(path)
        if show:
            show(seed - first + 1, count)


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
