"""Mask a lazy cube from top to bottom in bounded memory.

Blocks are computed in threads, in the order in which windows need them, each once; of a block no more is kept than
windows still need.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count, product
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models.mask_options import MaskOptions
from kappamask.udf import lazy, predict
from kappamask.udf.inference import split_threads
from kappamask.udf.label import join_dates, label_result
from kappamask.udf.lazy import compute_block, list_blocks
from kappamask.udf.prepare import PreparedCube, prepare_inputs
from kappamask.udf.preprocess import InputSpec, pad_for_mosaic
from kappamask.udf.radiometry import check_radiometry
from kappamask.udf.series import apply_scene_facts, split_dates

__all__ = [
    "READER_THREADS",
    "MaskPiece",
    "Prefetcher",
    "ProgressCallback",
    "Stream",
    "overlap_slices",
    "prepare_stream",
]

MAX_READERS = 4
"""Threads; GDAL decodes a block of JPEG 2000 in several of its own, and each reader's blocks take memory."""
PREFETCH = 2
"""Blocks that may be ready ahead of the window that is read, besides those that are being computed."""
MAX_ROW_BYTES = 200_000_000
"""Of a row of blocks, up to which two windows run at a time: blocks of 1024 rows of a whole product in JPEG 2000, and
several readers that decode them, take more than a second window of 0.4 GB leaves of 2 GB."""
READER_THREADS = "kappamask-read"
"""What the threads' names begin with."""
Window = tuple[slice, slice]
Block = tuple[int, int]
"""Numbers of its row and its column."""
Mask = NDArray[np.uint8]
Scores = NDArray[np.float32]
ProgressCallback = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""


class _LoadedBlock(NamedTuple):
    """A block that is computed: all of it, or its lower rows."""

    rows: slice
    values: NDArray[Any]


class Prefetcher:
    """Compute a dask array (band, y, x) ahead of the windows that read it.

    In the order of `windows`: row by row, from top to bottom. A context manager: leaving it waits for what is at work,
    and drops the rest.
    """

    def __init__(self, values: Any, windows: list[Window], threads: int) -> None:
        self._values, self._grid = values, list_blocks(values)
        self._window_tops: defaultdict[Block, deque[int]] = defaultdict(deque)
        """First rows of the windows that are to come, for each block that they touch."""
        for y, x in windows:
            for block in self._blocks_of(y, x):
                self._window_tops[block].append(y.start)
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
        """Read the next window. Raises what computing the array raises."""
        needed = self._blocks_of(y, x)
        self._start_blocks(needed)
        window = np.empty((len(self._values), y.stop - y.start, x.stop - x.start), dtype=self._values.dtype)
        for block in needed:
            loaded = self._wait_for(block)
            (into_y, of_y), (into_x, of_x) = overlap_slices(y, loaded.rows), overlap_slices(x, self._grid[1][block[1]])
            window[:, into_y, into_x] = loaded.values[:, of_y, of_x]
            self._forget_block(block, loaded)
        return window

    def _blocks_of(self, y: slice, x: slice) -> list[Block]:
        rows, columns = (
            [i for i, part in enumerate(parts) if part.start < side.stop and part.stop > side.start]
            for parts, side in zip(self._grid, (y, x), strict=True)
        )
        return [*product(rows, columns)]

    def _start_blocks(self, needed: list[Block]) -> None:
        self._requested.update(needed)
        while self._waiting and len(self._window_tops) - len(self._waiting) - len(self._requested) < self._max_ahead:
            row, column = block = self._waiting.popleft()
            self._running[block] = self._pool.submit(
                compute_block, self._values, self._grid[0][row], self._grid[1][column]
            )

    def _wait_for(self, block: Block) -> _LoadedBlock:
        if block in self._running:
            self._loaded[block] = _LoadedBlock(self._grid[0][block[0]], self._running.pop(block).result())
        return self._loaded[block]

    def _forget_block(self, block: Block, loaded: _LoadedBlock) -> None:
        """Free a block, or its rows above the next window, when they were read."""
        tops = self._window_tops[block]
        top = tops.popleft()
        if not tops:
            del self._loaded[block]
        elif tops[0] > max(top, loaded.rows.start):
            rows = slice(tops[0], loaded.rows.stop)
            self._loaded[block] = _LoadedBlock(rows, loaded.values[:, rows.start - loaded.rows.start :].copy())


def overlap_slices(one: slice, other: slice) -> tuple[slice, slice]:
    """Return where two parts of an axis overlap, in the one and the other."""
    first, last = max(one.start, other.start), min(one.stop, other.stop)
    return slice(first - one.start, last - one.start), slice(first - other.start, last - other.start)


