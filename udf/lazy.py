"""Mask dask cubes: one task for each output block; read blocks of lazy cubes."""

from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.models.errors import make_extra_error
from kappamask.udf import predict, windows
from kappamask.udf.pixel_statistics import PixelStatistics
from kappamask.udf.preprocess import InputSpec
from kappamask.udf.radiometry import check_radiometry

__all__ = [
    "compute_all",
    "compute_block",
    "list_blocks",
    "make_lazy_zeros",
    "mask_date",
    "sample_statistics",
    "stack_dates",
]

BLOCK_WINDOWS = 4
"""Sides of a block in window steps: 4096 px for 1024; larger blocks compute fewer windows twice, use more memory."""
BLOCK_SIDE_PX = 1024
"""Pixels, of blocks where chunks are smaller: that of the blocks of Sentinel-2's JP2s; 27 MB with 13 bands."""
SAMPLE_BLOCKS = 3
"""Rows and columns of blocks that a sample is taken from: nine blocks of a product are 7 % of it."""


def mask_date(values: Any, spec: InputSpec, scores: bool) -> tuple[Any, Any]:
    """Classify a dask array (band, y, x) lazily, equal to `predict.mask_date`.

    Tasks of `values` stay as they are, so that what else is made of them in one computation shares them.
    """
    rows, columns = (_block_edges(n, spec) for n in values.shape[1:])
    found = _import_dask()[0].block([[_lazy_block(values, y, x, spec, scores) for x in columns] for y in rows])
    return (found[0].astype(np.uint8), found[1:]) if scores else (found[0], None)


def stack_dates(arrays: list[Any]) -> Any:
    """Stack dates on a new first axis."""
    return _import_dask()[0].stack(arrays)


def make_lazy_zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    """Make a lazy array of zeros."""
    return _import_dask()[0].zeros(shape, dtype=dtype)


def compute_all(arrays: list[Any]) -> list[NDArray[Any]]:
    """Compute several arrays at once."""
    return [*_import_dask()[1].compute(*arrays)]


def _block_edges(length: int, spec: InputSpec) -> list[tuple[int, int]]:
    spans = spec.plan_axis(length)
    step = BLOCK_WINDOWS * (spans[1].start if len(spans) > 1 else length)
    return [(first, min(first + step, length)) for first in range(0, length, step)]


def _lazy_block(values: Any, rows: tuple[int, int], columns: tuple[int, int], spec: InputSpec, scores: bool) -> Any:
    """Make a lazy block (1, y, x), or with `scores` (1 + class, y, x).

    With scores it is float32: codes first, then scores.
    """
    cuts, plans, inner = [], [], []
    for (first, last), length in zip((rows, columns), values.shape[1:], strict=True):
        spans = windows.intersecting_windows(spec.plan_axis(length), first, last)
        origin = spans[0].start
        cuts.append(slice(origin, spans[-1].stop))
        plans.append([span._replace(start=span.start - origin) for span in spans])
        inner.append(slice(first - origin, last - origin))
    planes = 1 + len(spec.card.output) if scores else 1
    shape = (planes, rows[1] - rows[0], columns[1] - columns[0])
    empty = np.empty((0, 0, 0), np.float32 if scores else np.uint8)
    part = values[:, cuts[0], cuts[1]].rechunk(-1)
    options = {"plans": plans, "inner": inner, "spec": spec, "scores": scores}
    return part.map_blocks(_mask_block, **options, chunks=tuple((n,) for n in shape), dtype=empty.dtype, meta=empty)


def _mask_block(
    values: NDArray[Any], plans: list[list[windows.Span]], inner: list[slice], spec: InputSpec, scores: bool
) -> NDArray[Any]:
    seen = predict.sample_statistics(values, spec, predict.choose_sampling_step(values.shape[1] * values.shape[2]))
    assert spec.decision is not None
    check_radiometry(spec.decision, seen)
    mask, score = predict.mask_windows(values, spec, scores, *plans)
    y, x = inner
    return mask[None, y, x] if score is None else np.concatenate([mask[None, y, x], score[:, y, x]])


def _import_dask() -> tuple[Any, Any]:
    try:
        import dask
        import dask.array
    except ImportError as error:
        raise make_extra_error("dask", "scenes", user="A lazy cube") from error
    return dask.array, dask


def list_blocks(values: Any) -> tuple[list[slice], list[slice]]:
    """Divide a dask array (band, y, x) into rows and columns along its chunks.

    Chunks that are wide and low keep their shape.
    """
    _, rows, columns = values.chunks
    across = _merge_chunks(columns, BLOCK_SIDE_PX)
    widest = max(part.stop - part.start for part in across)
    return _merge_chunks(rows, -(-BLOCK_SIDE_PX * BLOCK_SIDE_PX // widest)), across


def _merge_chunks(chunks: tuple[int, ...], least: int) -> list[slice]:
    """Join chunks along an axis until each part has `least` pixels.

    The last part may have fewer.
    """
    edges = [0]
    for edge in np.cumsum(chunks).tolist():
        if edge - edges[-1] >= least or edge == sum(chunks):
            edges.append(edge)
    return [slice(*ends) for ends in pairwise(edges)]


def compute_block(values: Any, y: slice, x: slice) -> NDArray[Any]:
    """Compute the numbers (band, y, x) of a block in this thread."""
    return np.asarray(values[:, y, x].compute(scheduler="synchronous"))


def sample_statistics(values: Any, spec: InputSpec) -> PixelStatistics:
    """Compute statistics of a few blocks of a dask array (band, y, x), spread evenly.

    If none of their pixels is valid, the first block with a valid pixel is used.
    """
    rows, columns = list_blocks(values)
    chosen = [*product(_pick_evenly(rows), _pick_evenly(columns))]
    step = predict.choose_sampling_step(sum((y.stop - y.start) * (x.stop - x.start) for y, x in chosen))
    found = compute_all([values[:, y, x][:, ::step, ::step] for y, x in chosen])
    seen = predict.pixel_statistics(np.concatenate([predict.subsample(one, 1) for one in found], axis=1), spec)
    others = product(rows, columns)
    while seen.empty and (block := next(others, None)):
        seen = predict.sample_statistics(compute_block(values, *block), spec)
    return seen


def _pick_evenly(parts: list[slice]) -> list[slice]:
    count = min(SAMPLE_BLOCKS, len(parts))
    return [parts[int((i + 0.5) * len(parts) / count)] for i in range(count)]
