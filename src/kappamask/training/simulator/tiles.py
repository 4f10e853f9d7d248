"""Simulate training tiles, and skies and grounds separately, on disk.

A tile is `<seed>.npy`, uint16 (14, size, size): 13 bands in digital numbers (reflectance * 10000, L1C) and
the truth code, plus `ONLY_B10` where semi-transparent cloud is seen in B10 alone.

`sky-<seed>.npz` holds `planes`, float16 (5, 512 + 2 * 24, 512): for each of two layers, from the lower up, the optical
depth and the brightness of its slopes (-1 to 1), then the sun's beam on the ground; and the fields of `SkyParameters`.
`ground-<seed>.npy` holds 13 bands of digital numbers, L1C, int16 (13, 512, 512).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.files.atomic import atomic_write
from kappamask.training.simulator.clouds import EDGE_PX, KINDS, CanvasView, Layer, Sun, draw_sky, draw_sun, shade_relief
from kappamask.training.simulator.illumination import compute_direct_beam
from kappamask.training.simulator.materials import Ground, load_ground
from kappamask.training.simulator.paint import ALL_SHADE, CLEAR, ONLY_B10, SHADOW, SkyOptions, paint_options
from kappamask.training.simulator.resample import KERNELS, blur_to_native
from kappamask.training.simulator.spectra import FloatArray, air_transmission, path_reflectance
from kappamask.training.simulator.surfaces import draw_ground

__all__ = [
    "CLEAR_AIR",
    "CLOUD_FREE",
    "DIM",
    "DIM_TO",
    "HAZE",
    "HAZY",
    "LAYERS",
    "SIZE",
    "SkyParameters",
    "add_haze",
    "compute_haze",
    "compute_noise",
    "dim_land",
    "draw_brightness",
    "draw_pixel_size",
    "draw_sky_planes",
    "ignore_ambiguous_shadow",
    "make_tile",
    "read_sky",
    "read_truth",
    "write_components",
    "write_tiles",
]

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
    """Simulate tile number `seed`, uint16 (14, size, size).

    Ground, clouds, the sensor's grids and noise.
    """
    rng = np.random.default_rng([seed, 1])
    pixel_m = draw_pixel_size(rng)
    sun = draw_sun(rng)
    share = rng.random()
    coverage = 0.0 if share < CLOUD_FREE else 1.0 if share < CLOUD_FREE + OVERCAST else None
    clear = np.clip(draw_ground(ground, size, seed) * draw_brightness(rng), 1e-4, 1.2).astype(np.float32)
    if rng.random() < DIM:
        clear = dim_land(clear, sun, float(rng.uniform(*DIM_TO)))
    aot = float(np.exp(rng.uniform(*np.log(HAZE)))) if rng.random() < HAZY else None
    clear = clear if aot is None else add_haze(clear, sun, aot)
    scene, truth = paint_options(clear, seed, SkyOptions(coverage, sun, pixel_m, ground.clouds, aot))
    scene = blur_to_native(scene, pixel_m, str(rng.choice(list(KERNELS))))
    truth = ignore_ambiguous_shadow(truth)
    noise = rng.standard_normal(scene.shape, dtype=np.float32) * compute_noise(scene)
    dn = np.clip((scene + noise) * 10000, 1, 30000).round().astype(np.uint16)
    return np.concatenate([dn, truth[None].astype(np.uint16)])


def read_truth(plane: NDArray[np.uint16]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Split a tile's last plane into class codes and cirrus that only B10 shows.

    Both (y, x).
    """
    only_b10 = plane >= ONLY_B10
    return (plane - np.where(only_b10, ONLY_B10, 0)).astype(np.uint8), only_b10


def ignore_ambiguous_shadow(truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Set shadow in truth (y, x) to 0 where hardly any ground is sunlit.

    0 is not judged.
    """
    shade, sunny = ((truth == code).sum() for code in (SHADOW, CLEAR))
    return np.where((truth == SHADOW) & (shade > ALL_SHADE * (shade + sunny)), np.uint8(0), truth)


def compute_noise(scene: Any) -> Any:
    """Return the standard deviation of the sensor's noise; an array or a tensor."""
    return 0.0008 + 0.006 * scene


def draw_pixel_size(rng: np.random.Generator) -> float:
    """Draw the pixel size in metres: Sentinel-2's 10 and 20, and Landsat's 30."""
    return float(rng.choice((10.0, 20.0, 30.0), p=(0.55, 0.3, 0.15)))


def draw_brightness(rng: np.random.Generator) -> FloatArray:
    """Draw a factor (13, 1, 1) that makes land darker or brighter, redder or bluer."""
    slope = rng.normal(0, SLOPE) * np.linspace(-1, 1, 13)
    return np.exp(rng.normal(0, BRIGHTNESS) + slope)[:, None, None].astype(np.float32)


def add_haze(scene: FloatArray, sun: Sun, aot: float) -> FloatArray:
    """Show `scene` (13, y, x) through hazy air instead of clear air.

    aot: aerosol optical depth at 550 nm.
    """
    light, loss = compute_haze(sun.zenith_deg, aot)
    return np.asarray(light[:, None, None] + loss[:, None, None] * scene, np.float32)


def dim_land(scene: FloatArray, sun: Sun, share: float) -> FloatArray:
    """Reduce the ground's light in `scene` (13, y, x) to `share`; the air's stays."""
    air = np.minimum(path_reflectance(sun.zenith_deg, CLEAR_AIR)[:, None, None], 0.9 * scene)
    return np.asarray(air + (scene - air) * np.float32(share), np.float32)


def compute_haze(sun_zenith_deg: float, aot: float) -> tuple[FloatArray, FloatArray]:
    """Return the light (13,) that haze adds, and its factor on the ground's.

    Both relative to clear air. aot: aerosol optical depth at 550 nm.
    """
    light = path_reflectance(sun_zenith_deg, aot) - path_reflectance(sun_zenith_deg, CLEAR_AIR)
    return light, air_transmission(sun_zenith_deg, aot) / air_transmission(sun_zenith_deg, CLEAR_AIR)


def write_tiles(
    data: Path,
    out: Path,
    first: int,
    count: int,
    progress: Callable[[int, int], None] | None = None,
    grounds: Path | None = None,
) -> None:
    """Write tiles `first` to `first + count - 1` under `out`.

    Existing ones stay; no file appears incomplete.

    progress: called after each tile with how many there are and how many there will be.
    grounds: folder of clear scenes of one's own, to paint on as well.
    """
    ground = load_ground(data, grounds)
    out.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        _write_once(out / f"{seed:07d}.npy", partial(_save_tile, ground, seed))
        if progress:
            progress(seed - first + 1, count)


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
    ground = load_ground(data, grounds)
    out.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        _write_once(out / f"ground-{seed:07d}.npy", partial(_save_ground, ground, seed))
        _write_once(out / f"sky-{seed:07d}.npz", partial(_save_sky, seed))
        if progress:
            progress(seed - first + 1, count)


def _write_once(path: Path, save: Callable[[Path], None]) -> None:
    if not path.exists():
        with atomic_write(path) as draft:
            save(draft)


def _save_tile(ground: Ground, seed: int, path: Path) -> None:
    np.save(path, make_tile(ground, seed))


def _save_ground(ground: Ground, seed: int, path: Path) -> None:
    np.save(path, (draw_ground(ground, SIZE, seed) * 1e4).clip(1, 30000).round().astype(np.int16))


def _save_sky(seed: int, path: Path) -> None:
    planes, numbers = draw_sky_planes(seed)
    np.savez(path, planes=planes, **asdict(numbers))
