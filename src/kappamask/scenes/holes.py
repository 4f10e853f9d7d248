"""Pixels without data that the swath does not explain."""

from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.features import geometry_mask
from rasterio.transform import Affine

from kappamask.scenes.legend import NODATA
from kappamask.scenes.raster import local_raster

__all__ = ["unexplained"]

MAX_SIDE = 1024
"""Pixels of the thinned mask's longer side: a hole of a pixel in a thousand is seen all the same."""


def unexplained(path: Path) -> float:
    """Share of the pixels of a rectangular mask file that have no data though the satellite saw them; 0 to 1.

    The swath of an orbit has straight edges, so within a rectangle what was seen is convex: what lies between pixels
    with data has no data for another reason, such as a file that a back-end could not read. Every `n`th pixel of large
    files is asked. Of a file without any data nothing can be told: 0.
    """
    with local_raster(path) as dataset:
        step = max(1, -(-max(dataset.shape) // MAX_SIDE))
        shape = tuple(max(1, side // step) for side in dataset.shape)
        codes = dataset.read(1, out_shape=shape, resampling=Resampling.nearest)
    valid = codes != NODATA
    if not valid.any():
        return 0.0
    hull = shapely.convex_hull(shapely.MultiPoint(_outermost(valid)))
    seen = geometry_mask([hull], codes.shape, Affine.identity(), invert=True)
    return float((seen & ~valid).sum() / codes.size)


def _outermost(valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Corners (x, y) of the first and the last pixel of each row: no other can be a corner of the hull."""
    rows = np.flatnonzero(valid.any(axis=1))
    first = valid[rows].argmax(axis=1)
    end = valid.shape[1] - valid[rows, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([x, rows + y], axis=1) for x in (first, end) for y in (0, 1)])
