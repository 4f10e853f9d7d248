"""Windows of a lazy cube, read ahead of their use.

Cells are computed in threads, in the order in which windows need them, each once, and forgotten after the last window
that touches them.
"""

from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kappamask.udf.cells import cells, compute

__all__ = ["READERS", "Ahead", "shared"]

MOST_READERS = 8
"""Threads; with more the network is what takes the time."""
LEAD = 2
"""Cells that may be ready ahead of the window that is read, beside those that are at work."""
READERS = "kappamask-read"
"""What their names begin with."""
Window = tuple[slice, slice]


class Ahead:
    """Numbers (band, y, x) of a dask array, window by window, in the order in which `windows` announces them.

    A context manager: leaving it waits for what is at work, and drops the rest.
    """

    def __init__(self, values: Any, windows: list[Window], threads: int) -> None:
        self._values, self._grid = values, cells(values)
        self._left = Counter(cell for window in windows for cell in self._touched(*window))
        self._waiting, self._used = deque(self._left), set[tuple[int, int]]()
        self._running: dict[tuple[int, int], Future[NDArray[Any]]] = {}
        readers = min(threads, MOST_READERS)
        self._lead, self._pool = readers + LEAD, ThreadPoolExecutor(readers, READERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def read(self, y: slice, x: slice) -> NDArray[Any]:
        """The next window. Raises what computing the array raises."""
        touched = self._touched(y, x)
        self._start(touched)
        window = np.empty((len(self._values), y.stop - y.start, x.stop - x.start), dtype=self._values.dtype)
        for row, column in touched:
            rows, columns = self._grid[0][row], self._grid[1][column]
            (into_y, of_y), (into_x, of_x) = shared(y, rows), shared(x, columns)
            window[:, into_y, into_x] = self._running[row, column].result()[:, of_y, of_x]
            self._forget((row, column))
        return window

    def _touched(self, y: slice, x: slice) -> list[tuple[int, int]]:
        rows, columns = (
            [i for i, part in enumerate(parts) if part.start < side.stop and part.stop > side.start]
            for parts, side in zip(self._grid, (y, x), strict=True)
        )
        return [*product(rows, columns)]

    def _start(self, touched: list[tuple[int, int]]) -> None:
        self._used.update(touched)
        while self._waiting and len(self._left) - len(self._waiting) - len(self._used) < self._lead:
            row, column = cell = self._waiting.popleft()
            self._running[cell] = self._pool.submit(compute, self._values, self._grid[0][row], self._grid[1][column])

    def _forget(self, cell: tuple[int, int]) -> None:
        self._left[cell] -= 1
        if not self._left[cell]:
            del self._running[cell]


def shared(one: slice, other: slice) -> tuple[slice, slice]:
    """What two parts of an axis share: where it lies in the one, and where in the other."""
    first, last = max(one.start, other.start), min(one.stop, other.stop)
    return slice(first - one.start, last - one.start), slice(first - other.start, last - other.start)
