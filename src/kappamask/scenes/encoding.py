"""Encode masks and scores: class names, their meaning, colours, nodata and percent."""

import re
import xml.etree.ElementTree as ET
from itertools import cycle
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import ClassValue, SceneError, load_card
from kappamask.models.card import NODATA_CODE
from kappamask.models.schemes import CLASSES, SCHEMES
from kappamask.udf.schemes import CLEAR, CLOUD, MISSING, SEMI_TRANSPARENT, SHADOW, UNDEFINED

__all__ = [
    "SCALE",
    "fits",
    "format_class_name",
    "hide_nodata",
    "list_category_names",
    "make_colormap",
    "map_codes",
    "read_legend",
    "round_to_percent",
    "to_percent",
]

SPARE = ("e69f00", "56b4e9", "009e73", "f0e442", "0072b2", "d55e00", "cc79a7")
"""Colours that differ for any colour vision (Okabe and Ito 2008), for classes that have none."""
SCALE: Final = 0.01
"""Score of one percent."""
MEANINGS = (
    (r"no.?data|missing|^fill|outside|invalid|saturated|defective", MISSING),
    (r"undefined|unclassified|unknown|not.?labelled", UNDEFINED),
    (r"^(?!.*cloud).*(topo|terrain|cast).*shadow", CLEAR),
    (r"shadow", SHADOW),
    (r"cirrus|thin|semi|haze", SEMI_TRANSPARENT),
    (r"(no|non|not|without).?cloud|cloud.?(free|less)", CLEAR),
    (r"cloud", CLOUD),
)
"""What the name of a class says where the mask names no scheme that is known, the first that fits; of anything else
(land, water, snow …) that it is clear."""


def read_legend(mask: xr.DataArray) -> tuple[ClassValue, ...]:
    """Return the classes that `mask` may hold, in the order of their values.

    They come from its CF flag attributes (CF 3.5), else from the `compact` card.
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
    """Split a CF attribute, a list or a text as in GeoTIFF tags, into words."""
    return attribute.split() if isinstance(attribute, str) else [str(one) for one in np.atleast_1d(attribute)]


def make_colormap(classes: tuple[ClassValue, ...]) -> dict[int, tuple[int, int, int, int]]:
    """Map values to red, green, blue, alpha (0 to 255); nodata is transparent."""
    hints = {c.value: bytes.fromhex(c.color_hint) for c in classes}
    return {value: (hint[0], hint[1], hint[2], 255) for value, hint in hints.items()} | {NODATA_CODE: (0, 0, 0, 0)}


def list_category_names(classes: tuple[ClassValue, ...]) -> bytes:
    """Make GDAL's side-car file (`.aux.xml`) with the class names.

    It is the one place where GDAL and QGIS look for them.
    """
    names = {c.value: c.name for c in classes}
    root = ET.Element("PAMDataset")
    listed = ET.SubElement(ET.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for value in range(max(names) + 1):
        ET.SubElement(listed, "Category").text = names.get(value, "")
    return ET.tostring(root)


def round_to_percent(scores: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Round scores 0 to 1 to uint8 0 to 100; NaN becomes 255."""
    whole = np.rint(scores / np.float32(SCALE))
    return np.asarray(np.nan_to_num(whole, nan=NODATA_CODE), dtype=np.uint8)


def to_percent(scores: xr.DataArray) -> xr.DataArray:
    """Encode scores as uint8 percent, with the attributes that decode them.

    Lazy if the scores are; uint8 scores are percent already.
    """
    numbers: Any = scores.data
    if scores.dtype != np.uint8:
        numbers = (
            round_to_percent(numbers) if scores.chunks is None else numbers.map_blocks(round_to_percent, dtype=np.uint8)
        )
    undone = {"scale_factor": SCALE, "add_offset": 0.0, "_FillValue": NODATA_CODE}
    return scores.copy(data=numbers).assign_attrs(undone)


def hide_nodata(name: str, mask: xr.DataArray, nodata: float, scheme: str | None) -> xr.DataArray:
    """Set pixels of a declared nodata value to 255.

    Those of a class without data keep their code. Raises SceneError where the value is another class.
    """
    if nodata == NODATA_CODE or not nodata.is_integer() or not fits(nodata, mask.dtype):
        return mask
    known = SCHEMES.get(str(scheme or mask.attrs.get("scheme")))
    meaning = (known.classes_by_code if known else map_codes(mask)).get(int(nodata))
    if meaning is None:
        return mask.where(mask != mask.dtype.type(nodata), mask.dtype.type(NODATA_CODE))
    if meaning in (UNDEFINED, MISSING):
        return mask
    word = format_class_name(CLASSES[meaning])
    raise SceneError(
        f"{name} declares {nodata:g} as no data, which is {word} in {known.name if known else 'its classes'}: if these "
        f"pixels are {word}, take that away (gdal_edit.py -unsetnodata {name}); if there is none, give them 255."
    )


def format_class_name(name: str) -> str:
    """Return a class's name without underscores: "semi-transparent cloud"."""
    return name.replace("semi_transparent", "semi-transparent").replace("_", " ")


def map_codes(mask: xr.DataArray) -> dict[int, int]:
    """Map the values of the mask's legend to KappaMask codes.

    By the scheme that the attribute `scheme` names, where `kappamask.models.schemes` knows it, else by the names.
    """
    scheme = SCHEMES.get(str(mask.attrs.get("scheme")))
    read = {row.value: row.kappamask_code for row in scheme.rows} if scheme else {}
    return {one.value: read.get(one.value, _by_name(one.name.lower())) for one in read_legend(mask)}


def _by_name(name: str) -> int:
    return next((code for pattern, code in MEANINGS if re.search(pattern, name)), CLEAR)


# Earlier names, which the documentation showed.
words = format_class_name


def fits(value: float, dtype: np.dtype[Any]) -> bool:
    """Tell whether `dtype` can represent `value`."""
    if dtype.kind not in "iu":
        return True
    return value.is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
