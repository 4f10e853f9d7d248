"""Read where assets of results lie and what they cover, in STAC 1.0 and 1.1."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from kappamask.models import JobError

__all__ = ["find_bounds", "find_day", "find_link"]

Bounds = tuple[float, float, float, float]
"""West, south, east, north."""
FETCHED_BY = ("http", "https", "")
"""Schemes of addresses that are fetched; none where it is relative to the back-end's."""

DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?=T|$)")
KEY_DAY = re.compile(r"_(\d{4}-\d\d-\d\d)T[\d:.]+Z_")
"""Of keys such as 5a5b12b6-08f1-4eb6-b226-7d548a5a3231_2025-09-21T00:00:00Z_openEO."""


def find_link(key: str, asset: Mapping[str, Any]) -> str:
    """Find an asset's address, or that of an alternate, that can be fetched.

    Raises JobError if there is none.
    """
    alternates = asset.get("alternate")
    entries = [asset, *(alternates.values() if isinstance(alternates, dict) else ())]
    found = [one.get("href") for one in entries if isinstance(one, Mapping)]
    try:
        return next(href for href in found if isinstance(href, str) and href and urlsplit(href).scheme in FETCHED_BY)
    except (StopIteration, ValueError):
        raise JobError(
            f"The back-end gives no https address for the result {key!r}; needed is an href. See what it answers with "
            "connection.job(…).get_results().get_metadata()."
        ) from None


def find_day(key: str, asset: Mapping[str, Any]) -> str | None:
    """Read the day of an asset, such as 2025-09-21, or None.

    It is in the asset, or in its key in results of STAC 1.1.
    """
    stated = asset.get("datetime") or asset.get("start_datetime")
    found = DAY.match(stated) if isinstance(stated, str) else KEY_DAY.search(key)
    return found[1] if found else None


def find_bounds(asset: Mapping[str, Any]) -> Bounds | None:
    """Read what an asset covers in its own CRS, where it says.

    By `proj:bbox`, or else by `proj:transform` and `proj:shape`.
    """
    match asset.get("proj:bbox"):
        case [int() | float() as west, int() | float() as south, int() | float() as east, int() | float() as north]:
            return west, south, east, north
    match asset.get("proj:transform"), asset.get("proj:shape"):
        case [
            [int() | float() as right, 0 | 0.0, int() | float() as west, 0 | 0.0, int() | float() as down,
             int() | float() as north, *_],
            [int() as height, int() as width],
        ]:  # fmt: skip
            return west, north + down * height, west + right * width, north
    return None
