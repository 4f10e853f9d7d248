"""Masks and scores as CF netCDF, written chunk by chunk."""

from pathlib import Path
from typing import Any

import dask.array
import netCDF4
import xarray as xr
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

from kappamask.scenes.atomic import patient_threads, written_whole
from kappamask.scenes.percent import in_percent

__all__ = ["write_netcdf"]

da: Any = dask.array  # its annotations are partial
CONVENTIONS = "CF-1.11"
PACKING = {"zlib": True, "complevel": 4}


def write_netcdf(mask: xr.DataArray, path: Path, scores: xr.DataArray | None) -> list[Path]:
    """See `write_mask`.

    xarray writes the coordinates, and the layers are stored by hand: so the file is closed after the last task has
    ended, which `to_netcdf` does not wait for when one fails. The lock is xarray's, for the scene that is being read
    may be a netCDF too, and the library beneath knows one thread only.
    """
    layers = {"mask": mask} if scores is None else {"mask": mask, "score": in_percent(scores)}
    dataset = xr.Dataset(layers, attrs={"Conventions": CONVENTIONS})
    dataset = dataset.rio.write_crs(mask.rio.crs) if mask.rio.crs else dataset
    with written_whole(path) as draft:
        dataset.drop_vars(list(layers)).to_netcdf(draft, engine="netcdf4")
        with netCDF4.Dataset(draft, "a") as file, patient_threads():
            targets = [_created(file, name, layer) for name, layer in layers.items()]
            da.store([da.asarray(layer.data) for layer in layers.values()], targets, lock=NETCDF4_PYTHON_LOCK)
    return [path]


def _created(file: Any, name: str, layer: xr.DataArray) -> Any:
    """A variable for `layer`. Codes have no fill value, because readers would turn them into floats."""
    fill = layer.attrs.get("_FillValue", False)
    for dim in set(layer.dims) - set(file.dimensions):  # those without coordinates
        file.createDimension(dim, layer.sizes[dim])
    variable = file.createVariable(name, layer.dtype, layer.dims, fill_value=fill, **PACKING)
    variable.set_auto_maskandscale(False)  # scores are scaled already
    variable.setncatts({key: value for key, value in layer.attrs.items() if key != "_FillValue"})
    if layer.rio.crs:
        variable.setncattr("grid_mapping", layer.rio.grid_mapping)
    return variable
