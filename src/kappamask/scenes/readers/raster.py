"""Open local and remote rasters with an allow-list of GDAL drivers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urljoin, urlsplit
from warnings import catch_warnings

import dask.array
import numpy as np
import rasterio
from dask.array import Array
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from kappamask.files.archives import Member, Source
from kappamask.files.atomic import check_utf8
from kappamask.models import SceneError
from kappamask.models.extras import missing_extra
from kappamask.scenes.grid import Grid, read_grid, to_stored_window, turn_north_up

__all__ = [
    "GDAL_ERRORS",
    "fetch_bytes",
    "fill_value",
    "has_mask",
    "hidden_pixels",
    "is_url",
    "lazy_bands",
    "local_raster",
    "number_type",
    "open_raster",
    "redact",
    "resolve",
]

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""rasterio passes some of GDAL's errors on as they are, and has no public name for them."""
da: Any = dask.array  # its annotations are partial
DRIVERS = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xffO\xffQ": "JP2OpenJPEG",
}
"""First bytes (TIFF 6.0, BigTIFF, ISO 15444-1) -> the GDAL driver that may open the file, and no other: VRT, WMS and
the like name further files and hosts, so a scene from a stranger must not be one. Suffixes prove nothing."""
ENVIRONMENT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "CPL_DEBUG": "OFF",
    "GDAL_CACHEMAX": 128,
}
"""No side-car files, no zeros in place of a block that cannot be read, and 128 MB of blocks that are kept, where GDAL
takes 5 % of the memory (GDAL's configuration options)."""
CHUNK = 1024
"""Side of a dask chunk, pixels: the block size of Sentinel-2 JP2s, and 2 MiB a band."""
NODATA = 0
"""Digital number of Sentinel-2 that means no data."""
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
REFUSED: Final = re.compile(r"\b40[013]\b")
"""In GDAL's words for the answer of a store that does not take a signature."""
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
SIGNED: Final = (
    "blob.core.windows.net",
    "sig",
    "sign it first (pip install planetary-computer; planetary_computer.sign)",
)
"""End of the hosts, key in the query, and what to do where it is not there: Planetary Computer's storage."""


@contextmanager
def local_raster(source: Source, **options: Any) -> Iterator[DatasetReader]:
    """Open a GeoTIFF or JPEG 2000 on disk or in an archive; GDAL's complaints, also in reading, become SceneError.

    `options` are those of the driver, and `overview_level`.
    """
    name, driver = _choose_driver(source)
    try:
        with rasterio.Env(**ENVIRONMENT), rasterio.open(name, driver=driver, **options) as dataset:
            yield dataset
    except (*GDAL_ERRORS, OSError) as error:
        reason = str(error.__cause__ or error).replace(str(name), source.name).rstrip(".")
        raise SceneError(f"{source.name} cannot be read as a whole GeoTIFF or JPEG 2000: {reason}.") from error


def _choose_driver(source: Source) -> tuple[str | Path, str]:
    """What GDAL calls a file, and the one driver that may open it; in products in archives all images are JPEG 2000."""
    path = source.archive if isinstance(source, Member) else source
    if not check_utf8(path).is_file():
        raise SceneError(f"No file {path}.")
    return (source.gdal, "JP2OpenJPEG") if isinstance(source, Member) else (source.resolve(), _driver_of_file(source))


