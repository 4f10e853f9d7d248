"""What a STAC item of a stranger may name: HTTPS addresses and files beside it, opened as GeoTIFF or JPEG 2000 only."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

import rasterio
from rasterio.io import DatasetReader

from kappamask.models import MissingExtraError, SceneError
from kappamask.scenes.atomic import GDAL_ERRORS
from kappamask.scenes.raster import ENVIRONMENT, local_raster

__all__ = ["fetched", "opened", "resolved", "shown", "web"]

HTTP: Final = {
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_TIMEOUT": 120,
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
    "GDAL_HTTP_NETRC": "NO",
}
"""Seconds, but for the retries. No passwords are sent to hosts that an item names."""
WAIT_S: Final = 60.0
PIECE: Final = 2**16
"""Bytes that are read at once."""
DRIVER: Final = {".jp2": "JP2OpenJPEG"}
"""Suffix -> the one GDAL driver that may open an address; others are GeoTIFFs, or nothing."""
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
SIGNED: Final = (
    "blob.core.windows.net",
    "sig",
    "sign it first (pip install planetary-computer; planetary_computer.sign)",
)
"""End of the hosts, key in the query, and what to do where it is not there: Planetary Computer's storage."""


def web(href: str) -> bool:
    """Whether an href is an address and no file."""
    return "://" in href


def shown(href: str | Path) -> str:
    """An href as messages may show it: without the query, in which signatures are secrets."""
    return str(href).split("?", 1)[0]


def resolved(href: str, base: str | Path, *, loopback: bool = False) -> str | Path:
    """The address or the file that `href` of an item at `base` (an address, or the item's file) means.

    `loopback`: allow plain HTTP to this machine. Raises SceneError for other schemes, for addresses that lack a
    signature, and for files outside the item's folder.
    """
    if isinstance(base, Path) and not web(href):
        return _beside(href, base)
    address = urljoin(str(base), href)
    parts = urlsplit(address)
    allowed = parts.scheme == "https" or (loopback and parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not allowed or not parts.hostname or not address.isprintable() or " " in address:
        raise SceneError(
            f"{shown(href)} is no HTTPS address: take an item with https hrefs, or download the product and open that."
        )
    host, key, remedy = SIGNED
    if parts.hostname.endswith(f".{host}") and f"{key}=" not in parts.query:
        raise SceneError(f"{shown(address)} lacks a signature: {remedy}.")
    return address


@contextmanager
def opened(source: str | Path) -> Iterator[DatasetReader]:
    """Open what `resolved` gave, as GeoTIFF or JPEG 2000; GDAL's complaints become SceneError."""
    if isinstance(source, Path):
        with local_raster(source) as dataset:
            yield dataset
        return
    driver = DRIVER.get(Path(urlsplit(source).path).suffix.lower(), "GTiff")
    try:
        with rasterio.Env(**ENVIRONMENT, **HTTP), rasterio.open(f"/vsicurl/{source}", driver=driver) as dataset:
            yield dataset
    except (*GDAL_ERRORS, OSError) as error:
        reason = str(error.__cause__ or error).replace(source, shown(source)).split("?", 1)[0].rstrip(".")
        raise SceneError(f"{shown(source)} cannot be read as a whole GeoTIFF or JPEG 2000: {reason}.") from error


def fetched(address: str, most: int) -> bytes:
    """The whole answer of an address that `resolved` gave, up to `most` bytes; SceneError for any other answer."""
    try:
        import requests
    except ModuleNotFoundError as error:
        raise MissingExtraError("Addresses need requests: pip install 'kappamask-openeo[stac]'.") from error
    try:
        with requests.get(address, timeout=WAIT_S, stream=True, allow_redirects=False) as answer:
            if answer.status_code != requests.codes.ok:
                raise SceneError(f"{shown(address)} cannot be had: the answer is {answer.status_code} {answer.reason}.")
            data = bytearray()
            for piece in answer.iter_content(PIECE):  # answer.raw would raise errors of urllib3
                data += piece
                if len(data) > most:
                    raise SceneError(f"{shown(address)} is longer than {most >> 20} MiB, which no item is.")
    except requests.RequestException as error:
        raise SceneError(f"{shown(address)} cannot be had: {type(error).__name__}.") from error
    return bytes(data)


def _beside(href: str, item: Path) -> Path:
    folder = item.parent.resolve()
    file = (folder / href).resolve()
    if folder not in file.parents:
        raise SceneError(f"{item.name} names {href!r}: for safety only files in its own folder are read; put it there.")
    return file
