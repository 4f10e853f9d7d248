"""Connect to a back-end, and upload the archive."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import openeo
import requests
from openeo.rest.auth.oidc import OidcException
from openeo.utils.version import ApiVersionException

from kappamask.files.urls import LOOPBACK
from kappamask.models import JobError, MissingExtraError
from kappamask.openeo_process.jobs.retry import LoginError, PatientSession, RetryPolicy

__all__ = ["connect", "connect_or_explain", "is_local", "upload"]

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
PLAIN = (RuntimeError, ValueError)
"""What openEO's helper raises where a store gives no credentials, or its name tells no region."""
UNREADABLE = (requests.exceptions.JSONDecodeError, KeyError, TypeError, AttributeError)
"""What openEO's client raises for a document that is none of a back-end."""
OTHERWISE = "put the archive where the back-end can read it, and give its URL with --archive"


def is_local(url: str) -> bool:
    """Tell whether a back-end runs on this machine, as `kappamask serve` does."""
    return urlsplit(url if "://" in url else f"https://{url}").hostname in LOOPBACK


def connect_or_explain(url: str) -> openeo.Connection:
    """`connect`, with JobError in plain words where no back-end answers at `url`."""
    try:
        return connect(url)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise JobError(f"Nothing answers at {url}: is the address right, and are you connected?") from error
    except (openeo.rest.OpenEoApiPlainError, ApiVersionException, *UNREADABLE) as error:
        said = (
            f"HTTP {error.http_status_code}" if hasattr(error, "http_status_code") else "no version of the openEO API"
        )
        raise JobError(
            f"{url} does not answer as an openEO back-end ({said}): is the address right, and is it up?"
        ) from error


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
    connection = openeo.connect(
        url, session=PatientSession(), retry=False, default_timeout=timeout, auto_validate=False
    )
    try:
        return _log_in(connection, url)
    except (openeo.BaseOpenEoException, OidcException) as error:
        if is_local(url) and not os.environ.get(USER) and not _offers_oidc(connection):
            raise LoginError(NEEDS_USER.format(url=url)) from error
        if (reason := _find_refusal(error)) is None:
            raise
        raise LoginError(f"{url} refuses {_describe_login(url)} ({reason}): {_say_how_to_log_in(url)}.") from error


def _uses_basic(url: str) -> bool:
    """Tell whether user and password are sent."""
    given = os.environ.get(USER) or os.environ.get(PASSWORD)
    return os.environ.get(METHOD) == "basic" or (is_local(url) and bool(given))


def _describe_login(url: str) -> str:
    return f"the user and password in {USER} and {PASSWORD}" if _uses_basic(url) else "the login"


def _say_how_to_log_in(url: str) -> str:
    """Say what to set; a server on this machine prints it."""
    if _uses_basic(url) and is_local(url):
        return f"set those that it was started with; {SERVE_PRINTS}"
    return HOW_TO_LOG_IN


def _log_in(connection: openeo.Connection, url: str) -> openeo.Connection:
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    if not _uses_basic(url):
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
