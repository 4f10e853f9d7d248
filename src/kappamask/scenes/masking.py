"""Hide masked pixels of data, as NaN or as a nodata value."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from kappamask.models import CubeError
from kappamask.scenes.encoding import fits
from kappamask.scenes.readers.lazy_variables import merge_nodata
from kappamask.scenes.xarray_interop import Xarray
from kappamask.udf import unusable_pixels

__all__ = ["UNCLEAR", "find_hidden", "hide_pixels", "list_layers"]

UNCLEAR = ("cloud_shadow", "semi_transparent_cloud", "cloud")
"""What most analyses leave out, besides pixels without a class."""
FILLS = ("_FillValue", "missing_value")
"""Words of an encoding for the value that stands for NaN in a file."""


def find_hidden(mask: xr.DataArray, classes: Iterable[str]) -> xr.DataArray:
    """Find pixels of `classes`, and undefined or missing ones: bool, lazy if `mask` is.

    Raises CubeError for a class that does not exist.
    """
    return unusable_pixels(mask, (*([classes] if isinstance(classes, str) else classes), "undefined", "missing"))


def list_layers(dataset: xr.Dataset) -> dict[Any, xr.DataArray]:
    """List the variables with pixels, other than masks (which have CF flag attributes)."""
    found = {name: v for name, v in dataset.data_vars.items() if {"y", "x"} <= set(v.dims)}
    return {name: v for name, v in found.items() if not {"flag_values", "flag_masks"} & set(v.attrs)}


def hide_pixels(data: Xarray, hidden: xr.DataArray, nodata: float | None = None) -> Xarray:
    """Remove the pixels of `data` that are True in `hidden`.

    `hidden` is bool, on the same coordinates; the result is lazy where either is.
    Floats keep their dtype and are NaN there. Whole numbers become float32 (of 4 and 8 bytes float64) and NaN, also
    where they hold a declared nodata value, or with `nodata` keep their dtype and hold that. Attributes and encoding
    stay, but for nodata: to a file goes the dtype and the nodata value that came from it. Raises CubeError if the dtype
    has no such value as `nodata`, SceneError if a declared one is no number.
    """
    if isinstance(data, xr.DataArray):
        return _hide_layer(data, hidden, nodata)  # pyright: ignore[reportReturnType]  a DataArray, as `data` is
    return data.assign({name: _hide_layer(layer, hidden, nodata) for name, layer in list_layers(data).items()})


def _hide_layer(layer: xr.DataArray, hidden: xr.DataArray, nodata: float | None) -> xr.DataArray:
    plain = merge_nodata(str(layer.name or "The cube"), layer)
    fill = plain.attrs.pop("_FillValue", None)
    kept = ~hidden if fill is None or np.isnan(fill) else ~hidden & (plain != plain.dtype.type(fill))
    if nodata is None or plain.dtype.kind == "f":
        made = plain.astype(np.result_type(plain.dtype, np.float32)).where(kept)
        made.encoding = _make_encoding(layer, fill)
    else:
        made = plain.where(kept, _choose_fill_value(nodata, plain)).assign_attrs({"_FillValue": float(nodata)})
        made.encoding = {key: value for key, value in layer.encoding.items() if key not in FILLS}
    return made.transpose(*layer.dims)


def _choose_fill_value(nodata: float, layer: xr.DataArray) -> Any:
    if not fits(float(nodata), layer.dtype):
        raise CubeError(f"{layer.name or 'The cube'} holds {layer.dtype}, which has no nodata value {nodata}.")
    return layer.dtype.type(nodata)


def _make_encoding(layer: xr.DataArray, fill: float | None) -> dict[str, Any]:
    """Return the encoding of `layer` for floats with NaN.

    A file of integers needs a nodata value for NaN; without one it must hold floats.
    """
    encoding = dict(layer.encoding)
    if fill is not None:
        encoding = {key: value for key, value in encoding.items() if key not in FILLS}
        encoding |= {"dtype": encoding.get("dtype", layer.dtype), "_FillValue": fill}
    if not set(FILLS) & set(encoding) and np.dtype(encoding.get("dtype", np.float32)).kind in "iu":
        del encoding["dtype"]
    return encoding
