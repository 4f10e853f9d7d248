"""Read URLs of web servers on this machine only, and redact addresses."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import requests

__all__ = ["LOCALHOST", "LOOPBACK", "open_loopback", "read_limited", "read_loopback", "redact"]

LOCALHOST: Final = "127.0.0.1"
"""Address that servers of this machine listen on."""
LOOPBACK: Final = (LOCALHOST, "localhost", "::1")
"""Host names of this machine."""
WAIT_S: Final = 60.0
PIECE: Final = 2**16
"""Bytes that are read at once."""


def redact(href: str | Path) -> str:
    """Remove the query of an href, in which signatures are secrets, for messages."""
    return str(href).split("?", 1)[0]


@contextmanager
def open_loopback(url: str) -> "Iterator[requests.Response]":
    """Open `url` on this machine, and yield the response.

    Its content is read by `iter_content`, which raises what `requests` does.
    Neither redirects nor proxies are followed. Raises requests.RequestException for another machine, for any answer but
    200, and for one that cannot be fetched; UnicodeError for some names that are no hosts.
    """
    import requests

    with requests.Session() as session:
        session.trust_env = False
        request = session.prepare_request(requests.Request("GET", url))
        # the URL as it is sent: parsers differ in what a backslash before "@" means
        if urlsplit(str(request.url)).hostname not in LOOPBACK:
            raise requests.exceptions.InvalidURL("it is on another machine")
        with session.send(request, stream=True, timeout=WAIT_S, allow_redirects=False) as response:
            if response.status_code != requests.codes.ok:
                raise requests.HTTPError(f"the answer is HTTP {response.status_code}")
            yield response


def read_loopback(url: str, most: int) -> bytes:
    """Read all that `open_loopback` gives, at most `most` bytes.

    Raises what that does, and requests.RequestException for more bytes.
    """
    import requests

    with open_loopback(url) as response:
        try:
            return read_limited(response, most)
        except ValueError as error:
            raise requests.RequestException(f"the answer is {error}") from error


def read_limited(response: "requests.Response", most: int) -> bytes:
    """Read the content of a streamed response, at most `most` bytes.

    Raises ValueError for more bytes, and what `requests` does for a connection that breaks.
    """
    data = bytearray()
    for piece in response.iter_content(PIECE):  # response.raw would raise errors of urllib3
        data += piece
        if len(data) > most:
            raise ValueError(f"longer than {most >> 20} MiB")
    return bytes(data)
