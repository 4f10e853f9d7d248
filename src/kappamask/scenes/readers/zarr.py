"""Open Zarr folders, of formats 2 and 3, with nodata as they declare it."""

import base64
import struct
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import ZarrStore

from kappamask.models import SceneError
from kappamask.models.errors import make_extra_error
from kappamask.scenes.readers.netcdf import AS_STORED
from kappamask.scenes.readers.zarr_metadata import METADATA, NEW, read_attributes

__all__ = ["is_zarr", "open_group"]


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is Zarr, by its suffix or its content."""
    return path.suffix.lower() == ".zarr" or any((path / name).exists() for name in (".zgroup", *METADATA))


def open_group(path: Path, group: str = "") -> xr.Dataset:
    """Open a group of a `check_store` Zarr folder, values as stored.

    Nodata is what `_FillValue` declares, and in format 2 also the `fill_value`, as xarray and netCDF have it.
    Raises SceneError if the group does not exist, is damaged, or declares two nodata values of one array.
    """
    try:
        stored = xr.open_dataset(_open_store(path, group), engine="store", decode_cf=False)
        dataset = stored[sorted(map(str, stored.variables))]  # else as the file system happens to list folders
        return xr.decode_cf(_declare_nodata(path, path / group, dataset), **AS_STORED)
    except SceneError:
        raise
    except Exception as error:  # parsers of damaged bytes raise all kinds
        where = f"its group {group}" if group else "it"
        raise SceneError(f"{path.name} cannot be read as Zarr: {where} fails with {error or type(error)}.") from error


def _open_store(path: Path, group: str) -> ZarrStore:
    """Open a group of the folder, whatever its name may mean to fsspec."""
    try:
        from zarr.storage import LocalStore
    except ImportError as error:  # zarr 2 has none
        raise make_extra_error("zarr", "zarr", user="A Zarr scene") from error
    options: dict[str, Any] = {"mode": "r", "group": group or None, "consolidated": False}
    options["zarr_format"] = 3 if (path / group / NEW).exists() else 2
    # xarray 2025.1 fails at any _FillValue of format 3 with zarr 3.1, but for this; see `_declare_nodata`.
    options["use_zarr_fill_value_as_mask"] = True
    opened: ZarrStore = ZarrStore.open_group(LocalStore(path.resolve(), read_only=True), **options)
    return opened


def _declare_nodata(path: Path, folder: Path, dataset: xr.Dataset) -> xr.Dataset:
    """Give the arrays of the group `folder` their declared `_FillValue`.

    In `dataset` it is the `fill_value`.
    Raises SceneError where an array of format 2 has both, and they differ; xarray would take the `fill_value`.
    """
    is_new = (folder / NEW).exists()
    for name, variable in dataset.variables.items():
        declared = read_attributes(path, folder / str(name), is_new=is_new).get("_FillValue")
        if is_new:
            # Of format 3, fill_value is only what chunks that were not written hold, often 0 by default.
            variable.attrs.pop("_FillValue", None)
        if declared is None:
            continue
        declared = _decode_fill(declared) if is_new and variable.dtype.kind == "f" else declared
        default = variable.attrs.setdefault("_FillValue", declared)
        if not _is_same(default, declared, variable.dtype):
            raise SceneError(
                f"{path.name}: {name} has the fill_value {default} in .zarray and the _FillValue {declared} in "
                f".zattrs; both mean nodata: make them the same, or the fill_value null."
            )
    return dataset


def _decode_fill(declared: Any) -> Any:
    """Return a number that xarray wrote as base64 of a float64; others as they are."""
    try:
        return struct.unpack("<d", base64.b64decode(declared, validate=True))[0]
    except (TypeError, ValueError, struct.error):
        return declared


def _is_same(first: Any, second: Any, dtype: np.dtype[Any]) -> bool:
    """Tell whether two nodata values are one number of `dtype`.

    Text and times are not compared.
    """
    if dtype.kind not in "iuf":
        return True
    try:
        one, other = (np.asarray(value, np.float64).ravel().astype(dtype) for value in (first, second))
    except (TypeError, ValueError):
        return True  # no number, which is refused where the pixels' nodata is read
    return np.array_equal(one, other, equal_nan=dtype.kind == "f")
