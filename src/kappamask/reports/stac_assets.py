"""The files of a STAC item: their size, checksum, and what the numbers in their bands mean."""

import os
from hashlib import file_digest
from math import isnan
from pathlib import Path

import pystac
from pystac.extensions.file import FileExtension
from pystac.extensions.raster import DataType, NoDataStrings, RasterBand, RasterExtension

from kappamask.models import SceneError
from kappamask.models.catalog import SHA256_MULTIHASH
from kappamask.scenes.raster import local_raster

__all__ = ["ASSETS", "add_file", "href"]

TIFF = "image/tiff; application=geotiff"
OPTIMISED = "; profile=cloud-optimized"
MEDIA = {
    ".tif": TIFF, ".tiff": TIFF, ".nc": "application/netcdf", ".png": "image/png", ".html": "text/html",
    ".qml": "application/xml",
}  # fmt: skip
"""Suffix -> media type, as STAC's best practices spell them."""
ASSETS = {
    "mask": ("Cloud mask", ["data", "cloud"]),
    "scores": ("Score of each class", ["data"]),
    "quicklook": ("True colour beside the mask", ["overview"]),
    "page": ("Report", ["metadata"]),
    "style": ("QGIS style", ["metadata"]),
}
"""Key -> title and roles, of STAC's list of asset roles."""


def add_file(item: pystac.Item, key: str, file: Path, folder: Path) -> pystac.Asset:
    """Add `file` as the asset `key`, with an href relative to `folder`; a GeoTIFF also with its bands.

    Raises SceneError if the key is not of `ASSETS`, or if the file is missing.
    """
    if key not in ASSETS:
        raise SceneError(f"No asset {key!r}: known are {', '.join(ASSETS)}.")
    title, roles = ASSETS[key]
    media = MEDIA.get(file.suffix.lower())
    item.add_asset(key, pystac.Asset(href(file, folder), title=title, media_type=media, roles=roles))
    asset = item.assets[key]
    size, checksum = _fingerprint(file)
    FileExtension.ext(asset, add_if_missing=True).apply(size=size, checksum=checksum)
    if media == TIFF:
        _add_bands(asset, file)
    return asset


def href(file: Path, folder: Path) -> str:
    """Where `file` lies as seen from `folder`, as STAC wants it: never without a dot in front."""
    relative = Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
    return relative if relative.startswith("../") else f"./{relative}"


def _fingerprint(file: Path) -> tuple[int, str]:
    """Bytes, and the sha256 as a multihash in hexadecimal digits."""
    try:
        with file.open("rb") as opened:
            return file.stat().st_size, SHA256_MULTIHASH + file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise SceneError(f"Cannot read {file}: {error.strerror}.") from error


def _add_bands(asset: pystac.Asset, file: Path) -> None:
    with local_raster(file) as dataset:
        facts = zip(dataset.dtypes, dataset.nodatavals, dataset.scales, dataset.offsets, strict=True)
        named = list(zip(dataset.descriptions, facts, strict=True))
        asset.media_type = TIFF + (OPTIMISED if dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG" else "")
    RasterExtension.ext(asset, add_if_missing=True).apply([_band(name, *told) for name, told in named])


def _band(name: str | None, kind: str, nodata: float | None, scale: float, offset: float) -> RasterBand:
    limit = NoDataStrings.NAN if nodata is not None and isnan(nodata) else nodata
    band = RasterBand.create(data_type=DataType(kind), nodata=limit, scale=scale, offset=offset)
    band.properties |= {"name": name} if name else {}
    return band
