"""Open rasters at web addresses, and resolve the hrefs of STAC items."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urljoin, urlsplit

import rasterio
from rasterio.io import DatasetReader

from kappamask.files.urls import LOOPBACK, read_limited, redact
from kappamask.models import SceneError
from kappamask.models.errors import make_extra_error
from kappamask.scenes.readers.raster import ENVIRONMENT, GDAL_ERRORS, open_local_raster

if TYPE_CHECKING:
    import requests

__all__ = ["fetch_bytes", "is_url", "open_raster", "resolve"]

HTTP: Final = {
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_TIMEOUT": 120,
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
    "GDAL_HTTP_NETRC": "NO",
    "GDAL_NUM_THREADS": 1,
}
"""Seconds, but for the retries. No passwords are sent to hosts that an item names. With several threads GDAL gives
zeros for blocks of a GeoTIFF that could not be fetched, and no error."""
_FAILURES: Final[Counter[str]] = Counter()
"""Address -> how often it could not be read in this process."""
WAIT_S: Final = 60.0
DRIVER: Final = {".jp2": "JP2OpenJPEG"}
"""Suffix -> the one GDAL driver that may open an address; others are GeoTIFFs, or nothing."""
OTHER_FILE: Final = "not recognized as being in a supported file format"
"""In GDAL's words for an answer that is no file of the driver."""
REFUSED: Final = re.compile(r"\b40[013]\b")
"""In GDAL's words for the answer of a store that does not take a signature."""
DENIED: Final = " The store wants a login or a signature: sign the item as its catalogue says, or download the product."
"""What to do after codes 401 and 403."""
PAGE: Final = " If it is a page, as for logging in, sign the item as its catalogue says, or download the product."
"""What to do where a store answers with something else than the file."""
EXPIRED: Final = re.compile(
    rb"ExpiredToken|Request has expired|has expired|not valid in the specified time frame", re.I
)
"""In the XML of S3 (also of a session's token, which may end before the signature) and of Azure."""
LONGEST_REFUSAL: Final = 2**16
"""Bytes of a refusal that are read."""
SIGNED: Final = (
    "blob.core.windows.net",
    "sig",
    "sign it first (pip install planetary-computer; planetary_computer.sign)",
)
"""End of the hosts, key in the query, and what to do where it is not there: Planetary Computer's storage."""


def is_url(href: str) -> bool:
    """Tell whether an href is a web address and no file."""
    return "://" in href


