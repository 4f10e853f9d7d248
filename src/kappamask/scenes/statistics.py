"""Count the pixels of each class, over a mask or an area, by date."""

from collections.abc import Mapping
from typing import Any

import dask
import dask.array
import numpy as np
import xarray as xr

from kappamask.models import ClassValue, SceneError
from kappamask.models.card import NODATA_CODE
from kappamask.models.schemes import CLASSES
from kappamask.scenes.encoding import map_codes, read_legend
from kappamask.scenes.xarray_interop import require_mask, restore_dims, select_provenance, to_canonical_dims
from kappamask.udf.cube import compute_chunk_sizes
from kappamask.udf.schemes import MISSING, UNDEFINED, to_kappamask

__all__ = [
    "compute_class_percentages",
    "compute_class_statistics",
    "count_class_pixels",
    "has_bits",
    "to_classes",
]

NOTES = {
    "share": "share of the valid pixels",
    "valid_share": "share of the pixels that are valid",
    "pixels": "pixels of the area",
    "valid_pixels": "pixels with a class that is neither undefined nor missing",
    "class_pixels": "pixels of each class",
}


def count_class_pixels(mask: xr.DataArray) -> tuple[dict[ClassValue, int], int]:
    """Count the pixels of each class of a mask, and those outside the area.

    The mask holds integers, in any dims, numpy or dask; 255 is outside the area.
    A mask of bits is counted in KappaMask's classes. Raises SceneError if a pixel has a code that the legend does
    not name.
    """
    mask = to_classes(mask)
    classes = read_legend(mask)
    sums = [(mask == value).sum() for value in (*(one.value for one in classes), NODATA_CODE)]
    *pixels, outside = (int(one) for one in dask.compute(*sums))
    unknown = mask.size - sum(pixels) - outside
    if unknown:
        known = ", ".join(str(c.value) for c in classes)
        raise SceneError(
            f"{unknown} pixels of the mask have codes other than {known} and {NODATA_CODE}, which are all that its "
            "legend names; is it a mask?"
        )
    return dict(zip(classes, pixels, strict=True)), outside


def to_classes(mask: xr.DataArray) -> xr.DataArray:
    """Convert a bit mask, whose bits combine in a pixel, to KappaMask's classes.

    Other masks stay as they are.
    """
    return to_kappamask(mask) if has_bits(mask) else mask


def has_bits(mask: xr.DataArray) -> bool:
    """Tell whether the codes are bits (CF `flag_masks`)."""
    return "flag_masks" in mask.attrs


def compute_class_statistics(
    mask: xr.DataArray, geometry: Any = None, *, crs: Any = None, all_touched: bool = False
) -> xr.Dataset:
    """Compute the class shares of a mask in an area.

    The mask is (y, x) or (t, y, x), numpy or dask.
    mask: KappaMask codes, or another scheme's that its attribute `scheme` names; 255 is outside of any area.
    geometry: a shapely geometry, GeoJSON (geometry, Feature or FeatureCollection), a GeoSeries or GeoDataFrame, whose
        parts are one area, or a box (west, south, east, north); left out, all pixels.
    crs: of the geometry, anything that pyproj takes; left out, the one it carries, for GeoJSON longitude and latitude.
    all_touched: take all pixels that the area touches, not only those whose centre is inside.

    Returns a Dataset, lazy if the mask is: `share` (…, class), float64 from 0 to 1, of the valid pixels, and NaN where
    there is none; `class_pixels` (…, class), int64; `valid_pixels`, `pixels` and `valid_share` (…) of the area. `class`
    is clear, cloud_shadow, semi_transparent_cloud and cloud: undefined and missing pixels are not valid.
    Raises CubeError for an area without CRS or pixels, or a code that the scheme does not have.

    Example, with a mask as `read_mask` gives it:
        >>> field = {"type": "Polygon", "coordinates": [[[27.0, 58.63], [27.01, 58.63], [27.0, 58.64], [27.0, 58.63]]]}
        >>> found = compute_class_statistics(mask, field)
        >>> round(float(found.share.sel({"class": "clear"})), 2), int(found.pixels)
        (0.26, 351)
    """
    named, own = compute_chunk_sizes(require_mask(mask)), to_canonical_dims(mask)[1]
    counts = _count_classes(named, geometry, crs, all_touched)
    kept = [name for code, name in enumerate(CLASSES) if code not in (UNDEFINED, MISSING)]
    classes, pixels = counts.sel({"class": kept}), counts.sum("class")
    valid = classes.sum("class")
    found = {
        "share": classes / valid.where(valid > 0),
        "valid_share": valid / pixels.where(pixels > 0),
        "pixels": pixels,
        "valid_pixels": valid,
        "class_pixels": classes,
    }
    described = {name: one.assign_attrs(long_name=NOTES[name], units="1") for name, one in found.items()}
    return restore_dims(xr.Dataset(described, attrs=select_provenance(named)).map(_allow_item, keep_attrs=True), own)


class _LazyScalar(dask.array.Array):  # type: ignore[misc]  # dask is partly typed
    """A dask array without dims that has `item`, as NumPy's have, so that `DataArray.item` works."""

    def item(self) -> Any:
        return self.compute().item()


def _allow_item(value: xr.DataArray) -> xr.DataArray:
    """Return `value`, still lazy, with data that have `item` where it has no dims."""
    lazy: Any = value.data
    if value.ndim or value.chunks is None:
        return value
    make: Any = _LazyScalar  # dask takes these in `__new__`, which pyright does not see
    return value.copy(data=make(lazy.dask, lazy.name, lazy.chunks, dtype=lazy.dtype, meta=lazy._meta))


def _count_classes(mask: xr.DataArray, geometry: Any, crs: Any, all_touched: bool) -> xr.DataArray:
    """Count the pixels of every class: int64 (…, class)."""
    inside = None
    if geometry is not None:
        from kappamask.scenes.area import clip_to_area

        mask, inside = clip_to_area(mask, geometry, crs, all_touched=all_touched)
    codes = to_kappamask(mask).drop_vars(["y", "x"], errors="ignore")
    if inside is not None:
        codes = codes.where(inside, np.uint8(NODATA_CODE))
    counts = [(codes == code).sum(("y", "x"), dtype=np.int64) for code in range(len(CLASSES))]
    return xr.concat(counts, xr.Variable("class", list(CLASSES))).transpose(..., "class")


def compute_class_percentages(
    mask: xr.DataArray, counted: Mapping[ClassValue, int] | None = None
) -> dict[ClassValue, float]:
    """Return the percentage of each class that occurs in a mask (y, x).

    It is of the pixels with data; of all pixels in the area where the class means that there are none.
    counted: what `count_class_pixels` gives, if it is known. Raises SceneError if a pixel has a code that the legend
    does not name.
    """
    mask = to_classes(mask)
    counted = counted or count_class_pixels(mask)[0]
    codes = map_codes(mask)
    empty = {one for one in counted if codes[one.value] in (UNDEFINED, MISSING)}
    area = sum(counted.values())
    valid = area - sum(counted[one] for one in empty)
    return {one: 100 * count / (area if one in empty else valid) for one, count in counted.items() if count}
