"""Simulate training tiles, and skies and grounds separately, on disk.

A tile is `<seed>.npy`, uint16 (14, size, size): 13 bands in digital numbers (reflectance * 10000, L1C) and
the truth code, plus `ONLY_B10` where semi-transparent cloud is seen in B10 alone.

`sky-<seed>.npz` holds `planes`, float16 (5, 512 + 2 * 24, 512): for each of two layers, from the lower up, the optical
depth and the brightness of its slopes (-1 to 1), then the sun's beam on the ground; and the fields of `SkyParameters`.
`ground-<seed>.npy` holds 13 bands of digital numbers, L1C, int16 (13, 512, 512).
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from kappamask.files.atomic import atomic_write
from kappamask.training.simulator.materials import Ground, load_ground
from kappamask.training.simulator.paint import ALL_SHADE, CLEAR, ONLY_B10, SHADOW, SkyOptions, paint_options
from kappamask.training.simulator.sky import Sun, draw_sun
from kappamask.training.simulator.spectra import (
    ANGSTROM,
    NATIVE_M,
    FloatArray,
    compute_path_reflectance,
    transmit_through_air,
)
from kappamask.training.simulator.surfaces import draw_ground

__all__ = [
    "CLEAR_AIR",
    "CLOUD_FREE",
    "DIM",
    "DIM_TO",
    "HAZE",
    "HAZY",
    "KERNELS",
    "LAYERS",
    "SIZE",
    "add_haze",
    "blur_to_native",
    "compute_haze",
    "compute_noise",
    "dim_land",
    "draw_brightness",
    "draw_pixel_size",
    "ignore_ambiguous_shadow",
    "make_tile",
    "read_truth",
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
    air = np.minimum(compute_path_reflectance(sun.zenith_deg, CLEAR_AIR)[:, None, None], 0.9 * scene)
    return np.asarray(air + (scene - air) * np.float32(share), np.float32)


def compute_haze(sun_zenith_deg: float, aot: float, angstrom: float = ANGSTROM) -> tuple[FloatArray, FloatArray]:
    """Return the light (13,) that haze adds, and its factor on the ground's.

    Both relative to clear air. aot: aerosol optical depth at 550 nm. angstrom: exponent by wavelength; 0 is grey.
    """
    light = compute_path_reflectance(sun_zenith_deg, aot, angstrom) - compute_path_reflectance(
        sun_zenith_deg, CLEAR_AIR
    )
    loss = transmit_through_air(sun_zenith_deg, aot, angstrom) / transmit_through_air(sun_zenith_deg, CLEAR_AIR)
    return light, loss


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
    grounds: folder of the user's own clear scenes, to paint on as well.
    """
    savers = {"{:07d}.npy": partial(_save_tile, load_ground(data, grounds))}
    write_numbered(out, range(first, first + count), savers, progress)


def write_numbered(
    out: Path,
    seeds: range,
    savers: Mapping[str, Callable[[int, Path], None]],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the files of each seed that `out` lacks, each whole or not at all.

    savers: pattern of a file's name -> what saves a seed to a path. progress: as `write_tiles` has it.
    """
    out.mkdir(parents=True, exist_ok=True)
    for done, seed in enumerate(seeds, 1):
        for name, save in savers.items():
            path = out / name.format(seed)
            if not path.exists():
                with atomic_write(path) as draft:
                    save(seed, draft)
        if progress:
            progress(done, len(seeds))


def _save_tile(ground: Ground, seed: int, path: Path) -> None:
    np.save(path, make_tile(ground, seed))


def blur_to_native(tile: FloatArray, pixel_m: float, kernel: str) -> FloatArray:
    """Resample each band of `tile` (13, y, x) to its native grid and back.

    pixel_m: pixel size in metres. kernel: name of one of `KERNELS`.

    Nobody knows how a user resamples, so all of the usual kernels are trained on.
    """
    out = tile.copy()
    for band, native in enumerate(NATIVE_M):
        step = round(native / pixel_m)
        if step > 1:
            out[band] = _average_and_enlarge(tile[band], step, kernel)
    return np.maximum(out, np.float32(1e-4))


def _average_and_enlarge(image: FloatArray, step: int, kernel: str) -> FloatArray:
    """Average `image` (y, x) over squares of `step` pixels, and enlarge it again."""
    height, width = image.shape
    whole = np.pad(image, ((0, -height % step), (0, -width % step)), mode="symmetric")
    coarse = whole.reshape(whole.shape[0] // step, step, whole.shape[1] // step, step).mean(axis=(1, 3))
    fine = KERNELS[kernel](coarse, step)
    return np.asarray(fine[:height, :width], np.float32)


def _make_spline(order: int) -> Callable[[FloatArray, int], FloatArray]:
    return lambda image, step: ndimage.zoom(image, step, order=order, mode="nearest", grid_mode=True)


def _resample_sinc(image: FloatArray, step: int) -> FloatArray:
    """Enlarge by Lanczos's window of three lobes, along one axis and then the other."""
    rows, columns = (_build_lanczos_weights(count, step) for count in image.shape)
    return np.asarray(rows @ image @ columns.T, np.float32)


def _build_lanczos_weights(count: int, step: int) -> FloatArray:
    """Build the weights (count * step, count) from a grid to one `step` times finer.

    The ends are repeated.
    """
    where = (np.arange(count * step) + 0.5)[:, None] / step - 0.5
    near = np.floor(where).astype(int) + np.arange(-2, 4)
    weight = np.sinc(where - near) * np.sinc((where - near) / 3)
    weight /= weight.sum(axis=1, keepdims=True)
    matrix = np.zeros((count * step, count), np.float32)
    np.add.at(matrix, (np.arange(count * step)[:, None], near.clip(0, count - 1)), weight)
    return matrix


#: How 20 and 60 m bands come to the 10 m grid.
KERNELS: Final[dict[str, Callable[[FloatArray, int], FloatArray]]] = {
    "nearest": _make_spline(0), "bilinear": _make_spline(1), "cubic": _make_spline(3), "sinc": _resample_sinc,
}  # fmt: skip