def resolve(href: str, base: str | Path, *, loopback: bool = False) -> str | Path:
    """Resolve `href` of an item at `base` to an address or a file.

    `base` is an address, or the item's file.
    `loopback`: allow plain HTTP to this machine. Raises SceneError for other schemes, for addresses that lack a
    signature, and for files outside the item's folder.
    """
    if isinstance(base, Path) and not is_url(href):
        return _resolve_file(href, base)
    address = urljoin(str(base), href)
    parts = urlsplit(address)
    allowed = parts.scheme == "https" or (loopback and parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not allowed or not parts.hostname or not address.isprintable() or " " in address:
        raise SceneError(
            f"{redact(href)} is no HTTPS address: take an item with https hrefs, or download the product and open that."
        )
    host, key, remedy = SIGNED
    if parts.hostname.endswith(f".{host}") and f"{key}=" not in parts.query:
        raise SceneError(f"{redact(address)} lacks a signature: {remedy}.")
    return address


@contextmanager
def open_raster(source: str | Path) -> Iterator[DatasetReader]:
    """Open what `resolve` gave, as GeoTIFF or JPEG 2000; GDAL's complaints become SceneError."""
    if isinstance(source, Path):
        with open_local_raster(source) as dataset:
            yield dataset
        return
    driver = DRIVER.get(Path(urlsplit(source).path).suffix.lower(), "GTiff")
    try:
        with rasterio.Env(**ENVIRONMENT, **HTTP), rasterio.open(_make_gdal_name(source), driver=driver) as dataset:
            yield dataset
    except (*GDAL_ERRORS, OSError) as error:
        _FAILURES[source] += 1
        if REFUSED.search(str(error.__cause__ or error)) and (ended := _find_expiry(source)):
            raise SceneError(_expiry_message(source, ended)) from error
        reason = str(error.__cause__ or error).replace(source, redact(source)).split("?", 1)[0].rstrip(".")
        reason += "." + (DENIED if re.search(r"\b40[13]\b", reason) else PAGE if OTHER_FILE in reason else "")
        raise SceneError(f"{redact(source)} cannot be read as a whole GeoTIFF or JPEG 2000: {reason}") from error


def _make_gdal_name(source: str) -> str:
    """Return GDAL's name of an address, another one after each failure.

    GDAL remembers by name that a file could not be read. The fragment is not sent to the server. To have it forget
    instead disturbs threads that read the same file.
    """
    failures = _FAILURES[source]
    return f"/vsicurl/{source}" + (f"#{failures}" if failures else "")


def _signature_end(address: str) -> datetime | None:
    """Return when the signature in an address expires.

    None where it has none, or one that does not expire.
    Known are those of Azure (`se`), of S3 (`X-Amz-Date` and `X-Amz-Expires`) and of older stores (`Expires`).
    """
    query = {key.casefold(): values[0] for key, values in parse_qs(urlsplit(address).query).items()}
    try:
        if "se" in query:
            end = datetime.fromisoformat(query["se"])
        elif "x-amz-date" in query:
            end = datetime.strptime(query["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            end += timedelta(seconds=float(query.get("x-amz-expires", "inf")))
        else:
            end = datetime.fromtimestamp(float(query["expires"]), UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        return None
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    return end if end < datetime.now(UTC) else None


def _find_expiry(address: str) -> str:
    """Say when the signature of a refused address expired, "" if it did not.

    The address tells, or else the store's answer.
    """
    if ended := _signature_end(address):
        return f" at {ended.isoformat(timespec='seconds')}"
    if not urlsplit(address).query:
        return ""
    try:
        import requests
    except ModuleNotFoundError:
        return ""
    with (
        suppress(requests.RequestException),
        requests.get(
            address, headers={"Range": "bytes=0-0"}, timeout=WAIT_S, stream=True, allow_redirects=False
        ) as answer,
    ):
        return _read_expiry(answer)
    return ""


def _read_expiry(answer: "requests.Response") -> str:
    """Return ", as the store says" if a refusal's body names expiry, else ""."""
    if answer.status_code not in (400, 401, 403):
        return ""
    with suppress(ValueError):  # longer than any refusal
        return ", as the store says" if EXPIRED.search(read_limited(answer, LONGEST_REFUSAL)) else ""
    return ""


def _expiry_message(address: str, ended: str) -> str:
    """Say that a signature expired; `ended` is what `_find_expiry` gives."""
    return (
        f"{redact(address)} cannot be fetched: its signature expired{ended}; search or sign the item "
        "again, and open it again."
    )


def fetch_bytes(address: str, most: int) -> bytes:
    """Fetch the whole answer of an address that `resolve` gave, up to `most` bytes.

    Raises SceneError for any other answer.
    """
    try:
        import requests
    except ModuleNotFoundError as error:
        raise make_extra_error("requests", "stac", user="Reading an address") from error
    try:
        with requests.get(address, timeout=WAIT_S, stream=True, allow_redirects=False) as answer:
            if answer.status_code in (400, 401, 403) and (ended := _signature_end(address)):
                raise SceneError(_expiry_message(address, f" at {ended.isoformat(timespec='seconds')}"))
            if urlsplit(address).query and (said := _read_expiry(answer)):
                raise SceneError(_expiry_message(address, said))
            if answer.status_code != requests.codes.ok:
                raise SceneError(
                    f"{redact(address)} cannot be fetched: the answer is {answer.status_code} {answer.reason}."
                )
            try:
                return read_limited(answer, most)
            except ValueError as error:
                raise SceneError(f"{redact(address)} is {error}, which no item is.") from error
    except requests.RequestException as error:
        raise SceneError(f"{redact(address)} cannot be fetched: {type(error).__name__}.") from error


def _resolve_file(href: str, item: Path) -> Path:
    folder = item.parent.resolve()
    file = (folder / href).resolve()
    if folder not in file.parents:
        raise SceneError(f"{item.name} names {href!r}: for safety only files in its own folder are read; put it there.")
    return file
