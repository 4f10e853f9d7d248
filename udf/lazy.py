"""The same mask for dask cubes: each output block is a task that computes the windows touching it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.models import MissingExtraError
from kappamask.udf import pixels, windows
from kappamask.udf.prepare import Reading
from kappamask.udf.radiometry import Decision, check

__all__ = ["computed", "mask_date", "stack", "zeros"]

BLOCK_WINDOWS = 4
"""Sides of a block in window steps: 4096 px for 1024; larger blocks compute fewer windows twice, use more memory."""


def mask_date(values: Any, reading: Reading, scores: bool) -> tuple[Any, Any]:
    """Lazy mask (y, x) and scores (class, y, x) of a dask array (band, y, x); equal to the eager ones bit for bit.

    Tasks of `values` stay as they are, so that what else is made of them in one computation shares them.
    """
    rows, columns = (_edges(n, reading) for n in values.shape[1:])
    found = _dask()[0].block([[_piece(values, y, x, reading, scores) for x in columns] for y in rows])
    return (found[0].astype(np.uint8), found[1:]) if scores else (found[0], None)


def stack(arrays: list[Any]) -> Any:
    """Dates on a new first axis."""
    return _dask()[0].stack(arrays)


def zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array whose numbers are made when they are asked for."""
    return _dask()[0].zeros(shape, dtype=dtype)


def computed(arrays: list[Any]) -> list[NDArray[Any]]:
    """Several arrays, all at once."""
    return [*_dask()[1].compute(*arrays)]


def _edges(length: int, reading: Reading) -> list[tuple[int, int]]:
    spans = reading.windows(length)
    step = BLOCK_WINDOWS * (spans[1].start if len(spans) > 1 else length)
    return [(first, min(first + step, length)) for first in range(0, length, step)]


def _piece(values: Any, rows: tuple[int, int], columns: tuple[int, int], reading: Reading, scores: bool) -> Any:
    """A lazy block (1, y, x), codes, or with `scores` (1 + class, y, x), float32: codes first, then scores."""
    cuts, plans, inner = [], [], []
    for (first, last), length in zip((rows, columns), values.shape[1:], strict=True):
        spans = windows.touching(reading.windows(length), first, last)
        origin = spans[0].start
        cuts.append(slice(origin, spans[-1].stop))
        plans.append([span._replace(start=span.start - origin) for span in spans])
        inner.append(slice(first - origin, last - origin))
    planes = 1 + len(reading.card.output) if scores else 1
    shape = (planes, rows[1] - rows[0], columns[1] - columns[0])
    empty = np.empty((0, 0, 0), np.float32 if scores else np.uint8)
    part = values[:, cuts[0], cuts[1]].rechunk(-1)
    options = {"plans": plans, "inner": inner, "reading": reading, "scores": scores}
    return part.map_blocks(_block, **options, chunks=tuple((n,) for n in shape), dtype=empty.dtype, meta=empty)


def _block(
    values: NDArray[Any], plans: list[list[windows.Span]], inner: list[slice], reading: Reading, scores: bool
) -> NDArray[Any]:
    seen = pixels.look(values, reading, pixels.sampling_step(values.shape[1] * values.shape[2]))
    check(Decision(reading.mode, "decided for the whole cube"), seen)
    mask, score = pixels.blended(values, reading, scores, *plans)
    y, x = inner
    return mask[None, y, x] if score is None else np.concatenate([mask[None, y, x], score[:, y, x]])


def _dask() -> tuple[Any, Any]:
    try:
        import dask
        import dask.array
    except ImportError as error:
        raise MissingExtraError("Lazy cubes need dask: pip install 'kappamask-openeo[scenes]'.") from error
    return dask.array, dask
