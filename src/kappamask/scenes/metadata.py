"""What a scene says about itself: processing level, date, meaning of its numbers."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from kappamask.models import LEVELS, SceneError, parse_level
from kappamask.udf.radiometry_metadata import (
    MODES,
    RADIOMETRY_REASON,
    RADIOMETRY_SOURCE,
    Decision,
    read_radiometry,
)

__all__ = [
    "collect_attributes",
    "find_baseline_radiometry",
    "name_reason",
    "name_source",
    "parse_baseline",
    "parse_product_name",
    "parse_sensing_time",
    "parse_tile",
    "read_packing_mode",
    "resolve_radiometry",
]

PACKINGS: dict[tuple[float, float], str] = {pair: mode for mode, pair in MODES.items() if mode != "reflectance"}
"""(scale, offset) to reflectance -> name of the radiometry."""
CARRIED = ("radiometry", "collection", "processing_baseline")
"""Tags that `kappamask.udf` understands and that pass through as they are."""

_LEVEL = re.compile(r"(?<![A-Z0-9])(?:MSI)?(L1C|L2A)(?![A-Z0-9])")
_DATE = re.compile(r"(?<!\d)(20\d\d)-?(\d\d)-?(\d\d)(?:[T_ ]?(\d\d):?(\d\d):?(\d\d))?(?!\d)")
_TILE = re.compile(r"(?<![A-Z0-9])T(\d\d[A-Z]{3})(?![A-Z0-9])")
_BASELINE = re.compile(r"(?<![A-Z0-9])N(\d\d)(\d\d)(?![A-Z0-9])")
_PLATFORM = re.compile(r"(?<![A-Z0-9])S(2[A-D])_")
_ORBIT = re.compile(r"(?<![A-Z0-9])R(\d{3})(?![A-Z0-9])")
_TIFF_DATE = "%Y:%m:%d %H:%M:%S"


def collect_attributes(
    name: str, tags: Mapping[str, Any], level: str | None, packed: str | None = None
) -> dict[str, str]:
    """Collect `level`, `datetime` (ISO 8601, UTC) and what `CARRIED` lists, where they are known.

    `packed` is the radiometry that the bands' scale and offset speak for, as `read_packing_mode` reads it.

    A tag goes before the name of the file; of the dates in a name the first counts, which in Sentinel-2 products
    is the sensing time. TIFFTAG_DATETIME comes last, because many programs put the time of writing there.
    Raises SceneError if `level` is unknown, if it or `packed` contradicts a tag, or if a tag cannot be understood.
    """
    low = {str(key).lower(): value for key, value in tags.items()}
    found = {key: str(low[key]) for key in CARRIED if key in low}
    if packed and found.setdefault("radiometry", packed) != packed:
        raise SceneError(
            f"Scene {name} has the radiometry tag '{found['radiometry']}', its scale and offset say {packed}."
        )
    found |= {"level": _find_level(name, low.get("level"), level) or "", "datetime": _find_datetime(name, low) or ""}
    return {key: value for key, value in found.items() if value}


def name_source(radiometry: str | None, source: str = "scale and offset") -> dict[str, str]:
    """Make the attributes that say why the radiometry is this one.

    The pixels may raise a doubt about such a statement, which they do not about one that somebody made.
    """
    return name_reason(radiometry, source) | ({RADIOMETRY_SOURCE: source} if radiometry == "dn_harmonized" else {})


def name_reason(radiometry: str | None, reason: str) -> dict[str, str]:
    """Make the attribute that says why the numbers are read so; {} without a radiometry."""
    return {RADIOMETRY_REASON: f"{radiometry}: {reason}"} if radiometry else {}


def _find_level(name: str, tag: Any, asked: str | None) -> str | None:
    asked, said = parse_level(asked), parse_level(str(tag)) if tag else None
    if asked is not None and asked not in LEVELS:
        raise SceneError(f"No level '{asked}': known are {', '.join(LEVELS)}.")
    if said and said not in LEVELS:
        raise SceneError(f"Scene {name} has the level tag '{tag}'; needed is L1C or L2A.")
    if said and asked and said != asked:
        raise SceneError(f"Scene {name} says that it is {said}, not {asked}: leave the level out, or mend its tag.")
    in_name = _LEVEL.search(name.upper())
    return asked or said or (in_name[1] if in_name else None)


def _find_datetime(name: str, tags: Mapping[str, Any]) -> str | None:
    if tags.get("datetime"):
        return _parse_iso(name, str(tags["datetime"]))
    return parse_sensing_time(name) or _parse_tiff_date(str(tags.get("tifftag_datetime", "")))


def parse_sensing_time(name: str) -> str | None:
    """Find the first date in a name, as ISO 8601 in UTC.

    In names of Sentinel-2 products and their bands that is the sensing time.
    """
    dates = (_make_date(match.groups()) for match in _DATE.finditer(name))
    return next((date for date in dates if date), None)


def _parse_iso(name: str, text: str) -> str:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        needed = "needed is ISO 8601, such as 2021-05-27T10:20:21Z"
        raise SceneError(f"Scene {name} has the datetime tag '{text}'; {needed}.") from None
    return _format_utc(when)


def _make_date(parts: Iterable[str | None]) -> str | None:
    year, month, day, hour, minute, second = (int(part or 0) for part in parts)
    try:
        return _format_utc(datetime(year, month, day, hour, minute, second))
    except ValueError:
        return None


def _parse_tiff_date(text: str) -> str | None:
    try:
        return _format_utc(datetime.strptime(text, _TIFF_DATE))
    except ValueError:
        return None


def _format_utc(when: datetime) -> str:
    """Format a time as UTC, which times without a zone are."""
    aware = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return aware.isoformat().replace("+00:00", "Z")


def read_packing_mode(
    name: str, pairs: Iterable[tuple[float, float]], remedy: str = "store digital numbers or reflectance"
) -> str | None:
    """Return the radiometry that the bands' (scale, offset) declare.

    None where all are (1, 0), which declares nothing.
    Raises SceneError if bands differ, or if the pair is none of `PACKINGS`: numbers are handed on as stored, and
    later steps cannot find out what they mean.
    """
    distinct = set(pairs)
    if distinct <= {(1.0, 0.0)}:
        return None
    known = [word for pair, word in PACKINGS.items() if all(np.allclose(pair, one) for one in distinct)]
    if not known:
        listed = "; ".join(f"scale {scale:g}, offset {offset:g}" for scale, offset in sorted(distinct))
        raise SceneError(
            f"Scene {name} declares {listed}; known are scale 0.0001 with offset 0 or -0.1, the same for all bands; "
            f"{remedy}."
        )
    return known[0]


def resolve_radiometry(name: str, signals: Mapping[str, str | None], remedy: str) -> Decision | None:
    """Return the radiometry that all signals agree on, and their names; None without signals.

    Raises SceneError, naming both, where they differ.
    `remedy`: how to say which, for the error.
    """
    answers = {signal: mode for signal, mode in signals.items() if mode}
    if not answers:
        return None
    mode, *others = set(answers.values())
    if others:
        listed = ", ".join(f"{mode} by its {signal}" for signal, mode in answers.items())
        raise SceneError(f"{name} contradicts itself: its numbers are {listed}; {remedy}.")
    return Decision(mode, f"by its {', '.join(answers)}")


def find_baseline_radiometry(baseline: Any) -> str | None:
    """Return the radiometry that ESA uses at this processing baseline, such as "05.11".

    None where that is not known.
    """
    found = read_radiometry({"processing_baseline": baseline}, {})
    return found.mode if found else None


def parse_tile(text: str) -> str | None:
    """Find the MGRS tile in a name, or None ("T32TQM_20210527T102021_B02.jp2": 32TQM)."""
    found = _TILE.search(text.upper())
    return found[1] if found else None


def parse_baseline(text: str) -> str | None:
    """Find the processing baseline in a product's name, or None ("S2A_MSIL1C_…_N0511_R065_…": 05.11)."""
    found = _BASELINE.search(text.upper())
    return f"{found[1]}.{found[2]}" if found else None


def parse_product_name(name: str) -> dict[str, str | int]:
    """Return `product`, and the `platform`, `tile` and relative `orbit` that its name states.

    S2A_MSIL1C_20210527T102021_N0300_R065_T32TQM_20210527T123456: Sentinel-2A, 32TQM, 65.
    """
    upper = name.upper()
    platform, orbit, place = _PLATFORM.search(upper), _ORBIT.search(upper), parse_tile(name)
    found: dict[str, str | int] = {"product": name}
    found |= {"platform": f"Sentinel-{platform[1]}"} if platform else {}
    found |= {"tile": place} if place else {}
    return found | ({"orbit": int(orbit[1])} if orbit else {})
