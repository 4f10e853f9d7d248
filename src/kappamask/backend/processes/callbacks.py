"""Evaluate callbacks, the child process graphs of `apply`, `reduce_dimension`, `merge_cubes` and the like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from openeo_driver.errors import ProcessParameterInvalidException

from kappamask.backend.errors import make_api_error
from kappamask.backend.processes.pixel_math import (
    ARRAYS,
    DECISIVE,
    ELEMENTWISE,
    REDUCERS,
    VALUE_DIM,
    ScaleRange,
    compute_array,
    decode_nodata,
    stack_values,
)

__all__ = ["Callback"]

Nodes = Mapping[str, dict[str, Any]]
WITHOUT_EFFECT = ("delta", "return_nodata")
"""Arguments that change a result elsewhere and are not implemented here: they are refused."""


@dataclass(frozen=True)
class Callback:
    """A checked child process graph, as a function of cubes.

    dimension: what reducers run along; None where the callback sees single pixels.
    constants: values of the graph's other parameters, such as `context`.
    """

    parent: str
    nodes: Nodes
    dimension: str | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(
        cls,
        parent: str,
        process: Nodes,
        dimension: str | None = None,
        constants: Mapping[str, Any] | None = None,
    ) -> Callback:
        """Check a graph before any pixel is read.

        Raises openEO's ProcessParameterInvalid for a process or an argument that is not implemented.
        """
        graph = cls(parent, process, dimension, constants or {})
        graph._check_result()
        graph._check_processes()
        return graph

    def __call__(self, **cubes: xr.DataArray) -> xr.DataArray:
        """Evaluate the graph with its parameters by name (x; data; x and y).

        Returns float32, or uint8 where `linear_scale_range` ends the graph and its limits call for it.
        """
        evaluation = _Evaluation(self, {name: decode_nodata(cube) for name, cube in cubes.items()})
        last = self._find_result_node()
        if last["process_id"] == "linear_scale_range":
            scale = ScaleRange.parse(self.parent, last["arguments"])
            return scale(evaluation.array(last["arguments"]["x"]))
        result = evaluation.node(last)
        if not isinstance(result, xr.DataArray):
            result = xr.full_like(next(iter(evaluation.cubes.values())), result)
        return result.astype(np.float32).drop_attrs(deep=False)

    def _find_result_node(self) -> dict[str, Any]:
        return next(node for node in self.nodes.values() if node.get("result"))

    def _check_result(self) -> None:
        count = sum(bool(node.get("result")) for node in self.nodes.values())
        if count != 1:
            raise self.make_error(f"{count} nodes are marked as the result, needed is one")

    def _check_processes(self) -> None:
        names = {node["process_id"] for node in self.nodes.values()}
        if "run_udf" in names:
            raise self.make_error("run_udf must be the only process of a callback")
        offered = {*ELEMENTWISE, *REDUCERS, "linear_scale_range"}
        if self.dimension:
            offered |= {"array_element", *(ARRAYS if self.parent == "apply_dimension" else ())}
        if unknown := sorted(names - offered):
            raise self.make_error(f"the callback uses {', '.join(unknown)}; on offer are {', '.join(sorted(offered))}")
        given = {key for node in self.nodes.values() for key in node["arguments"]}
        if extra := sorted(given.intersection(WITHOUT_EFFECT)):
            raise self.make_error(
                f"the callback uses the argument {', '.join(extra)}, which has no effect here; leave it out"
            )

    def make_error(self, reason: str) -> ProcessParameterInvalidException:
        """Make the error that names the parent process and its callback."""
        return ProcessParameterInvalidException(process=self.parent, parameter="process", reason=f"{reason}.")


@dataclass(frozen=True)
class _Evaluation:
    """One run of a callback."""

    callback: Callback
    cubes: Mapping[str, xr.DataArray]

    def node(self, node: dict[str, Any]) -> Any:
        """Compute a node's value: a cube, or a number from numbers."""
        name, arguments = node["process_id"], node["arguments"]
        if name in ELEMENTWISE:
            return self._apply_elementwise(name, arguments)
        if name in REDUCERS:
            return self._reduce_array(name, arguments)
        if name in ARRAYS:
            return self._compute_array(name, arguments)
        if name == "linear_scale_range":
            return ScaleRange.parse(self.callback.parent, arguments).scale(self.array(arguments["x"]))
        return self._take_element(arguments)

    def value(self, argument: Any) -> Any:
        """Resolve an argument: a literal, a parameter, another node's value, or a list of these."""
        if isinstance(argument, list):
            return stack_values([self.value(item) for item in argument])
        if not isinstance(argument, dict):
            return argument
        if "from_node" in argument:
            return self.node(argument.get("node") or self.callback.nodes[argument["from_node"]])
        return self._get_parameter(str(argument.get("from_parameter")))

    def array(self, argument: Any) -> xr.DataArray:
        """Resolve an argument that must be a cube."""
        value = self.value(argument)
        if isinstance(value, xr.DataArray):
            return value
        raise self.callback.make_error(f"a process got {value!r} where it needs pixels")

    def _get_parameter(self, name: str) -> Any:
        known = {**self.callback.constants, **self.cubes}
        if name not in known:
            raise self.callback.make_error(
                f"the callback has no parameter {name}; there are {', '.join(sorted(known))}"
            )
        return known[name]

    def _apply_elementwise(self, name: str, arguments: dict[str, Any]) -> Any:
        names, function = ELEMENTWISE[name]
        if missing := [key for key in names if key not in arguments]:
            raise self.callback.make_error(f"{name} lacks {', '.join(missing)}")
        values = [self.value(arguments[key]) for key in names]
        arrays = [value for value in values if isinstance(value, xr.DataArray)]
        if not arrays:
            return float(function(*values))
        # comparisons give booleans, which cannot hold NaN
        result: xr.DataArray = xr.zeros_like(sum(arrays[1:], arrays[0])) + function(*values)
        for array in arrays:
            result = result.where(array.notnull())
        if name in DECISIVE:
            outcome, decides = DECISIVE[name]
            for value in values:
                result = result.where(np.logical_not(decides(value)), outcome)
        return result

    def _reduce_array(self, name: str, arguments: dict[str, Any]) -> xr.DataArray:
        given = arguments.get("data")
        data = self.array(given)
        dimension = VALUE_DIM if isinstance(given, list) else self.callback.dimension
        if dimension is None or dimension not in data.dims:
            raise self.callback.make_error(f"{name} needs a list of values, and got a single one")
        return REDUCERS[name](data, dimension, arguments.get("ignore_nodata", True))

    def _compute_array(self, name: str, arguments: dict[str, Any]) -> xr.DataArray:
        """Compute an array along the callback's dimension, which its first argument must have."""
        first, second = ARRAYS[name]
        if missing := [key for key in (first, second) if key not in arguments]:
            raise self.callback.make_error(f"{name} lacks {', '.join(missing)}")
        data, dimension = self.array(arguments[first]), str(self.callback.dimension)
        if dimension not in data.dims:
            raise self.callback.make_error(f"{name} needs an array along {dimension}, and got a single value")
        other = self._check_probabilities(arguments[second]) if name == "quantiles" else self.value(arguments[second])
        return compute_array(name, data, other, dimension, arguments.get("ignore_nodata", True))

    def _check_probabilities(self, given: Any) -> Any:
        if isinstance(given, int) and not isinstance(given, bool) and given >= 2:
            return given
        if isinstance(given, list) and given and all(isinstance(p, int | float) and 0 <= p <= 1 for p in given):
            return given
        raise self.callback.make_error(f"quantiles got {given!r}; give numbers from 0 to 1, or the number of parts")

    def _take_element(self, arguments: dict[str, Any]) -> xr.DataArray:
        data, dimension = self.array(arguments.get("data")), str(self.callback.dimension)
        labels = [str(label) for label in data[dimension].values]
        label, index = arguments.get("label"), arguments.get("index")
        if label is not None and index is not None:
            raise make_api_error(
                "ArrayElementParameterConflict", "array_element got label and index; give one of them."
            )
        position = labels.index(str(label)) if str(label) in labels else index
        if position is None or not 0 <= position < len(labels):
            wanted = label if label is not None else index
            raise self.callback.make_error(f"array_element asks for {wanted}; there are {', '.join(labels)}")
        return data.isel({dimension: position}, drop=True)
