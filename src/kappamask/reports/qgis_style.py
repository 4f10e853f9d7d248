"""Write the QGIS style of a mask: names and colours of its classes."""

import xml.etree.ElementTree as ET
from pathlib import Path

import xarray as xr

from kappamask.files.atomic import atomic_write
from kappamask.reports.class_shares import format_class_name
from kappamask.scenes import read_mask
from kappamask.scenes.encoding import read_legend

__all__ = ["make_style", "write_style"]

DOCTYPE = b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
"""As QGIS writes it, and expects it."""


def make_style(mask: xr.DataArray) -> bytes:
    """Make a QGIS 3 style (.qml) that shows band 1 in the classes' colours.

    It is a paletted renderer with one entry for each class of `mask`.
    Names and colours are those of the mask's CF flag attributes, whatever its class scheme, else of the card. Values
    that the legend does not name, 255 outside the area among them, stay transparent.
    """
    root = ET.Element("qgis", styleCategories="Symbology")
    renderer = {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    palette = ET.SubElement(ET.SubElement(ET.SubElement(root, "pipe"), "rasterrenderer", renderer), "colorPalette")
    for one in read_legend(mask):
        entry = {"value": str(one.value), "label": format_class_name(one.name), "color": f"#{one.color_hint}"}
        ET.SubElement(palette, "paletteEntry", {**entry, "alpha": "255"})
    ET.indent(root)
    return DOCTYPE + ET.tostring(root)


def write_style(mask_file: str | Path) -> Path:
    """Write `make_style` to NAME.qml next to the mask NAME.tif; return its path.

    QGIS looks for it there.
    Raises SceneError if the file is no mask, or if the style cannot be written.
    """
    path = Path(mask_file).with_suffix(".qml")
    text = make_style(read_mask(mask_file))
    with atomic_write(path) as draft:
        draft.write_bytes(text)
    return path


# Earlier names, which the documentation showed.
style = make_style
