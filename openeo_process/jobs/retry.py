"""Which faults are transient, and how long to wait before a retry."""

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import openeo
import requests
from openeo.rest import OpenEoApiPlainError
from openeo.rest.auth.oidc import OidcException

from kappamask.models import JobError

__all__ = [
    "FAULTS", "TRANSIENT_STATUS", "LoginError", "PatientSession", "RetryPolicy", "find_requested_wait", "is_gone",
    "is_refusal", "is_transient", "needs_login",
]  # fmt: skip

TRANSIENT_STATUS = frozenset({429, 500, 502, 503, 504})
"""Too many requests, and the server's or a gateway's own faults (RFC 9110, RFC 6585): the same request may succeed."""
BUSY_STATUS = frozenset({429, 503})
"""With these a server may say when to ask again, Retry-After (RFC 9110, 10.2.3)."""
UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 401, 403, 404
GONE_CODE = "JobNotFound"
TOKEN_CODES = frozenset({"TokenInvalid", "AuthenticationRequired"})
"""openEO API 1.2: what a back-end answers once a token has expired; another 403 is a refusal."""
FAULTS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.JSONDecodeError,
    OidcException,
)
"""No answer, a late one, or half of one; or none of the provider that tokens are renewed by."""
SPREAD = 0.25
"""Share by which waits vary, so that many clients do not come back at once."""


class LoginError(JobError):
    """The back-end or its provider refuses the login, or what it needs is missing."""


@dataclass(frozen=True)
class RetryPolicy:
    """Seconds: between requests, for one request, and for all that goes wrong in a row."""

    poll_s: float = 15.0
    """Between two looks at a running job; openEO's client ends at 60."""
    first_s: float = 1.0
    most_s: float = 60.0
    """Waits: after the first fault, doubled after each further one, and at most."""
    longest_asked_s: float = 3600.0
    """Wait that a busy server may ask for; after that it is asked again, whatever it said."""
    request_s: int = 60
    """After which a request counts as lost."""
    create_grace_s: float = 20.0
    """How long a lost request to create a job may still take effect; then the list of jobs is believed."""
    max_file_retries: int = 5
    """How often in a row a link is signed again, or a wrong file is fetched again."""
    deadline_s: float = 6 * 3600.0
    """After so long without a step that succeeded, a job is left for `resume`."""

    def wait(self, faults: int) -> float:
        """Draw the seconds to wait after so many faults in a row."""
        return min(self.most_s, self.first_s * 2.0 ** min(faults - 1, 32)) * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311


class PatientSession(requests.Session):
    """A session that notes when a busy server wants to be asked again.

    Errors of openEO's client do not say it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.free_at = 0.0
        """On the monotonic clock; in the past unless the last answer named a time."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request, and note the wait that its answer asks for."""
        response = super().send(request, **options)
        busy = response.status_code in BUSY_STATUS
        seconds = _parse_retry_after(response.headers) if busy else None
        self.free_at = 0.0 if seconds is None else time.monotonic() + seconds
        return response


def _parse_retry_after(headers: Any) -> float | None:
    """Return the seconds that Retry-After asks for, by the server's clock.

    None where it is absent or malformed.
    """
    text = str(headers.get("Retry-After", "")).strip()
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        wanted = parsedate_to_datetime(text)
        now = parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(UTC)
        return max(0.0, (wanted.astimezone(UTC) - now.astimezone(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def find_requested_wait(connection: openeo.Connection | None, policy: RetryPolicy) -> float:
    """Return the seconds that a busy server still asks to wait, at most `longest_asked_s`."""
    session = getattr(connection, "session", None)
    left = session.free_at - time.monotonic() if isinstance(session, PatientSession) else 0.0
    return min(max(left, 0.0), policy.longest_asked_s)


def is_transient(error: BaseException) -> bool:
    """Tell whether asking again may help."""
    if isinstance(error, OpenEoApiPlainError):
        return error.http_status_code in TRANSIENT_STATUS
    return isinstance(error, FAULTS)


def needs_login(error: BaseException) -> bool:
    """Tell whether a new connection may help.

    It may if the token has expired, or if the address was not found.

    openEO's client asks where the API is when it connects, and where that answer is lost it guesses, for good.
    """
    if not isinstance(error, OpenEoApiPlainError):
        return False
    code = getattr(error, "code", None)
    if error.http_status_code == NOT_FOUND:
        return code != GONE_CODE
    return error.http_status_code == UNAUTHORIZED or (error.http_status_code == FORBIDDEN and code in TOKEN_CODES)


def is_refusal(error: OpenEoApiPlainError) -> bool:
    """Tell whether the back-end refused; its own faults (5xx) leave that open."""
    return error.http_status_code is not None and 400 <= error.http_status_code < 500


def is_gone(error: BaseException) -> bool:
    """Tell whether the back-end does not know the job (any more)."""
    return getattr(error, "code", None) == GONE_CODE