class MaskPiece(NamedTuple):
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
    """A mask that is prepared but not computed yet."""

    parts: tuple[PreparedCube, ...]
    """Dask cubes: one of all dates, or one of each date where their facts differ."""

    @property
    def first_part(self) -> PreparedCube:
        """The first part."""
        return self.parts[0]

    def make_template(self) -> xr.Dataset:
        """Make `mask` and `score` with dims, coordinates and attributes, but no values."""
        made = [_make_template(part) for part in self.parts]
        return join_dates(made) if len(made) > 1 else made[0]

    @property
    def window_count(self) -> int:
        """How many windows the network will be run on."""
        return sum(_count_windows(part) for part in self.parts)

    def run(self, write: Callable[[MaskPiece], None], progress: ProgressCallback) -> None:
        """Make the mask and hand it to `write`, piece after piece.

        Pieces of the same rows come together, from left to right. `progress` gets the number of windows that are done,
        and of all. Raises RadiometryError where a row of windows contradicts how the numbers are read, and what
        computing the cube raises.
        """
        done, total = count(), self.window_count
        dates = [(part, date) for part in self.parts for date in part.dates]
        for number, (part, date) in enumerate(dates):
            values, y, x = pad_for_mosaic(date.data, part.spec)
            with closing(_iter_pieces(values, part, lambda: progress(next(done), total))) as pieces:
                for rows, columns, mask, scores in pieces:
                    (of_y, into_y), (of_x, into_x) = overlap_slices(rows, y), overlap_slices(columns, x)
                    if of_y.start < of_y.stop and of_x.start < of_x.stop:
                        write(MaskPiece(number, into_y, into_x, mask[of_y, of_x], scores[:, of_y, of_x]))
        progress(total, total)


def _make_template(part: PreparedCube) -> xr.Dataset:
    shape, planes = part.cube.shape[-2:], len(part.spec.card.output)
    empty = (lazy.make_lazy_zeros(shape, np.uint8), lazy.make_lazy_zeros((planes, *shape), np.float32))
    result = label_result([empty] * len(part.dates), part, scores=True)
    assert isinstance(result, xr.Dataset)
    return result


def _count_windows(part: PreparedCube) -> int:
    shapes = [pad_for_mosaic(date.data, part.spec)[0].shape[1:] for date in part.dates]
    return sum(len(part.spec.plan_axis(height)) * len(part.spec.plan_axis(width)) for height, width in shapes)


def _iter_pieces(
    values: Any, part: PreparedCube, on_window: Callable[[], None]
) -> Generator[tuple[slice, slice, Mask, Scores]]:
    decision = part.decision
    rows, columns = (part.spec.plan_axis(n) for n in values.shape[1:])
    parallel, spec = _plan_threads(values, part.spec, len(rows) * len(columns))
    windows = [(row.pixels, column.pixels) for row, column in product(rows, columns)]
    samples: list[NDArray[np.float32]] = []
    step = predict.choose_sampling_step(len(rows[0].weight) * values.shape[2])
    with Prefetcher(values, windows, part.spec.threads) as prefetcher:

        def read(y: slice, x: slice) -> NDArray[Any]:
            on_window()
            window = prefetcher.read(y, x)
            samples.append(predict.subsample(window, step))
            return window

        for piece in predict.iter_pieces(read, spec, rows, columns, parallel=parallel):
            if len(samples) >= len(columns):  # as many as were read ahead, where several windows run at a time
                row, samples = samples[: len(columns)], samples[len(columns) :]
                check_radiometry(decision, predict.pixel_statistics(np.concatenate(row, axis=1), spec))
            yield piece


def _plan_threads(values: Any, spec: InputSpec, windows: int) -> tuple[int, InputSpec]:
    """Return how many windows run at a time, and the threads of each."""
    tallest = max(row.stop - row.start for row in list_blocks(values)[0])
    if not spec.uses_local_window or tallest * values[:, :1].nbytes > MAX_ROW_BYTES:
        return 1, spec
    parallel, threads = split_threads(spec.threads, windows)
    return parallel, replace(spec, threads=threads)


def prepare_stream(cube: xr.DataArray, options: MaskOptions) -> Stream:
    """Prepare the mask of a dask cube that is to be made piece by piece.

    The pieces add up to what `cloud_mask` gives, bit for bit, north-up. Errors are those of `cloud_mask`. As many
    threads as the network has, but no more than four, compute the cube. Each date is read by its own facts.
    """
    options = replace(options, threads=options.threads or 1)
    parts = split_dates(cube) or [apply_scene_facts(cube, options)]
    return Stream(tuple(prepare_inputs(part, options) for part in parts))
