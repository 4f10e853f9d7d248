"""What the CF attributes of netCDF variables say: packing, nodata, and where the pixels lie."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rioxarray.exceptions import RioXarrayError

from kappamask.models import SceneError
from kappamask.udf.settle import NODATA_ATTRIBUTES

__all__ = ["crs_of", "fits", "one_nodata", "packing_of", "shared_nodata"]


def packing_of(name: str, variable: xr.DataArray) -> tuple[float, float]:
    """`scale_factor` and `add_offset`; SceneError if one is not a number."""
    scale, offset = (_numbers(name, variable, key) for key in ("scale_factor", "add_offset"))
    return scale[0] if scale else 1.0, offset[0] if offset else 0.0


def one_nodata(name: str, variable: xr.DataArray) -> xr.DataArray:
    """`variable` with one nodata value, its `_FillValue`: pixels of further declared values are set to it, lazily.

    Values that no pixel can have, for the dtype lacks them, are left out. SceneError if one is not a number.
    """
    declared = [value for key in NODATA_ATTRIBUTES for value in _numbers(name, variable, key)]
    distinct = list(dict.fromkeys(value for value in declared if fits(value, variable.dtype)))
    attrs = {key: value for key, value in variable.attrs.items() if key not in NODATA_ATTRIBUTES}
    if not distinct:
        return _with(variable, attrs)
    fill, *others = distinct
    others = [value for value in others if not np.isnan(value)]
    merged = variable.where(~variable.isin(np.array(others, variable.dtype)), variable.dtype.type(fill))
    return _with(merged if others else variable, attrs | {"_FillValue": fill})


def shared_nodata(name: str, variables: Iterable[xr.DataArray]) -> dict[str, float]:
    """The `_FillValue` that bands made by `one_nodata` share; SceneError if they declare different ones."""
    fills = {str(v.attrs["_FillValue"]): v.attrs["_FillValue"] for v in variables if "_FillValue" in v.attrs}
    if len(fills) > 1:
        raise SceneError(f"{name} declares several nodata values ({', '.join(fills)}); all bands need the same.")
    return {"_FillValue": float(next(iter(fills.values())))} if fills else {}


def crs_of(name: str, dataset: xr.Dataset | xr.DataArray) -> CRS | None:
    """The coordinate reference system, None where none is declared; SceneError if it cannot be understood."""
    try:
        return dataset.rio.crs
    except (CRSError, RioXarrayError, RuntimeError, ValueError, TypeError) as error:
        raise SceneError(f"{name} declares a coordinate reference system that is none: {error}.") from error


def fits(value: float, dtype: np.dtype[Any]) -> bool:
    """Whether numbers of `dtype` can be `value`."""
    if dtype.kind not in "iu":
        return True
    return value.is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def _numbers(name: str, variable: xr.DataArray, key: str) -> list[float]:
    if key not in variable.attrs:
        return []
    declared = variable.attrs[key]
    try:
        numbers = [float(one) for one in np.asarray(declared).ravel()]
    except (TypeError, ValueError):
        numbers = []
    if not numbers:
        raise SceneError(f"{name}: {key} of {variable.name} is {declared!r}; needed is a number.")
    return numbers


def _with(variable: xr.DataArray, attrs: dict[str, Any]) -> xr.DataArray:
    changed = variable.copy(deep=False)
    changed.attrs = attrs
    return changed
