"""Read which numbers attributes declare valid, as CF and netCDF do, and hide the others."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from kappamask.models import CubeError
from kappamask.udf.radiometry_metadata import AUXILIARY

__all__ = ["RANGE_ATTRIBUTES", "find_valid_range", "hide_invalid"]

RANGE_ATTRIBUTES = ("valid_range", "valid_min", "valid_max")
"""The first goes before the others, as in the conventions."""
HIGHEST_REFLECTANCE = 10.0
"""Limits above are those of digital numbers."""


def hide_invalid(cube: xr.DataArray) -> xr.DataArray:
    """Set numbers outside the declared range to NaN, lazily if the cube is lazy.

    cube: dims ([t,] bands, y, x). Fractions without an encoding are left as they are: somebody computed them, and
    xarray may have kept the range of what they were before. Raises CubeError as `find_valid_range` does.
    """
    is_as_read = cube.dtype.kind in "iu" or bool(cube.encoding)
    span = find_valid_range(cube.attrs, cube.encoding) if is_as_read else None
    if span is None:
        return cube
    inside = (cube >= span[0]) & (cube <= span[1]) | cube.coords["bands"].isin(AUXILIARY)
    made = cube.where(inside.transpose(*cube.dims))
    made.attrs, made.encoding = cube.attrs, cube.encoding
    return made


def find_valid_range(attributes: Mapping[str, Any], encoding: Mapping[str, Any]) -> tuple[float, float] | None:
    """Find the lowest and the highest valid number, or None if none is declared.

    Whole limits are those of the stored numbers, fractions up to 10 those of reflectances: what was decoded, as
    `encoding` tells, or is still packed, as the attribute scale_factor does, has them converted.
    Raises CubeError where the attributes are no numbers, or valid_range not two.
    """
    limits = _read_limits(attributes)
    if limits is None:
        return None
    low, high = limits
    texts = [np.asarray(attributes[key]).dtype.kind for key in RANGE_ATTRIBUTES if key in attributes]
    is_whole = all(kind in "iu" for kind in texts)
    is_reflectance = not is_whole and all(abs(limit) <= HIGHEST_REFLECTANCE for limit in limits if np.isfinite(limit))
    if (packing := _read_packing(encoding)) and not is_reflectance:
        return low * packing[0] + packing[1], high * packing[0] + packing[1]
    if (packing := _read_packing(attributes)) and is_reflectance:
        return (low - packing[1]) / packing[0], (high - packing[1]) / packing[0]
    return low, high


def _read_limits(attributes: Mapping[str, Any]) -> tuple[float, float] | None:
    given = {key: attributes[key] for key in RANGE_ATTRIBUTES if attributes.get(key) is not None}
    if not given:
        return None
    try:
        if "valid_range" in given:
            low, high = (float(limit) for limit in np.asarray(given["valid_range"]).ravel())
            return low, high
        return _read_number(given.get("valid_min", -np.inf)), _read_number(given.get("valid_max", np.inf))
    except (TypeError, ValueError) as error:
        listed = ", ".join(f"'{key}' is {value!r}" for key, value in given.items())
        raise CubeError(
            f"The attribute {listed}; needed are numbers, two for valid_range: mend it, or leave it out."
        ) from error


def _read_number(value: Any) -> float:
    (number,) = np.asarray(value, dtype=np.float64).ravel()
    return float(number)


def _read_packing(facts: Mapping[str, Any]) -> tuple[float, float] | None:
    try:
        scale, offset = float(facts.get("scale_factor") or 1.0), float(facts.get("add_offset") or 0.0)
    except (TypeError, ValueError):
        return None
    return None if (scale, offset) == (1.0, 0.0) else (scale, offset)
