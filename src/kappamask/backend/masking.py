"""The openEO processes `mask` and `mask_polygon`, and the pixels that lie in geometries."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
import xarray as xr
from openeo_driver.datacube import DriverVectorCube
from pyproj import Transformer
from rasterio.features import geometry_mask

from kappamask.backend.errors import api_error
from kappamask.backend.grid import Bounds
from kappamask.backend.pixel_math import decode_nodata
from kappamask.backend.resampling import align, find_covered

__all__ = ["hide_masked", "hide_polygon", "is_inside"]


def hide_masked(cube: xr.DataArray, mask: xr.DataArray, replacement: float | None) -> xr.DataArray:
    """Put `replacement`, or NaN, where a mask on any grid is not 0; float32.

    As on the Copernicus back-end (DatacubeSupport.scala, `rasterMaskGeneric`): NaN in the mask hides like any number
    but 0, pixels without data stay without, and nothing changes on dates and pixels that the mask does not have.
    A mask of one band holds for all bands. Raises the openEO error DimensionMismatch if only the mask has dates.
    """
    if "t" in mask.dims and "t" not in cube.dims:
        raise api_error(
            "DimensionMismatch",
            "mask: the mask has a dimension t and the data has none; reduce the mask along t first.",
        )
    values, other = decode_nodata(cube), decode_nodata(mask)
    other = other.squeeze("bands", drop=True) if other.sizes.get("bands") == 1 else other
    hidden = (align(other, cube) != 0) & find_covered(other, cube)
    elsewhere: Any = False  # xarray takes any value, and declares a sentinel
    hidden = hidden.reindex({dim: cube[dim] for dim in ("t", "bands") if dim in hidden.dims}, fill_value=elsewhere)
    return _replace(cube, values, hidden, replacement)


def hide_polygon(cube: xr.DataArray, geometries: Any, replacement: float | None, inside: bool) -> xr.DataArray:
    """Put `replacement`, or NaN, where pixel centres lie outside (or `inside`) geometries; float32.

    Pixels without data stay without.
    """
    within, _ = is_inside(cube, geometries)
    return _replace(cube, decode_nodata(cube), within if inside else ~within, replacement)


def _replace(cube: xr.DataArray, values: xr.DataArray, hidden: xr.DataArray, replacement: float | None) -> xr.DataArray:
    kept = values.where(~hidden, np.nan if replacement is None else replacement).where(values.notnull())
    return kept.transpose(*cube.dims).astype(np.float32)


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
