"""Mask a lazy cube from top to bottom in bounded memory.

Cells are computed in threads, in the order in which windows need them, each once; of a cell no more is kept than
windows still need.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import CubeError, ModelCard, load_card
from kappamask.udf import eager, lazy
from kappamask.udf.lazy import cells, compute
from kappamask.udf.mask import dates, dressed, framed, settle
from kappamask.udf.preprocess import Reading
from kappamask.udf.radiometry import Decision, check
from kappamask.udf.series import split_dates

__all__ = ["READERS", "Ahead", "Piece", "Shown", "Stream", "shared", "stream"]

MOST_READERS = 4
"""Threads; GDAL decodes a block of JPEG 2000 in several of its own, and each reader's cells take memory."""
LEAD = 2
"""Cells that may be ready ahead of the window that is read, beside those that are at work."""
READERS = "kappamask-read"
"""What the threads' names begin with."""
Window = tuple[slice, slice]
Cell = tuple[int, int]
"""Numbers of its row and its column."""
Mask = NDArray[np.uint8]
Scores = NDArray[np.float32]
Shown = Callable[[int, int], None]
"""Is told how much is done, and how much there is."""


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


class Piece(NamedTuple):
    """A finished part of one date."""

    date: int
    y: slice
    x: slice
    mask: Mask
    """(y, x)."""
    scores: Scores
    """(class, y, x), NaN where missing."""


@dataclass(frozen=True)
class Stream:
    """A mask that is yet to be made: at most a sample of the cube has been computed."""

    cube: xr.DataArray
    """Dims ([t,] bands, y, x), dask; the bands that the network takes."""
    reading: Reading
    decision: Decision

    def like(self) -> xr.Dataset:
        """`mask` and `score` as pieces will add up to them: dims, coordinates and attributes; no values."""
        shape, planes = self.cube.shape[-2:], len(self.reading.card.output)
        empty = (lazy.zeros(shape, np.uint8), lazy.zeros((planes, *shape), np.float32))
        made = dressed([empty] * len(dates(self.cube)), self.cube, self.reading, self.decision, scores=True)
        assert isinstance(made, xr.Dataset)
        return made

    @property
    def windows(self) -> int:
        """How many the network will be run on."""
        shapes = [framed(date.data, self.reading)[0].shape[1:] for date in dates(self.cube)]
        return sum(len(self.reading.windows(height)) * len(self.reading.windows(width)) for height, width in shapes)

    def run(self, write: Callable[[Piece], None], show: Shown) -> None:
        """Make the mask: `write` takes piece after piece, those of the same rows together, from left to right.

        `show` is told how many windows are done, and of how many. Raises RadiometryError where a row of windows
        contradicts how the numbers are read, and what computing the cube raises.
        """
        done, total = count(), self.windows
        for number, date in enumerate(dates(self.cube)):
            values, y, x = framed(date.data, self.reading)
            with closing(self._pieces(values, lambda: show(next(done), total))) as pieces:
                for rows, columns, mask, scores in pieces:
                    (of_y, into_y), (of_x, into_x) = shared(rows, y), shared(columns, x)
                    if of_y.start < of_y.stop and of_x.start < of_x.stop:
                        write(Piece(number, into_y, into_x, mask[of_y, of_x], scores[:, of_y, of_x]))
        show(total, total)

    def _pieces(self, values: Any, step: Callable[[], None]) -> Generator[tuple[slice, slice, Mask, Scores]]:
        rows, columns = (self.reading.windows(n) for n in values.shape[1:])
        windows = [(row.pixels, column.pixels) for row, column in product(rows, columns)]
        thin: list[NDArray[np.float32]] = []
        every = eager.sampling_step(len(rows[0].weight) * values.shape[2])
        with Ahead(values, windows, self.reading.threads) as ahead:

            def read(y: slice, x: slice) -> NDArray[Any]:
                step()
                window = ahead.read(y, x)
                thin.append(eager.thinned(window, every))
                return window

            for piece in eager.pieces(read, self.reading, rows, columns):
                if len(thin) == len(columns):
                    check(self.decision, eager.evidence(np.concatenate(thin, axis=1), self.reading))
                    thin.clear()
                yield piece


def stream(
    cube: xr.DataArray,
    *,
    level: str | None = None,
    model: str | Path | ModelCard = "compact",
    radiometry: str = "auto",
    thresholds: Mapping[str, float] | None = None,
    mosaic: str = "blended",
    threads: int = 1,
) -> Stream:
    """What `cloud_mask` gives for a dask cube, bit for bit, but to be made piece by piece.

    Parameters and errors are those of `cloud_mask`. threads: of the network, and as many, but no more than four, that
    compute the cube.
    """
    if split_dates(cube):
        raise CubeError("The dates are read in different ways (baseline, nodata or level): mask each scene apart.")
    return Stream(
        *settle(cube, load_card(model), level, radiometry, threads=threads, thresholds=thresholds, mosaic=mosaic)
    )
