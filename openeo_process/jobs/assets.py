"""List the files of a job's results, in any of the forms that STAC allows."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import openeo

from kappamask.models import JobError
from kappamask.openeo_process.jobs.answers import AnswerError, read_json, resolve_link
from kappamask.openeo_process.results import name_files

__all__ = ["Asset", "Bounds", "find_bounds", "find_day", "find_link", "list_assets"]

Bounds = tuple[float, float, float, float]
"""West, south, east, north."""
FETCHED_BY = ("http", "https")
"""Schemes of addresses that are fetched."""
KEY_DAY = re.compile(r"_(\d{4}-\d\d-\d\d)T[\d:.]+Z_")
"""Of keys such as 5a5b12b6-08f1-4eb6-b226-7d548a5a3231_2025-09-21T00:00:00Z_openEO."""
COMPANIONS = frozenset({"metadata", "thumbnail", "overview", "auxiliary", "provenance"})
"""Roles of assets that accompany data."""


@dataclass(frozen=True)
class Asset:
    """One file of a result."""

    name: str
    href: str
    """Where it is; signed links are secrets and never shown."""
    size: int | None
    """Bytes, where the back-end says."""
    bounds: Bounds | None = None
    """West, south, east, north in the file's own CRS, where the back-end says."""

    @property
    def names(self) -> set[str]:
        """What the file may be called here; see `place_file`."""
        return {self.name, self.name + ".tif"}


def list_assets(connection: openeo.Connection, job_id: str) -> list[Asset]:
    """List the files of a finished job, named after their paths, with links signed again.

    Results of STAC 1.0 and 1.1, an Item or a Collection, are read in the same way; a collection without assets has
    those of its items. Hrefs are resolved against the document they stand in.
    Raises AnswerError for results that are not whole or not understood, and JobError if there are none.
    """
    results, base = read_json(connection, f"/jobs/{job_id}/results")
    _check_whole(results, job_id)
    found = dict(_iter_assets(results, base, job_id)) or dict(_iter_item_assets(connection, results, base, job_id))
    if not found:
        raise JobError(f"Job {job_id} has no result; its log on the back-end, connection.job(…).logs(), may say why.")
    return _name_assets(found)


def _check_whole(results: Mapping[str, Any], job_id: str) -> None:
    """Raise AnswerError for the partial results of a job that has not finished."""
    status = results.get("openeo:status")
    if status not in (None, "finished"):
        raise AnswerError(f"The results of job {job_id} are not whole: its status is {status!r}. Try again later.")


def _iter_assets(document: Mapping[str, Any], base: str, job_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield key and facts of each asset of a document."""
    listed = document.get("assets") or {}
    if not isinstance(listed, dict) or not all(isinstance(one, dict) for one in listed.values()):
        raise AnswerError(f"The results of job {job_id} have assets that are no JSON objects.")
    for key, entry in listed.items():
        if _is_companion(entry) and not _can_fetch(entry, base):
            continue
        yield key, {**entry, "href": find_link(key, entry, base)}


def _iter_item_assets(
    connection: openeo.Connection, results: Mapping[str, Any], base: str, job_id: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the assets of the items that a collection links to."""
    for link in results.get("links") or ():
        if not isinstance(link, Mapping) or link.get("rel") != "item" or not isinstance(link.get("href"), str):
            continue
        item, address = read_json(connection, resolve_link(base, link["href"]))
        for key, entry in _iter_assets(item, address, job_id):
            yield f"{urlsplit(address).path}#{key}", {**_days_of(item), **entry}


def _days_of(item: Mapping[str, Any]) -> dict[str, Any]:
    facts = item.get("properties")
    names = ("datetime", "start_datetime", "end_datetime")
    return {name: facts[name] for name in names if facts.get(name)} if isinstance(facts, Mapping) else {}


def _name_assets(found: Mapping[str, Mapping[str, Any]]) -> list[Asset]:
    links = {key: str(one["href"]) for key, one in found.items()}
    names = name_files(links, {key: find_day(key, one) for key, one in found.items()})
    return [Asset(names[key], links[key], _find_size(one), find_bounds(one)) for key, one in found.items()]


def _find_size(asset: Mapping[str, Any]) -> int | None:
    size = asset.get("file:size")
    return size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None


def _is_companion(asset: Mapping[str, Any]) -> bool:
    roles = asset.get("roles")
    return isinstance(roles, list) and bool(roles) and COMPANIONS.issuperset(map(str, roles))


def _can_fetch(asset: Mapping[str, Any], base: str) -> bool:
    return bool([*_iter_links(asset, base)])


def _iter_links(asset: Mapping[str, Any], base: str) -> Iterator[str]:
    """Yield the addresses of an asset and of its alternates that can be fetched."""
    alternates = asset.get("alternate")
    entries = [asset, *(alternates.values() if isinstance(alternates, dict) else ())]
    for href in (one.get("href") for one in entries if isinstance(one, Mapping)):
        try:
            whole = resolve_link(base, href) if isinstance(href, str) and href.strip() else ""
            if urlsplit(whole).scheme in FETCHED_BY:
                yield whole
        except ValueError:
            continue


def find_link(key: str, asset: Mapping[str, Any], base: str) -> str:
    """Find an asset's address, or that of an alternate, that can be fetched.

    base: address of the document that the asset stands in. Raises AnswerError if there is none.
    """
    found = next(_iter_links(asset, base), None)
    if found is None:
        raise AnswerError(
            f"The back-end gives no https address for the result {key!r}; needed is an href. See what it answers with "
            "connection.job(…).get_results().get_metadata()."
        )
    return found


def find_day(key: str, asset: Mapping[str, Any]) -> str | None:
    """Read the day of an asset, such as 2025-09-21, or None.

    It is in the asset, in UTC, or in its key in results of STAC 1.1. A period of more than a day tells none.
    """
    stated, end = asset.get("datetime") or asset.get("start_datetime"), asset.get("end_datetime")
    if not isinstance(stated, str):
        found = KEY_DAY.search(key)
        return found[1] if found else None
    first, last = (_read_time(text) if isinstance(text, str) else None for text in (stated, end))
    long = not asset.get("datetime") and first and last and last - first > timedelta(days=1)
    return None if first is None or long else first.date().isoformat()


def _read_time(text: str) -> datetime | None:
    """Read a time in UTC, which it is where no zone is given."""
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


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
