"""Labels stay as a graph's condition says."""

import pytest
from openeo.internal.processes.builder import convert_callable_to_pgnode
from openeo.processes import and_, or_, text_begins, text_contains
from openeo_driver.errors import ProcessParameterInvalidException

from kappamask.backend.processes.dimensions import select_labels

LABELS = ["2018-02-02T00:00:00Z", "2018-02-07T00:00:00Z", "2019-02-02T00:00:00Z"]


def condition(function):
    return {"process_graph": convert_callable_to_pgnode(function, ["value"]).flat_graph()}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda value: text_begins(value, "2018-02-02"), [True, False, False]),
        (lambda value: or_(text_begins(value, "2018-02-07"), text_begins(value, "2019")), [False, True, True]),
        (lambda value: and_(text_contains(value, "02-02"), text_begins(value, "2019")), [False, False, True]),
        (lambda value: value == LABELS[1], [False, True, False]),
    ],
)
def test_conditions(function, expected):
    assert select_labels(LABELS, condition(function)) == expected


@pytest.mark.parametrize("graph", [{}, {"a": {"process_id": "sin", "arguments": {"x": 1}, "result": True}}])
def test_what_is_no_condition_is_refused(graph):
    with pytest.raises(ProcessParameterInvalidException, match="filter_labels"):
        select_labels(LABELS, {"process_graph": graph})
