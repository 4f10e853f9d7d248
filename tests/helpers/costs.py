"""Mark the tests that `make quick` leaves out, by what their code uses.

Nobody has to remember a marker.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType

import pytest

__all__ = ["SLOW", "USES", "costs_of", "find_names"]

TESTS = Path(__file__).parents[1]
USES = {
    "subprocess": "process",
    "LocalCluster": "server",
    "running_server": "server",
    "serve_folder": "server",
    "ThreadedMotoServer": "server",
    "needs_browser": "browser",
    "torch": "torch",
}
"""Name in a test, in a helper that it calls or in a fixture that it takes -> marker."""
SLOW = (
    "benchmarks",
    "cli/test_whole_product_many.py",
    "conversion/test_conversion.py",
    "conversion/test_fetch.py",
    "docs/test_docs.py",
    "docs/test_docs_pages.py",
    "docs/test_readme.py",
    "evaluation/test_peers.py",
    "openeo_process/test_archive.py",
    "test_layout.py",
    "training",
    "udf/test_seams.py",
)
"""Files and folders of tests with more than half a second of processor time for most tests (`--durations`)."""


def costs_of(item: pytest.Function) -> set[str]:
    """Collect the markers of a test.

    They follow from what it, its helpers and its fixtures use; `slow` follows from its path.
    """
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    functions = [item.function, *(one.func for found in fixtures for one in found)]
    known: set[CodeType] = set()
    names = {name for function in functions for name in find_names(function, known)}
    names |= {mark.name for mark in item.iter_markers()} | set(vars(item.module)) & {"torch", "needs_browser"}
    path = item.path.relative_to(TESTS).as_posix()
    slow = any(path == one or path.startswith(f"{one}/") for one in SLOW)
    return {marker for name, marker in USES.items() if name in names} | ({"slow"} if slow else set())


def find_names(function: object, known: set[CodeType]) -> Iterator[str]:
    """Find the names that a test uses, and those of the helpers that it calls."""
    function = inspect.unwrap(function) if callable(function) else function
    code = getattr(function, "__code__", None)
    if code is None or code in known or not Path(code.co_filename).is_relative_to(TESTS):
        return
    known.add(code)
    for name in _names_in(code):
        yield name
        used = function.__globals__.get(name)
        if isinstance(used, ModuleType):
            yield used.__name__
        elif used is not None:
            yield from find_names(used, known)


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
