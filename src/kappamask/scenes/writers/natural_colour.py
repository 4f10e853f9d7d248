"""Picture scenes in natural colours, with one fixed stretch of reflectance."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import SceneError
from kappamask.udf.radiometry import MODES
from kappamask.udf.radiometry_metadata import find_scale_and_offset

__all__ = [
    "CAPTION",
    "GAMMA",
    "PREVIEW_SIDE_PX",
    "RGB",
    "WHITE",
    "Preview",
    "make_rgb",
    "make_true_colour",
    "stretch_reflectance",
    "subsample",
]

RGB = ("B04", "B03", "B02")
CAPTION = "Natural colours (red, green, blue)"
WHITE: Final = 0.5
"""Reflectance that is drawn white; black is 0. Thin cloud has 0.2 to 0.3, opaque cloud mostly more than 0.4."""
GAMMA: Final = 1.8
"""Brightness is (reflectance / WHITE) ** (1 / GAMMA): 0.05, dark land, is drawn at 28 %, and 0.25 at 68 %."""
HIGHEST_REFLECTANCE: Final = 10.0
"""Numbers whose median lies above are digital numbers, where no attribute says what they are."""
PREVIEW_SIDE_PX = 2400
"""Pixels of the longer side: twice a quicklook's, so that colours are off by at most half of its pixels."""
da: Any = dask.array  # its annotations are partial


def make_true_colour(cube: xr.DataArray, radiometry: str = "") -> NDArray[np.float32]:
    """Render a cube (bands, y, x) in natural colours, float32 (y, x, 3).

    Any dtype; the result is from 0 to 1.
    Computes the cube's B04, B03 and B02, so thin a large one first. radiometry: as for `make_rgb`. Raises
    SceneError if one of the bands is missing.
    """
    return stretch_reflectance(make_rgb(cube, radiometry))


def make_rgb(cube: xr.DataArray, radiometry: str = "") -> NDArray[np.float32]:
    """Return reflectance of B04, B03 and B02 as float32 (y, x, 3).

    NaN where a band has no data (0, NaN).
    radiometry: how to read the numbers, a key of `kappamask.udf.radiometry.MODES`; else the cube's attribute
    `radiometry` tells, else the numbers themselves (digital numbers without an offset, or reflectance). Raises
    SceneError if the cube lacks one of the bands.
    """
    absent = [band for band in RGB if band not in cube.coords["bands"].values]
    if absent:
        raise SceneError(f"A picture needs B02, B03 and B04; the scene lacks {', '.join(absent)}.")
    numbers = cube.sel(bands=list(RGB)).transpose("y", "x", "bands").values.astype(np.float32)
    valid = np.isfinite(numbers).all(axis=-1) & (numbers != 0).any(axis=-1)
    scale, offset = find_scale_and_offset(RGB[0], _find_radiometry(radiometry, cube.attrs, numbers[valid]))
    return np.where(valid[..., None], numbers * np.float32(scale) + np.float32(offset), np.float32(np.nan))


def _find_radiometry(given: str, attrs: Mapping[str, Any], numbers: NDArray[np.float32]) -> str:
    for mode in (given, attrs.get("radiometry")):
        if mode in MODES:
            return str(mode)
    is_digital = len(numbers) > 0 and float(np.median(numbers)) > HIGHEST_REFLECTANCE
    return "dn_harmonized" if is_digital else "reflectance"


def stretch_reflectance(reflectance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale reflectance from 0 to `WHITE` to brightness from 0 to 1.

    Higher reflectance is 1, NaN black; the shape stays.
    The stretch is fixed, so that a brightness means the same in every picture.
    """
    linear = np.clip(np.nan_to_num(reflectance / np.float32(WHITE), nan=0.0), 0, 1)
    return np.asarray(linear ** np.float32(1 / GAMMA), np.float32)


def subsample(array: xr.DataArray, longest: int) -> xr.DataArray:
    """Take every n-th row and column of `array` (…, y, x).

    No side then has more than `longest` pixels.
    """
    step = -(-max(array.sizes["y"], array.sizes["x"]) // longest)
    return array.isel(y=slice(None, None, step), x=slice(None, None, step))


class Preview:
    """A subsampled true-colour image, collected while a lazy cube is computed.

    It has every n-th row and column of red, green and blue; of several dates, the last one's.
    They are taken from the chunks of `watched` when those are computed, in this process.
    """

    def __init__(self, cube: xr.DataArray) -> None:
        data, meta = cube.data, np.empty((0,) * cube.ndim, dtype=cube.dtype)
        seen = da.map_blocks(self._take_pixels, data, dtype=cube.dtype, meta=meta, name=f"preview-{uuid4().hex}")
        self.watched = cube.copy(data=seen)
        self._like = cube.isel(t=-1) if "t" in cube.dims else cube
        self._first = (cube.sizes["t"] - 1,) if "t" in cube.dims else ()
        self._step = -(-max(cube.shape[-2:]) // PREVIEW_SIDE_PX)
        labels = [str(label) for label in cube["bands"].values]
        self._bands = [labels.index(band) for band in RGB if band in labels]
        sides = [-(-side // self._step) for side in cube.shape[-2:]]
        self._pixels = np.zeros((len(self._bands), *sides), dtype=cube.dtype)

    def _take_pixels(self, block: NDArray[Any], block_info: Any) -> NDArray[Any]:
        *dates, (first, last), y, x = block_info[0]["array-location"]
        held = [number for number, band in enumerate(self._bands) if first <= band < last]
        if held and all(start <= date < stop for date, (start, stop) in zip(self._first, dates, strict=True)):
            (rows, into_y), (columns, into_x) = (_lines_of_step(self._step, *ends) for ends in (y, x))
            image = block[-1] if dates else block
            for number in held:
                self._pixels[number, into_y, into_x] = image[self._bands[number] - first, rows, columns]
        return block

    def cube(self) -> xr.DataArray:
        """Return a lazy cube (bands, y, x) of the scene's size, each pixel repeated.

        Coordinates and attributes are the scene's.
        """
        like = self._like.isel(bands=self._bands)
        wide = da.repeat(da.repeat(da.from_array(self._pixels), self._step, axis=1), self._step, axis=2)
        return like.copy(data=wide[:, : like.sizes["y"], : like.sizes["x"]])


def _lines_of_step(step: int, start: int, stop: int) -> tuple[slice, slice]:
    """Find which of the lines [start, stop) are multiples of `step`.

    Returns their slice in the block, and in the subsampled image.
    """
    first, last = -(-start // step), -(-stop // step)
    return slice(first * step - start, None, step), slice(first, last)
