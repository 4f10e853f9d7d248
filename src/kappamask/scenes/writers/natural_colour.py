"""Turn red, green and blue bands into a picture with one fixed stretch of reflectance."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import SceneError
from kappamask.udf.radiometry import MODES, scale_and_offset

__all__ = ["CAPTION", "GAMMA", "RGB", "WHITE", "red_green_blue", "stretch_reflectance", "subsample", "true_colour"]

RGB = ("B04", "B03", "B02")
CAPTION = "Natural colours (red, green, blue)"
WHITE: Final = 0.5
"""Reflectance that is drawn white; black is 0. Thin cloud has 0.2 to 0.3, opaque cloud mostly more than 0.4."""
GAMMA: Final = 1.8
"""Brightness is (reflectance / WHITE) ** (1 / GAMMA): 0.05, dark land, is drawn at 28 %, and 0.25 at 68 %."""
HIGHEST_REFLECTANCE: Final = 10.0
"""Numbers whose median lies above are digital numbers, where no attribute says what they are."""


def true_colour(cube: xr.DataArray, radiometry: str = "") -> NDArray[np.float32]:
    """Return the picture of a cube (bands, y, x) of any dtype, float32 (y, x, 3) from 0 to 1.

    Computes the cube's B04, B03 and B02, so thin a large one first. radiometry: as for `red_green_blue`. Raises
    SceneError if one of the bands is missing.
    """
    return stretch_reflectance(red_green_blue(cube, radiometry))


def red_green_blue(cube: xr.DataArray, radiometry: str = "") -> NDArray[np.float32]:
    """Return reflectance of B04, B03 and B02, float32 (y, x, 3), NaN where a band has no data (0, NaN).

    radiometry: how to read the numbers, a key of `kappamask.udf.radiometry.MODES`; else the cube's attribute
    `radiometry` tells, else the numbers themselves (digital numbers without an offset, or reflectance). Raises
    SceneError if the cube lacks one of the bands.
    """
    absent = [band for band in RGB if band not in cube.coords["bands"].values]
    if absent:
        raise SceneError(f"A picture needs B02, B03 and B04; the scene lacks {', '.join(absent)}.")
    numbers = cube.sel(bands=list(RGB)).transpose("y", "x", "bands").values.astype(np.float32)
    valid = np.isfinite(numbers).all(axis=-1) & (numbers != 0).any(axis=-1)
    scale, offset = scale_and_offset(RGB[0], _find_radiometry(radiometry, cube.attrs, numbers[valid]))
    return np.where(valid[..., None], numbers * np.float32(scale) + np.float32(offset), np.float32(np.nan))


def _find_radiometry(given: str, attrs: Mapping[str, Any], numbers: NDArray[np.float32]) -> str:
    for mode in (given, attrs.get("radiometry")):
        if mode in MODES:
            return str(mode)
    is_digital = len(numbers) > 0 and float(np.median(numbers)) > HIGHEST_REFLECTANCE
    return "dn_harmonized" if is_digital else "reflectance"


def stretch_reflectance(reflectance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return brightness from 0 (reflectance 0) to 1 (`WHITE` and more), black where NaN, of the same shape.

    The stretch is fixed, so that a brightness means the same in every picture.
    """
    linear = np.clip(np.nan_to_num(reflectance / np.float32(WHITE), nan=0.0), 0, 1)
    return np.asarray(linear ** np.float32(1 / GAMMA), np.float32)


def subsample(array: xr.DataArray, longest: int) -> xr.DataArray:
    """Return every n-th row and column of `array` (…, y, x), so that no side has more than `longest` pixels."""
    step = -(-max(array.sizes["y"], array.sizes["x"]) // longest)
    return array.isel(y=slice(None, None, step), x=slice(None, None, step))
