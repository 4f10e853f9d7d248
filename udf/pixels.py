"""Windows of numbers to class codes, for one date held in memory."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.udf import network, windows
from kappamask.udf.choice import best
from kappamask.udf.classes import MISSING
from kappamask.udf.evidence import Evidence, gather
from kappamask.udf.prepare import Reading, extent, numbers, tensor, validity

__all__ = ["blended", "look", "mask_date", "sampling_step"]

SAMPLE_PIXELS = 16_384
"""Of each date and band: a 5 % percentile of four bands then rests on thousands of numbers."""
Mask = NDArray[np.uint8]
Scores = NDArray[np.float32]


def look(values: Any, reading: Reading, step: int = 1) -> Evidence:
    """Evidence from every `step`th row and column of numbers (band, y, x), numpy or dask.

    Whatever they are held to mean, each number that any meaning allows counts. If none is valid, all are asked.
    """
    thin = values[:, ::step, ::step]
    held = numbers(thin if isinstance(thin, np.ndarray) else thin.compute())
    flat = held.reshape(len(held), -1)
    seen = gather(flat, reading.bands, validity(flat, replace(reading, mode="auto")))
    return look(values, reading) if seen.empty and step > 1 else seen


def sampling_step(height: int, width: int) -> int:
    """Which rows and columns to look at, so that about `SAMPLE_PIXELS` are seen."""
    return max(1, int(np.sqrt(height * width / SAMPLE_PIXELS)))


def mask_date(values: NDArray[Any], reading: Reading, scores: bool) -> tuple[Mask, Scores | None]:
    """Mask (y, x) and, if asked for, scores (class, y, x) of the numbers (band, y, x) of one date."""
    rows, columns = (reading.windows(n) for n in values.shape[1:])
    return blended(values, reading, scores, rows, columns)


def blended(
    values: NDArray[Any], reading: Reading, scores: bool, rows: list[windows.Span], columns: list[windows.Span]
) -> tuple[Mask, Scores | None]:
    """Mask and scores of `values` (band, y, x) from these rows and columns of windows."""
    shape = (values.shape[1], values.shape[2])
    codes = np.array(reading.card.output, dtype=np.uint8)
    mask = np.full(shape, MISSING, dtype=np.uint8)
    kept = np.full((len(codes), *shape), np.nan, dtype=np.float32) if scores else None

    def score(y: slice, x: slice) -> Scores:
        return _window(numbers(values[:, y, x]), reading)

    for strip, found in windows.blend(rows, columns, score):
        valid = validity(numbers(values[:, strip]), reading)
        mask[strip][valid] = codes[best(found, reading)][valid]
        if kept is not None:
            kept[:, strip] = np.where(valid, found, np.nan)
    return mask, kept


def _window(values: NDArray[np.float32], reading: Reading) -> Scores:
    """Scores (class, y, x) of one window; 0 outside the smallest rectangle that holds its valid pixels.

    That rectangle is reflected up to the stride, so a chunk padded with NaN gives what its inside alone gives;
    windows of a network's own mosaic are fed whole.
    """
    found = np.zeros((len(reading.card.output), *values.shape[1:]), dtype=np.float32)
    valid = validity(values, reading)
    if valid.any():
        y, x = (slice(0, n) for n in valid.shape) if reading.mosaic else extent(valid)
        image = tensor(values[:, y, x], valid[y, x], reading)
        scores = network.run(reading.card, image, reading.threads)
        found[:, y, x] = scores[:, : y.stop - y.start, : x.stop - x.start]
    return found
