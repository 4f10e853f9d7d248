"""Find the Sentinel-2 bands that names mean, and check a choice of bands."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from kappamask.models.card import SENTINEL2_BANDS
from kappamask.models.errors import SceneError
from kappamask.models.hints import option

__all__ = [
    "COMMON_NAMES",
    "are_numbered",
    "check_band_list",
    "choose_bands",
    "choose_labels",
    "explain_unclear",
    "find_band",
    "find_bands",
    "find_labels",
    "has_number",
    "list_numbered",
    "normalise_bands",
    "require_all_bands",
]

COMMON_NAMES = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06",
    "rededge3": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09", "cirrus": "B10", "swir16": "B11", "swir22": "B12",
    "rededge071": "B05", "rededge075": "B06", "rededge078": "B07",
}  # fmt: skip
"""Asset keys of Earth Search, and common names of the STAC extension eo (1 and 2) that mean one band of Sentinel-2; its
plain `rededge` means three of them, and is left to the band's name."""
OTHER_NAMES = {
    "coastalaerosol": "B01", "rededge4": "B8A", "narrownir": "B8A", "nirnarrow": "B8A", "swir1": "B11",
}  # fmt: skip
"""Names in other archives (Earth Engine, Digital Earth Africa) that mean one band, in lower case without separators."""
_UNCLEAR = re.compile(r"(?:swir|v?nir|(?:vegetation)?rededge)\d{0,4}(?:nm)?")
"""What may be any of several bands, in lower case without separators: swir2 is B12 next to swir1, and B11 next to swir3
(Digital Earth Australia)."""
_BAND = re.compile(r"(?<![A-Z0-9])(?:B0?([1-9]|1[0-2]|8A)|(AOT|WVP))(?![A-Z0-9])")
_NUMBER = re.compile(r"(?:^|[^A-Z0-9])(?:B|BAND|LAYER)?[ _-]?(0|[1-9]\d*)$")
"""How programs that know no names number layers: 1, b1, band_1, Band 1, image_b1, SR_B1."""
_COUNTER = re.compile(r"(?<![A-Z0-9])B(?:AND)?[ _-]?([1-9]\d?)(?![A-Z0-9])")
"""The same within a text: b1_median, B1 (uint16)."""
_SURE = re.compile(r"(?<![A-Z0-9])(?:B0[1-9]|B8A)(?![A-Z0-9])")
"""Names of bands that no program gives by counting."""
_ABOUT = re.compile(
    r"(?<![A-Z0-9])(?:MASK|MSK|STD|STDEV|STDDEV|VARIANCE|UNCERTAINTY|SIGMA|COUNT|QA|QUALITY|QUALIT|DETFOO|FLAGS?"
    r"|AZIMUTH|ZENITH|ANGLES?|SZA|SAA|VZA|VAA|RAA)(?![A-Z0-9])"
)
"""Words of layers that tell something about a band, and hold no reflectance: B02_std, MSK_DETFOO_B02."""
_METRES = re.compile(r"(?<!\d)(10|20|60) ?m$", re.IGNORECASE)
"""End of a label that tells the pixel's size, as in TOC-B02_10M."""
_OTHER_SENSOR = re.compile(r"(?:^|[^A-Z0-9])(?:SR_B|SUR_REFL_B|NADIR_REFLECTANCE_BAND)\d+(?![A-Z0-9])")
"""Layers of Landsat and MODIS, whose numbers are those of other bands."""

LACKING = {"L1C": ("AOT", "WVP"), "L2A": ("B10",)}
"""Bands that a whole product of a level does not have."""


def find_band(text: str | None) -> str | None:
    """Find the one Sentinel-2 band that `text` names ("B2", "b02", "T32TQM_20210527T102021_B02_10m"), else None.

    Common names (`COMMON_NAMES`, `OTHER_NAMES`) name one too, however written ("Red Edge 1"). The answer is one
    of `kappamask.models.SENTINEL2_BANDS`. Two different bands in one text name none, and neither does a layer about a
    band ("B02_mask", "MSK_DETFOO_B02").
    """
    word = _squeeze(text)
    if common := COMMON_NAMES.get(word) or OTHER_NAMES.get(word):
        return common
    upper = (text or "").upper()
    found = {auxiliary or f"B{digits:0>2}" for digits, auxiliary in _BAND.findall(upper)}
    return found.pop() if len(found) == 1 and not _ABOUT.search(upper) else None


def find_bands(texts: Sequence[str | None]) -> list[str | None]:
    """Give the band that each text names; all None if they only count.

    Names of short-wave bands are read with the names next to them.
    """
    if are_numbered(texts):
        return [None] * len(texts)
    words = [_squeeze(text) for text in texts]
    by_others = {"swir2": "B12"} if "swir1" in words else {"swir2": "B11", "swir3": "B12"} if "swir3" in words else {}
    return [find_band(text) or by_others.get(word) for text, word in zip(texts, words, strict=True)]


