"""Scores as files hold them: whole percents in one byte, as the UDF returns them."""

from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.scenes.legend import NODATA

__all__ = ["SCALE", "in_percent", "percents"]

SCALE: Final = 0.01
"""Score of one percent."""


def percents(scores: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Scores 0 to 1 as uint8 0 to 100, NaN as 255."""
    whole = np.rint(scores / np.float32(SCALE))
    return np.asarray(np.nan_to_num(whole, nan=NODATA), dtype=np.uint8)


def in_percent(scores: xr.DataArray) -> xr.DataArray:
    """Scores as uint8, lazy if they are, with attributes that say how to undo it; uint8 is percent already."""
    numbers: Any = scores.data
    if scores.dtype != np.uint8:
        numbers = percents(numbers) if scores.chunks is None else numbers.map_blocks(percents, dtype=np.uint8)
    undone = {"scale_factor": SCALE, "add_offset": 0.0, "_FillValue": NODATA}
    return scores.copy(data=numbers).assign_attrs(undone)
