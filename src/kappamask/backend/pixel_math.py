"""List the openEO processes of callbacks: per pixel, and over a dimension's values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import xarray as xr
from openeo_driver.errors import OpenEOApiException

__all__ = ["ARRAYS", "ELEMENTWISE", "REDUCERS", "compute_array", "decode_nodata", "stack_values"]

Values = xr.DataArray | float
VALUE_DIM = "value"
"""Dimension of values that a callback lists, as in max([x, y])."""


def _clip(x: Values, low: Values, high: Values) -> Values:
    if not isinstance(low, xr.DataArray) and not isinstance(high, xr.DataArray) and low > high:
        raise OpenEOApiException(
            f"clip got min {low} and max {high}; min must not exceed max.",
            code="ProcessParameterInvalid", status_code=400,
        )  # fmt: skip
    bounds: Any = (low, high)  # xarray takes arrays, which its annotations do not say
    return x.clip(*bounds) if isinstance(x, xr.DataArray) else min(max(x, low), high)


_XY = ("x", "y")
ELEMENTWISE: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "eq": (_XY, operator.eq), "neq": (_XY, operator.ne), "gt": (_XY, operator.gt), "gte": (_XY, operator.ge),
    "lt": (_XY, operator.lt), "lte": (_XY, operator.le),
    "add": (_XY, operator.add), "subtract": (_XY, operator.sub), "multiply": (_XY, operator.mul),
    "divide": (_XY, operator.truediv),
    "and": (_XY, lambda x, y: (x != 0) & (y != 0)), "or": (_XY, lambda x, y: (x != 0) | (y != 0)),
    "not": (("x",), lambda x: x == 0), "absolute": (("x",), abs), "clip": (("x", "min", "max"), _clip),
}  # fmt: skip
"""openEO process -> its arguments, and the function; no data in, no data out."""

Reducer = Callable[[xr.DataArray, str, bool], xr.DataArray]
REDUCERS: dict[str, Reducer] = {
    "max": lambda data, dim, skip: data.max(dim, skipna=skip),
    "min": lambda data, dim, skip: data.min(dim, skipna=skip),
    "mean": lambda data, dim, skip: data.mean(dim, skipna=skip),
    "median": lambda data, dim, skip: data.median(dim, skipna=skip),
    "sum": lambda data, dim, skip: data.sum(dim, skipna=skip, min_count=1 if skip else None),
    "sd": lambda data, dim, skip: data.std(dim, skipna=skip, ddof=1),
    "variance": lambda data, dim, skip: data.var(dim, skipna=skip, ddof=1),
    "first": lambda data, dim, skip: (data.bfill(dim) if skip else data).isel({dim: 0}, drop=True),
    "last": lambda data, dim, skip: (data.ffill(dim) if skip else data).isel({dim: -1}, drop=True),
}
"""openEO reducer -> function of data, dimension and `ignore_nodata`."""


def _concat(first: xr.DataArray, second: xr.DataArray, dim: str) -> xr.DataArray:
    """Concatenate two arrays; a value without the dimension counts as one element."""
    parts = [part.drop_vars(dim, errors="ignore") for part in (first, second)]
    parts = [part if dim in part.dims else part.expand_dims(dim) for part in parts]
    return xr.concat(parts, dim, coords="minimal", compat="override")


def _quantiles(data: xr.DataArray, probabilities: Any, dim: str, skip: bool) -> xr.DataArray:
    if isinstance(probabilities, int):
        probabilities = [part / probabilities for part in range(1, probabilities)]
    found = data.quantile(probabilities, dim, skipna=skip)
    return found.drop_vars("quantile").rename(quantile=dim)


ARRAYS: dict[str, tuple[str, str]] = {
    "array_concat": ("array1", "array2"), "array_append": ("data", "value"), "quantiles": ("data", "probabilities"),
}  # fmt: skip
"""openEO process whose result is an array of values along the dimension -> its two arguments."""


def compute_array(name: str, data: xr.DataArray, other: Any, dim: str, skip: bool) -> xr.DataArray:
    """Compute a process of `ARRAYS`; its labels along `dim` are dropped.

    other: a cube, a number or, for quantiles, the probabilities or the number of equal parts.
    """
    if name == "quantiles":
        return _quantiles(data, other, dim, skip)
    value = other if isinstance(other, xr.DataArray) else xr.full_like(data.isel({dim: 0}, drop=True), other)
    return _concat(data, value, dim)


def stack_values(values: list[Values]) -> xr.DataArray:
    """Stack cubes and numbers of a callback's list along `VALUE_DIM`."""
    cubes = [value for value in values if isinstance(value, xr.DataArray)]
    if not cubes:
        return xr.DataArray([float(value) for value in values], dims=VALUE_DIM)
    layers = [value if isinstance(value, xr.DataArray) else xr.full_like(cubes[0], value) for value in values]
    return xr.concat(layers, VALUE_DIM, coords="minimal", compat="override", join="override")


def decode_nodata(cube: xr.DataArray) -> xr.DataArray:
    """Put NaN where bytes, as `linear_scale_range` leaves them, hold their nodata value."""
    if "_FillValue" not in cube.attrs:
        return cube
    decoded = cube.astype("float32").where(cube != cube.attrs["_FillValue"])
    decoded.attrs = {key: value for key, value in cube.attrs.items() if key != "_FillValue"}
    return decoded
