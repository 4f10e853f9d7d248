"""Put lazy bands, grid and facts together as the cube that `kappamask.udf.cloud_mask` takes."""

from typing import Any

import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from dask.array import Array

from kappamask.scenes.grid import Grid

__all__ = ["make_cube", "write_grid"]


def make_cube(data: Array, labels: list[str], grid: Grid, attrs: dict[str, Any], nodata: float | None) -> xr.DataArray:
    """Cube with dims (bands, y, x); the nodata value, where declared, is the attribute `_FillValue`."""
    declared = {} if nodata is None else {"_FillValue": nodata}
    cube = xr.DataArray(
        data,
        dims=("bands", "y", "x"),
        coords={"bands": labels, "y": grid.y, "x": grid.x},
        attrs=attrs | declared,
        name="reflectance" if attrs.get("radiometry") == "reflectance" else "dn",
    )
    return write_grid(cube, grid)


def write_grid(array: xr.DataArray, grid: Grid) -> xr.DataArray:
    """`array` with the grid's coordinate reference system, where it has one."""
    if grid.crs is None:
        return array
    referenced: xr.DataArray = array.rio.write_crs(grid.crs).rio.write_transform(grid.transform)
    return referenced
