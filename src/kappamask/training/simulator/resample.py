"""Resample 20 m and 60 m bands to 10 m, by several kernels."""

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy import ndimage

from kappamask.training.simulator.spectra import NATIVE_M, FloatArray

__all__ = [
    "KERNELS",
    "blur_to_native",
]


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
