"""The same mask for dask cubes: each output block is a task that computes the windows touching it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.models import MissingExtraError
from kappamask.udf import pixels, windows
from kappamask.udf.prepare import Reading
from kappamask.udf.radiometry import Decision, check

__all__ = ["mask_date", "stack"]

BLOCK_WINDOWS = 4
"""Sides of a block in window steps: 4096 px for 1024; larger blocks compute fewer windows twice, use more memory."""


def mask_date(values: Any, reading: Reading, scores: bool) -> tuple[Any, Any]:
    """Lazy mask (y, x) and scores (class, y, x) of a dask array (band, y, x); equal to the eager ones bit for bit."""
    da, dask = _dask()
    edges = [_edges(n, reading) for n in values.shape[1:]]
    mask, score = [], []
    for rows in edges[0]:
        tasks = [dask.delayed(_block, nout=2)(*_job(values, rows, columns, reading), scores) for columns in edges[1]]
        shapes = [(rows[1] - rows[0], columns[1] - columns[0]) for columns in edges[1]]
        mask.append([da.from_delayed(t[0], s, np.uint8) for t, s in zip(tasks, shapes, strict=True)])
        planes = len(reading.card.output)
        score.append([da.from_delayed(t[1], (planes, *s), np.float32) for t, s in zip(tasks, shapes, strict=True)])
    return da.block(mask), da.block(score) if scores else None


def stack(arrays: list[Any]) -> Any:
    """Dates on a new first axis."""
    return _dask()[0].stack(arrays)


def _edges(length: int, reading: Reading) -> list[tuple[int, int]]:
    step = BLOCK_WINDOWS * (reading.card.local_window - 2 * reading.card.overlap)
    return [(first, min(first + step, length)) for first in range(0, length, step)]


def _job(values: Any, rows: tuple[int, int], columns: tuple[int, int], reading: Reading) -> tuple[Any, ...]:
    """The part of `values` that a block needs, its windows, and where the block lies in that part."""
    cuts, plans, inner = [], [], []
    for (first, last), length in zip((rows, columns), values.shape[1:], strict=True):
        spans = windows.touching(reading.windows(length), first, last)
        origin = spans[0].start
        cuts.append(slice(origin, spans[-1].stop))
        plans.append([span._replace(start=span.start - origin) for span in spans])
        inner.append(slice(first - origin, last - origin))
    return values[:, cuts[0], cuts[1]], plans, inner, reading


def _block(
    values: NDArray[Any], plans: list[list[windows.Span]], inner: list[slice], reading: Reading, scores: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    seen = pixels.look(values, reading, pixels.sampling_step(*values.shape[1:]))
    check(Decision(reading.mode, "decided for the whole cube"), seen)
    mask, score = pixels.blended(values, reading, scores, *plans)
    y, x = inner
    return mask[y, x], None if score is None else score[:, y, x]


def _dask() -> tuple[Any, Any]:
    try:
        import dask
        import dask.array
    except ImportError as error:
        raise MissingExtraError("Lazy cubes need dask: pip install 'kappamask-openeo[scenes]'.") from error
    return dask.array, dask
