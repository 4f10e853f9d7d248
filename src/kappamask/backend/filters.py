"""The condition of the openEO process `filter_labels`."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

from openeo_driver.errors import ProcessParameterInvalidException

__all__ = ["CONDITIONS", "select_labels"]

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


def select_labels(labels: Iterable[str], condition: dict[str, Any]) -> list[bool]:
    """Whether each label fulfils the callback `condition`; openEO's ProcessParameterInvalid for an unknown process."""
    graph = condition.get("process_graph", {})
    results = [name for name, node in graph.items() if node.get("result")]
    if len(results) != 1:
        raise _make_error(f"{len(results)} nodes are marked as the result, needed is one")
    return [bool(_value({"from_node": results[0]}, graph, label)) for label in labels]


def _value(argument: Any, graph: dict[str, Any], label: str) -> Any:
    if not isinstance(argument, dict):
        return argument
    if argument.get("from_parameter") == "value":
        return label
    node = graph.get(str(argument.get("from_node")), {})
    if node.get("process_id") not in CONDITIONS:
        raise _make_error(f"{node.get('process_id') or argument} is not among {', '.join(CONDITIONS)}")
    names, function = CONDITIONS[node["process_id"]]
    return function(*(_value(node["arguments"].get(name), graph, label) for name in names))


def _make_error(reason: str) -> ProcessParameterInvalidException:
    return ProcessParameterInvalidException(process="filter_labels", parameter="condition", reason=f"{reason}.")
