"""Callbacks of `apply` and `reduce_dimension`: per-pixel arithmetic, reducers, and `linear_scale_range`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import xarray as xr
from openeo_driver.errors import ProcessParameterInvalidException

__all__ = ["ELEMENTWISE", "REDUCERS", "callback", "numbers"]

NODATA = 255
"""Nodata of uint8 results (OpenEOProcessScriptBuilder.scala, `linear_scale_range`)."""
LARGEST = 254
"""Outputs must stay below this for the result to become uint8 (same source)."""
ROUNDING = 1e-4
"""float32 arithmetic may put a whole number this much below itself, and cutting off fractions would lose one."""

ELEMENTWISE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "neq": operator.ne, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "and": lambda x, y: (x != 0) & (y != 0), "or": lambda x, y: (x != 0) | (y != 0),
}  # fmt: skip
"""openEO process with arguments x and y -> function; no data in, no data out."""
REDUCERS: dict[str, Callable[[xr.DataArray, str], xr.DataArray]] = {
    "max": lambda data, dim: data.max(dim), "min": lambda data, dim: data.min(dim),
    "mean": lambda data, dim: data.mean(dim), "median": lambda data, dim: data.median(dim),
    "sum": lambda data, dim: data.sum(dim, min_count=1),
    "first": lambda data, dim: data.bfill(dim).isel({dim: 0}, drop=True),
    "last": lambda data, dim: data.ffill(dim).isel({dim: -1}, drop=True),
}  # fmt: skip
"""openEO reducer -> function; no data is left out, as openEO's `ignore_nodata` has it."""


def numbers(cube: xr.DataArray) -> xr.DataArray:
    """The cube with NaN where bytes, as `linear_scale_range` leaves them, hold their nodata value."""
    if "_FillValue" not in cube.attrs:
        return cube
    held = cube.astype(np.float32).where(cube != cube.attrs["_FillValue"])
    held.attrs = {key: value for key, value in cube.attrs.items() if key != "_FillValue"}
    return held


def callback(
    parent: str, process: dict[str, Any], dimension: str | None = None
) -> Callable[[xr.DataArray], xr.DataArray]:
    """A child process graph as a function of a cube; for a reducer, of the cube along `dimension`.

    The result is float32, or uint8 where `linear_scale_range` ends the graph and its limits call for it.
    Raises openEO's ProcessParameterInvalid, when built, for a process that is not in the tables.
    """
    results = [node for node in process.values() if node.get("result")]
    if len(results) != 1:
        raise _invalid(parent, f"{len(results)} nodes are marked as the result, needed is one")
    graph = _Graph(parent, process, dimension)
    graph.check()
    last = results[0]
    if last["process_id"] == "linear_scale_range":
        scale = _scale(parent, last["arguments"])
        return lambda cube: scale(graph.value(last["arguments"]["x"], numbers(cube)))
    return lambda cube: graph.node(last, numbers(cube)).astype(np.float32).drop_attrs(deep=False)


