"""Add a dimension to a cube, list its labels, or replace the values along it.

These are the openEO processes `add_dimension`, `dimension_labels` and, without a UDF, `apply_dimension`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from kappamask.backend.callbacks import Callback
from kappamask.backend.errors import api_error, invalid_parameter
from kappamask.backend.temporal import parse_date

__all__ = ["ADDABLE", "add_dimension", "apply_along", "check_new_dimension", "check_target", "list_labels"]

ADDABLE = {"t": "temporal", "bands": "bands"}
"""Dimension that a cube can lack -> its type."""
DIMS = ("t", "bands", "y", "x")


def check_new_dimension(have: list[str], name: str, label: Any, kind: str) -> None:
    """Raise the openEO errors DimensionExists or ProcessParameterInvalid if the dimension cannot be added."""
    if name in have:
        raise api_error("DimensionExists", f"The cube already has a dimension {name}; it has {', '.join(have)}.")
    if ADDABLE.get(name) != kind:
        offered = " and ".join(f"{dim} of type {dim_kind}" for dim, dim_kind in ADDABLE.items())
        raise invalid_parameter(
            "add_dimension", "name", f"{name!r} of type {kind!r} cannot be added; on offer are {offered}"
        )
    if name == "t":
        parse_date(label, "add_dimension", "label")


def add_dimension(cube: xr.DataArray, name: str, label: Any, kind: str) -> xr.DataArray:
    """Add `t` or `bands` with one label.

    Raises the openEO errors of `check_new_dimension`.
    """
    check_new_dimension([str(dim) for dim in cube.dims], name, label, kind)
    labels = pd.DatetimeIndex([parse_date(label, "add_dimension", "label")]) if name == "t" else [str(label)]
    added = cube.drop_vars(name, errors="ignore").expand_dims({name: labels})
    return added.transpose(*[dim for dim in DIMS if dim in added.dims])


def list_labels(cube: xr.DataArray, dimension: str) -> list[Any]:
    """List a dimension's labels: bands, dates as 2018-02-02T00:00:00Z, or coordinates."""
    values = cube[dimension].values
    if dimension == "t":
        return [f"{date:%Y-%m-%dT%H:%M:%SZ}" for date in pd.DatetimeIndex(values)]
    return [str(band) for band in values] if dimension == "bands" else [float(value) for value in values]


def check_target(dimension: str, target: str | None) -> None:
    """Raise the openEO errors of `apply_dimension` for dimensions that are not implemented."""
    if dimension not in ADDABLE:
        raise api_error("FeatureUnsupported", f"apply_dimension: {dimension} is not on offer; t and bands are.")
    if target not in (None, dimension):
        raise api_error(
            "FeatureUnsupported",
            f"apply_dimension: the target_dimension {target} is not on offer; leave it out, and the result stays in "
            f"{dimension}.",
        )


def apply_along(cube: xr.DataArray, callback: Callback, dimension: str) -> xr.DataArray:
    """Replace the values along `t` or `bands` by those of the callback.

    Labels stay if their number does; otherwise bands are called 0, 1, ….
    Raises openEO's ProcessParameterInvalid if the callback returns a single value, or another number of dates.
    """
    result = callback(data=cube)
    if dimension not in result.dims:
        raise callback.make_error(f"it returns a single value for the dimension {dimension}; use reduce_dimension")
    labels, count = cube[dimension], result.sizes[dimension]
    if count == labels.size:
        named = result.assign_coords({dimension: labels.values})
    elif dimension == "bands":
        named = result.assign_coords(bands=np.arange(count).astype(str))
    else:
        raise callback.make_error(f"it returns {count} values for {labels.size} dates, and numbers are no dates")
    around = {name: values for name, values in cube.coords.items() if dimension not in values.dims}
    return named.assign_coords(around).transpose(*cube.dims)
