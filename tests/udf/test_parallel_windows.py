"""Parallel windows keep order, prefetch few, and leave no thread.

The mask is the same from any number of threads.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from kappamask.models.mask_options import MaskOptions
from kappamask.udf import predict
from kappamask.udf.inference import Scores, ordered_results, split_threads
from kappamask.udf.mask import mask_cube

WINDOWS = "kappamask-window"


def at_work() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(WINDOWS)]


def slower_first(drawn: list[int], count: int = 9) -> Iterator[Callable[[], Scores]]:
    """Jobs of which each takes less time than the one before it."""
    for number in range(count):
        drawn.append(number)

        def job(number: int = number) -> Scores:
            time.sleep(0.02 * (count - number) / count)
            return np.full((1, 1, 1), number, np.float32)

        yield job


@pytest.mark.parametrize("parallel", [1, 2, 4])
def test_results_come_in_order_and_few_are_drawn_ahead(parallel: int) -> None:
    drawn: list[int] = []
    for place, found in enumerate(ordered_results(slower_first(drawn), parallel)):
        assert found.item() == place
        assert len(drawn) <= place + 1 + (parallel if parallel > 1 else 0)
    assert drawn == [*range(9)]
    assert not at_work()


def test_one_window_at_a_time_works_in_the_callers_thread() -> None:
    where: list[int] = []

    def job() -> Scores:
        where.append(threading.get_ident())
        return np.zeros((1, 1, 1), np.float32)

    next(ordered_results([job], 1))
    assert where == [threading.get_ident()]


def test_an_error_arrives_where_its_result_would_have() -> None:
    def bad() -> Scores:
        raise ValueError("window 3")

    results = ordered_results([*slower_first([], 2), bad, *slower_first([], 5)], 2)
    assert [next(results).item(), next(results).item()] == [0, 1]
    with pytest.raises(ValueError, match="window 3"):
        next(results)
    assert not at_work()


def test_what_waits_is_dropped_when_nobody_asks_any_more() -> None:
    drawn: list[int] = []
    results = ordered_results(slower_first(drawn), 2)
    next(results)
    results.close()
    assert len(drawn) == 3
    assert not at_work()


@pytest.mark.parametrize(
    ("threads", "windows", "expected"), [(1, 9, (1, 1)), (2, 9, (2, 1)), (2, 1, (1, 2)), (3, 9, (1, 3)), (8, 2, (2, 4))]
)
def test_an_even_number_of_cores_makes_two_parallel(threads: int, windows: int, expected: tuple[int, int]) -> None:
    assert split_threads(threads, windows) == expected


def test_the_mask_does_not_depend_on_the_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def note_parallel(jobs: Iterable[Callable[[], Scores]], parallel: int) -> Generator[Scores]:
        used.append(parallel)
        return ordered_results(jobs, parallel)

    monkeypatch.setattr(predict, "ordered_results", note_parallel)
    values = np.random.default_rng(7).uniform(0.02, 0.6, (3, 200, 1300)).astype(np.float32)
    values[:, :90, 1100:] = np.nan
    cube = xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": ["B02", "B03", "B04"]})
    options = MaskOptions(level="L1C", radiometry="reflectance", scores=True)
    one, two = (mask_cube(cube, replace(options, threads=threads)) for threads in (1, 2))
    assert used == [1, 2]
    xr.testing.assert_identical(one, two)
    assert {1, 5} <= set(np.unique(one["mask"]))
