"""Process definitions that graphs name by URL: only this machine's own web servers are asked for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from openeo_driver import processgraph
from openeo_driver.errors import OpenEOApiException

from kappamask.backend.loopback import LOOPBACK, answer

__all__ = ["check_namespaces", "keep_to_this_machine"]

INVALID: Final = "ProcessNamespaceInvalid"
"""openEO's code of the error."""


def check_namespaces(graph: Any) -> None:
    """Refuse a graph with process definitions from other machines: this back-end asks nobody outside."""
    for node in graph.values() if isinstance(graph, dict) else []:
        _check(node.get("namespace") if isinstance(node, dict) else None)


def keep_to_this_machine() -> None:
    """Whatever definition openeo-driver fetches from now on, it comes from this machine.

    It fetches them where a job is created, in the dry run and in evaluation, also those that stored and fetched
    definitions name in turn, all with `requests.get` in one module, and has no hook for it.
    """
    processgraph.requests = SimpleNamespace(get=_get)


def _get(url: str) -> requests.Response:
    _check(url)
    with answer(url) as response:
        response.content  # noqa: B018  read as long as there is a connection
        return response


def _check(namespace: Any) -> None:
    try:
        parts = urlsplit(str(namespace or ""))
    except ValueError as error:
        raise OpenEOApiException(f"{namespace} is no URL: {error}.", code=INVALID, status_code=400) from error
    if parts.scheme and parts.hostname not in LOOPBACK:
        raise OpenEOApiException(
            f"The process definition {namespace} is on another machine; serve it on http://127.0.0.1.",
            code=INVALID, status_code=400,
        )  # fmt: skip
