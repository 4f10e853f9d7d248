"""What is settled before the network is run: bands, level, the meaning of the numbers, thresholds, the mosaic."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from kappamask.models import CubeError, ModelCard, Mosaic, check_thresholds
from kappamask.udf import cells, pixels
from kappamask.udf.cube import normalise, pick, resolve_level
from kappamask.udf.evidence import NOTHING, Evidence
from kappamask.udf.prepare import Reading
from kappamask.udf.radiometry import Decision, check, decide, stated
from kappamask.udf.windows import framed as framed_length

__all__ = ["NODATA_ATTRIBUTES", "dates", "framed", "read", "settle"]

MOSAICS = ("blended", "own")
NODATA_ATTRIBUTES = ("_FillValue", "nodata", "missing_value", "nodatavals")
"""As netCDF, STAC and openEO, older netCDF, and rasterio call it."""


def settle(
    cube: xr.DataArray,
    card: ModelCard,
    level: str | None,
    radiometry: str,
    *,
    threads: int,
    thresholds: Mapping[str, float] | None,
    mosaic: str,
    doubt: Callable[[str], None] | None = None,
) -> tuple[xr.DataArray, Reading, Decision]:
    """All that is settled before the network is run; see `mask_cube` and `read`."""
    cube, reading, decision = read(cube, card, level, radiometry, doubt)
    limits = check_thresholds(card, thresholds)
    return cube, replace(reading, threads=threads, thresholds=limits, mosaic=_mosaic(mosaic, card)), decision


def read(
    cube: xr.DataArray, card: ModelCard, level: str | None, radiometry: str, doubt: Callable[[str], None] | None = None
) -> tuple[xr.DataArray, Reading, Decision]:
    """The bands of `cube` that the card's network takes, how their numbers are read, and why so; see `mask_cube`.

    Pixels of a dask cube are computed only where nothing else tells what they mean; they are checked when used.
    """
    cube = normalise(cube)
    level = resolve_level(cube, card, level)
    cube = pick(cube, card)
    bands = tuple(str(band) for band in cube.coords["bands"].values)
    reading = Reading(card, bands, level, radiometry, _nodata(cube), threads=0)
    known = radiometry != "auto" or stated(cube.attrs, cube.encoding) is not None
    seen = [NOTHING] if known and cube.chunks is not None else [_sample(date, reading) for date in dates(cube)]
    decision = decide(radiometry, cube.attrs, cube.encoding, seen)
    for evidence in seen:
        message = check(decision, evidence, certain_only=doubt is not None)
        if message and doubt:
            doubt(message)
    return cube, replace(reading, mode=decision.mode), decision


def framed(values: Any, reading: Reading) -> tuple[Any, slice, slice]:
    """`values` (band, y, x) with the pixels around them that a network's own mosaic needs; where they lie in that."""
    mosaic = reading.mosaic
    if mosaic is None:
        return values, slice(0, values.shape[1]), slice(0, values.shape[2])
    sides = [
        (mosaic.before, framed_length(n, reading.card.window, mosaic) - n - mosaic.before) for n in values.shape[1:]
    ]
    padding: Any = mosaic.padding
    y, x = (slice(mosaic.before, mosaic.before + n) for n in values.shape[1:])
    return np.pad(values, [(0, 0), *sides], mode=padding), y, x


def _mosaic(word: str, card: ModelCard) -> Mosaic | None:
    if word not in MOSAICS:
        raise CubeError(f"No mosaic {word!r}: known are {', '.join(MOSAICS)}.")
    if word == "own" and card.mosaic is None:
        raise CubeError(f"{card.id} has no mosaic of its own: its card lacks kappamask:mosaic; say mosaic='blended'.")
    return card.mosaic if word == "own" else None


def _sample(date: xr.DataArray, reading: Reading) -> Evidence:
    if date.chunks is not None:
        return cells.sample(date.data, reading)
    return pixels.look(date.data, reading, pixels.sampling_step(date.sizes["y"] * date.sizes["x"]))


def _nodata(cube: xr.DataArray) -> tuple[float, ...]:
    """Every nodata value that the attributes declare, whatever the library that wrote them."""
    found: set[float] = set()
    for key in NODATA_ATTRIBUTES:
        declared = cube.attrs.get(key)
        if declared is None:
            continue
        try:
            values = np.asarray(declared, dtype=np.float64).ravel()
        except (TypeError, ValueError) as error:
            raise CubeError(f"The cube's attribute '{key}' is {declared!r}; needed is a number.") from error
        found.update(float(value) for value in values if np.isfinite(value))
    return tuple(sorted(found))


def dates(cube: xr.DataArray) -> list[xr.DataArray]:
    """The dates of a cube ([t,] bands, y, x), each (bands, y, x)."""
    return [cube.isel(t=i) for i in range(cube.sizes["t"])] if "t" in cube.dims else [cube]