@dataclass(frozen=True)
class _Graph:
    parent: str
    nodes: Mapping[str, dict[str, Any]]
    dimension: str | None

    def check(self) -> None:
        """Refuse what is not offered before any pixel is read."""
        offered = {**ELEMENTWISE, "not": None, "linear_scale_range": None}
        if self.dimension:
            offered |= {**REDUCERS, "array_element": None}
        unknown = sorted({node["process_id"] for node in self.nodes.values()} - offered.keys())
        if unknown:
            raise _invalid(
                self.parent, f"the callback uses {', '.join(unknown)}; on offer are {', '.join(sorted(offered))}"
            )
        extra = sorted(
            {key for node in self.nodes.values() for key in node["arguments"]}
            & {"delta", "ignore_nodata", "return_nodata"}
        )
        if extra:
            raise _invalid(
                self.parent,
                f"the callback uses the argument {', '.join(extra)}, which has no effect here; leave it out",
            )

    def node(self, node: dict[str, Any], cube: xr.DataArray) -> xr.DataArray:
        """The value of a node."""
        name, given = node["process_id"], node["arguments"]
        if name in ELEMENTWISE:
            x, y = self.value(given["x"], cube), self.value(given["y"], cube)
            result: xr.DataArray = xr.zeros_like(cube if self.dimension is None else x + y) + ELEMENTWISE[name](x, y)
            for side in (x, y):
                result = result.where(side.notnull()) if isinstance(side, xr.DataArray) else result
            return result
        if name == "not":
            x = self.value(given["x"], cube)
            return cast(xr.DataArray, (x == 0).where(x.notnull()))
        if name == "linear_scale_range":
            return _scale(self.parent, given).floats(self.value(given["x"], cube))
        data = self.value(given["data"], cube)
        assert self.dimension is not None
        return (
            _element(self.parent, data, self.dimension, given)
            if name == "array_element"
            else REDUCERS[name](data, self.dimension)
        )

    def value(self, argument: Any, cube: xr.DataArray) -> Any:
        """An argument: a number, the cube, or another node's value."""
        if not isinstance(argument, dict):
            return argument
        if "from_node" in argument:
            named = argument.get("node") or self.nodes[argument["from_node"]]
            return self.node(named, cube)
        return cube


def _element(parent: str, data: xr.DataArray, dimension: str, given: dict[str, Any]) -> xr.DataArray:
    labels = [str(v) for v in data[dimension].values]
    label, index = given.get("label"), given.get("index")
    position = labels.index(str(label)) if str(label) in labels else index
    if position is None or not 0 <= position < len(labels):
        raise _invalid(
            parent, f"array_element asks for {label if label is not None else index}; there are {', '.join(labels)}"
        )
    return data.isel({dimension: position}, drop=True)


@dataclass(frozen=True)
class _ScaleRange:
    """`linear_scale_range` as a function of a cube."""

    input_min: float
    input_max: float
    output_min: float
    output_max: float

    @property
    def to_bytes(self) -> bool:
        """Whether the Copernicus back-end stores the result as uint8: whole output limits from 0 to 253."""
        limits = (self.output_min, self.output_max)
        return all(isinstance(v, int) for v in limits) and self.output_min >= 0 and self.output_max < LARGEST

    def floats(self, cube: xr.DataArray) -> xr.DataArray:
        """Clamped to the input range and scaled, float64, NaN kept."""
        share = (cube.astype(np.float64).clip(self.input_min, self.input_max) - self.input_min) / (
            self.input_max - self.input_min
        )
        return (share * (self.output_max - self.output_min) + self.output_min).drop_attrs(deep=False)

    def __call__(self, cube: xr.DataArray) -> xr.DataArray:
        """float32 with NaN, or uint8 (fractions cut off) with nodata 255."""
        scaled = self.floats(cube)
        if not self.to_bytes:
            return scaled.astype(np.float32)
        whole: xr.DataArray = (scaled + ROUNDING) // 1
        return whole.fillna(NODATA).astype(np.uint8).assign_attrs(_FillValue=NODATA)


def _scale(parent: str, given: dict[str, Any]) -> _ScaleRange:
    try:
        limits = given["inputMin"], given["inputMax"], given.get("outputMin", 0.0), given.get("outputMax", 1.0)
    except KeyError as error:
        raise _invalid(parent, f"linear_scale_range lacks {error}") from None
    if not all(isinstance(v, (int, float)) for v in limits) or limits[0] >= limits[1]:
        raise _invalid(parent, f"linear_scale_range got {limits}; it needs numbers with inputMin below inputMax")
    return _ScaleRange(*limits)


def _invalid(parent: str, reason: str) -> ProcessParameterInvalidException:
    return ProcessParameterInvalidException(process=parent, parameter="process", reason=f"{reason}.")
