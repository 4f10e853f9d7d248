"""Processes that see a pixel's neighbours: `apply_neighborhood` and `apply_kernel`.

The arguments of `apply_neighborhood` are accepted and refused as the Copernicus back-end does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from openeo_driver.errors import OpenEOApiException
from openeo_driver.utils import EvalEnv

from kappamask.backend.chunks import MINIMUM_SIZE
from kappamask.backend.engines import Run
from kappamask.backend.errors import make_api_error, make_parameter_error
from kappamask.backend.processes.pixel_math import decode_nodata
from kappamask.backend.processes.udf import UdfNode

__all__ = ["BORDERS", "Neighborhood", "check_kernel", "convolve"]

PER_DATE = "P1D"
"""The only length of time that the back-end takes."""
BORDERS = {"replicate": "edge", "reflect": "symmetric", "reflect_pixel": "reflect", "wrap": "wrap"}
"""openEO's name for what lies beyond the border -> numpy's mode of `pad`."""


@dataclass(frozen=True)
class Neighborhood:
    """A checked `apply_neighborhood` node."""

    udf: UdfNode
    size: int
    overlap: int
    per_date: bool

    @classmethod
    def parse(
        cls,
        process: dict[str, Any],
        size: list[dict[str, Any]],
        overlap: list[dict[str, Any]],
        context: Any,
        env: EvalEnv,
    ) -> Neighborhood:
        """Check a node's arguments; errors are openEO's ProcessParameterInvalid."""
        sizes, overlaps = _by_dimension("size", size), _by_dimension("overlap", overlap)
        if "t" in overlaps:
            raise _make_error("overlap", "an overlap in t is not supported")
        edge = _parse_square("size", sizes, None)
        border = _parse_square("overlap", overlaps, 0)
        if edge < MINIMUM_SIZE:
            raise _make_error("size", f"{edge} px is too small, it needs {MINIMUM_SIZE} px or more")
        if border > edge:
            raise _make_error(
                "overlap",
                f"{border} px exceeds the size of {edge} px, for which the Copernicus back-end shifts its output",
            )
        udf = UdfNode.parse("apply_neighborhood", process, context, env)
        if udf is None:
            raise _make_error("process", "only callbacks with a single run_udf are supported")
        return cls(udf, edge, border, _per_date(sizes.get("t")))

    def run(self, cube: xr.DataArray, run: Run) -> xr.DataArray:
        """Run the UDF; float32, errors as `UdfNode.run` raises them."""
        return self.udf.run(cube, run, size=self.size, overlap=self.overlap, per_date=self.per_date)


def _by_dimension(parameter: str, entries: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "dimension" in e for e in entries):
        raise _make_error(parameter, f"{entries!r} is no list of {{dimension, value, unit}}")
    unknown = {e["dimension"] for e in entries} - {"x", "y", "t"}
    if unknown:
        raise _make_error(parameter, f"no dimension {', '.join(map(str, unknown))}; there are x, y, t")
    return {e["dimension"]: e for e in entries}


def _parse_square(parameter: str, entries: dict[str, dict[str, Any]], default: int | None) -> int:
    """Parse the one edge length in pixels; only square chunks survive the real back-end."""
    lengths = [_parse_pixels(parameter, entries[d]) if d in entries else default for d in ("x", "y")]
    if None in lengths:
        raise _make_error(parameter, "x and y are both needed")
    if lengths[0] != lengths[1]:
        raise _make_error(
            parameter,
            f"x is {lengths[0]} and y is {lengths[1]}; use the same for both, the Copernicus back-end mixes them up",
        )
    return int(lengths[0] or 0)


def _parse_pixels(parameter: str, entry: dict[str, Any]) -> int:
    value, unit = entry.get("value"), entry.get("unit")
    if unit != "px":
        raise _make_error(parameter, f"the unit of {entry['dimension']} is {unit!r}; only 'px' is supported")
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value != int(value) or value < 0:
        raise _make_error(parameter, f"{value!r} is no whole number of pixels")
    return int(value)


def _per_date(entry: dict[str, Any] | None) -> bool:
    value = (entry or {}).get("value")
    if value not in (None, PER_DATE):
        raise _make_error(
            "size",
            f"t has the value {value!r}; give '{PER_DATE}' for one date at a time, or leave t out for the whole series",
        )
    return value == PER_DATE


def _make_error(parameter: str, reason: str) -> OpenEOApiException:
    return make_parameter_error("apply_neighborhood", parameter, reason)


def check_kernel(kernel: Any, border: Any) -> np.ndarray[Any, Any]:
    """Check the arguments; the kernel as float64 (rows, columns).

    Raises the openEO errors KernelDimensionsUneven and ProcessParameterInvalid.
    """
    try:
        weights = np.asarray(kernel, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise make_parameter_error(
            "apply_kernel", "kernel", "the rows must be lists of numbers, all of one length"
        ) from error
    if weights.ndim != 2 or not weights.size:
        raise make_parameter_error("apply_kernel", "kernel", f"it has {weights.ndim} dimensions; give a list of rows")
    if not all(length % 2 for length in weights.shape):
        raise make_api_error(
            "KernelDimensionsUneven",
            f"The kernel has {weights.shape[0]} rows and {weights.shape[1]} columns; both numbers must be odd.",
        )
    if border not in BORDERS and (isinstance(border, bool) or not isinstance(border, int | float)):
        raise make_parameter_error(
            "apply_kernel", "border", f"{border!r} is neither a number nor one of {', '.join(BORDERS)}"
        )
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
        raise make_parameter_error(
            "apply_kernel", "border", f"{border} needs more pixels than the cube's {rows} rows and {columns} columns"
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
