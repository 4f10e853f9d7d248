"""Bring cubes to other pixel grids, and find the pixels that lie in geometries.

The processes `resample_spatial`, `resample_cube_spatial` and `filter_spatial`, and the alignment that others imply.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import shapely
import xarray as xr
from openeo_driver.datacube import DriverVectorCube
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.features import geometry_mask

from kappamask.backend.errors import make_parameter_error
from kappamask.backend.grid import Bounds

__all__ = ["METHODS", "align", "find_covered", "find_method", "is_inside", "match_grid", "resample"]

METHODS = {
    "near": Resampling.nearest, "bilinear": Resampling.bilinear, "cubic": Resampling.cubic,
    "cubicspline": Resampling.cubic_spline, "lanczos": Resampling.lanczos, "average": Resampling.average,
    "mode": Resampling.mode, "max": Resampling.max, "min": Resampling.min, "med": Resampling.med,
    "q1": Resampling.q1, "q3": Resampling.q3,
}  # fmt: skip
"""Resampling by openEO name. The Copernicus back-end takes any other name for `near`; here it is an error."""
SNAP_TOLERANCE_PX = 1e-4
"""Share of a pixel within which pixel centres of two cubes are the same."""


def find_method(process: str, name: str) -> Resampling:
    """Find a method by its openEO name; openEO's ProcessParameterInvalid for an unknown one."""
    if name not in METHODS:
        raise make_parameter_error(process, "method", f"{name!r} is not supported; there are {', '.join(METHODS)}")
    return METHODS[name]


def resample(array: xr.DataArray, target: Any, step: tuple[float, float] | None, method: Resampling) -> xr.DataArray:
    """Warp each date to another CRS or pixel size."""
    return _per_date(array, lambda one: one.rio.reproject(target, resolution=step, resampling=method))


def match_grid(array: xr.DataArray, like: xr.DataArray, method: Resampling) -> xr.DataArray:
    """Warp each date to the very pixels of `like`; nodata where `array` does not reach."""
    warped = _per_date(array, lambda one: one.rio.reproject_match(like, resampling=method))
    return warped.assign_coords(x=like.x, y=like.y)


def _per_date(array: xr.DataArray, warp: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    """Apply `warp` to each date: rioxarray takes three dims at most."""
    nodata = array.attrs.get("_FillValue", np.nan)
    if "t" not in array.dims:
        return warp(array.rio.write_nodata(nodata))
    dates = [warp(array.isel(t=i).rio.write_nodata(nodata)) for i in range(array.sizes["t"])]
    return xr.concat(dates, array.t)


def align(array: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Bring a float cube to the pixels of `like`; NaN beyond it."""
    if not _share_lattice(array, like):
        return match_grid(array, like, Resampling.nearest)
    tolerance = SNAP_TOLERANCE_PX * abs(like.rio.resolution()[0])
    return array.reindex(y=like.y, x=like.x, method="nearest", tolerance=tolerance)


def find_covered(array: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Find the pixels of `like` that the cube `array` reaches; bool (y, x)."""
    plane = array.isel({dim: 0 for dim in array.dims if dim not in ("y", "x")}, drop=True)
    ones = xr.ones_like(plane, np.float32).drop_attrs(deep=False).rio.write_crs(array.rio.crs)
    return align(ones, like).notnull()


def _share_lattice(a: xr.DataArray, b: xr.DataArray) -> bool:
    """Tell whether both cubes have one CRS, one pixel size and one lattice."""
    if a.rio.crs != b.rio.crs or not np.allclose(a.rio.resolution(), b.rio.resolution(), rtol=1e-6, atol=0):
        return False
    steps = [float(a[dim][0] - b[dim][0]) / abs(b.rio.resolution()[0]) for dim in ("x", "y")]
    return all(abs(step - round(step)) < SNAP_TOLERANCE_PX for step in steps)


def is_inside(cube: xr.DataArray, geometries: Any) -> tuple[xr.DataArray, Bounds]:
    """Find pixel centres in geometries, bool (y, x), and the geometries' box.

    geometries: GeoJSON or shapely in degrees (EPSG:4326), or openeo-driver's vector cube.
    """
    shape, crs = geometries, 4326
    if isinstance(geometries, DriverVectorCube):
        shape, crs = geometries.to_multipolygon(), geometries.get_crs() or 4326
    to_cube = Transformer.from_crs(crs, cube.rio.crs, always_xy=True).transform
    local = shapely.transform(shapely.geometry.shape(shape), lambda xy: np.column_stack(to_cube(*xy.T)))
    outside = geometry_mask([local], (cube.sizes["y"], cube.sizes["x"]), cube.rio.transform())
    west, south, east, north = local.bounds
    return xr.DataArray(~outside, dims=("y", "x"), coords={"y": cube.y, "x": cube.x}), (west, south, east, north)
