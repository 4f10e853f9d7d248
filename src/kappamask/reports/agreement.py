"""How far a mask and a second one of the same pixels agree."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import SceneError
from kappamask.reports.meaning import meanings
from kappamask.udf.classes import CLEAR, CLOUD, MISSING, SEMI_TRANSPARENT, SHADOW

__all__ = ["COMPARED", "Agreement", "agreement"]

COMPARED = {CLEAR: "clear", SHADOW: "cloud shadow", SEMI_TRANSPARENT: "semi-transparent cloud", CLOUD: "cloud"}
"""KappaMask's codes of pixels with data, and their names in words."""
CODES = MISSING + 1
ROWS = 1024
"""Of a strip that is compared at once: a product of 10980 x 10980 px takes 11 MB, and as codes of 8 bytes 90 MB."""


@dataclass(frozen=True)
class Agreement:
    """Pixel counts (4, 4), int64: rows are `COMPARED` classes of the reference, columns those of the mask."""

    counts: NDArray[np.int64]

    @property
    def pixels(self) -> int:
        """Pixels that have data in both."""
        return int(self.counts.sum())

    @property
    def percent(self) -> float:
        """Percent of these with the same class in both."""
        return 100 * float(np.trace(self.counts)) / self.pixels

    @property
    def rows(self) -> NDArray[np.float64]:
        """Percent (4, 4) of each row's pixels; NaN in a row without pixels."""
        with np.errstate(invalid="ignore"):
            return np.asarray(100 * self.counts / self.counts.sum(axis=1, keepdims=True))


def agreement(mask: xr.DataArray, reference: xr.DataArray) -> Agreement | None:
    """Compare two masks (y, x) of one grid, each of any known scheme; None where no pixel has data in both.

    Classes are compared as the KappaMask classes that they stand for. Computed strip by strip. Raises SceneError if
    the sizes differ or a scheme is not known.
    """
    if mask.shape != reference.shape:
        raise SceneError(
            f"The mask has {mask.shape} pixels (y, x), its reference {reference.shape}; one grid is needed."
        )
    pairs = np.zeros(CODES * CODES, np.int64)
    tables = [_table(one) for one in (reference, mask)]
    for first in range(0, mask.sizes["y"], ROWS):
        rows, columns = (
            table[np.asarray(one.isel(y=slice(first, first + ROWS)).values)].astype(np.int64)
            for table, one in zip(tables, (reference, mask), strict=True)
        )
        pairs += np.bincount((rows * CODES + columns).ravel(), minlength=CODES * CODES)
    counts = pairs.reshape(CODES, CODES)[np.ix_(list(COMPARED), list(COMPARED))]
    return Agreement(counts) if counts.any() else None


def _table(mask: xr.DataArray) -> NDArray[np.uint8]:
    """Value of a pixel -> KappaMask code; what no class has, 255 among it, is missing."""
    table = np.full(256, MISSING, np.uint8)
    for value, code in meanings(mask).items():
        table[value] = code
    return table
