"""Zarr folders: cubes with a variable for each band or a band dimension, and EOPF products."""

from collections.abc import Iterable
from pathlib import Path

import xarray as xr

from kappamask.scenes.dataset import cube_of, renamed
from kappamask.scenes.eopf import is_eopf, open_eopf
from kappamask.scenes.stored import lazily
from kappamask.scenes.zarr_store import checked, open_group

__all__ = ["open_zarr"]


def open_zarr(path: Path, bands: Iterable[str] | None, level: str | None, kernel: str, metres: float) -> xr.DataArray:
    """See `open_scene`; the rules of netCDF hold for cubes, whose pixels stay as they are."""
    checked(path)
    if is_eopf(path):
        return open_eopf(path, bands, level, kernel, metres)
    return cube_of(path.name, lazily(path, path.name, renamed(open_group(path))), bands, level)
