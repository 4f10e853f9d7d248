"""Mask dask cubes: one task for each output block; read blocks of lazy cubes."""

from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.models import MissingExtraError
from kappamask.udf import eager, windows
from kappamask.udf.pixel_evidence import Evidence
from kappamask.udf.preprocess import Reading
from kappamask.udf.radiometry import Decision, check

__all__ = ["cells", "compute", "computed", "mask_date", "sample", "stack", "zeros"]

BLOCK_WINDOWS = 4
"""Sides of a block in window steps: 4096 px for 1024; larger blocks compute fewer windows twice, use more memory."""
SIDE = 1024
"""Pixels, of cells where chunks are smaller: that of the blocks of Sentinel-2's JP2s; 27 MB with 13 bands."""
LOOKED_AT = 3
"""Rows and columns of cells that a sample is taken from: nine blocks of a product are 7 % of it."""


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
    seen = eager.look(values, reading, eager.sampling_step(values.shape[1] * values.shape[2]))
    check(Decision(reading.mode, "decided for the whole cube"), seen)
    mask, score = eager.blended(values, reading, scores, *plans)
    y, x = inner
    return mask[None, y, x] if score is None else np.concatenate([mask[None, y, x], score[:, y, x]])


def _dask() -> tuple[Any, Any]:
    try:
        import dask
        import dask.array
    except ImportError as error:
        raise MissingExtraError("Lazy cubes need dask: pip install 'kappamask-openeo[scenes]'.") from error
    return dask.array, dask


def cells(values: Any) -> tuple[list[slice], list[slice]]:
    """Rows and columns that divide a dask array (band, y, x) along its chunks; low and wide chunks stay so."""
    _, rows, columns = values.chunks
    across = _merged(columns, SIDE)
    widest = max(part.stop - part.start for part in across)
    return _merged(rows, -(-SIDE * SIDE // widest)), across


def _merged(chunks: tuple[int, ...], least: int) -> list[slice]:
    """Chunks along an axis, joined until each part has `least` pixels; the last may have fewer."""
    edges = [0]
    for edge in np.cumsum(chunks).tolist():
        if edge - edges[-1] >= least or edge == sum(chunks):
            edges.append(edge)
    return [slice(*ends) for ends in pairwise(edges)]


def compute(values: Any, y: slice, x: slice) -> NDArray[Any]:
    """The numbers (band, y, x) in a cell of a dask array, computed in this thread."""
    return np.asarray(values[:, y, x].compute(scheduler="synchronous"))


def sample(values: Any, reading: Reading) -> Evidence:
    """Evidence from a few cells of a dask array (band, y, x), spread evenly.

    If none of their pixels is valid, it is that of the first cell that has some.
    """
    rows, columns = cells(values)
    chosen = [*product(_spread(rows), _spread(columns))]
    step = eager.sampling_step(sum((y.stop - y.start) * (x.stop - x.start) for y, x in chosen))
    found = computed([values[:, y, x][:, ::step, ::step] for y, x in chosen])
    seen = eager.evidence(np.concatenate([eager.thinned(one, 1) for one in found], axis=1), reading)
    others = product(rows, columns)
    while seen.empty and (cell := next(others, None)):
        seen = eager.look(compute(values, *cell), reading)
    return seen


def _spread(parts: list[slice]) -> list[slice]:
    count = min(LOOKED_AT, len(parts))
    return [parts[int((i + 0.5) * len(parts) / count)] for i in range(count)]
