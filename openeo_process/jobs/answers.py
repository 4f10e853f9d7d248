"""Read what back-ends say of jobs: status, costs, listings and logs.

Back-ends differ; what cannot be understood is an error that leaves the job as it is, never a guess.
"""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import openeo
import requests

from kappamask.files.urls import redact
from kappamask.models import JobError

__all__ = ["AnswerError", "list_entries", "read_costs", "read_errors", "read_json", "read_status", "resolve_link"]

STATUSES: Final = ("created", "queued", "running", "canceled", "finished", "error")
"""Of a batch job in the openEO API 1.x."""
SPELLINGS: Final = {"cancelled": "canceled"}
MOST_PAGES: Final = 1000
"""Of one listing; a back-end that sends more sends the same for ever."""
MISSING: Final = "federation:missing"
"""Members of a federation that did not answer, whose entries a listing lacks."""


class AnswerError(JobError):
    """An answer cannot be understood; its job may be all right."""


def read_json(connection: openeo.Connection, path: str, **query: Any) -> tuple[dict[str, Any], str]:
    """Request a JSON object, and return it with the address that it came from.

    Raises AnswerError for an answer that is no object, or that is not there yet, and what openEO's client raises.
    """
    response = connection.get(path, params=query or None)
    found = response.json() if response.status_code == requests.codes.ok else None
    if not isinstance(found, dict):
        raise AnswerError(
            f"{redact(str(response.url))} answers HTTP {response.status_code} with {_describe(response, found)}; "
            "needed is a JSON object."
        )
    return found, str(response.url)


def resolve_link(base: str, href: str) -> str:
    """Return the address that `href` means in the document at `base` (RFC 3986)."""
    return href if urlsplit(href).scheme else urljoin(base, href)


def read_status(job: Any) -> str:
    """Return the status of a job, in openEO's words.

    Raises AnswerError for another word or none: whether the job is at an end is then not known.
    """
    facts = job if isinstance(job, Mapping) else {}
    stated = facts.get("status")
    word = stated.strip().lower() if isinstance(stated, str) else ""
    word = SPELLINGS.get(word, word)
    if word not in STATUSES:
        raise AnswerError(
            f"The back-end says that the status of job {facts.get('id', '')} is {stated!r}; known are "
            f"{', '.join(STATUSES)}. See the job in the back-end's own editor; nothing is created or paid again."
        )
    return word


def read_costs(job: Mapping[str, Any]) -> float | None:
    """Return the credits that a job cost, or None if no number is given."""
    costs = job.get("costs")
    known = isinstance(costs, int | float) and not isinstance(costs, bool) and isfinite(costs) and costs >= 0
    return costs if known else None


def list_entries(
    connection: openeo.Connection, path: str, name: str, **query: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    """List the objects under `name` on all pages of a listing.

    Also the members of a federation whose entries are missing.
    Raises AnswerError for a page that is none, and what openEO's client raises.
    """
    found: list[dict[str, Any]] = []
    missing: list[str] = []
    for page in _iter_pages(connection, path, query):
        entries = page.get(name)
        if not isinstance(entries, list):
            raise AnswerError(f"The back-end's answer to {redact(path)} has no list {name!r}.")
        found += [one for one in entries if isinstance(one, dict)]
        missing += map(str, page.get(MISSING) or ())
    return found, missing


def _iter_pages(connection: openeo.Connection, path: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    page, base = read_json(connection, path, **query)
    yield page
    seen = {base}
    while (following := _find_next(page, base)) is not None:
        if following in seen or len(seen) == MOST_PAGES:
            raise AnswerError(f"The back-end's answer to {redact(path)} has no last page.")
        seen.add(following)
        page, base = read_json(connection, following)
        yield page


def _find_next(page: Mapping[str, Any], base: str) -> str | None:
    """Find the address of the page after this one."""
    for link in page.get("links") or ():
        if isinstance(link, Mapping) and link.get("rel") == "next" and isinstance(link.get("href"), str):
            return resolve_link(base, link["href"])
    return None


def read_errors(connection: openeo.Connection, job_id: str) -> list[str]:
    """Read the errors of a job's log, the last one last.

    Entries without a level count, as some back-ends state none. Raises as `list_entries` does.
    """
    entries, _ = list_entries(connection, f"/jobs/{job_id}/logs", "logs", level="error")
    errors = [one for one in entries if str(one.get("level") or "error").lower() in ("error", "critical", "fatal")]
    return [text for one in errors if (text := _read_message(one.get("message")))]


def _read_message(message: Any) -> str:
    return message.strip() if isinstance(message, str) else "" if message is None else str(message)


def _describe(response: requests.Response, found: Any) -> str:
    return type(found).__name__ if response.status_code == requests.codes.ok else "no document"
