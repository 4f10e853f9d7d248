"""Parse band names as files spell them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.models.band_names import are_numbered, band_name, band_names
from kappamask.models.hints import option

__all__ = [
    "are_numbered",
    "band_name",
    "band_names",
    "check_list",
    "choose_bands",
    "normalise",
    "parse_baseline",
    "parse_tile",
    "product_facts",
    "require_all_bands",
]

_TILE = re.compile(r"(?<![A-Z0-9])T(\d\d[A-Z]{3})(?![A-Z0-9])")
_BASELINE = re.compile(r"(?<![A-Z0-9])N(\d\d)(\d\d)(?![A-Z0-9])")
_PLATFORM = re.compile(r"(?<![A-Z0-9])S(2[A-D])_")
_ORBIT = re.compile(r"(?<![A-Z0-9])R(\d{3})(?![A-Z0-9])")
LACKING = {"L1C": ("AOT", "WVP"), "L2A": ("B10",)}
"""Bands that a whole product of a level does not have."""


def parse_tile(text: str) -> str | None:
    """Find the MGRS tile in a name, or None ("T32TQM_20210527T102021_B02.jp2": 32TQM)."""
    found = _TILE.search(text.upper())
    return found[1] if found else None


def parse_baseline(text: str) -> str | None:
    """Find the processing baseline in a product's name, or None ("S2A_MSIL1C_…_N0511_R065_…": 05.11)."""
    found = _BASELINE.search(text.upper())
    return f"{found[1]}.{found[2]}" if found else None


def product_facts(name: str) -> dict[str, str | int]:
    """Return `product`, and the `platform`, `tile` and relative `orbit` that its name states.

    S2A_MSIL1C_20210527T102021_N0300_R065_T32TQM_20210527T123456: Sentinel-2A, 32TQM, 65.
    """
    upper = name.upper()
    platform, orbit, place = _PLATFORM.search(upper), _ORBIT.search(upper), parse_tile(name)
    found: dict[str, str | int] = {"product": name}
    found |= {"platform": f"Sentinel-{platform[1]}"} if platform else {}
    found |= {"tile": place} if place else {}
    return found | ({"orbit": int(orbit[1])} if orbit else {})


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
    names = normalise(wanted)
    missing = [band for band in names if band not in have]
    if missing:
        raise SceneError(f"Scene {scene} lacks {', '.join(missing)}; it has {', '.join(have)}.")
    return names


def check_list(wanted: Any) -> None:
    """Raise SceneError for one text, which would be read letter by letter."""
    if isinstance(wanted, str):
        raise SceneError(f"bands is {wanted!r}; needed is a list of names, such as {option('bands', ['B02', '…'])}.")


def normalise(wanted: Iterable[str]) -> list[str]:
    """Return labels as this project writes them.

    Raises SceneError for a word that is no Sentinel-2 band, and for one text in place of a list.
    """
    check_list(wanted)
    given = list(wanted)
    names = [band_name(word) for word in given]
    unknown = [word for word, name in zip(given, names, strict=True) if name is None]
    if unknown or not given:
        raise SceneError(f"No band {', '.join(unknown) or 'given'}: known are {', '.join(SENTINEL2_BANDS)}.")
    return [name for name in names if name]
