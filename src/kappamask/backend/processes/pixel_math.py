"""Arithmetic of pixels: element by element, over a dimension's values, `linear_scale_range` and `ndvi`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from kappamask.backend.errors import make_api_error, make_parameter_error
from kappamask.models.band_names import COMMON_NAMES

__all__ = [
    "ARRAYS",
    "DECISIVE",
    "ELEMENTWISE",
    "REDUCERS",
    "ScaleRange",
    "check_target_band",
    "compute_array",
    "compute_ndvi",
    "decode_nodata",
    "stack_values",
]

Values = xr.DataArray | float
VALUE_DIM = "value"
"""Dimension of values that a callback lists, as in max([x, y])."""
BYTE_NODATA = 255
"""Nodata of uint8 results (OpenEOProcessScriptBuilder.scala, `linear_scale_range`)."""
BYTE_LIMIT = 254
"""Outputs must stay below this for the result to become uint8 (same source)."""
ROUNDING = 1e-4
"""float32 arithmetic may put a whole number this much below itself, and cutting off fractions would lose one."""


def _clip_values(x: Values, low: Values, high: Values) -> Values:
    if not isinstance(low, xr.DataArray) and not isinstance(high, xr.DataArray) and low > high:
        raise make_api_error("ProcessParameterInvalid", f"clip got min {low} and max {high}; min must not exceed max.")
    bounds: Any = (low, high)  # xarray takes arrays, which its annotations do not say
    return x.clip(*bounds) if isinstance(x, xr.DataArray) else min(max(x, low), high)


_XY = ("x", "y")
ELEMENTWISE: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "eq": (_XY, operator.eq), "neq": (_XY, operator.ne), "gt": (_XY, operator.gt), "gte": (_XY, operator.ge),
    "lt": (_XY, operator.lt), "lte": (_XY, operator.le),
    "add": (_XY, operator.add), "subtract": (_XY, operator.sub), "multiply": (_XY, operator.mul),
    "divide": (_XY, operator.truediv),
    "and": (_XY, lambda x, y: (x != 0) & (y != 0)), "or": (_XY, lambda x, y: (x != 0) | (y != 0)),
    "not": (("x",), lambda x: x == 0), "absolute": (("x",), abs), "clip": (("x", "min", "max"), _clip_values),
}  # fmt: skip
"""openEO process -> its arguments, and the function; no data in, no data out, but for `DECISIVE`."""
DECISIVE: dict[str, tuple[float, Callable[[Any], Any]]] = {
    "and": (0.0, lambda x: x == 0), "or": (1.0, lambda x: (x != 0) & (x == x)),
}  # fmt: skip
"""openEO process -> the result that one argument alone decides, and whether it does, whatever the other is."""


def _take_first(data: xr.DataArray, dim: str, skip: bool) -> xr.DataArray:
    """Take the first value along `dim`, with `skip` the first that is not NaN."""
    if not skip:
        return data.isel({dim: 0}, drop=True)
    return data.isel({dim: data.notnull().argmax(dim)}).drop_vars(dim, errors="ignore")


Reducer = Callable[[xr.DataArray, str, bool], xr.DataArray]
REDUCERS: dict[str, Reducer] = {
    "max": lambda data, dim, skip: data.max(dim, skipna=skip),
    "min": lambda data, dim, skip: data.min(dim, skipna=skip),
    "mean": lambda data, dim, skip: data.mean(dim, skipna=skip),
    "median": lambda data, dim, skip: data.median(dim, skipna=skip),
    "sum": lambda data, dim, skip: data.sum(dim, skipna=skip, min_count=1 if skip else None),
    "sd": lambda data, dim, skip: data.std(dim, skipna=skip, ddof=1),
    "variance": lambda data, dim, skip: data.var(dim, skipna=skip, ddof=1),
    "first": lambda data, dim, skip: _take_first(data, dim, skip),
    "last": lambda data, dim, skip: _take_first(data.isel({dim: slice(None, None, -1)}), dim, skip),
}
"""openEO reducer -> function of data, dimension and `ignore_nodata`."""


def _concat_arrays(first: xr.DataArray, second: xr.DataArray, dim: str) -> xr.DataArray:
    """Concatenate two arrays; a value without the dimension counts as one element."""
    parts = [part.drop_vars(dim, errors="ignore") for part in (first, second)]
    parts = [part if dim in part.dims else part.expand_dims(dim) for part in parts]
    return xr.concat(parts, dim, coords="minimal", compat="override")


def _compute_quantiles(data: xr.DataArray, probabilities: Any, dim: str, skip: bool) -> xr.DataArray:
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
        return _compute_quantiles(data, other, dim, skip)
    if isinstance(other, xr.DataArray) and VALUE_DIM in other.dims:
        other = other.rename({VALUE_DIM: dim}).broadcast_like(data.isel({dim: 0}, drop=True))
    value = other if isinstance(other, xr.DataArray) else xr.full_like(data.isel({dim: 0}, drop=True), other)
    return _concat_arrays(data, value, dim)


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


@dataclass(frozen=True)
class ScaleRange:
    """`linear_scale_range` as a function of a cube."""

    input_min: float
    input_max: float
    output_min: float
    output_max: float

    @classmethod
    def parse(cls, parent: str, arguments: dict[str, Any]) -> ScaleRange:
        """Check a node's arguments; errors are openEO's ProcessParameterInvalid of the process `parent`."""
        missing = [name for name in ("inputMin", "inputMax") if name not in arguments]
        if missing:
            raise make_parameter_error(parent, "process", f"linear_scale_range lacks {', '.join(missing)}")
        given = {"outputMin": 0.0, "outputMax": 1.0, **arguments}
        limits = [given[name] for name in ("inputMin", "inputMax", "outputMin", "outputMax")]
        if not all(isinstance(v, (int, float)) for v in limits) or limits[0] >= limits[1]:
            raise make_parameter_error(
                parent, "process", f"linear_scale_range got {limits}; it needs numbers with inputMin below inputMax"
            )
        return cls(*limits)

    @property
    def to_bytes(self) -> bool:
        """Tell whether Copernicus stores uint8: for whole output limits from 0 to 253."""
        limits = (self.output_min, self.output_max)
        return all(isinstance(v, int) for v in limits) and self.output_min >= 0 and self.output_max < BYTE_LIMIT

    def scale(self, cube: xr.DataArray) -> xr.DataArray:
        """Clamp to the input range and scale; float64, NaN kept."""
        share = (cube.astype(np.float64).clip(self.input_min, self.input_max) - self.input_min) / (
            self.input_max - self.input_min
        )
        return (share * (self.output_max - self.output_min) + self.output_min).drop_attrs(deep=False)

    def __call__(self, cube: xr.DataArray) -> xr.DataArray:
        """Scale to float32 with NaN, or to uint8 (fractions cut off) with nodata 255."""
        scaled = self.scale(cube)
        if not self.to_bytes:
            return scaled.astype(np.float32)
        whole: xr.DataArray = (scaled + ROUNDING) // 1
        return whole.fillna(BYTE_NODATA).astype(np.uint8).assign_attrs(_FillValue=BYTE_NODATA)


def compute_ndvi(cube: xr.DataArray, nir: str, red: str, target_band: str | None) -> xr.DataArray:
    """Compute (nir - red) / (nir + red).

    The result has no band dimension, or is added to the cube as the band `target_band`.

    nir, red: a band's name, or a common name. NaN where both are 0.
    Raises the openEO errors DimensionAmbiguous, NirBandAmbiguous, RedBandAmbiguous and BandExists.
    """
    if "bands" not in cube.dims:
        raise make_api_error("DimensionAmbiguous", "ndvi needs a cube with a dimension of bands; this one has none.")
    numbers = decode_nodata(cube)
    names = [str(band) for band in cube.bands.values]
    check_target_band(names, target_band)
    n = numbers.isel(bands=_find_band(names, nir, "NirBandAmbiguous"), drop=True)
    r = numbers.isel(bands=_find_band(names, red, "RedBandAmbiguous"), drop=True)
    index: xr.DataArray = ((n - r) / (n + r).where(n + r != 0)).astype("float32")
    if target_band is None:
        return index
    added = index.expand_dims(bands=[target_band]).transpose(*cube.dims)
    return xr.concat([numbers, added], "bands", coords="minimal", compat="override")


def check_target_band(names: list[str], target_band: str | None) -> None:
    """Raise the openEO error BandExists if the band that is to be added is there."""
    if target_band in names:
        raise make_api_error("BandExists", f"The cube already has a band {target_band}; choose another target_band.")


def _find_band(names: list[str], wanted: str, code: str) -> int:
    """Find a band's position by its name, else by its common name."""
    if wanted in names:
        return names.index(wanted)
    if COMMON_NAMES.get(wanted) in names:
        return names.index(COMMON_NAMES[wanted])
    raise make_api_error(code, f"No band is named {wanted}, by name or common name; there are {', '.join(names)}.")
