"""Where pixels lie: regular grids, north-up in rasters, and what a grid says of its pixels' size."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.transform import Affine

from kappamask.models import SceneError

__all__ = ["Grid", "check_regular", "grid_of", "pixel_size"]

UNEVEN = 0.1
"""Pixels by which a coordinate may lie beside the regular grid: float32 northings in metres are 0.25 m off, degrees
less; a column that is left out moves others by half a pixel and more."""


@dataclass(frozen=True)
class Grid:
    """A north-up raster grid; `crs` is None where the file has none."""

    crs: CRS | None
    transform: Affine
    width: int
    height: int

    @property
    def x(self) -> NDArray[np.float64]:
        """Centres of the columns, units of the crs."""
        return np.asarray(self.transform.c + self.transform.a * (np.arange(self.width) + 0.5), dtype=np.float64)

    @property
    def y(self) -> NDArray[np.float64]:
        """Centres of the rows, units of the crs."""
        return np.asarray(self.transform.f + self.transform.e * (np.arange(self.height) + 0.5), dtype=np.float64)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        west, north = self.transform.c, self.transform.f
        return west, north + self.transform.e * self.height, west + self.transform.a * self.width, north


def grid_of(dataset: DatasetReader) -> Grid:
    """The dataset's grid; SceneError if it is rotated or sheared, or no grid at all."""
    transform, name = dataset.transform, Path(dataset.name).name
    if not all(map(isfinite, transform)) or not transform.a * transform.e:
        raise SceneError(
            f"{name} has no usable geotransform: {tuple(transform)[:6]}; write one (gdal_edit.py -a_ullr)."
        )
    if transform.b or transform.d:
        raise SceneError(f"{name} is not north-up; warp it first (gdalwarp).")
    return Grid(dataset.crs, transform, dataset.width, dataset.height)


def check_regular(name: str, array: xr.DataArray) -> None:
    """SceneError unless the coordinates x and y, where `array` has them, are evenly spaced finite numbers."""
    for axis in ("y", "x"):
        if axis in array.coords and not _regular(array[axis].values):
            raise SceneError(
                f"{name}: the coordinate {axis} is not evenly spaced finite numbers, so no regular grid; "
                "resample it to one first."
            )


def _regular(places: NDArray[np.generic]) -> bool:
    if places.ndim != 1 or places.dtype.kind not in "iuf" or not np.isfinite(places.astype(float)).all():
        return False
    if len(places) <= 1:
        return True
    numbers = places.astype(np.float64)
    even, step = np.linspace(numbers[0], numbers[-1], len(numbers), retstep=True)
    return bool(step != 0 and np.abs(numbers - even).max() <= UNEVEN * abs(step))


def pixel_size(array: xr.DataArray) -> tuple[float, float, str] | None:
    """Width and height of the pixels, and their unit: "m", "degree", or "" where no CRS tells.

    None where `array` has no coordinates x and y, or a single pixel along one of them.
    """
    if not {"y", "x"} <= set(array.coords) or min(array.sizes["y"], array.sizes["x"]) <= 1:
        return None
    width, height = (abs(float(array[axis][-1] - array[axis][0])) / (array.sizes[axis] - 1) for axis in ("x", "y"))
    crs = array.rio.crs
    if crs is not None and crs.is_geographic:
        return width, height, "degree"
    if crs is None or not crs.is_projected:
        return width, height, ""
    metres = crs.linear_units_factor[1]
    return width * metres, height * metres, "m"
