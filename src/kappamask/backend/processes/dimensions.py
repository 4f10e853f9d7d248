"""Add, drop, list, rename and filter dimensions and labels, or replace values along one.

These are the openEO processes `add_dimension`, `drop_dimension`, `dimension_labels`, `rename_labels`, `filter_labels`,
`filter_bands` and, without a UDF, `apply_dimension`.
"""

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from openeo_driver.errors import OpenEOApiException

from kappamask.backend.errors import make_api_error, make_parameter_error
from kappamask.backend.processes.callbacks import Callback
from kappamask.backend.processes.temporal import parse_date

__all__ = [
    "ADDABLE",
    "CONDITIONS",
    "add_dimension",
    "apply_along",
    "check_new_dimension",
    "check_target",
    "drop_dimension",
    "filter_bands",
    "filter_labels",
    "list_labels",
    "rename_bands",
    "select_labels",
]

ADDABLE = {"t": "temporal", "bands": "bands"}
"""Dimension that a cube can lack -> its type."""
DIMS = ("t", "bands", "y", "x")
CONDITIONS: dict[str, tuple[tuple[str, str], Callable[[Any, Any], bool]]] = {
    "eq": (("x", "y"), operator.eq),
    "neq": (("x", "y"), operator.ne),
    "or": (("x", "y"), lambda x, y: bool(x or y)),
    "and": (("x", "y"), lambda x, y: bool(x and y)),
    "text_begins": (("data", "pattern"), lambda text, start: str(text).startswith(str(start))),
    "text_ends": (("data", "pattern"), lambda text, end: str(text).endswith(str(end))),
    "text_contains": (("data", "pattern"), lambda text, part: str(part) in str(text)),
}
"""openEO process -> its two arguments, and the function."""


def check_new_dimension(have: list[str], name: str, label: Any, kind: str) -> None:
    """Raise the openEO errors DimensionExists or ProcessParameterInvalid if the dimension cannot be added."""
    if name in have:
        raise make_api_error("DimensionExists", f"The cube already has a dimension {name}; it has {', '.join(have)}.")
    if ADDABLE.get(name) != kind:
        offered = " and ".join(f"{dim} of type {dim_kind}" for dim, dim_kind in ADDABLE.items())
        raise make_parameter_error(
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
        raise make_api_error("FeatureUnsupported", f"apply_dimension: {dimension} is not on offer; t and bands are.")
    if target not in (None, dimension):
        raise make_api_error(
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


def drop_dimension(cube: xr.DataArray, name: str) -> xr.DataArray:
    """Drop a dimension; openEO's DimensionLabelCountMismatch if it has more labels than one."""
    if cube.sizes[name] != 1:
        raise make_api_error(
            "DimensionLabelCountMismatch",
            f"The dimension {name} has {cube.sizes[name]} labels and only one of 1 can be dropped; use "
            "reduce_dimension or a filter first.",
        )
    return cube.isel({name: 0}, drop=True)


def filter_bands(cube: xr.DataArray, bands: list[str]) -> xr.DataArray:
    """Select bands by name, in the order given; openEO's ProcessParameterInvalid for an unknown one."""
    have = [str(b) for b in cube.bands.values]
    missing = [band for band in bands if band not in have]
    if missing:
        raise make_parameter_error(
            "filter_bands", "bands", f"no band {', '.join(missing)}; there are {', '.join(have)}"
        )
    return cube.sel(bands=bands)


def rename_bands(cube: xr.DataArray, dimension: str, target: list[Any], source: list[Any] | None) -> xr.DataArray:
    """Rename all bands, or those in `source`; openEO's ProcessParameterInvalid for other dimensions or wrong labels."""
    if dimension != "bands" or "bands" not in cube.dims:
        raise make_parameter_error(
            "rename_labels", "dimension", f"{dimension} cannot be renamed; bands can, if the cube has any"
        )
    have, new = [str(band) for band in cube.bands.values], [str(label) for label in target]
    if source:
        names = dict(zip(map(str, source), new, strict=True))
        new = [names.get(band, band) for band in have]
    if len(new) != len(have) or len(set(new)) != len(new):
        reason = f"{target} does not give {len(have)} distinct labels to {', '.join(have)}"
        raise make_parameter_error("rename_labels", "target", reason)
    return cube.assign_coords(bands=new)


def filter_labels(cube: xr.DataArray, condition: dict[str, Any], dimension: str) -> xr.DataArray:
    """Keep the dates whose label, such as 2018-02-02T00:00:00Z, fulfils the callback `condition`.

    Raises openEO's ProcessParameterInvalid for another dimension, or if no date is left.
    """
    if dimension != "t":
        raise make_parameter_error(
            "filter_labels", "dimension", f"labels of {dimension!r} cannot be filtered, those of 't' can"
        )
    labels = list_labels(cube, "t")
    keep = np.flatnonzero(select_labels(labels, condition))
    if not keep.size:
        raise make_parameter_error("filter_labels", "condition", f"no date fulfils it; there are {', '.join(labels)}")
    return cube.isel(t=keep)


def select_labels(labels: Iterable[str], condition: dict[str, Any]) -> list[bool]:
    """Whether each label fulfils the callback `condition`; openEO's ProcessParameterInvalid for an unknown process."""
    graph = condition.get("process_graph", {})
    results = [name for name, node in graph.items() if node.get("result")]
    if len(results) != 1:
        raise _condition_error(f"{len(results)} nodes are marked as the result, needed is one")
    return [bool(_evaluate_condition({"from_node": results[0]}, graph, label)) for label in labels]


def _evaluate_condition(argument: Any, graph: dict[str, Any], label: str) -> Any:
    if not isinstance(argument, dict):
        return argument
    if argument.get("from_parameter") == "value":
        return label
    node = graph.get(str(argument.get("from_node")), {})
    if node.get("process_id") not in CONDITIONS:
        raise _condition_error(f"{node.get('process_id') or argument} is not among {', '.join(CONDITIONS)}")
    names, function = CONDITIONS[node["process_id"]]
    return function(*(_evaluate_condition(node["arguments"].get(name), graph, label) for name in names))


def _condition_error(reason: str) -> OpenEOApiException:
    return make_parameter_error("filter_labels", "condition", reason)
