"""Where pixels lie: regular grids, turned north-up, and what a grid says of its pixels' size."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.windows import Window

from kappamask.models import SceneError

__all__ = [
    "DEGREE",
    "Grid",
    "check_regular",
    "pixel_size",
    "read_grid",
    "read_window",
    "sort_north_up",
    "to_stored_window",
    "turn_north_up",
]

Located = TypeVar("Located", xr.DataArray, xr.Dataset)

DEGREE = 111_320.0
"""Metres of a degree of longitude on the equator (WGS 84)."""
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


def read_grid(dataset: DatasetReader) -> Grid:
    """The dataset's grid, turned north-up, as `read_window` reads it.

    A file without georeference keeps its rows. Raises SceneError for a rotated or sheared grid, or none at all.
    """
    transform, name = dataset.transform, Path(dataset.name).name
    if not all(map(isfinite, transform)) or not transform.a * transform.e:
        raise SceneError(
            f"{name} has no usable geotransform: {tuple(transform)[:6]}; write one (gdal_edit.py -a_ullr)."
        )
    if transform.b or transform.d:
        raise SceneError(f"{name} is not north-up; warp it first (gdalwarp).")
    return Grid(dataset.crs, _northward_transform(dataset), dataset.width, dataset.height)


def read_window(dataset: DatasetReader, bands: int | list[int], rows: slice, columns: slice) -> NDArray[Any]:
    """Read pixels (…, y, x) by rows and columns of `read_grid`, whichever way the file's own run."""
    return turn_north_up(dataset, np.asarray(dataset.read(bands, window=to_stored_window(dataset, rows, columns))))


def to_stored_window(dataset: DatasetReader, rows: slice, columns: slice) -> Window:
    """Return the window of the file that holds rows and columns of `read_grid`."""
    lengths = (dataset.height, dataset.width)
    stored = [
        slice(length - part.stop, length - part.start) if against else part
        for part, length, against in zip((rows, columns), lengths, _reversed_axes(dataset.transform), strict=True)
    ]
    return Window.from_slices(*stored)


def turn_north_up(dataset: DatasetReader, pixels: NDArray[Any]) -> NDArray[Any]:
    """Turn pixels (…, y, x), as the file stores them, so that rows run southwards and columns eastwards."""
    upwards, leftwards = _reversed_axes(dataset.transform)
    return pixels[..., :: -1 if upwards else 1, :: -1 if leftwards else 1]


def _reversed_axes(transform: Affine) -> tuple[bool, bool]:
    """Whether rows run from south to north, and columns from east to west; without georeference nothing tells."""
    if transform == Affine.identity():
        return False, False
    return transform.e > 0, transform.a < 0


def _northward_transform(dataset: DatasetReader) -> Affine:
    upwards, leftwards = _reversed_axes(dataset.transform)
    across, _, west, _, down, north = tuple(dataset.transform)[:6]
    if upwards:
        north, down = north + dataset.height * down, -down
    if leftwards:
        west, across = west + dataset.width * across, -across
    return Affine(across, 0.0, west, 0.0, down, north)


def sort_north_up(array: Located) -> Located:
    """Turn rows from north to south and columns from west to east, where coordinates y and x tell.

    Coordinates that only count pixels tell nothing of north.
    """
    against = [axis for axis, sign in (("y", -1), ("x", 1)) if _direction(array, axis) == -sign]
    if not against:
        return array
    turned = array.isel({axis: slice(None, None, -1) for axis in against})
    mapping = turned.rio.grid_mapping
    if mapping not in turned.coords or "GeoTransform" not in turned[mapping].attrs:
        return turned
    placed: Located = turned.rio.write_transform(turned.rio.transform(recalc=True))
    return placed


def _direction(array: xr.DataArray | xr.Dataset, axis: str) -> int:
    """1 where a coordinate of places grows, -1 where it falls, 0 where it tells no place."""
    if axis not in array.coords or axis not in array.dims or array.sizes[axis] < 2:
        return 0
    places = array[axis].values
    if places.dtype.kind not in "iuf":
        return 0
    first, step = float(places[0]), float(places[1]) - float(places[0])
    counts = step == 1 and first in (0, 0.5)
    if array.rio.crs is None:  # then numbers from a corner on, or one apart, are places in the image
        counts = counts or abs(step) == 1 or first in (0, step / 2)
    return 0 if counts or step == 0 else 1 if step > 0 else -1


def check_regular(name: str, array: xr.DataArray) -> None:
    """SceneError unless the coordinates x and y, where `array` has them, are evenly spaced finite numbers."""
    for axis in ("y", "x"):
        if axis in array.coords and not _is_regular(array[axis].values):
            raise SceneError(
                f"{name}: the coordinate {axis} is not evenly spaced finite numbers, so no regular grid; "
                "resample it to one first."
            )


def _is_regular(places: NDArray[np.generic]) -> bool:
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
