"""Read the metadata of SAFE products: level, date, and each band's radiometric offset."""

from dataclasses import dataclass
from math import isfinite, nan
from typing import Final
from xml.etree.ElementTree import Element

from kappamask.files.archives import Source, read_bytes
from kappamask.files.untrusted import parse_xml
from kappamask.models import SceneError
from kappamask.models.hints import option
from kappamask.scenes.metadata import (
    collect_attributes,
    find_baseline_radiometry,
    name_reason,
    parse_baseline,
    parse_tile,
    read_packing_mode,
    resolve_radiometry,
)
from kappamask.scenes.readers.jp2 import group_by_band
from kappamask.udf.radiometry_metadata import Decision

__all__ = ["Product", "read_facts"]

LONGEST: Final = 2**24
"""Bytes of metadata that are read: those of a tile are some 60 KB, of a product of 15 tiles 300 KB."""
BAND_IDS: Final = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""What `band_id` 0 to 12 means (Products Specification Document, Spectral_Information)."""
OFFSETS: Final = ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET")
"""Of Level-1C and Level-2A, digital numbers, by `band_id`; in products since baseline 04.00 and in none before."""
QUANTIFICATIONS: Final = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")
"""Digital numbers per unit of reflectance: Level-1C, Level-2A, and Level-2A before baseline 02.07."""
REMEDY: Final = (
    "get the product again, or, if you know what its numbers mean, open the folder of its images (IMG_DATA, of "
    f"Level-2A IMG_DATA/R10m) and say with {option('radiometry')} what the numbers mean"
)


@dataclass(frozen=True)
class Product:
    """The parts of a product of one tile, or of one of its tiles."""

    name: str
    """Of the product's folder, without suffix."""
    level: str
    """That the name of the metadata file tells."""
    metadata: Source
    granule: str
    """Its folder's name."""
    images: tuple[Source, ...]


def read_facts(product: Product, level: str | None) -> dict[str, str | int]:
    """Read the attributes of a product's cube, see `open_scene`.

    Of the product are `product`, `platform`, `tile` and `orbit`.

    Raises SceneError if the metadata is damaged, contradicts itself, the product's name or `level`, or does not say
    what the numbers mean.
    """
    root = _parse_metadata(product)
    stated = _read_level(product, root)
    baseline = _find_text(root, "PROCESSING_BASELINE")
    tags = {"level": stated, "datetime": _find_text(root, "PRODUCT_START_TIME"), "processing_baseline": baseline}
    known = {key: text for key, text in tags.items() if text}
    radiometry = _resolve_radiometry(product, root, baseline)
    facts: dict[str, str | int] = dict(collect_attributes(product.name, known, level, radiometry.mode))
    facts |= name_reason(radiometry.mode, radiometry.reason) | {
        "product": product.name,
        "platform": _find_text(root, "SPACECRAFT_NAME"),
        "tile": parse_tile(product.granule) or "",
    }
    orbit = _find_text(root, "SENSING_ORBIT_NUMBER")
    return {key: value for key, value in facts.items() if value} | ({"orbit": int(orbit)} if orbit.isdecimal() else {})


def _parse_metadata(product: Product) -> Element:
    text = read_bytes(product.metadata, LONGEST)
    try:
        return parse_xml(text, max_bytes=LONGEST)
    except ValueError as error:
        raise SceneError(f"{product.metadata.name} of {product.name} cannot be read: {error}.") from error


def _read_level(product: Product, root: Element) -> str:
    """Read the processing level from the metadata.

    Raises SceneError if the metadata's name, or that of the product, states another.
    """
    level = _find_text(root, "PROCESSING_LEVEL").replace("Level-", "L").removesuffix("p")
    named = collect_attributes(product.name, {}, None).get("level", level)
    for where, other in ((f"its file {product.metadata.name}", product.level), ("its name", named)):
        if level != other:
            raise SceneError(
                f"{product.name} is of level {level or 'none'} by its metadata, {other} by {where}; {REMEDY}."
            )
    return level


def _resolve_radiometry(product: Product, root: Element, version: str) -> Decision:
    """Decide dn_harmonized or dn_offset by the list of offsets.

    Raises SceneError where the baseline contradicts the list.
    """
    texts = [text for tag in QUANTIFICATIONS if (text := _find_text(root, tag))]
    scale = 1 / _parse_number(product, QUANTIFICATIONS[0], texts[0] if texts else "")
    offsets = _read_offsets(product, root)
    listed = read_packing_mode(product.name, [(scale, scale * offset) for offset in offsets.values() or (0.0,)], REMEDY)
    signals = {
        "list of offsets" if offsets else "lack of offsets": listed,
        f"baseline {version}": find_baseline_radiometry(version),
        "name": find_baseline_radiometry(parse_baseline(product.name)),
    }
    found = resolve_radiometry(product.name, signals, REMEDY)
    assert found is not None  # the list of offsets, or the lack of one, says so
    return found


def _read_offsets(product: Product, root: Element) -> dict[str, float]:
    """Read the radiometric offset of each band, in digital numbers.

    Empty where none is listed; SceneError where only some are.
    """
    listed = [element for element in root.iter() if element.tag in OFFSETS]
    named = {element.get("band_id", ""): element.text or "" for element in listed}
    found = {
        band: _parse_number(product, f"offset of {band}", named[str(i)])
        for i, band in enumerate(BAND_IDS)
        if str(i) in named
    }
    held = [band for band in BAND_IDS if band in group_by_band(product.images)]
    lacking = [band for band in held if band not in found]
    if listed and lacking:
        raise SceneError(f"{product.name} lists offsets, but none of {', '.join(lacking)}; {REMEDY}.")
    return {band: found[band] for band in held} if listed else {}


def _parse_number(product: Product, what: str, text: str) -> float:
    """Parse a finite number other than 0, or an offset of any size."""
    try:
        number = float(text)
    except ValueError:
        number = nan
    if not isfinite(number) or (number == 0 and what in QUANTIFICATIONS):
        raise SceneError(f"{product.name}: its {what} is {text or 'missing'!r}; needed is a number; {REMEDY}.")
    return number


def _find_text(root: Element, tag: str) -> str:
    """Return the text of the first element with that tag, or ""."""
    return next((element.text or "" for element in root.iter(tag)), "").strip()
