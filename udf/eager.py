"""Classify one date in memory, window by window."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.udf import inference, windows
from kappamask.udf.inference import best, in_order, shared_out
from kappamask.udf.pixel_evidence import REFLECTANCE_MEDIAN, Evidence, gather
from kappamask.udf.preprocess import Reading, extent, numbers, tensor, validity
from kappamask.udf.schemes import MISSING

__all__ = ["blended", "evidence", "look", "mask_date", "pieces", "sampling_step", "thinned"]

SAMPLE_PIXELS = 16_384
"""Of each date and band: a 5 % percentile of four bands then rests on thousands of numbers."""
Mask = NDArray[np.uint8]
Scores = NDArray[np.float32]


def look(values: NDArray[Any], reading: Reading, step: int = 1) -> Evidence:
    """Evidence from every `step`th row and column of numbers (band, y, x). If none is valid, all are asked."""
    seen = evidence(thinned(values, step), reading)
    return look(values, reading) if seen.empty and step > 1 else seen


def thinned(values: NDArray[Any], step: int) -> NDArray[np.float32]:
    """Every `step`th row and column of numbers (band, y, x), as (band, pixel)."""
    return numbers(values[:, ::step, ::step]).reshape(len(values), -1)


def evidence(flat: NDArray[np.float32], reading: Reading) -> Evidence:
    """Evidence from numbers (band, pixel). Whatever they are held to mean, each that any meaning allows counts."""
    seen = gather(flat, reading.bands, validity(flat, replace(reading, mode="auto")))
    if not seen.empty and seen.fractional and seen.median < REFLECTANCE_MEDIAN:  # -999 among them is a nodata value
        return gather(flat, reading.bands, validity(flat, replace(reading, mode="reflectance")))
    return seen


def sampling_step(pixels: int) -> int:
    """Which rows and columns to look at, so that of `pixels` about `SAMPLE_PIXELS` are seen."""
    return max(1, int(np.sqrt(pixels / SAMPLE_PIXELS)))


def mask_date(values: NDArray[Any], reading: Reading, scores: bool) -> tuple[Mask, Scores | None]:
    """Mask (y, x) and, if asked for, scores (class, y, x) of the numbers (band, y, x) of one date."""
    rows, columns = (reading.windows(n) for n in values.shape[1:])
    lanes, threads = shared_out(reading.threads, len(rows) * len(columns)) if reading.roomy else (1, reading.threads)
    return blended(values, replace(reading, threads=threads), scores, rows, columns, lanes=lanes)


def blended(
    values: NDArray[Any],
    reading: Reading,
    scores: bool,
    rows: list[windows.Span],
    columns: list[windows.Span],
    *,
    lanes: int = 1,
) -> tuple[Mask, Scores | None]:
    """Mask and scores of `values` (band, y, x) from these rows and columns of windows, as many at a time as `lanes`."""
    shape = (values.shape[1], values.shape[2])
    mask = np.empty(shape, dtype=np.uint8)
    kept = np.empty((len(reading.card.output), *shape), dtype=np.float32) if scores else None
    for y, x, codes, found in pieces(lambda y, x: values[:, y, x], reading, rows, columns, lanes=lanes):
        mask[y, x] = codes
        if kept is not None:
            kept[:, y, x] = found
    return mask, kept


def pieces(
    read: Callable[[slice, slice], NDArray[Any]],
    reading: Reading,
    rows: list[windows.Span],
    columns: list[windows.Span],
    *,
    lanes: int = 1,
) -> Iterator[tuple[slice, slice, Mask, Scores]]:
    """Rows, columns, mask (y, x) and scores (class, y, x), NaN where missing, of piece after piece.

    `read(y, x)` gives the numbers (band, y, x) of one window; each is read once, from left to right, then downwards.
    """
    codes = np.array(reading.card.output, dtype=np.uint8)
    jobs = (partial(_window, read(row.pixels, column.pixels), reading) for row, column in product(rows, columns))
    with closing(in_order(jobs, lanes)) as scores:
        for y, x, found in windows.blend(rows, columns, lambda *_: next(scores)):
            yield y, x, np.where(np.isnan(found[0]), np.uint8(MISSING), codes[best(found, reading)]), found


def _window(values: NDArray[Any], reading: Reading) -> Scores:
    """Scores (class, y, x) of one window; NaN where it is not valid.

    The network sees the smallest rectangle that holds its valid pixels, reflected up to the stride, so a chunk padded
    with NaN gives what its inside alone gives; windows of a network's own mosaic are fed whole.
    """
    found = np.full((len(reading.card.output), *values.shape[1:]), np.nan, dtype=np.float32)
    valid = validity(values, reading)
    if valid.any():
        y, x = (slice(0, n) for n in valid.shape) if reading.mosaic else extent(valid)
        image = tensor(values[:, y, x], valid[y, x], reading)
        scores = inference.run(reading.card, image, reading.threads)
        np.copyto(found[:, y, x], scores[:, : y.stop - y.start, : x.stop - x.start], where=valid[y, x])
    return found
