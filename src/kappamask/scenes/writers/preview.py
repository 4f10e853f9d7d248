"""Keep a thinned picture of a scene while its mask is computed."""

from typing import Any
from uuid import uuid4

import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.scenes.writers.natural_colour import RGB

__all__ = ["LONGEST", "Preview"]

LONGEST = 2400
"""Pixels of the longer side: twice a quicklook's, so that colours lie at most half of its pixels beside their place."""
da: Any = dask.array  # its annotations are partial


class Preview:
    """Every n-th row and column of a lazy cube's red, green and blue; of several dates, the last one's.

    They are taken from the chunks of `watched` when those are computed, in this process.
    """

    def __init__(self, cube: xr.DataArray) -> None:
        data, meta = cube.data, np.empty((0,) * cube.ndim, dtype=cube.dtype)
        seen = da.map_blocks(self._take, data, dtype=cube.dtype, meta=meta, name=f"preview-{uuid4().hex}")
        self.watched = cube.copy(data=seen)
        self._like = cube.isel(t=-1) if "t" in cube.dims else cube
        self._first = (cube.sizes["t"] - 1,) if "t" in cube.dims else ()
        self._step = -(-max(cube.shape[-2:]) // LONGEST)
        labels = [str(label) for label in cube["bands"].values]
        self._bands = [labels.index(band) for band in RGB if band in labels]
        sides = [-(-side // self._step) for side in cube.shape[-2:]]
        self._pixels = np.zeros((len(self._bands), *sides), dtype=cube.dtype)

    def _take(self, block: NDArray[Any], block_info: Any) -> NDArray[Any]:
        *dates, (first, last), y, x = block_info[0]["array-location"]
        held = [number for number, band in enumerate(self._bands) if first <= band < last]
        if held and all(start <= date < stop for date, (start, stop) in zip(self._first, dates, strict=True)):
            (rows, into_y), (columns, into_x) = (_lines_of_step(self._step, *ends) for ends in (y, x))
            image = block[-1] if dates else block
            for number in held:
                self._pixels[number, into_y, into_x] = image[self._bands[number] - first, rows, columns]
        return block

    def cube(self) -> xr.DataArray:
        """As a lazy cube (bands, y, x) of the scene's own size, coordinates and attributes: each pixel repeated."""
        like = self._like.isel(bands=self._bands)
        wide = da.repeat(da.repeat(da.from_array(self._pixels), self._step, axis=1), self._step, axis=2)
        return like.copy(data=wide[:, : like.sizes["y"], : like.sizes["x"]])


def _lines_of_step(step: int, start: int, stop: int) -> tuple[slice, slice]:
    """Which of the lines [start, stop) are multiples of `step`: in the block, and as a part of all that are."""
    first, last = -(-start // step), -(-stop // step)
    return slice(first * step - start, None, step), slice(first, last)
