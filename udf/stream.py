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
from kappamask.udf.lazy import compute_block, read_blocks
from kappamask.udf.mask import label_result, list_dates, pad_for_mosaic, prepare_inputs
from kappamask.udf.preprocess import InputSpec
from kappamask.udf.radiometry import Decision, check_radiometry
from kappamask.udf.series import split_dates

__all__ = ["READER_THREADS", "Piece", "Prefetcher", "ProgressCallback", "Stream", "overlap_slices", "stream"]

MAX_READERS = 4
"""Threads; GDAL decodes a block of JPEG 2000 in several of its own, and each reader's cells take memory."""
PREFETCH = 2
"""Cells that may be ready ahead of the window that is read, beside those that are at work."""
READER_THREADS = "kappamask-read"
"""What the threads' names begin with."""
Window = tuple[slice, slice]
Block = tuple[int, int]
"""Numbers of its row and its column."""
Mask = NDArray[np.uint8]
Scores = NDArray[np.float32]
ProgressCallback = Callable[[int, int], None]
"""Is told how much is done, and how much there is."""


class _LoadedBlock(NamedTuple):
    """A cell that is computed: all of it, or its lower rows."""

    rows: slice
    values: NDArray[Any]


class Prefetcher:
    """Numbers (band, y, x) of a dask array, window by window, in the order in which `windows` announces them.

    That is row by row, the rows from top to bottom. A context manager: leaving it waits for what is at work, and drops
    the rest.
    """

    def __init__(self, values: Any, windows: list[Window], threads: int) -> None:
        self._values, self._grid = values, read_blocks(values)
        self._window_tops: defaultdict[Block, deque[int]] = defaultdict(deque)
        """First rows of the windows that are to come, for each cell that they touch."""
        for y, x in windows:
            for cell in self._blocks_of(y, x):
                self._window_tops[cell].append(y.start)
        self._waiting, self._requested = deque(self._window_tops), set[Block]()
        self._running: dict[Block, Future[NDArray[Any]]] = {}
        self._loaded: dict[Block, _LoadedBlock] = {}
        readers = min(threads, MAX_READERS)
        self._max_ahead, self._pool = readers + PREFETCH, ThreadPoolExecutor(readers, READER_THREADS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def read(self, y: slice, x: slice) -> NDArray[Any]:
        """The next window. Raises what computing the array raises."""
        touched = self._blocks_of(y, x)
        self._start(touched)
        window = np.empty((len(self._values), y.stop - y.start, x.stop - x.start), dtype=self._values.dtype)
        for cell in touched:
            held = self._wait_for(cell)
            (into_y, of_y), (into_x, of_x) = overlap_slices(y, held.rows), overlap_slices(x, self._grid[1][cell[1]])
            window[:, into_y, into_x] = held.values[:, of_y, of_x]
            self._forget(cell, held)
        return window

    def _blocks_of(self, y: slice, x: slice) -> list[Block]:
        rows, columns = (
            [i for i, part in enumerate(parts) if part.start < side.stop and part.stop > side.start]
            for parts, side in zip(self._grid, (y, x), strict=True)
        )
        return [*product(rows, columns)]

    def _start(self, touched: list[Block]) -> None:
        self._requested.update(touched)
        while self._waiting and len(self._window_tops) - len(self._waiting) - len(self._requested) < self._max_ahead:
            row, column = cell = self._waiting.popleft()
            self._running[cell] = self._pool.submit(
                compute_block, self._values, self._grid[0][row], self._grid[1][column]
            )

    def _wait_for(self, cell: Block) -> _LoadedBlock:
        if cell in self._running:
            self._loaded[cell] = _LoadedBlock(self._grid[0][cell[0]], self._running.pop(cell).result())
        return self._loaded[cell]

    def _forget(self, cell: Block, held: _LoadedBlock) -> None:
        """Let go of a cell, or of the rows above the next window, when its last window of a row has been read."""
        tops = self._window_tops[cell]
        top = tops.popleft()
        if not tops:
            del self._loaded[cell]
        elif tops[0] > max(top, held.rows.start):
            rows = slice(tops[0], held.rows.stop)
            self._loaded[cell] = _LoadedBlock(rows, held.values[:, rows.start - held.rows.start :].copy())


def overlap_slices(one: slice, other: slice) -> tuple[slice, slice]:
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
    spec: InputSpec
    decision: Decision

    def template(self) -> xr.Dataset:
        """`mask` and `score` as pieces will add up to them: dims, coordinates and attributes; no values."""
        shape, planes = self.cube.shape[-2:], len(self.spec.card.output)
        empty = (lazy.lazy_zeros(shape, np.uint8), lazy.lazy_zeros((planes, *shape), np.float32))
        made = label_result([empty] * len(list_dates(self.cube)), self.cube, self.spec, self.decision, scores=True)
        assert isinstance(made, xr.Dataset)
        return made

    @property
    def windows(self) -> int:
        """How many the network will be run on."""
        shapes = [pad_for_mosaic(date.data, self.spec)[0].shape[1:] for date in list_dates(self.cube)]
        return sum(len(self.spec.windows(height)) * len(self.spec.windows(width)) for height, width in shapes)

    def run(self, write: Callable[[Piece], None], show: ProgressCallback) -> None:
        """Make the mask: `write` takes piece after piece, those of the same rows together, from left to right.

        `show` is told how many windows are done, and of how many. Raises RadiometryError where a row of windows
        contradicts how the numbers are read, and what computing the cube raises.
        """
        done, total = count(), self.windows
        for number, date in enumerate(list_dates(self.cube)):
            values, y, x = pad_for_mosaic(date.data, self.spec)
            with closing(self._pieces(values, lambda: show(next(done), total))) as pieces:
                for rows, columns, mask, scores in pieces:
                    (of_y, into_y), (of_x, into_x) = overlap_slices(rows, y), overlap_slices(columns, x)
                    if of_y.start < of_y.stop and of_x.start < of_x.stop:
                        write(Piece(number, into_y, into_x, mask[of_y, of_x], scores[:, of_y, of_x]))
        show(total, total)

    def _pieces(self, values: Any, step: Callable[[], None]) -> Generator[tuple[slice, slice, Mask, Scores]]:
        rows, columns = (self.spec.windows(n) for n in values.shape[1:])
        windows = [(row.pixels, column.pixels) for row, column in product(rows, columns)]
        thin: list[NDArray[np.float32]] = []
        every = eager.sampling_step(len(rows[0].weight) * values.shape[2])
        with Prefetcher(values, windows, self.spec.threads) as ahead:

            def read(y: slice, x: slice) -> NDArray[Any]:
                step()
                window = ahead.read(y, x)
                thin.append(eager.subsample(window, every))
                return window

            for piece in eager.iter_pieces(read, self.spec, rows, columns):
                if len(thin) == len(columns):
                    check_radiometry(self.decision, eager.pixel_statistics(np.concatenate(thin, axis=1), self.spec))
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
        *prepare_inputs(
            cube, load_card(model), level, radiometry, threads=threads, thresholds=thresholds, mosaic=mosaic
        )
    )
