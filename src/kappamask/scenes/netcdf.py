"""netCDF scenes: which library may open the file, and nothing from it unguarded."""

from collections.abc import Iterable
from pathlib import Path

import xarray as xr

from kappamask.models import SceneError
from kappamask.scenes.atomic import spelt
from kappamask.scenes.dataset import AS_STORED, cube_of, renamed
from kappamask.scenes.stored import lazily

__all__ = ["open_dataset", "open_dates", "open_netcdf"]

ENGINES = {b"\x89HDF": "h5netcdf", b"CDF\x01": "scipy", b"CDF\x02": "scipy"}
"""By a file's first bytes. The netCDF C library may crash on a damaged file where these raise an exception."""


def open_netcdf(path: Path, bands: Iterable[str] | None, level: str | None) -> xr.DataArray:
    """See `open_scene`."""
    return cube_of(path.name, open_dates(path), bands, level)


def open_dataset(path: Path) -> xr.Dataset:
    """A local netCDF of one date, lazy, numbers as stored, dims named y, x; SceneError if it is none or is damaged."""
    dataset = open_dates(path)
    if "t" in dataset.dims:
        raise SceneError(f"{path.name} holds {dataset.sizes['t']} dates; one is needed: cut one out (ncks -d t,0).")
    return dataset


def open_dates(path: Path) -> xr.Dataset:
    """The same, where it may hold several dates, along t."""
    if not spelt(path).is_file():
        raise SceneError(f"No file {path}.")
    try:
        dataset = xr.open_dataset(path.resolve(), engine=_engine(path), **AS_STORED)
    except SceneError:
        raise
    except Exception as error:  # parsers of damaged bytes raise all kinds
        raise SceneError(f"{path.name} cannot be read as netCDF: {error or type(error).__name__}.") from error
    return lazily(path, path.name, renamed(dataset))


def _engine(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start not in ENGINES:
        raise SceneError(
            f"{path.name} cannot be read as netCDF: it begins with {start!r}; netCDF-4, classic or 64-bit."
        )
    return ENGINES[start]
