"""Predict the class of every pixel of a prepared cube, in memory or lazily."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kappamask.udf import eager, lazy
from kappamask.udf.prepare import PreparedCube
from kappamask.udf.preprocess import InputSpec
from kappamask.udf.windows import padded_length

__all__ = ["Prediction", "pad_for_mosaic", "predict_dates"]

Prediction = tuple[Any, Any]
"""Mask (y, x), uint8, and scores (class, y, x), float32, or None; numpy or dask."""


def predict_dates(prepared: PreparedCube, *, scores: bool) -> list[Prediction]:
    """Predict each date of a cube, lazily where the cube is lazy."""
    compute = lazy.mask_date if prepared.is_lazy else eager.mask_date
    return [_predict_date(compute, date.data, prepared.spec, scores) for date in prepared.dates]


def _predict_date(compute: Callable[..., Prediction], values: Any, spec: InputSpec, scores: bool) -> Prediction:
    values, y, x = pad_for_mosaic(values, spec)
    mask, score = compute(values, spec, scores)
    return mask[y, x], None if score is None else score[:, y, x]


def pad_for_mosaic(values: Any, spec: InputSpec) -> tuple[Any, slice, slice]:
    """Pad an image (band, y, x) so that the vendor's windows cover it.

    With mosaic="blended" nothing is padded. Also returns where the image lies in the result: its rows and columns.
    """
    mosaic = spec.mosaic
    if mosaic is None:
        return values, slice(0, values.shape[1]), slice(0, values.shape[2])
    sides = [(mosaic.before, padded_length(n, spec.card.window, mosaic) - n - mosaic.before) for n in values.shape[1:]]
    padding: Any = mosaic.padding
    y, x = (slice(mosaic.before, mosaic.before + n) for n in values.shape[1:])
    return np.pad(values, [(0, 0), *sides], mode=padding), y, x
