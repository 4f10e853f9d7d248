"""Mask one chunk of a back-end's cube as its context says.

This module must not postpone annotations (`from __future__ import annotations`): openEO finds
`apply_datacube` by its live ones.
"""

import logging
import platform
from collections.abc import Hashable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import xarray

from kappamask.models import KappaMaskError, ModelCard, load_card
from kappamask.models.cleaning import Cleaning, check_overlap
from kappamask.models.hints import Door, render_hints
from kappamask.models.package import check_package
from kappamask.udf.cleaning import clean_mask
from kappamask.udf.context import ContextOptions, read_context
from kappamask.udf.cube import normalise_cube
from kappamask.udf.mask import mask_cube
from kappamask.udf.pixel_size import find_chunk_pixel_m
from kappamask.udf.prepare import find_flipped_axes, flip_axes
from kappamask.udf.resampling import interpolate_bands
from kappamask.udf.schemes import MISSING, to_scheme

__all__ = ["apply_datacube"]

_log = logging.getLogger("kappamask.udf")
SCORE_SCALE = 100.0
"""Scores are returned as whole percents, exact in float32 and safe as unsigned bytes."""


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:  # type: ignore[type-arg]
    """Mask a chunk; openEO calls this function of a UDF.

    cube: (bands, y, x) or (t, bands, y, x), float32 on Copernicus, NaN where there are no data.
    context: see `kappamask.udf.context`; None is the same as {}.

    Returns float32, C-contiguous, dims and t, y, x as given, with band `mask` (codes 1 to 4, or those of the key
    `scheme`, NaN where a required band has no data; cleaned if keys say so) and, with the key
    `scores`, `score_…` for each class in percent, as the network gave them.
    Raises CubeError, RadiometryError, CardError or WeightsError, and JobError if the archive is not the one that the
    key `package` tells of; never turns an error into NaN.
    """
    try:
        return _mask_chunk(cube, context)
    except KappaMaskError as error:
        error.args = (error.message(Door.CONTEXT), *error.args[1:])
        raise


def _mask_chunk(cube: xarray.DataArray, context: dict[str, Any]) -> xarray.DataArray:
    options = read_context(context)
    card = load_card(options.model)
    card = replace(card, local_window=card.window)  # a larger chunk, too: memory is asked for by the window
    _check_job(card, options.package, options.overlap, options.cleaning)
    cube = interpolate_bands(normalise_cube(cube, options.bands), card, partial(_warn_once, "resampling"))
    _log_model(card, options.radiometry)
    named = replace(options, model=card, bands=None)  # the cube has its labels by now
    result = mask_cube(cube, named, warn=partial(_warn_once, "radiometry"))
    return _to_chunk(result, cube, card, options)


@lru_cache(maxsize=1)
def _check_job(card: ModelCard, package: str | None, overlap: int | None, cleaning: Cleaning) -> None:
    """Check package and overlap, once for a process: hashing a package takes a while."""
    if package is not None:
        check_package(card, package)
    if overlap is not None:
        spare = overlap - card.overlap
        chunks = f"with {overlap} px overlap, of which {card.id} needs {card.overlap},"
        check_overlap(cleaning, spare, chunks)


def _to_chunk(
    result: xarray.DataArray | xarray.Dataset, cube: xarray.DataArray, card: ModelCard, options: ContextOptions
) -> xarray.DataArray:
    mask = result["mask"] if isinstance(result, xarray.Dataset) else result
    if options.cleaning:
        axes = find_flipped_axes(mask)  # the sun's azimuth is counted from north
        mask = flip_axes(clean_mask(flip_axes(mask, axes), options.cleaning, find_chunk_pixel_m(mask)), axes)
    coords: dict[Hashable, Any] = {name: cube.coords[name] for name in ("t", "y", "x") if name in cube.coords}
    coords["bands"] = card.result_bands(isinstance(result, xarray.Dataset))
    # filled in place: planes of 64 bits and their copies took more than the cube of a long series
    data = np.empty((*mask.shape[:-2], len(coords["bands"]), *mask.shape[-2:]), np.float32)
    data[..., 0, :, :] = to_scheme(mask, options.scheme).values
    data[..., 0, :, :][mask.values == MISSING] = np.nan
    if isinstance(result, xarray.Dataset):
        np.rint(result["score"].values * SCORE_SCALE, out=data[..., 1:, :, :])
    kept = {name: value for name, value in mask.attrs.items() if name in ("model_id", "model_sha256", "radiometry")}
    return xarray.DataArray(data, dims=cube.dims, coords=coords, name=cube.name, attrs={**cube.attrs, **kept})


@lru_cache(maxsize=1)
def _log_model(card: ModelCard, radiometry: str) -> None:
    _log.info(
        "kappamask-openeo, network %s (sha256 %s…), radiometry %s, Python %s, numpy %s",
        card.id, card.sha256[:12], radiometry, platform.python_version(), np.__version__,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _given_warnings() -> set[str]:
    """Hold the kinds of warnings that this process has given."""
    return set()


def _warn_once(kind: str, message: str) -> None:
    if kind not in _given_warnings():
        _given_warnings().add(kind)
        _log.warning("%s (reported once for each process)", render_hints(message, Door.CONTEXT))
