"""netCDF scenes: one variable with a band dimension, or one variable for each band."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from dask.array import Array
from dask.base import tokenize
from numpy.typing import NDArray

from kappamask.models import SceneError
from kappamask.scenes.atomic import spelt
from kappamask.scenes.cf import crs_of, one_nodata, packing_of, shared_nodata
from kappamask.scenes.grid import check_regular
from kappamask.scenes.metadata import attributes, packing
from kappamask.scenes.names import band_name, choose
from kappamask.scenes.raster import CHUNK

__all__ = ["open_dataset", "open_netcdf"]

da: Any = dask.array  # its annotations are partial
AXES = {"lat": "y", "latitude": "y", "Y": "y", "lon": "x", "longitude": "x", "X": "x", "time": "t"}
AS_STORED: dict[str, Any] = {"mask_and_scale": False, "decode_coords": "all"}
ENGINES = {b"\x89HDF": "h5netcdf", b"CDF\x01": "scipy", b"CDF\x02": "scipy"}
"""By a file's first bytes. The netCDF C library may crash on a damaged file where these raise an exception."""
PLANE = 2
"""Variables with fewer dims are coordinates and the like, not images."""
BAND_DIMS = ("bands", "band", "spectral")
AUXILIARY = ("AOT", "WVP")


def open_netcdf(path: Path, bands: Iterable[str] | None, level: str | None) -> xr.DataArray:
    """See `open_scene`; a dimension t of one date is dropped."""
    dataset = open_dataset(path)
    cube = _labelled(path.name, dataset)
    labels = choose(path.name, [str(label) for label in cube["bands"].values], bands)
    cube = cube.sel(bands=labels).transpose("bands", "y", "x")
    radiometry = packing(path.name, cube.attrs.pop("packings"))
    tags = _dated(dataset) | dict(dataset.attrs) | cube.attrs
    attrs = attributes(path.name, tags, level, radiometry)
    nodata = {key: value for key, value in cube.attrs.items() if key == "_FillValue"}
    check_regular(path.name, cube)
    located = cube.drop_vars("t", errors="ignore").rename("dn")
    located.attrs = attrs | nodata
    crs = crs_of(path.name, dataset)
    return located.rio.write_crs(crs) if crs else located


def open_dataset(path: Path) -> xr.Dataset:
    """A local netCDF, lazy, numbers as stored, dims named t, y, x; SceneError if it is none or is damaged."""
    if not spelt(path).is_file():
        raise SceneError(f"No file {path}.")
    try:
        dataset = xr.open_dataset(path.resolve(), engine=_engine(path), **AS_STORED)
    except SceneError:
        raise
    except Exception as error:  # parsers of damaged bytes raise all kinds
        raise SceneError(f"{path.name} cannot be read as netCDF: {error or type(error).__name__}.") from error
    planes = {name: v for name, v in dataset.data_vars.items() if v.ndim >= PLANE}
    dataset = dataset.assign({name: v.copy(data=_lazy(path, v)) for name, v in planes.items()})
    dataset = dataset.rename({old: new for old, new in AXES.items() if old in dataset.dims and new not in dataset.dims})
    if "t" in dataset.dims and dataset.sizes["t"] != 1:
        raise SceneError(f"{path.name} holds {dataset.sizes['t']} dates; a scene is one: cut one out (ncks -d t,0).")
    dataset = dataset.isel(t=0) if "t" in dataset.dims else dataset
    return dataset


def _engine(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start not in ENGINES:
        raise SceneError(
            f"{path.name} cannot be read as netCDF: it begins with {start!r}; netCDF-4, classic or 64-bit."
        )
    return ENGINES[start]


def _lazy(path: Path, variable: xr.DataArray) -> Array:
    """Reads chunk by chunk; computing raises SceneError where the file is damaged."""
    sizes = [CHUNK if dim in variable.dims[-PLANE:] else 1 for dim in variable.dims]
    stored = np.dtype(variable.dtype.newbyteorder("="))
    dtype = np.dtype(f"u{stored.itemsize}") if _unsigned(variable) else stored

    def read(block_info: Any) -> NDArray[Any]:
        where = tuple(slice(*ends) for ends in block_info[None]["array-location"])
        try:
            return np.asarray(variable[where].values, stored).view(dtype)
        except Exception as error:  # as above
            raise SceneError(f"{path.name} is damaged: {variable.name} cannot be read ({error}).") from error

    chunks = da.core.normalize_chunks(sizes, shape=variable.shape)
    empty = np.empty((0,) * variable.ndim, dtype=dtype)
    # A name of our own, because dask would read the whole variable to find one.
    name = f"netcdf-{tokenize(str(path.resolve()), path.stat().st_mtime_ns, variable.name)}"
    lazy: Array = da.map_blocks(read, chunks=chunks, dtype=dtype, meta=empty, name=name)
    return lazy


def _unsigned(variable: xr.DataArray) -> bool:
    """Classic netCDF has no unsigned numbers, and this attribute (a convention of Unidata's) in their place."""
    return variable.dtype.kind == "i" and str(variable.attrs.get("_Unsigned")).lower() == "true"


def _labelled(name: str, dataset: xr.Dataset) -> xr.DataArray:
    """The bands as one array with dims bands, y, x; attribute `packings` lists (scale, offset)."""
    flat = {key: variable for key, variable in dataset.data_vars.items() if set(variable.dims) == {"y", "x"}}
    single = {label: variable for key, variable in flat.items() if (label := band_name(str(key)))}
    if single:
        return _joined(name, single)
    stacks = [v for v in dataset.data_vars.values() if {"y", "x"} < set(v.dims) and set(v.dims) & set(BAND_DIMS)]
    if len(stacks) != 1:
        raise SceneError(
            f"{name} has no bands: needed are variables B02, B03, … with dims y, x, or one variable with a dimension "
            f"'bands' and labels; it has {', '.join(map(str, dataset.data_vars)) or 'no variables'}."
        )
    return _stacked(name, stacks[0])


def _joined(name: str, single: Mapping[str, xr.DataArray]) -> xr.DataArray:
    layers = [one_nodata(name, variable) for variable in single.values()]
    cube = xr.concat(layers, xr.Variable("bands", list(single)), combine_attrs="drop_conflicts")
    packings = [packing_of(name, variable) for label, variable in single.items() if label not in AUXILIARY]
    return cube.assign_attrs(packings=packings, **shared_nodata(name, layers))


def _stacked(name: str, stack: xr.DataArray) -> xr.DataArray:
    dim = next(d for d in BAND_DIMS if d in stack.dims)
    texts = [t.decode() if isinstance(t, bytes) else str(t) for t in stack[dim].values] if dim in stack.coords else []
    labels = [band_name(text) for text in texts]
    kept = [i for i, label in enumerate(labels) if label]
    if not kept:
        raise SceneError(f"{name}: dimension '{dim}' has no Sentinel-2 band names as labels, such as B02, B03, ….")
    cube = one_nodata(name, stack).isel({dim: kept}).rename({dim: "bands"} if dim != "bands" else {})
    return cube.assign_coords(bands=[labels[i] for i in kept]).assign_attrs(packings=[packing_of(name, stack)])


def _dated(dataset: xr.Dataset) -> dict[str, str]:
    if "t" not in dataset.coords or not np.issubdtype(dataset["t"].dtype, np.datetime64):
        return {}
    return {"datetime": str(np.datetime_as_string(dataset["t"].values, unit="s"))}
