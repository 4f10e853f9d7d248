"""Digital numbers as the Copernicus back-end serves them: without the radiometric offset, whatever the file holds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr

from kappamask.models import RadiometryError
from kappamask.scenes import open_scene
from kappamask.udf.evidence import gather
from kappamask.udf.radiometry import AUXILIARY, affine, decide

__all__ = ["harmonised"]

log = logging.getLogger(__name__)

DIGITAL_NUMBERS = 10_000
"""Digital numbers per unit of reflectance (QUANTIFICATION_VALUE of every product so far)."""
SAMPLE = 512
"""Pixels along a side of the sample on which a scene's radiometry is judged where its metadata is silent."""


def harmonised(cube: xr.DataArray, path: Path) -> xr.DataArray:
    """Stored numbers of a scene, all or some bands, as float32 digital numbers without offset; NaN for nodata.

    Nodata is what the file declares and, as in all Sentinel-2 products, a pixel with 0 in all bands; where the offset
    is in the numbers, a 0 in any band too, for there it cannot be a measurement.
    Metadata says what the numbers mean; where it is silent the pixels of all bands are asked; where they leave a
    doubt the numbers are taken for harmonised ones, and the log says so.
    """
    mode = _radiometry(path, path.stat().st_mtime_ns)
    values = cube.astype(np.float32).where(_measured(cube, path, mode))
    if mode == "dn_harmonized":
        return values
    scale, offset = zip(*(affine(str(band), mode) for band in cube.bands.values), strict=True)
    return values * _per_band(scale) + _per_band(offset)


def _per_band(factors: Sequence[float]) -> xr.DataArray:
    return xr.DataArray(np.asarray([DIGITAL_NUMBERS * f for f in factors], np.float32), dims="bands")


def _measured(cube: xr.DataArray, path: Path, mode: str) -> xr.DataArray:
    """Where the stored numbers are no nodata; other bands are read only if it takes them to tell."""
    declared = cube.attrs.get("_FillValue", np.nan)
    measured: xr.DataArray = cube != declared
    if mode == "dn_offset":
        measured &= cube != 0
        return measured
    if declared == 0:
        return measured
    whole = open_scene(path)
    reflective = whole.sel(bands=[band for band in whole.bands.values if band not in AUXILIARY])
    measured &= (reflective != 0).any("bands")
    return measured


@lru_cache(maxsize=4096)
def _radiometry(path: Path, _changed: int) -> str:
    cube = open_scene(path)
    stated = decide("auto", cube.attrs, {}, []).mode
    if stated != "unknown":
        return stated
    every = max(1, min(cube.sizes["y"], cube.sizes["x"]) // SAMPLE)
    sample = np.asarray(cube.isel(y=slice(None, None, every), x=slice(None, None, every)).values, np.float32)
    pixels = sample.reshape(sample.shape[0], -1)
    valid = np.isfinite(pixels).all(axis=0) & (pixels != cube.attrs.get("_FillValue", np.nan)).all(axis=0)
    try:
        mode = decide("auto", {}, {}, [gather(pixels, tuple(str(b) for b in cube.bands.values), valid)]).mode
    except RadiometryError as error:
        log.warning("Scene %s is served as if harmonised. %s", path.name, error)
        return "dn_harmonized"
    return "dn_harmonized" if mode == "unknown" else mode
