"""Read netCDF and Zarr variables: packing, nodata and CRS as declared, pixels lazily."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from dask.array import Array
from dask.base import tokenize
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rioxarray.exceptions import RioXarrayError

from kappamask.models import SceneError
from kappamask.scenes.encoding import fits
from kappamask.scenes.readers.raster import CHUNK
from kappamask.scenes.resample import apply_weights, compute_line_weights, halve_pixels
from kappamask.udf.prepare import NODATA_ATTRIBUTES
from kappamask.udf.radiometry_metadata import RANGE_ATTRIBUTES, find_valid_range

__all__ = [
    "find_common_nodata",
    "halve_lazily",
    "merge_nodata",
    "read_crs",
    "read_packing",
    "to_dask",
    "upsample_lazily",
]

da: Any = dask.array  # its annotations are partial
PLANE = 2
"""Variables with fewer dims are coordinates and the like, not images."""
Slices = tuple[slice, ...]
Reader = Callable[[Slices], NDArray[Any]]


def to_dask(source: Path, name: str, dataset: xr.Dataset) -> xr.Dataset:
    """Return `dataset` with its images as dask arrays.

    Computing raises SceneError, which names `name`, where an image is damaged.
    `source`: the file or folder that it lies in.
    """
    planes = {key: v for key, v in dataset.data_vars.items() if v.ndim >= PLANE}
    return dataset.assign({key: v.copy(data=_lazy_array(source, name, v)) for key, v in planes.items()})


def _stored_reader(name: str, variable: xr.DataArray) -> Reader:
    """Make a function that reads slices of the stored numbers of `variable`.

    It raises SceneError where the file is damaged.
    """
    native, dtype = np.dtype(variable.dtype.newbyteorder("=")), _find_dtype(variable)

    def read(where: Slices) -> NDArray[Any]:
        try:
            return np.asarray(variable[where].values, native).view(dtype)
        except Exception as error:  # parsers of damaged bytes raise all kinds
            raise SceneError(f"{name} is damaged: {variable.name} cannot be read ({error}).") from error

    return read


def upsample_lazily(source: Path, name: str, variable: xr.DataArray, ratio: int, nodata: float, kernel: str) -> Array:
    """Upsample a coarse image (y, x) `ratio` times by `kernel`, lazily.

    Returns a dask array of the same dtype.
    Pixels of value `nodata`, or NaN, take no part. Computing raises SceneError where the image is damaged.
    """
    coarse = _stored_reader(name, variable)
    shape = tuple(ratio * length for length in variable.shape)

    def read(where: Slices) -> NDArray[Any]:
        (rows, down), (columns, across) = (
            compute_line_weights(part.start, part.stop - part.start, ratio, length, kernel)
            for part, length in zip(where, variable.shape, strict=True)
        )
        return apply_weights(coarse((rows, columns)), down, across, nodata)

    return _lazy_blocks(
        source, (variable.name, ratio, kernel), read, shape, _choose_sides(variable, ratio), _find_dtype(variable)
    )


def halve_lazily(source: Path, name: str, variable: xr.DataArray, nodata: float) -> Array:
    """Average 2 x 2 pixels of an image (y, x) lazily, keeping its dtype.

    See `halve_pixels`.
    Computing raises SceneError where the image is damaged.
    """
    fine = _stored_reader(name, variable)
    shape = tuple(length // 2 for length in variable.shape)

    def read(where: Slices) -> NDArray[Any]:
        return halve_pixels(fine(tuple(slice(2 * part.start, 2 * part.stop) for part in where)), nodata)

    sides = [-(-side // 2) for side in _choose_sides(variable)]
    return _lazy_blocks(source, (variable.name, "half"), read, shape, sides, _find_dtype(variable))


def _lazy_array(source: Path, name: str, variable: xr.DataArray) -> Array:
    read = _stored_reader(name, variable)
    return _lazy_blocks(source, variable.name, read, variable.shape, _choose_sides(variable), _find_dtype(variable))


def _lazy_blocks(
    source: Path, key: Any, read: Reader, shape: tuple[int, ...], sides: list[int], dtype: np.dtype[Any]
) -> Array:
    def block(block_info: Any) -> NDArray[Any]:
        return read(tuple(slice(*ends) for ends in block_info[None]["array-location"]))

    chunks = da.core.normalize_chunks(sides, shape=shape)
    # A name of our own, because dask would read the whole variable to find one.
    name = f"stored-{tokenize(str(source.resolve()), source.stat().st_mtime_ns, key)}"
    empty = np.empty((0,) * len(shape), dtype=dtype)
    lazy: Array = da.map_blocks(block, chunks=chunks, dtype=dtype, meta=empty, name=name)
    return lazy


def _choose_sides(variable: xr.DataArray, ratio: int = 1) -> list[int]:
    """Choose chunk sides: whole chunks of the file, about `CHUNK` pixels along y and x.

    The chunks are `ratio` times as long as the file's; other dims have one chunk of the file.
    """
    along = tuple(dim for dim in variable.dims if dim in ("y", "x")) or variable.dims[-PLANE:]
    inside = variable.encoding.get("preferred_chunks", {})
    units = [inside.get(dim, CHUNK if dim in along else 1) * ratio for dim in variable.dims]
    return [-(-CHUNK // unit) * unit if dim in along else unit for dim, unit in zip(variable.dims, units, strict=True)]


def _find_dtype(variable: xr.DataArray) -> np.dtype[Any]:
    native = np.dtype(variable.dtype.newbyteorder("="))
    return np.dtype(f"u{native.itemsize}") if _is_unsigned(variable) else native


def _is_unsigned(variable: xr.DataArray) -> bool:
    """Tell whether a netCDF variable holds unsigned integers.

    Classic netCDF has no unsigned types, and this attribute (a convention of Unidata's) in their place.
    """
    return variable.dtype.kind == "i" and str(variable.attrs.get("_Unsigned")).lower() == "true"


def read_packing(name: str, variable: xr.DataArray) -> tuple[float, float]:
    """Read `scale_factor` and `add_offset`; SceneError if one is not a number."""
    scale, offset = (_parse_numbers(name, variable, key) for key in ("scale_factor", "add_offset"))
    return scale[0] if scale else 1.0, offset[0] if offset else 0.0


def merge_nodata(name: str, variable: xr.DataArray) -> xr.DataArray:
    """Give `variable` one nodata value, its `_FillValue`, lazily.

    Pixels of further declared nodata values, and those outside a declared range of valid numbers, are set to it.
    Values that no pixel can have, for the dtype lacks them, are left out. SceneError if one is not a number.
    """
    variable = _hide_invalid(variable)
    stored = [value for key in NODATA_ATTRIBUTES for value in _parse_numbers(name, variable, key)]
    declared = [_count_unsigned(value, variable) for value in stored]
    distinct = list(dict.fromkeys(value for value in declared if fits(value, variable.dtype)))
    attrs = {key: value for key, value in variable.attrs.items() if key not in NODATA_ATTRIBUTES}
    if not distinct:
        return _replace_attrs(variable, attrs)
    fill, *others = distinct
    others = [value for value in others if not np.isnan(value)]
    merged = variable.where(~variable.isin(np.array(others, variable.dtype)), variable.dtype.type(fill))
    return _replace_attrs(merged if others else variable, attrs | {"_FillValue": fill})


def _count_unsigned(value: float, variable: xr.DataArray) -> float:
    """Return a number as the variable's pixels were read (-1 as unsigned: 65535)."""
    is_unsigned = variable.dtype.kind == "u" and str(variable.attrs.get("_Unsigned")).lower() == "true"
    return value + 2.0 ** (8 * variable.dtype.itemsize) if is_unsigned and value < 0 else value


def _hide_invalid(variable: xr.DataArray) -> xr.DataArray:
    """Set numbers outside the declared range to a nodata value, and declare that."""
    span = find_valid_range(variable.attrs, variable.encoding)
    if span is None:
        return variable
    attrs = {key: value for key, value in variable.attrs.items() if key not in RANGE_ATTRIBUTES}
    fill: Any = attrs.get("_FillValue")
    if fill is None or np.size(fill) != 1 or not fits(float(np.ravel(fill)[0]), variable.dtype):
        fill = _choose_fill(variable.dtype)
    inside = (variable >= span[0]) & (variable <= span[1])
    return _replace_attrs(variable.where(inside, variable.dtype.type(fill)), attrs | {"_FillValue": fill})


def _choose_fill(dtype: np.dtype[Any]) -> float:
    """Choose a number that no pixel has."""
    if dtype.kind == "f":
        return float(np.nan)
    return float(np.iinfo(dtype).max if dtype.kind == "u" else np.iinfo(dtype).min)


def find_common_nodata(name: str, variables: Iterable[xr.DataArray]) -> dict[str, float]:
    """Return the one `_FillValue` of bands from `merge_nodata`; SceneError if they differ."""
    fills = {str(v.attrs["_FillValue"]): v.attrs["_FillValue"] for v in variables if "_FillValue" in v.attrs}
    if len(fills) > 1:
        raise SceneError(f"{name} declares several nodata values ({', '.join(fills)}); all bands need the same.")
    return {"_FillValue": float(next(iter(fills.values())))} if fills else {}


def read_crs(name: str, dataset: xr.Dataset | xr.DataArray) -> CRS | None:
    """Read the coordinate reference system, or None; SceneError if it is not valid."""
    try:
        return dataset.rio.crs
    except (CRSError, RioXarrayError, RuntimeError, ValueError, TypeError) as error:
        raise SceneError(f"{name} declares a coordinate reference system that is none: {error}.") from error


def _parse_numbers(name: str, variable: xr.DataArray, key: str) -> list[float]:
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


def _replace_attrs(variable: xr.DataArray, attrs: dict[str, Any]) -> xr.DataArray:
    changed = variable.copy(deep=False)
    changed.attrs = attrs
    return changed
