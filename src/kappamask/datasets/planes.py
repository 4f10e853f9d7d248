"""Read planes of scenes, and grow and shrink masks over them.

Planes are float32 (13, y, x) in the order of `BANDS`, NaN where a band is absent; masks are bool (y, x).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from kappamask.models import SENTINEL2_BANDS

__all__ = ["BANDS", "Mask", "Plane", "Planes", "dilate_disc", "erode_disc", "get_band", "make_disc", "remove_specks"]

BANDS: Final = SENTINEL2_BANDS[:13]
Planes = NDArray[np.float32]
Plane = NDArray[Any]
Mask = NDArray[np.bool_]


def get_band(scene: Planes, name: str) -> Plane:
    """Return the plane (y, x) of a band."""
    return np.asarray(scene[BANDS.index(name)])


def make_disc(radius: int) -> Mask:
    """Make a disc as a structuring element."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(y**2 + x**2 <= radius**2)


def erode_disc(mask: Mask, radius: float) -> Mask:
    """Take `radius` pixels off the borders of `mask`; a full mask stays."""
    return mask if mask.all() else np.asarray(ndimage.distance_transform_edt(mask) > radius)


def dilate_disc(mask: Mask, radius: float) -> Mask:
    """Widen `mask` by `radius` pixels."""
    return np.asarray(ndimage.distance_transform_edt(~mask) <= radius) if mask.any() else mask


def remove_specks(mask: Mask, least_px: int) -> Mask:
    """Remove objects of less than `least_px` pixels."""
    objects, _ = ndimage.label(mask)
    return np.asarray(mask & (np.bincount(objects.ravel())[objects] >= least_px))
