"""Read, describe and write regular pixel grids, and make cubes on them.

A grid is a north-up `odc.geo.geobox.GeoBox`; its crs is None where a file has none.
"""

from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from dask.array import Array
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.windows import Window

from kappamask.models import SceneError
from kappamask.models.cleaning import PIXEL_M
from kappamask.models.hints import option

__all__ = [
    "DEGREE",
    "check_regular",
    "explain_pixel_size",
    "find_pixel_size",
    "halve_grid",
    "make_cube",
    "read_grid",
    "read_window",
    "sort_north_up",
    "to_coordinates",
    "to_rasterio_crs",
    "to_stored_window",
    "turn_north_up",
    "write_grid",
]

Located = TypeVar("Located", xr.DataArray, xr.Dataset)

DEGREE = 111_320.0
"""Metres of a degree of longitude on the equator (WGS 84)."""
PIXEL_TOLERANCE_M = 0.5
"""Metres by which the pixels' size may differ from the wanted one without a warning, as after a resampling."""
UNEVEN = 0.1
"""Pixels by which a coordinate may lie off the regular grid: float32 northings in metres are 0.25 m off, degrees
less; a column that is left out moves others by half a pixel and more."""


def to_coordinates(grid: GeoBox) -> dict[str, NDArray[np.float64]]:
    """Return the pixel centres as coordinates y and x, float64, units of the crs.

    GeoBox has `coordinates`, which names those of degrees otherwise, knows no local CRS, and differs in the last bit.
    """
    transform = grid.transform
    x = transform.c + transform.a * (np.arange(grid.width) + 0.5)
    y = transform.f + transform.e * (np.arange(grid.height) + 0.5)
    return {"y": np.asarray(y, dtype=np.float64), "x": np.asarray(x, dtype=np.float64)}


def to_rasterio_crs(grid: GeoBox) -> CRS | None:
    """Return the grid's CRS with the very WKT that its file has.

    `GeoBox.crs.to_wkt` is another text (WKT2), and a file written with it would be another file.
    """
    return None if grid.crs is None else _parse_crs(str(grid.crs))


@lru_cache(maxsize=256)
def _parse_crs(text: str) -> CRS:
    return CRS.from_user_input(text)


def halve_grid(grid: GeoBox) -> GeoBox:
    """Make a grid whose pixels hold 2 x 2; an odd last line is dropped."""
    return grid.zoom_out(2).crop((grid.height // 2, grid.width // 2))


def read_grid(dataset: DatasetReader) -> GeoBox:
    """Read the dataset's grid, turned north-up, as `read_window` reads it.

    A file without georeference keeps its rows. Raises SceneError for a rotated or sheared grid, or none at all.
    """
    transform, name = dataset.transform, Path(dataset.name).name
    if not all(map(isfinite, transform)) or not transform.a * transform.e:
        raise SceneError(
            f"{name} has no usable geotransform: {tuple(transform)[:6]}; write one (gdal_edit.py -a_ullr)."
        )
    if transform.b or transform.d:
        raise SceneError(f"{name} is not north-up; warp it first (gdalwarp).")
    upwards, leftwards = _reversed_axes(transform)
    grid = GeoBox.from_rio(dataset)
    grid = grid.flipy() if upwards else grid
    grid = grid.flipx() if leftwards else grid
    numbers = (number + 0.0 for number in tuple(grid.transform)[:6])  # no -0.0, which files would show
    return GeoBox(grid.shape, Affine(*numbers), grid.crs)


def read_window(dataset: DatasetReader, bands: int | list[int], rows: slice, columns: slice) -> NDArray[Any]:
    """Read pixels (…, y, x) by the rows and columns of `read_grid`.

    The file's own rows and columns may run the other way.
    """
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
    """Turn stored pixels (…, y, x) so that rows run southwards and columns eastwards."""
    upwards, leftwards = _reversed_axes(dataset.transform)
    return pixels[..., :: -1 if upwards else 1, :: -1 if leftwards else 1]


def _reversed_axes(transform: Affine) -> tuple[bool, bool]:
    """Tell whether rows run northwards, and whether columns run westwards.

    Without georeference neither is known, and both are False.
    """
    if transform == Affine.identity():
        return False, False
    return transform.e > 0, transform.a < 0


def sort_north_up(array: Located) -> Located:
    """Turn rows from north to south, and columns from west to east.

    This goes by the coordinates y and x.
    Coordinates that only count pixels tell nothing of north.
    """
    against = [axis for axis, sign in (("y", -1), ("x", 1)) if _find_direction(array, axis) == -sign]
    if not against:
        return array
    turned = array.isel({axis: slice(None, None, -1) for axis in against})
    mapping = turned.rio.grid_mapping
    if mapping not in turned.coords or "GeoTransform" not in turned[mapping].attrs:
        return turned
    placed: Located = turned.rio.write_transform(turned.rio.transform(recalc=True))
    return placed


def _find_direction(array: xr.DataArray | xr.Dataset, axis: str) -> int:
    """Return the sign of a coordinate's steps; 0 where it has no position."""
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
    """Raise SceneError unless the coordinates x and y are evenly spaced finite numbers.

    Coordinates that `array` does not have are not checked.
    """
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


def find_pixel_size(array: xr.DataArray) -> tuple[float, float, str] | None:
    """Return width, height and unit of the pixels.

    The unit is "m", "degree", or "" without a CRS.
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


def explain_pixel_size(cube: xr.DataArray, wanted_m: float) -> str | None:
    """Say how wide the pixels are if they are not `wanted_m` metres, else None."""
    size = find_pixel_size(cube)
    if size is None or (size[2] != "degree" and all(abs(side - wanted_m) <= PIXEL_TOLERANCE_M for side in size[:2])):
        return None
    given = f"{size[0]:.6g} x {size[1]:.6g} {size[2] or '(no CRS says the unit)'}"
    remedy = "expect errors" if size[2] else f"say their side with {option('pixel_m', 10)} if they are"
    return f"pixels are {given}; networks are made for {PIXEL_M:g} m, {remedy}."


def make_cube(
    data: Array, labels: list[str], grid: GeoBox, attrs: dict[str, Any], nodata: float | None
) -> xr.DataArray:
    """Make a cube with dims (bands, y, x).

    The nodata value, where declared, is the attribute `_FillValue`.
    """
    declared = {} if nodata is None else {"_FillValue": nodata}
    cube = xr.DataArray(
        data,
        dims=("bands", "y", "x"),
        coords={"bands": labels, **to_coordinates(grid)},
        attrs=attrs | declared,
        name="reflectance" if attrs.get("radiometry") == "reflectance" else "dn",
    )
    return write_grid(cube, grid)


def write_grid(array: xr.DataArray, grid: GeoBox) -> xr.DataArray:
    """Write the grid's coordinate reference system, if it has one, to `array`."""
    crs = to_rasterio_crs(grid)
    if crs is None:
        return array
    referenced: xr.DataArray = array.rio.write_crs(crs).rio.write_transform(grid.transform)
    return referenced
