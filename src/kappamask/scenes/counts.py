"""How many pixels of a mask each class has."""

import dask
import xarray as xr

from kappamask.models import ClassValue, SceneError
from kappamask.scenes.legend import NODATA, legend
from kappamask.udf.schemes import in_own_scheme

__all__ = ["class_pixels", "has_bits", "in_classes"]


def class_pixels(mask: xr.DataArray) -> tuple[dict[ClassValue, int], int]:
    """Pixels of each class of a mask of whole numbers, in any dims, numpy or dask; and those of 255, outside the area.

    A mask of bits is counted in KappaMask's classes. Raises SceneError if a pixel has a code that the legend does
    not name.
    """
    mask = in_classes(mask)
    classes = legend(mask)
    sums = [(mask == value).sum() for value in (*(one.value for one in classes), NODATA)]
    *pixels, outside = (int(one) for one in dask.compute(*sums))
    unknown = mask.size - sum(pixels) - outside
    if unknown:
        known = ", ".join(str(c.value) for c in classes)
        raise SceneError(
            f"{unknown} pixels of the mask have codes other than {known} and {NODATA}, which are all that its legend "
            "names; is it a mask?"
        )
    return dict(zip(classes, pixels, strict=True)), outside


def in_classes(mask: xr.DataArray) -> xr.DataArray:
    """The mask as it is; one of bits, which combine in a pixel, in KappaMask's classes."""
    return in_own_scheme(mask) if has_bits(mask) else mask


def has_bits(mask: xr.DataArray) -> bool:
    """Whether the codes are bits (CF `flag_masks`)."""
    return "flag_masks" in mask.attrs
