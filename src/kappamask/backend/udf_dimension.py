"""UDFs in `apply`, `apply_dimension` and `reduce_dimension`, as the Copernicus back-end runs them.

The rules are those of openeo-geopyspark-driver 0.72 and 0.73 (`geopysparkdatacube.py`: `apply`, `apply_dimension`,
`reduce_dimension`, `_run_udf_dimension`). The UDF sees the layer's own tiles, 256 x 256 pixels without overlap, NaN
where the cube ends:

* in `apply`, and along `bands`: (bands, y, x), one date at a time;
* along `t`: (t, bands, y, x), the dates of that tile that have data;
* along another dimension: FeatureUnsupported.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from kappamask.backend.engines import Run
from kappamask.backend.errors import api_error
from kappamask.backend.udf_node import UdfNode

__all__ = ["run_along", "run_by_date", "run_reducer"]


def run_by_date(node: UdfNode, cube: xr.DataArray, run: Run) -> xr.DataArray:
    """Run the UDF of `apply`, date by date."""
    return node.run(cube, run, per_date=True)


def run_along(node: UdfNode, cube: xr.DataArray, run: Run, dimension: str, target_dimension: str | None) -> Any:
    """Run the UDF of `apply_dimension`, which sets the labels of the dimension."""
    _check_dimension("apply_dimension", dimension)
    if target_dimension not in (None, dimension):
        raise api_error(
            "FeatureUnsupported",
            f"apply_dimension: the target_dimension {target_dimension} has no effect on a UDF on Copernicus, and is "
            "refused here; leave it out.",
        )
    return node.run(cube, run, per_date=dimension != "t")


def run_reducer(node: UdfNode, cube: xr.DataArray, run: Run, dimension: str) -> xr.DataArray:
    """Run the UDF of `reduce_dimension`, and drop the dimension of one label.

    A result along `bands` may be (y, x) or (bands, y, x). One along `t` may have no `t`, or one date for each tile.
    Raises the openEO error UdfError (500) for more.
    """
    _check_dimension("reduce_dimension", dimension)
    if dimension == "t":
        return _drop_dates(node.run(cube, run, per_date=False))
    result = node.run(cube, run, per_date=True, flat_results=True)
    if result.sizes["bands"] != 1 and bool(result.notnull().any()):
        raise api_error(
            "UdfError",
            f"reduce_dimension along bands: the UDF returned {result.sizes['bands']} bands; it must return one.",
            500,
        )
    return result.isel(bands=0, drop=True)


def _drop_dates(result: xr.DataArray) -> xr.DataArray:
    """Drop `t`; tiles may have dates of their own, but each pixel only one."""
    if "t" not in result.dims:
        return result
    most = int(result.notnull().any("bands").sum("t").max())
    if most > 1:
        raise api_error(
            "UdfError",
            f"reduce_dimension along t: the UDF returned {most} dates for one tile; it must return one, or none by "
            "dropping t.",
            500,
        )
    return result.max("t", keep_attrs=True)


def _check_dimension(process: str, dimension: str) -> None:
    if dimension not in ("t", "bands"):
        raise api_error(
            "FeatureUnsupported",
            f"{process}: a UDF cannot run along {dimension}; it can along t and bands, as on Copernicus.",
        )
