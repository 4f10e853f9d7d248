"""Connect to a back-end, check what it can do, and upload the archive."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import openeo
import requests
from openeo.rest.auth.oidc import OidcException

from kappamask.files.urls import LOOPBACK
from kappamask.models import JobError, MissingExtraError, ModelCard
from kappamask.openeo_process.jobs.retry import LoginError, RetryPolicy

__all__ = ["check_backend", "connect", "connect_or_explain", "is_local", "upload"]

METHOD, USER, PASSWORD = "OPENEO_AUTH_METHOD", "KAPPAMASK_USER", "KAPPAMASK_PASSWORD"
"""The first is openEO's own: "client_credentials" (with OPENEO_AUTH_CLIENT_ID, …_SECRET, …_PROVIDER_ID); or "basic"."""
REFUSED = (400, 401, 403)
"""HTTP: what a wrong secret, password or token is answered with (RFC 6749, RFC 9110)."""
SERVE_PRINTS = "`kappamask serve` prints the lines to type"
NEEDS_USER = f"{{url}} wants a user and a password: set {USER} and {PASSWORD}; {SERVE_PRINTS}."
HOW_TO_LOG_IN = (
    f"set {METHOD}=client_credentials with OPENEO_AUTH_CLIENT_ID, OPENEO_AUTH_CLIENT_SECRET and "
    f"OPENEO_AUTH_PROVIDER_ID; or {METHOD}=basic with {USER} and {PASSWORD} ({SERVE_PRINTS}); or set none of them, and "
    "type the code that is shown in a browser"
)
PROCESSES = ("load_collection", "apply_neighborhood", "run_udf", "rename_labels", "apply", "linear_scale_range",
             "filter_bbox", "save_result")  # fmt: skip
"""What the graphs of `kappamask.openeo_process` consist of."""
OF_DAYS = ("filter_labels", "text_begins", "or")
"""And those by which single days are chosen."""
FORMAT = "GTiff"
PLAIN = (RuntimeError, ValueError)
"""What openEO's helper raises where a store gives no credentials, or its name tells no region."""
OTHERWISE = "put the archive where the back-end can read it, and give its URL with --archive"


def is_local(url: str) -> bool:
    """Tell whether a back-end runs on this machine, as `kappamask serve` does."""
    return urlsplit(url if "://" in url else f"https://{url}").hostname in LOOPBACK


def connect_or_explain(url: str) -> openeo.Connection:
    """`connect`, for a user who waits: JobError in plain words where nothing answers at `url`."""
    try:
        return connect(url)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise JobError(f"Nothing answers at {url}: is the address right, and are you connected?") from error


def connect(url: str, policy: RetryPolicy | None = None) -> openeo.Connection:
    """Connect to `url` and log in.

    Requests end after `policy.request_s` seconds and are not repeated. Basic where OPENEO_AUTH_METHOD says so or
    KAPPAMASK_USER is set and the back-end is on this machine; else OpenID Connect as openEO's client does it: a stored
    refresh token, client credentials, or a code to type in a browser.
    Raises JobError for plain HTTP to another machine; LoginError where user or password are missing, or the login is
    refused; other errors of openEO's client where the provider does not answer.
    """
    if url.startswith("http://") and not is_local(url):
        raise JobError(f"{url} is not encrypted, so a token could be read on the way: give an https:// address.")
    timeout = (policy or RetryPolicy()).request_s
    connection = openeo.connect(url, retry=False, default_timeout=timeout, auto_validate=False)
    try:
        return _log_in(connection, url)
    except (openeo.BaseOpenEoException, OidcException) as error:
        if is_local(url) and not os.environ.get(USER) and not _offers_oidc(connection):
            raise LoginError(NEEDS_USER.format(url=url)) from error
        if (reason := _find_refusal(error)) is None:
            raise
        raise LoginError(f"{url} refuses the login ({reason}): {HOW_TO_LOG_IN}.") from error


def _log_in(connection: openeo.Connection, url: str) -> openeo.Connection:
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    basic = os.environ.get(METHOD) == "basic" or (is_local(url) and bool(user or password))
    if not basic:
        return connection.authenticate_oidc()
    if not user or not password:
        raise LoginError(NEEDS_USER.format(url=url))
    return connection.authenticate_basic(user, password)


def _offers_oidc(connection: openeo.Connection) -> bool:
    if not connection.capabilities().supports_endpoint("/credentials/oidc"):
        return False
    return bool(connection.get("/credentials/oidc", expected_status=200).json().get("providers"))


def _find_refusal(error: Exception) -> str | None:
    """Find why a login was refused; None where it may succeed later."""
    status = getattr(error, "http_status_code", None)
    if isinstance(error, OidcException):
        found = re.search(r": (4\d\d) ", str(error))
        status = int(found[1]) if found else None
    elif status is None and type(error) is openeo.rest.OpenEoClientException:
        return "it offers no way to log in that is set up here"
    return f"HTTP {status}" if status in REFUSED else None


def check_backend(
    connection: openeo.Connection, collection: str, card: ModelCard, python: str, *, days: bool = False
) -> list[str]:
    """Check that the back-end can run the graph; return the bands that the network takes.

    Raises JobError that lists all that the back-end lacks.

    days: whether single days will be chosen.
    """
    needed = (*PROCESSES, *(OF_DAYS if days else ()))
    lacks = [
        *_list_missing("processes", needed, (process["id"] for process in connection.list_processes())),
        *_list_missing("output format", [FORMAT.upper()], map(str.upper, connection.list_file_formats()["output"])),
        *_list_runtimes(connection, python),
    ]
    known = [entry["id"] for entry in connection.list_collections()]
    lacks += _list_missing("collection", [collection], known)
    bands = (connection.collection_metadata(collection).band_names or []) if collection in known else []
    if collection in known:
        lacks += _list_missing("bands", sorted(card.required), bands)
    if lacks:
        raise JobError(f"{connection.root_url} cannot run {card.id}: it lacks {'; '.join(lacks)}.")
    return [band for band in card.bands if band in bands]


def _list_missing(what: str, needed: Iterable[str], offered: Iterable[str]) -> list[str]:
    have = set(offered)
    lacking = [name for name in needed if name not in have]
    return [f"{what} {', '.join(lacking)}"] if lacking else []


def _list_runtimes(connection: openeo.Connection, python: str) -> list[str]:
    offered = {str(version) for version in connection.list_udf_runtimes().get("Python", {}).get("versions", {})}
    if python in offered or not offered:
        return []
    return [f"a UDF runtime Python {python} (it has {', '.join(sorted(offered))}; say --python)"]


def upload(connection: openeo.Connection, archive: Path) -> str:
    """Upload `archive` to the back-end's store of artifacts and return its signed URL.

    Uses openEO's client with its extra `artifacts`.
    Raises JobError if the back-end offers no such store or refuses the file, MissingExtraError without boto3.
    """
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from openeo.extra.artifacts import build_artifact_helper
        from openeo.extra.artifacts.exceptions import ArtifactsException
    except ImportError as error:
        raise MissingExtraError(f"Uploading needs {error.name}: pip install 'openeo[artifacts]'.") from error
    try:
        helper = build_artifact_helper(connection)
        return str(helper.get_presigned_url(helper.upload_file(archive)))
    except (ArtifactsException, Boto3Error, BotoCoreError, ClientError, *PLAIN) as error:
        raise JobError(
            f"{connection.root_url} does not take {archive.name} ({type(error).__name__}: {error}): {OTHERWISE}."
        ) from error
