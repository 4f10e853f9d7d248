"""Predict the class of every pixel of a date in memory, window by window."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain, islice, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kappamask.udf import inference, windows
from kappamask.udf.inference import WINDOWS_PER_RUN, classify, ordered_results, split_threads
from kappamask.udf.pixel_statistics import (
    MIN_PIXELS,
    REFLECTANCE_MEDIAN,
    PixelStatistics,
    compute_statistics,
    find_zero_bands,
)
from kappamask.udf.preprocess import InputSpec, find_valid, find_valid_extent, hide_unmeasured, to_float32, to_tensor
from kappamask.udf.radiometry_metadata import AUXILIARY
from kappamask.udf.schemes import MISSING

__all__ = [
    "Prediction",
    "choose_sampling_step",
    "iter_pieces",
    "mask_date",
    "mask_windows",
    "pixel_statistics",
    "sample_statistics",
    "subsample",
]

SAMPLE_PIXELS = 16_384
"""Of each date and band: a 5 % percentile of four bands then rests on thousands of numbers."""
Prediction = tuple[Any, Any]
"""Mask (y, x), uint8, and scores (class, y, x), float32, or None; numpy or dask."""
Mask = NDArray[np.uint8]
Scores = NDArray[np.float32]


def sample_statistics(values: NDArray[Any], spec: InputSpec, step: int = 1) -> PixelStatistics:
    """Compute statistics of every `step`th row and column of numbers (band, y, x).

    If none of these pixels is valid, all are used.
    """
    seen = pixel_statistics(subsample(values, step), spec)
    return sample_statistics(values, spec) if seen.empty and step > 1 else seen


def subsample(values: NDArray[Any], step: int) -> NDArray[np.float32]:
    """Take every `step`th row and column of numbers (band, y, x), as (band, pixel)."""
    return to_float32(values[:, ::step, ::step]).reshape(len(values), -1)


def pixel_statistics(flat: NDArray[np.float32], spec: InputSpec) -> PixelStatistics:
    """Compute statistics of numbers (band, pixel), of all that any radiometry would take for measurements."""
    seen = _statistics_as("auto", flat, spec)
    if not seen.empty and seen.fractional and seen.median < REFLECTANCE_MEDIAN:  # -999 among them is a nodata value
        return _statistics_as("reflectance", flat, spec)
    return seen


def _statistics_as(mode: str, flat: NDArray[np.float32], spec: InputSpec) -> PixelStatistics:
    as_said = replace(spec, mode=mode)
    valid = find_valid(flat, as_said)
    seen = compute_statistics(hide_unmeasured(flat, as_said), spec.bands, valid)
    return replace(seen, zero_bands=_find_zero_bands(flat, valid, spec), level=spec.level)


def _find_zero_bands(
    flat: NDArray[np.float32], valid: NDArray[np.bool_], spec: InputSpec
) -> tuple[tuple[str, float], ...]:
    """Find required bands in which many pixels hold the declared nodata 0."""
    if 0.0 not in spec.nodata or np.count_nonzero(valid) < MIN_PIXELS:
        return ()
    required = [i for i, band in enumerate(spec.bands) if band in spec.card.required and band not in AUXILIARY]
    return find_zero_bands(flat[required][:, valid], [spec.bands[i] for i in required])


def choose_sampling_step(pixels: int) -> int:
    """Return the step between rows and columns at which about `SAMPLE_PIXELS` of `pixels` are sampled."""
    return max(1, int(np.sqrt(pixels / SAMPLE_PIXELS)))


def mask_date(values: NDArray[Any], spec: InputSpec, scores: bool) -> tuple[Mask, Scores | None]:
    """Classify the numbers (band, y, x) of one date.

    Returns the mask (y, x) and, with `scores`, scores (class, y, x).
    """
    rows, columns = (spec.plan_axis(n) for n in values.shape[1:])
    parallel, threads = (
        split_threads(spec.threads, len(rows) * len(columns)) if spec.uses_local_window else (1, spec.threads)
    )
    return mask_windows(values, replace(spec, threads=threads), scores, rows, columns, parallel=parallel)


def mask_windows(
    values: NDArray[Any],
    spec: InputSpec,
    scores: bool,
    rows: list[windows.Span],
    columns: list[windows.Span],
    *,
    parallel: int = 1,
) -> tuple[Mask, Scores | None]:
    """Classify `values` (band, y, x) by these rows and columns of windows.

    As many windows run at a time as `parallel` says.
    """
    shape = (values.shape[1], values.shape[2])
    mask = np.empty(shape, dtype=np.uint8)
    kept = np.empty((len(spec.card.output), *shape), dtype=np.float32) if scores else None
    for y, x, codes, found in iter_pieces(lambda y, x: values[:, y, x], spec, rows, columns, parallel=parallel):
        mask[y, x] = codes
        if kept is not None:
            kept[:, y, x] = found
    return mask, kept


def iter_pieces(
    read: Callable[[slice, slice], NDArray[Any]],
    spec: InputSpec,
    rows: list[windows.Span],
    columns: list[windows.Span],
    *,
    parallel: int = 1,
) -> Iterator[tuple[slice, slice, Mask, Scores]]:
    """Yield rows, columns, mask (y, x) and scores (class, y, x) of each piece.

    `read(y, x)` gives the numbers (band, y, x) of one window; each is read once, from left to right, then downwards.
    """
    codes = np.array(spec.card.output, dtype=np.uint8)
    places = product(rows, columns)
    groups = iter(lambda: [*islice(places, WINDOWS_PER_RUN.get(spec.device, 1))], [])
    jobs = (partial(_score_windows, [read(row.pixels, column.pixels) for row, column in one], spec) for one in groups)
    with closing(ordered_results(jobs, parallel)) as results:
        scores = chain.from_iterable(results)
        for y, x, found in windows.blend_windows(rows, columns, lambda *_: next(scores)):
            yield y, x, np.where(np.isnan(found[0]), np.uint8(MISSING), codes[classify(found, spec)]), found


class _Window(NamedTuple):
    """A window as the network sees it."""

    image: NDArray[np.float32]
    """The network's input (channel, y, x)."""
    valid: NDArray[np.bool_]
    """Pixels (y, x) of the part that the network sees."""
    target: Scores
    """Scores (class, y, x) of that part, to be filled in."""