def _driver_of_file(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(max(map(len, DRIVERS)))
    found = [driver for magic, driver in DRIVERS.items() if head.startswith(magic)]
    if not found:
        raise SceneError(f"{path.name} is neither a GeoTIFF nor a JPEG 2000: its first bytes are {head[:4]!r}.")
    return found[0]


def number_type(dataset: DatasetReader, band: int) -> np.dtype[Any]:
    """The dtype of a band (numbered from 1); SceneError for complex numbers, of which numpy lacks some kinds."""
    name = str(dataset.dtypes[band - 1])
    if name.startswith("complex"):
        raise SceneError(f"{Path(dataset.name).name} holds {name}; needed are whole numbers or reflectance (float).")
    return np.dtype(name)


def lazy_bands(path: Path, indexes: list[int]) -> Array:
    """Bands (numbered from 1) of a file as a dask array (band, y, x) of the file's dtype; chunks follow its blocks.

    Each chunk opens the file anew: no handles stay open, and the array can be pickled.
    Computing raises SceneError where the file is damaged.
    """
    with local_raster(path) as dataset:
        grid, dtype = read_grid(dataset), number_type(dataset, indexes[0])
        by_band = dataset.interleaving is None or dataset.interleaving.name == "band"
        height, width = _chunk(dataset.block_shapes[0], grid)
    band_chunks = (1,) * len(indexes) if by_band else (len(indexes),)
    bands: Array = da.map_blocks(
        _read,
        path=path,
        indexes=tuple(indexes),
        chunks=(band_chunks, *da.core.normalize_chunks((height, width), shape=(grid.height, grid.width))),
        dtype=dtype,
        meta=np.empty((0, 0, 0), dtype=dtype),
    )
    return bands


def _chunk(block: tuple[int, int], grid: Grid) -> tuple[int, int]:
    """Whole blocks of the file, about CHUNK squared pixels: strips give wide and low chunks."""
    width = min(grid.width, -(-CHUNK // block[1]) * block[1])
    rows = max(1, CHUNK * CHUNK // width)
    return min(grid.height, -(-rows // block[0]) * block[0]), width


def _read(path: Path, indexes: tuple[int, ...], block_info: Any) -> NDArray[Any]:
    (first, last), *ends = block_info[None]["array-location"]
    rows, columns = (slice(*pair) for pair in ends)
    with local_raster(path) as dataset:
        window = to_stored_window(dataset, rows, columns)
        values = np.asarray(dataset.read(list(indexes[first:last]), window=window))
        hidden = hidden_pixels(dataset, path, indexes[0], window)
        if hidden is not None:
            values = np.where(hidden, fill_value(dataset, values.dtype), values)
        return turn_north_up(dataset, values)


def has_mask(dataset: DatasetReader, path: Source | str, band: int) -> bool:
    """Tell whether a mask, in the file, in an alpha band, or beside it (.msk), says where a band has data."""
    return MaskFlags.per_dataset in dataset.mask_flag_enums[band - 1] or _mask_beside(path) is not None


def hidden_pixels(dataset: DatasetReader, path: Source | str, band: int, window: Window) -> NDArray[np.bool_] | None:
    """Read which pixels (y, x) of a window the file's mask hides (GDAL RFC 15); None where it has no mask.

    Raises SceneError if a mask beside the file is of another size.
    """
    if MaskFlags.per_dataset in dataset.mask_flag_enums[band - 1]:
        return np.asarray(dataset.read_masks(band, window=window) == 0)
    beside = _mask_beside(path)
    if beside is None:
        return None
    with catch_warnings(action="ignore", category=NotGeoreferencedWarning), local_raster(beside) as mask:
        if mask.shape != dataset.shape:
            raise SceneError(
                f"{beside.name} is a mask of other pixels than those of {Path(dataset.name).name}: remove or mend it."
            )
        return np.asarray(mask.read(band if mask.count > 1 else 1, window=window) == 0)


def fill_value(dataset: DatasetReader, dtype: np.dtype[Any]) -> Any:
    """The number that stands for pixels that a mask hides: the file's nodata value, else NaN or 0."""
    if dataset.nodata is not None:
        return dtype.type(dataset.nodata)
    return dtype.type(np.nan if dtype.kind == "f" else NODATA)


def _mask_beside(path: Source | str) -> Path | None:
    beside = Path(f"{path}.msk") if isinstance(path, Path) else None
    return beside if beside and beside.is_file() else None


def is_url(href: str) -> bool:
    """Whether an href is an address and no file."""
    return "://" in href


def redact(href: str | Path) -> str:
    """An href as messages may show it: without the query, in which signatures are secrets."""
    return str(href).split("?", 1)[0]


def resolve(href: str, base: str | Path, *, loopback: bool = False) -> str | Path:
    """The address or the file that `href` of an item at `base` (an address, or the item's file) means.

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
        with local_raster(source) as dataset:
            yield dataset
        return
    driver = DRIVER.get(Path(urlsplit(source).path).suffix.lower(), "GTiff")
    try:
        with rasterio.Env(**ENVIRONMENT, **HTTP), rasterio.open(f"/vsicurl/{source}", driver=driver) as dataset:
            yield dataset
    except (*GDAL_ERRORS, OSError) as error:
        _forget(source, driver)
        if REFUSED.search(str(error.__cause__ or error)) and (ended := _signature_end(source)):
            raise SceneError(_expiry_message(source, ended)) from error
        reason = str(error.__cause__ or error).replace(source, redact(source)).split("?", 1)[0].rstrip(".")
        raise SceneError(f"{redact(source)} cannot be read as a whole GeoTIFF or JPEG 2000: {reason}.") from error


def _forget(source: str, driver: str) -> None:
    """Let GDAL forget an address that failed, which it takes as lost for as long as the process lives.

    What is opened so is dropped from its memory when it is closed; from what it remembers no request is made.
    """
    place = f"/vsicurl/{source}"
    quiet = {**ENVIRONMENT, **HTTP, "GDAL_HTTP_MAX_RETRY": 0, "CPL_VSIL_CURL_NON_CACHED": place}
    with suppress(*GDAL_ERRORS, OSError), rasterio.Env(**quiet), rasterio.open(place, driver=driver):
        pass


def _signature_end(address: str) -> datetime | None:
    """When the signature in an address ended, None where it has none, or one that holds still.

    Known are those of Azure (`se`), of S3 (`X-Amz-Date` and `X-Amz-Expires`) and of older stores (`Expires`).
    """
    told = {key.casefold(): values[0] for key, values in parse_qs(urlsplit(address).query).items()}
    try:
        if "se" in told:
            end = datetime.fromisoformat(told["se"])
        elif "x-amz-date" in told:
            end = datetime.strptime(told["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            end += timedelta(seconds=float(told.get("x-amz-expires", "inf")))
        else:
            end = datetime.fromtimestamp(float(told["expires"]), UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        return None
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    return end if end < datetime.now(UTC) else None


def _expiry_message(address: str, ended: datetime) -> str:
    return (
        f"{redact(address)} cannot be had: its signature expired at {ended.isoformat(timespec='seconds')}; search or "
        "sign the item again, and open it anew."
    )


def fetch_bytes(address: str, most: int) -> bytes:
    """The whole answer of an address that `resolve` gave, up to `most` bytes; SceneError for any other answer."""
    try:
        import requests
    except ModuleNotFoundError as error:
        raise missing_extra("requests", "stac", user="Reading an address") from error
    try:
        with requests.get(address, timeout=WAIT_S, stream=True, allow_redirects=False) as answer:
            if answer.status_code in (400, 401, 403) and (ended := _signature_end(address)):
                raise SceneError(_expiry_message(address, ended))
            if answer.status_code != requests.codes.ok:
                raise SceneError(
                    f"{redact(address)} cannot be had: the answer is {answer.status_code} {answer.reason}."
                )
            data = bytearray()
            for piece in answer.iter_content(PIECE):  # answer.raw would raise errors of urllib3
                data += piece
                if len(data) > most:
                    raise SceneError(f"{redact(address)} is longer than {most >> 20} MiB, which no item is.")
    except requests.RequestException as error:
        raise SceneError(f"{redact(address)} cannot be had: {type(error).__name__}.") from error
    return bytes(data)


def _resolve_file(href: str, item: Path) -> Path:
    folder = item.parent.resolve()
    file = (folder / href).resolve()
    if folder not in file.parents:
        raise SceneError(f"{item.name} names {href!r}: for safety only files in its own folder are read; put it there.")
    return file
