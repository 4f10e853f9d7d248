"""The openEO process `apply_kernel`."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from kappamask.backend.errors import api_error, invalid_parameter
from kappamask.backend.pixel_math import decode_nodata

__all__ = ["BORDERS", "check_kernel", "convolve"]

PROCESS = "apply_kernel"
BORDERS = {"replicate": "edge", "reflect": "symmetric", "reflect_pixel": "reflect", "wrap": "wrap"}
"""openEO's name for what lies beyond the border -> numpy's mode of `pad`."""


def check_kernel(kernel: Any, border: Any) -> np.ndarray[Any, Any]:
    """Check the arguments; the kernel as float64 (rows, columns).

    Raises the openEO errors KernelDimensionsUneven and ProcessParameterInvalid.
    """
    try:
        weights = np.asarray(kernel, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise invalid_parameter(PROCESS, "kernel", "the rows must be lists of numbers, all of one length") from error
    if weights.ndim != 2 or not weights.size:
        raise invalid_parameter(PROCESS, "kernel", f"it has {weights.ndim} dimensions; give a list of rows")
    if not all(length % 2 for length in weights.shape):
        raise api_error(
            "KernelDimensionsUneven",
            f"The kernel has {weights.shape[0]} rows and {weights.shape[1]} columns; both numbers must be odd.",
        )
    if border not in BORDERS and (isinstance(border, bool) or not isinstance(border, int | float)):
        raise invalid_parameter(PROCESS, "border", f"{border!r} is neither a number nor one of {', '.join(BORDERS)}")
    return weights


def convolve(cube: xr.DataArray, kernel: Any, factor: float, border: Any, replace_invalid: float) -> xr.DataArray:
    """Sum the pixels round each pixel with the kernel's weights, times `factor`; float32.

    kernel: rows of weights, not mirrored. NaN and infinite pixels count as `replace_invalid`.
    Raises the openEO errors of `check_kernel`, and ProcessParameterInvalid for a cube too small for the border.
    """
    weights = check_kernel(kernel, border)
    cube = decode_nodata(cube).transpose(..., "y", "x")
    rows, columns = cube.sizes["y"], cube.sizes["x"]
    around = [(length // 2, length // 2) for length in weights.shape]
    if border in BORDERS and any(width >= side for (width, _), side in zip(around, (rows, columns), strict=True)):
        raise invalid_parameter(
            PROCESS, "border", f"{border} needs more pixels than the cube's {rows} rows and {columns} columns"
        )
    pixels = np.where(np.isfinite(cube.values), cube.values, replace_invalid)
    widths = [(0, 0)] * (cube.ndim - 2) + around
    padded = np.pad(pixels, widths, BORDERS[border]) if border in BORDERS else _pad_constant(pixels, widths, border)  # type: ignore[call-overload]
    total = np.zeros(cube.shape)
    for (row, column), weight in np.ndenumerate(weights):
        total += weight * padded[..., row : row + rows, column : column + columns]
    return cube.copy(data=(total * factor).astype(np.float32)).drop_attrs(deep=False)


def _pad_constant(pixels: np.ndarray[Any, Any], widths: list[tuple[int, int]], value: float) -> np.ndarray[Any, Any]:
    return np.pad(pixels, widths, constant_values=value)
