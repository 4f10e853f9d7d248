"""What a Sentinel-2 product says of itself in MTD_MSIL1C.xml or MTD_MSIL2A.xml."""

from math import isfinite, nan
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from kappamask.models import SceneError
from kappamask.scenes.layers import files_by_band
from kappamask.scenes.metadata import attributes, packing
from kappamask.scenes.names import baseline, tile
from kappamask.scenes.providers import by_baseline, settled
from kappamask.scenes.safe_files import Product
from kappamask.scenes.zipped import read_bytes

__all__ = ["facts"]

LONGEST: Final = 2**24
"""Bytes of metadata that are read: those of a tile are some 60 KB, of a product of 15 tiles 300 KB."""
BAND_IDS: Final = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""What `band_id` 0 to 12 means (Products Specification Document, Spectral_Information)."""
OFFSETS: Final = ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET")
"""Of Level-1C and Level-2A, digital numbers, by `band_id`; in products since baseline 04.00 and in none before."""
QUANTIFICATIONS: Final = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")
"""Digital numbers per unit of reflectance: Level-1C, Level-2A, and Level-2A before baseline 02.07."""
REMEDY: Final = (
    "get the product anew, or, if you know what its numbers mean, open the folder of its images (IMG_DATA, of Level-2A "
    "IMG_DATA/R10m) and say radiometry=…"
)


def facts(product: Product, level: str | None) -> dict[str, str | int]:
    """The attributes of a product's cube, as `open_scene` says: also `product`, `platform`, `tile` and `orbit`.

    Raises SceneError if the metadata is damaged, contradicts itself, the product's name or `level`, or does not say
    what the numbers mean.
    """
    root = _parsed(product)
    grade = _level(product, root)
    version = _text(root, "PROCESSING_BASELINE")
    tags = {"level": grade, "datetime": _text(root, "PRODUCT_START_TIME"), "processing_baseline": version}
    known = {key: text for key, text in tags.items() if text}
    told: dict[str, str | int] = dict(attributes(product.name, known, level, _radiometry(product, root, version)))
    told |= {"product": product.name, "platform": _text(root, "SPACECRAFT_NAME"), "tile": tile(product.granule) or ""}
    orbit = _text(root, "SENSING_ORBIT_NUMBER")
    return {key: value for key, value in told.items() if value} | ({"orbit": int(orbit)} if orbit.isdecimal() else {})


def _parsed(product: Product) -> Element:
    text = read_bytes(product.metadata, LONGEST)
    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        harmful = isinstance(error, DefusedXmlException)
        reason = "it defines entities, which a product does not" if harmful else error
        raise SceneError(f"{product.metadata.name} of {product.name} cannot be read: {reason}.") from error
    return root


def _level(product: Product, root: Element) -> str:
    """As the metadata tells it; SceneError if its name, or that of the product, tells another."""
    told = _text(root, "PROCESSING_LEVEL").replace("Level-", "L").removesuffix("p")
    named = attributes(product.name, {}, None).get("level", told)
    for where, other in ((f"its file {product.metadata.name}", product.level), ("its name", named)):
        if told != other:
            raise SceneError(
                f"{product.name} is of level {told or 'none'} by its metadata, {other} by {where}; {REMEDY}."
            )
    return told


def _radiometry(product: Product, root: Element, version: str) -> str | None:
    """dn_harmonized or dn_offset, by the offsets that are listed; SceneError where a baseline denies that."""
    texts = [text for tag in QUANTIFICATIONS if (text := _text(root, tag))]
    scale = 1 / _number(product, QUANTIFICATIONS[0], texts[0] if texts else "")
    offsets = _offsets(product, root)
    listed = packing(product.name, [(scale, scale * offset) for offset in offsets.values() or (0.0,)], REMEDY)
    signals = {
        "list of offsets" if offsets else "lack of offsets": listed,
        f"baseline {version}": by_baseline(version),
        "name": by_baseline(baseline(product.name)),
    }
    return settled(product.name, signals, REMEDY)


def _offsets(product: Product, root: Element) -> dict[str, float]:
    """Digital numbers by band of the product; empty where none is listed, SceneError where some are."""
    listed = [element for element in root.iter() if element.tag in OFFSETS]
    named = {element.get("band_id", ""): element.text or "" for element in listed}
    found = {
        band: _number(product, f"offset of {band}", named[str(i)]) for i, band in enumerate(BAND_IDS) if str(i) in named
    }
    held = [band for band in BAND_IDS if band in files_by_band(product.images)]
    lacking = [band for band in held if band not in found]
    if listed and lacking:
        raise SceneError(f"{product.name} lists offsets, but none of {', '.join(lacking)}; {REMEDY}.")
    return {band: found[band] for band in held} if listed else {}


def _number(product: Product, what: str, text: str) -> float:
    """A finite number other than 0, or an offset of any size."""
    try:
        number = float(text)
    except ValueError:
        number = nan
    if not isfinite(number) or (number == 0 and what in QUANTIFICATIONS):
        raise SceneError(f"{product.name}: its {what} is {text or 'missing'!r}; needed is a number; {REMEDY}.")
    return number


def _text(root: Element, tag: str) -> str:
    """Of the first element of that tag, wherever it is; empty if there is none."""
    return next((element.text or "" for element in root.iter(tag)), "").strip()
