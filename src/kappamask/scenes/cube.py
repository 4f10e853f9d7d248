"""Put lazy bands, grid and facts together as the cube that `kappamask.udf.cloud_mask` takes."""

from typing import Any

import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from dask.array import Array
from odc.geo.geobox import GeoBox

from kappamask.scenes.grid import to_coordinates, to_rasterio_crs

__all__ = ["make_cube", "write_grid"]


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
