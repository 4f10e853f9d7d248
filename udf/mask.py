"""The one algorithm: bands by label, radiometry, network, class codes, missing from validity, attributes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from kappamask.models import ModelCard, load_card
from kappamask.udf import lazy, pixels
from kappamask.udf.prepare import Reading
from kappamask.udf.result import dressed
from kappamask.udf.settle import dates, framed, settle

__all__ = ["cloud_mask", "mask_cube"]


def cloud_mask(
    cube: xr.DataArray,
    *,
    level: str | None = None,
    model: str | Path | ModelCard = "compact",
    radiometry: str = "auto",
    scores: bool = False,
    thresholds: Mapping[str, float] | None = None,
    mosaic: str = "blended",
) -> xr.DataArray | xr.Dataset:
    """KappaMask classes of every pixel of a Sentinel-2 cube.

    cube: dims (bands, y, x) or (t, bands, y, x) in any order, labels B01 … B12, B8A, AOT, WVP on `bands`,
        numbers of any type, numpy or dask; sides of 4 px and more at 10 m. Never changed.
    level: "L1C" or "L2A"; may be left out where bands, attribute `level` or card decide.
    model: a card's id or a path to a card.
    radiometry: "reflectance", "dn_harmonized" (reflectance * 10000), "dn_offset" (the same plus 1000), or
        "auto", which believes metadata, then the pixels (of a dask cube a sample is computed, if metadata are silent).
    scores: also return the network's scores.
    thresholds: class name to score, as {"cloud": 0.3}: the class is taken where its score reaches that, and only
        there; left out, each pixel is of the class with the highest score.
    mosaic: "blended", or "own" to compare with the tool that a network comes with: windows as its card says that
        the tool lays them (KappaZeta's: every 480 px of 512, zeros beyond the image, 16 px cut off each side).

    Returns uint8 (y, x) or (t, y, x), lazy if the cube is: 1 clear, 2 cloud shadow, 3 semi-transparent cloud,
    4 cloud, 5 missing (no data in a required band). With `scores`, a Dataset of `mask` and `score`, float32
    (class, y, x) or (t, class, y, x), NaN where missing.

    Raises CubeError (dimensions, labels, bands, level, thresholds), RadiometryError (doubt or contradiction),
    CardError and WeightsError (no such network, or not the one its card describes).
    """
    return mask_cube(cube, load_card(model), level, radiometry, scores=scores, thresholds=thresholds, mosaic=mosaic)


def mask_cube(
    cube: xr.DataArray,
    card: ModelCard,
    level: str | None,
    radiometry: str,
    *,
    scores: bool = False,
    threads: int = 0,
    thresholds: Mapping[str, float] | None = None,
    doubt: Callable[[str], None] | None = None,
    mosaic: str = "blended",
) -> xr.DataArray | xr.Dataset:
    """What `cloud_mask` does, for callers that know more.

    threads: for ONNX Runtime; 0 is all cores. doubt: called with a sentence where the pixels speak against
    the radiometry without proof; without it that is a RadiometryError.
    """
    cube, reading, decision = settle(
        cube, card, level, radiometry, threads=threads, thresholds=thresholds, doubt=doubt, mosaic=mosaic
    )
    compute: Callable[..., tuple[Any, Any]] = pixels.mask_date if cube.chunks is None else lazy.mask_date
    made = [_date(compute, date.data, reading, scores) for date in dates(cube)]
    return dressed(made, cube, reading, decision, scores)


def _date(compute: Callable[..., tuple[Any, Any]], values: Any, reading: Reading, scores: bool) -> tuple[Any, Any]:
    """Mask and scores of one date."""
    values, y, x = framed(values, reading)
    mask, score = compute(values, reading, scores)
    return mask[y, x], None if score is None else score[:, y, x]