def _score_windows(values: list[NDArray[Any]], spec: InputSpec) -> list[Scores]:
    """Score windows (band, y, x) as (class, y, x), NaN where not valid.

    Windows whose images have one size are run at a time.
    """
    found = [np.full((len(spec.card.output), *one.shape[1:]), np.nan, dtype=np.float32) for one in values]
    prepared = [_prepare_window(one, target, spec) for one, target in zip(values, found, strict=True)]
    by_shape: dict[tuple[int, ...], list[_Window]] = {}
    for window in prepared:
        if window is not None:
            by_shape.setdefault(window.image.shape, []).append(window)
    for group in by_shape.values():
        images = group[0].image[np.newaxis] if len(group) == 1 else np.stack([window.image for window in group])
        scored = inference.run_network(spec.card, images, spec.threads, spec.device)
        for window, scores in zip(group, scored, strict=True):
            height, width = window.valid.shape
            np.copyto(window.target, scores[:, :height, :width], where=window.valid)
    return found


def _prepare_window(values: NDArray[Any], scores: Scores, spec: InputSpec) -> _Window | None:
    """Make the network's input of a window; None if no pixel is valid.

    The network sees the smallest rectangle that holds the valid pixels, reflected up to the stride, so a chunk padded
    with NaN gives what its inside alone gives; windows of a network's own mosaic are fed whole.
    """
    valid = find_valid(values, spec)
    if not valid.any():
        return None
    y, x = (slice(0, n) for n in valid.shape) if spec.mosaic else find_valid_extent(valid)
    return _Window(to_tensor(values[:, y, x], valid[y, x], spec), valid[y, x], scores[:, y, x])
