"""Names and colours of the classes in a mask, as the mask itself says or as the card does."""

import xml.etree.ElementTree as ET

import numpy as np
import xarray as xr

from kappamask.models import ClassValue, load_card

__all__ = ["NODATA", "category_names", "colormap", "legend"]

NODATA = 255
"""GeoTIFF nodata of masks: outside the requested area (5, missing, is where the input has no data)."""


def legend(mask: xr.DataArray) -> tuple[ClassValue, ...]:
    """The classes that `mask` may hold: its CF flag attributes, else those of the `compact` card."""
    values = np.atleast_1d(mask.attrs.get("flag_values", []))
    names = str(mask.attrs.get("flag_meanings", "")).split()
    colours = str(mask.attrs.get("flag_colors", "")).replace("#", "").split()
    if len(values) and len(values) == len(names) == len(colours):
        return tuple(ClassValue(int(v), n, c) for v, n, c in zip(values, names, colours, strict=True))
    return load_card("compact").classes


def colormap(classes: tuple[ClassValue, ...]) -> dict[int, tuple[int, int, int, int]]:
    """Value -> red, green, blue, alpha (0 to 255), nodata transparent."""
    opaque = {c.value: (*bytes.fromhex(c.color_hint), 255) for c in classes}
    return opaque | {NODATA: (0, 0, 0, 0)}


def category_names(classes: tuple[ClassValue, ...]) -> bytes:
    """GDAL's side-car (`.aux.xml`) with the names: the one place where GDAL and QGIS look for them."""
    names = {c.value: c.name for c in classes}
    root = ET.Element("PAMDataset")
    listed = ET.SubElement(ET.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for value in range(max(names) + 1):
        ET.SubElement(listed, "Category").text = names.get(value, "")
    return ET.tostring(root)
