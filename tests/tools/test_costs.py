import subprocess
from contextlib import contextmanager

import pytest
from costs import SLOW, TESTS, USES, costs_of, find_names


@contextmanager
def _start():
    yield subprocess.run(["true"], check=True)


@pytest.fixture
def process():
    with _start() as done:
        yield done


def test_a_test_is_marked_by_its_fixtures_and_helpers(request, process):
    assert process.returncode == 0
    assert costs_of(request.node) == {"process"}
    assert request.node.get_closest_marker("process")


def test_a_test_that_starts_nothing_is_quick(request):
    assert costs_of(request.node) == set()
    assert not set(USES.values()) & {mark.name for mark in request.node.iter_markers()}


def test_names_in_nested_functions_are_found():
    def outer():
        return [lambda: subprocess.PIPE for _ in "a"]

    assert "subprocess" in set(find_names(outer, set()))


@pytest.mark.parametrize("path", SLOW)
def test_what_is_slow_is_there(path):
    assert (TESTS / path).exists()
