"""Windows of a lazy cube, read ahead of their use.

Cells are computed in threads, in the order in which windows need them, each once; of a cell no more is kept than
windows still need.
"""

from collections import defaultdict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from kappamask.udf.cells import cells, compute

__all__ = ["READERS", "Ahead", "shared"]

MOST_READERS = 4
"""Threads; GDAL decodes a block of JPEG 2000 in several of its own, and each reader's cells take memory."""
LEAD = 2
"""Cells that may be ready ahead of the window that is read, beside those that are at work."""
READERS = "kappamask-read"
"""What the threads' names begin with."""
Window = tuple[slice, slice]
Cell = tuple[int, int]
"""Numbers of its row and its column."""


class _Held(NamedTuple):
    """A cell that is computed: all of it, or its lower rows."""

    rows: slice
    values: NDArray[Any]


class Ahead:
    """Numbers (band, y, x) of a dask array, window by window, in the order in which `windows` announces them.

    That is row by row, the rows from top to bottom. A context manager: leaving it waits for what is at work, and drops
    the rest.
    """

    def __init__(self, values: Any, windows: list[Window], threads: int) -> None:
        self._values, self._grid = values, cells(values)
        self._tops: defaultdict[Cell, deque[int]] = defaultdict(deque)
        """First rows of the windows that are to come, for each cell that they touch."""
        for y, x in windows:
            for cell in self._touched(y, x):
                self._tops[cell].append(y.start)
        self._waiting, self._used = deque(self._tops), set[Cell]()
        self._running: dict[Cell, Future[NDArray[Any]]] = {}
        self._held: dict[Cell, _Held] = {}
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
        for cell in touched:
            held = self._finished(cell)
            (into_y, of_y), (into_x, of_x) = shared(y, held.rows), shared(x, self._grid[1][cell[1]])
            window[:, into_y, into_x] = held.values[:, of_y, of_x]
            self._forget(cell, held)
        return window

    def _touched(self, y: slice, x: slice) -> list[Cell]:
        rows, columns = (
            [i for i, part in enumerate(parts) if part.start < side.stop and part.stop > side.start]
            for parts, side in zip(self._grid, (y, x), strict=True)
        )
        return [*product(rows, columns)]

    def _start(self, touched: list[Cell]) -> None:
        self._used.update(touched)
        while self._waiting and len(self._tops) - len(self._waiting) - len(self._used) < self._lead:
            row, column = cell = self._waiting.popleft()
            self._running[cell] = self._pool.submit(compute, self._values, self._grid[0][row], self._grid[1][column])

    def _finished(self, cell: Cell) -> _Held:
        if cell in self._running:
            self._held[cell] = _Held(self._grid[0][cell[0]], self._running.pop(cell).result())
        return self._held[cell]

    def _forget(self, cell: Cell, held: _Held) -> None:
        """Let go of a cell, or of the rows above the next window, when its last window of a row has been read."""
        tops = self._tops[cell]
        top = tops.popleft()
        if not tops:
            del self._held[cell]
        elif tops[0] > max(top, held.rows.start):
            rows = slice(tops[0], held.rows.stop)
            self._held[cell] = _Held(rows, held.values[:, rows.start - held.rows.start :].copy())


def shared(one: slice, other: slice) -> tuple[slice, slice]:
    """What two parts of an axis share: where it lies in the one, and where in the other."""
    first, last = max(one.start, other.start), min(one.stop, other.stop)
    return slice(first - one.start, last - one.start), slice(first - other.start, last - other.start)
