"""Resampling to other pixel sizes and CRSs."""

from __future__ import annotations

from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from rasterio.enums import Resampling

__all__ = ["METHODS", "resample"]

METHODS = {
    "near": Resampling.nearest, "bilinear": Resampling.bilinear, "cubic": Resampling.cubic,
    "cubicspline": Resampling.cubic_spline, "lanczos": Resampling.lanczos, "average": Resampling.average,
    "mode": Resampling.mode, "max": Resampling.max, "min": Resampling.min, "med": Resampling.med,
    "q1": Resampling.q1, "q3": Resampling.q3,
}  # fmt: skip
"""Resampling by openEO name. The Copernicus back-end takes any other name for `near`; here it is an error."""


def resample(array: xr.DataArray, target: Any, step: tuple[float, float] | None, method: Resampling) -> xr.DataArray:
    """Each date warped to one grid; rioxarray takes three dims at most."""
    nodata = array.attrs.get("_FillValue", np.nan)

    def warp(one: xr.DataArray) -> xr.DataArray:
        warped: xr.DataArray = one.rio.write_nodata(nodata).rio.reproject(target, resolution=step, resampling=method)
        return warped

    if "t" not in array.dims:
        return warp(array)
    return xr.concat([warp(array.isel(t=i)) for i in range(array.sizes["t"])], array.t)
