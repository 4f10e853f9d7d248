"""Class names, colours and nodata of mask files, and scores in percent."""

import xml.etree.ElementTree as ET
from itertools import cycle
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import ClassValue, SceneError, load_card

__all__ = ["NODATA", "SCALE", "category_names", "colormap", "legend", "round_to_percent", "to_percent"]

NODATA = 255
"""GeoTIFF nodata of masks: outside the requested area (5, missing, is where the input has no data)."""
SPARE = ("e69f00", "56b4e9", "009e73", "f0e442", "0072b2", "d55e00", "cc79a7")
"""Colours that can be told apart with any colour vision (Okabe and Ito 2008), for classes that have none."""
SCALE: Final = 0.01
"""Score of one percent."""


def legend(mask: xr.DataArray) -> tuple[ClassValue, ...]:
    """The classes that `mask` may hold: its CF flag attributes (3.5), else those of the `compact` card.

    Classes without `flag_colors` have those of the card's classes of the same name, or of `SPARE`. Raises SceneError if
    the attributes contradict each other.
    """
    values, names, colours = (
        _split_attribute(mask.attrs.get(f"flag_{key}", "")) for key in ("values", "meanings", "colors")
    )
    card = load_card("compact").classes
    if not values:
        return card
    _check(values, names, colours)
    known = {c.name: c.color_hint for c in card}
    described = {(c.value, c.name): c.description for c in card}
    hints = [colour.lstrip("#") for colour in colours] or [known.get(n, s) for n, s in zip(names, cycle(SPARE))]
    facts = zip(map(int, values), names, hints, strict=True)
    return tuple(ClassValue(v, n, hint, described.get((v, n), "")) for v, n, hint in facts)


def _check(values: list[str], names: list[str], colours: list[str]) -> None:
    if len(values) != len(names) or len(colours) not in (0, len(values)) or not all(map(str.isdecimal, values)):
        raise SceneError(
            f"The mask has the flag_values {' '.join(values)}, {len(names)} flag_meanings and {len(colours)} "
            "flag_colors; needed are whole numbers, as many meanings, and as many colours or none."
        )


def _split_attribute(attribute: Any) -> list[str]:
    """A CF attribute as words: a list, or a text as GeoTIFF tags have it."""
    return attribute.split() if isinstance(attribute, str) else [str(one) for one in np.atleast_1d(attribute)]


def colormap(classes: tuple[ClassValue, ...]) -> dict[int, tuple[int, int, int, int]]:
    """Value -> red, green, blue, alpha (0 to 255), nodata transparent."""
    hints = {c.value: bytes.fromhex(c.color_hint) for c in classes}
    return {value: (hint[0], hint[1], hint[2], 255) for value, hint in hints.items()} | {NODATA: (0, 0, 0, 0)}


def category_names(classes: tuple[ClassValue, ...]) -> bytes:
    """GDAL's side-car (`.aux.xml`) with the names: the one place where GDAL and QGIS look for them."""
    names = {c.value: c.name for c in classes}
    root = ET.Element("PAMDataset")
    listed = ET.SubElement(ET.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for value in range(max(names) + 1):
        ET.SubElement(listed, "Category").text = names.get(value, "")
    return ET.tostring(root)


def round_to_percent(scores: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Scores 0 to 1 as uint8 0 to 100, NaN as 255."""
    whole = np.rint(scores / np.float32(SCALE))
    return np.asarray(np.nan_to_num(whole, nan=NODATA), dtype=np.uint8)


def to_percent(scores: xr.DataArray) -> xr.DataArray:
    """Scores as uint8, lazy if they are, with attributes that say how to undo it; uint8 is percent already."""
    numbers: Any = scores.data
    if scores.dtype != np.uint8:
        numbers = (
            round_to_percent(numbers) if scores.chunks is None else numbers.map_blocks(round_to_percent, dtype=np.uint8)
        )
    undone = {"scale_factor": SCALE, "add_offset": 0.0, "_FillValue": NODATA}
    return scores.copy(data=numbers).assign_attrs(undone)
