"""The processes `filter_labels` and `resample_spatial`."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from openeo_driver.errors import ProcessParameterInvalidException
from rasterio.enums import Resampling

__all__ = ["CONDITIONS", "METHODS", "kept", "resample"]

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
METHODS = {
    "near": Resampling.nearest, "bilinear": Resampling.bilinear, "cubic": Resampling.cubic,
    "cubicspline": Resampling.cubic_spline, "lanczos": Resampling.lanczos, "average": Resampling.average,
    "mode": Resampling.mode, "max": Resampling.max, "min": Resampling.min, "med": Resampling.med,
    "q1": Resampling.q1, "q3": Resampling.q3,
}  # fmt: skip
"""Resampling by openEO name. The Copernicus back-end takes any other name for `near`; here it is an error."""


def kept(labels: Iterable[str], condition: dict[str, Any]) -> list[bool]:
    """Whether each label fulfils the callback `condition`; openEO's ProcessParameterInvalid for an unknown process."""
    graph = condition.get("process_graph", {})
    results = [name for name, node in graph.items() if node.get("result")]
    if len(results) != 1:
        raise _invalid(f"{len(results)} nodes are marked as the result, needed is one")
    return [bool(_value({"from_node": results[0]}, graph, label)) for label in labels]


def _value(argument: Any, graph: dict[str, Any], label: str) -> Any:
    if not isinstance(argument, dict):
        return argument
    if argument.get("from_parameter") == "value":
        return label
    node = graph.get(str(argument.get("from_node")), {})
    if node.get("process_id") not in CONDITIONS:
        raise _invalid(f"{node.get('process_id') or argument} is not among {', '.join(CONDITIONS)}")
    names, function = CONDITIONS[node["process_id"]]
    return function(*(_value(node["arguments"].get(name), graph, label) for name in names))


def _invalid(reason: str) -> ProcessParameterInvalidException:
    return ProcessParameterInvalidException(process="filter_labels", parameter="condition", reason=f"{reason}.")


def resample(array: xr.DataArray, target: Any, step: tuple[float, float] | None, method: Resampling) -> xr.DataArray:
    """Each date warped to one grid; rioxarray takes three dims at most."""
    nodata = array.attrs.get("_FillValue", np.nan)

    def warp(one: xr.DataArray) -> xr.DataArray:
        warped: xr.DataArray = one.rio.write_nodata(nodata).rio.reproject(target, resolution=step, resampling=method)
        return warped

    if "t" not in array.dims:
        return warp(array)
    return xr.concat([warp(array.isel(t=i)) for i in range(array.sizes["t"])], array.t)