def explain_unclear(texts: Sequence[str | None]) -> str:
    """Say which labels may mean several bands, and what to do; "" if none may.

    They are swir, rededge, "NIR 2" and the like.
    """
    named = zip(texts, find_bands(texts), strict=True)
    unclear = [str(text) for text, name in named if name is None and _UNCLEAR.fullmatch(_squeeze(text))]
    if not unclear:
        return ""
    return (
        f"{', '.join(unclear)} may be one of several bands: rename what they are (B05 to B07 for the red edge, B08 or "
        "B8A for the near infrared, B11 or B12 for the short-wave infrared), or name those to use with "
        f"{option('bands', ['B02', '…'])}."
    )


def _squeeze(text: str | None) -> str:
    """Return `text` in lower case, without separators."""
    return re.sub(r"[\s_-]+", "", (text or "").lower())


def find_labels(offered: Sequence[str]) -> dict[str, str]:
    """Find the label of each Sentinel-2 band among those of a collection.

    {"B02": "TOC-B02_10M"}; the UDF understands the same labels. Of several labels for a band the band's own name is
    taken, else the one with the smallest pixels, else the first.
    """
    found: dict[str, str] = {}
    for band, label in sorted(zip(find_bands(offered), offered, strict=True), key=lambda pair: _rank_label(*pair)):
        if band:
            found.setdefault(band, label)
    return found


def choose_labels(wanted: Sequence[str], offered: Sequence[str]) -> list[str | None]:
    """Give the label in `offered` of each wanted band or label, or None."""
    labels = find_labels(offered)
    return [band if band in offered else labels.get(find_band(band) or "") for band in wanted]


def _rank_label(band: str | None, label: str) -> tuple[bool, int]:
    metres = _METRES.search(label)
    return label != band, int(metres[1]) if metres else 0


def has_number(text: str) -> bool:
    """Tell whether `text` is a number that a program gave to a layer (b1, band_12)."""
    return bool(_NUMBER.search(text.strip().upper()))


def are_numbered(texts: Sequence[str | None]) -> bool:
    """Tell whether the texts of a scene's layers only count them.

    b1, b2, b3 are three layers of any scene, so they name no band, also with other layers next to them (b1, b2, b3,
    cloud) or more text (b1_median); B02 does, and so do B2, B3, B4. All bands of a product have B8A among them. SR_B1
    and sur_refl_b01 are bands of other satellites.
    """
    upper = [(text or "").strip().upper() for text in texts]
    if any(map(_OTHER_SENSOR.search, upper)):
        return True
    found = [number for text in upper if (number := _find_number(text)) is not None]
    counted = bool(found) and sorted(found) == [*range(min(found), min(found) + len(found))] and min(found) <= 1
    if not counted or len(found) == len(upper):
        return counted
    is_named = any(_SURE.search(text) or text.lower() in COMMON_NAMES for text in upper)
    return len(found) > 1 and not is_named


def list_numbered(texts: Sequence[str | None]) -> list[int]:
    """List the places, from 0, of the layers that need names.

    They are all where the texts do not only count them.
    """
    found = [place for place, text in enumerate(texts) if _find_number((text or "").strip().upper()) is not None]
    return found if are_numbered(texts) else [*range(len(texts))]


def _find_number(text: str) -> int | None:
    match = _COUNTER.search(text) or _NUMBER.search(text)
    return int(match[1]) if match else None


def require_all_bands(product: str, have: Sequence[str], level: str | None) -> list[str]:
    """Return `have`, or raise SceneError if it lacks a band of the product's level."""
    lacking = LACKING.get(level or "", SENTINEL2_BANDS)
    missing = [band for band in SENTINEL2_BANDS if band not in have and band not in lacking]
    if missing:
        raise SceneError(
            f"{product} lacks {', '.join(missing)}; get it again, or name the bands to use with "
            f"{option('bands', ['B02', '…'])}."
        )
    return list(have)


def choose_bands(scene: str, have: Sequence[str], wanted: Iterable[str] | None) -> list[str]:
    """Choose the labels to read, in order: `wanted` if given, else all.

    Raises SceneError if the scene names a band twice, or lacks one that is wanted.
    """
    twice = [band for band, times in Counter(have).items() if times > 1]
    if twice:
        raise SceneError(f"Scene {scene} names {', '.join(twice)} more than once; every band needs its own name.")
    if wanted is None:
        return list(have)
    names = normalise_bands(wanted)
    missing = [band for band in names if band not in have]
    if missing:
        raise SceneError(f"Scene {scene} lacks {', '.join(missing)}; it has {', '.join(have)}.")
    return names


def check_band_list(wanted: Any) -> None:
    """Raise SceneError for one text, which would be read letter by letter."""
    if isinstance(wanted, str):
        raise SceneError(f"bands is {wanted!r}; needed is a list of names, such as {option('bands', ['B02', '…'])}.")


def normalise_bands(wanted: Iterable[str]) -> list[str]:
    """Return labels as this project writes them.

    Raises SceneError for a word that is no Sentinel-2 band, and for one text in place of a list.
    """
    check_band_list(wanted)
    given = list(wanted)
    names = [find_band(word) for word in given]
    unknown = [word for word, name in zip(given, names, strict=True) if name is None]
    if unknown or not given:
        raise SceneError(f"No band {', '.join(unknown) or 'given'}: known are {', '.join(SENTINEL2_BANDS)}.")
    return [name for name in names if name]
