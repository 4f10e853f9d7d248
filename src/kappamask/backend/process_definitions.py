"""Process definitions that users store, or give by URL."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from openeo_driver import processgraph
from openeo_driver.backend import UserDefinedProcesses, UserDefinedProcessMetadata
from openeo_driver.errors import OpenEOApiException, ProcessGraphNotFoundException

from kappamask.files.atomic import atomic_write
from kappamask.files.untrusted import parse_json
from kappamask.files.urls import LOCALHOST, LOOPBACK, open_loopback

__all__ = ["StoredProcesses", "check_namespaces", "keep_to_this_machine"]

INVALID: Final = "ProcessNamespaceInvalid"
"""openEO's code of the error."""
_ID = re.compile(r"\w+")
"""Names of processes, as the openEO API has them; others could be paths that leave the folder."""


def check_namespaces(graph: Any) -> None:
    """Refuse a graph whose process definitions lie on another machine.

    Raises openEO's ProcessNamespaceInvalid (400): this back-end fetches nothing from outside.
    """
    for node in graph.values() if isinstance(graph, dict) else []:
        _check(node.get("namespace") if isinstance(node, dict) else None)


def keep_to_this_machine() -> None:
    """Make openeo-driver fetch process definitions from this machine only.

    It fetches them where a job is created, in the dry run and in evaluation, also those that stored and fetched
    definitions name in turn, all with `requests.get` in one module, and has no hook for it.
    """
    processgraph.requests = SimpleNamespace(get=_get_url)


def _get_url(url: str) -> requests.Response:
    _check(url)
    with open_loopback(url) as response:
        response.content  # noqa: B018  read as long as there is a connection
        return response


def _check(namespace: Any) -> None:
    try:
        parts = urlsplit(str(namespace or ""))
    except ValueError as error:
        raise OpenEOApiException(f"{namespace} is no URL: {error}.", code=INVALID, status_code=400) from error
    if parts.scheme and parts.hostname not in LOOPBACK:
        raise OpenEOApiException(
            f"The process definition {namespace} is on another machine; serve it on http://{LOCALHOST}.",
            code=INVALID, status_code=400,
        )  # fmt: skip


class StoredProcesses(UserDefinedProcesses):  # type: ignore[misc]
    """Store user-defined processes, one JSON file each; bad names are InvalidId errors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _make_path(self, user_id: str, process_id: str) -> Path:
        if not _ID.fullmatch(str(process_id)):
            raise OpenEOApiException(
                f"The process id {process_id!r} is not made of letters, digits and underscores alone.",
                code="InvalidId", status_code=400,
            )  # fmt: skip
        return self._folder / user_id.encode().hex() / f"{process_id}.json"

    def get(self, user_id: str, process_id: str) -> UserDefinedProcessMetadata | None:
        """Return a process, or None."""
        path = self._make_path(user_id, process_id)
        return (
            UserDefinedProcessMetadata.from_dict(parse_json(path.read_bytes(), allow_nan=True))
            if path.is_file()
            else None
        )

    def get_for_user(self, user_id: str) -> list[UserDefinedProcessMetadata]:
        """List all processes of a user."""
        paths = sorted(self._make_path(user_id, "_").parent.glob("*.json"))
        return [UserDefinedProcessMetadata.from_dict(parse_json(path.read_bytes(), allow_nan=True)) for path in paths]

    def save(self, user_id: str, process_id: str, spec: dict[str, Any]) -> None:
        """Store or replace a process; one with definitions from another machine is refused."""
        check_namespaces(spec.get("process_graph"))
        path = self._make_path(user_id, process_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(spec), encoding="utf-8")

    def delete(self, user_id: str, process_id: str) -> None:
        """Remove a process."""
        try:
            self._make_path(user_id, process_id).unlink()
        except FileNotFoundError:
            raise ProcessGraphNotFoundException(process_id) from None
