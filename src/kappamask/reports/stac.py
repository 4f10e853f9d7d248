"""Describe and write masks as STAC items."""

import json
import os
from collections.abc import Mapping
from hashlib import file_digest
from math import isnan
from pathlib import Path
from typing import Any

import pystac
import xarray as xr
from pystac.extensions.eo import EOExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.grid import GridExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, NoDataStrings, RasterBand, RasterExtension

from kappamask.files.atomic import atomic_write
from kappamask.models import SceneError
from kappamask.models.card_document import SHA256_MULTIHASH
from kappamask.reports.class_shares import Shares, count_shares
from kappamask.reports.footprint import trace_footprint
from kappamask.reports.provenance import find_sensing_time, list_provenance, read_software
from kappamask.scenes import read_mask
from kappamask.scenes.grid import find_pixel_size
from kappamask.scenes.readers.raster import open_local_raster
from kappamask.scenes.statistics import has_bits

__all__ = ["ASSETS", "CLASSIFICATION", "add_file", "make_href", "make_stac_item", "write_document", "write_stac"]

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
    "quicklook": ("Natural colours next to the mask", ["overview"]),
    "page": ("Report", ["metadata"]),
    "style": ("QGIS style", ["metadata"]),
}
"""Key -> title and roles, of STAC's list of asset roles."""
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.1.0/schema.json"
"""Written by hand: no pystac knows the second, and those before 1.9 only an older version of the first."""
DIGITS = 4
"""Of a percentage: one pixel of 1000 x 1000."""
CONSTELLATION = {"constellation": "sentinel-2", "instruments": ["msi"]}
"""Of a mask that names its platform, as Sentinel-2's own items have it."""


def add_file(item: pystac.Item, key: str, file: Path, folder: Path) -> pystac.Asset:
    """Add `file` as the asset `key`; a GeoTIFF also with its bands.

    The href is relative to `folder`.
    Raises SceneError if the key is not of `ASSETS`, or if the file is missing.
    """
    if key not in ASSETS:
        raise SceneError(f"No asset {key!r}: known are {', '.join(ASSETS)}.")
    title, roles = ASSETS[key]
    media = MEDIA.get(file.suffix.lower())
    item.add_asset(key, pystac.Asset(make_href(file, folder), title=title, media_type=media, roles=roles))
    asset = item.assets[key]
    size, checksum = _hash_file(file)
    FileExtension.ext(asset, add_if_missing=True).apply(size=size, checksum=checksum)
    if media == TIFF:
        _add_bands(asset, file)
    return asset


def make_href(file: Path, folder: Path) -> str:
    """Return the path of `file` relative to `folder`, with a leading dot, as STAC does."""
    relative = Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
    return relative if relative.startswith("../") else f"./{relative}"


def _hash_file(file: Path) -> tuple[int, str]:
    """Return the bytes, and the sha256 as a multihash in hexadecimal digits."""
    try:
        with file.open("rb") as opened:
            return file.stat().st_size, SHA256_MULTIHASH + file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise SceneError(f"Cannot read {file}: {error.strerror}.") from error


def _add_bands(asset: pystac.Asset, file: Path) -> None:
    with open_local_raster(file) as dataset:
        facts = zip(dataset.dtypes, dataset.nodatavals, dataset.scales, dataset.offsets, strict=True)
        named = list(zip(dataset.descriptions, facts, strict=True))
        asset.media_type = TIFF + (OPTIMISED if dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG" else "")
    RasterExtension.ext(asset, add_if_missing=True).apply([_make_band(name, *facts) for name, facts in named])


def _make_band(name: str | None, kind: str, nodata: float | None, scale: float, offset: float) -> RasterBand:
    limit = NoDataStrings.NAN if nodata is not None and isnan(nodata) else nodata
    band = RasterBand.create(data_type=DataType(kind), nodata=limit, scale=scale, offset=offset)
    band.properties |= {"name": name} if name else {}
    return band


def make_stac_item(
    mask_file: str | Path, *, scene: xr.DataArray | None = None, files: Mapping[str, str | Path] | None = None
) -> pystac.Item:
    """Make the STAC item of a mask that `write_mask` wrote.

    Hrefs are relative to the mask's folder.
    scene: the cube that was masked: it tells date, level, platform and tile where the mask itself does not.
    files: further assets by key: "scores", "quicklook", "page", "style".

    Geometry is the outline of the grid in EPSG:4326, pixels without data included; null where the mask has no CRS.
    Properties: projection; `eo:cloud_cover`, percent of the valid pixels under opaque or semi-transparent cloud;
    `kappamask:NAME_percentage` of each class, of the valid pixels, and of those without data, of all;
    `kappamask:valid_percentage`; processing; and all that the mask tells of how it was made, as `kappamask:KEY`.
    The asset `mask` has its classes with counts (classification v2; none for a mask of bits), every asset its size and
    sha256.

    Raises SceneError if the file is no mask of one date, if nothing tells the date, or if a file is missing.
    """
    path = Path(mask_file)
    mask = read_mask(path)
    attrs = {**(scene.attrs if scene is not None else {}), **mask.attrs}
    counted, place = count_shares(mask), trace_footprint(mask)
    properties = _list_percentages(counted) | _list_processing(attrs) | _list_acquisition(attrs)
    item = pystac.Item(path.stem, place.geometry, place.bbox, find_sensing_time(path.name, attrs), properties)
    item.stac_extensions += [PROCESSING] if has_bits(mask) else [CLASSIFICATION, PROCESSING]
    if counted.cloud_cover is not None:
        EOExtension.ext(item, add_if_missing=True).apply(cloud_cover=round(counted.cloud_cover, DIGITS))
    if attrs.get("tile"):
        GridExtension.ext(item, add_if_missing=True).apply(code=f"MGRS-{attrs['tile']}")
    _set_projection(item, mask)
    asset = add_file(item, "mask", path, path.parent)
    asset.extra_fields |= {} if has_bits(mask) else {"classification:classes": _describe_classes(counted)}
    for key, file in (files or {}).items():
        add_file(item, key, Path(file), path.parent)
    return item


def write_stac(
    mask_file: str | Path, *, scene: xr.DataArray | None = None, files: Mapping[str, str | Path] | None = None
) -> Path:
    """Write `make_stac_item` to NAME.json next to the mask; return its path.

    Raises SceneError as `make_stac_item` does.
    """
    document = make_stac_item(mask_file, scene=scene, files=files).to_dict(include_self_link=False)
    return write_document(document, Path(mask_file).with_suffix(".json"))


def write_document(document: Mapping[str, Any], path: Path) -> Path:
    """Write a STAC document as JSON; return its path.

    Raises SceneError if it cannot be written.
    """
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return path


def _list_percentages(counted: Shares) -> dict[str, float]:
    """Return the percentage properties, named as Sentinel-2's own items name them."""
    found = {"valid": counted.valid_percent, **counted.percentages}
    return {f"kappamask:{name}_percentage": round(value, DIGITS) for name, value in found.items() if value is not None}


def _list_processing(attrs: Mapping[str, Any]) -> dict[str, Any]:
    made = list_provenance(attrs)
    facts = [f"{key} {value}" for key, value in made.items()]
    properties: dict[str, Any] = {"processing:lineage": "; ".join(["Cloud mask", *facts])}
    properties |= {"processing:level": made["level"]} if "level" in made else {}
    properties |= {"processing:software": read_software(attrs)} if read_software(attrs) else {}
    return properties | {f"kappamask:{key}": value for key, value in made.items()}


def _list_acquisition(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {"platform": str(attrs["platform"]).lower(), **CONSTELLATION} if attrs.get("platform") else {}


def _set_projection(item: pystac.Item, mask: xr.DataArray) -> None:
    located, size = mask.rio.crs is not None, find_pixel_size(mask)
    epsg = mask.rio.crs.to_epsg() if located else None
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        epsg=epsg,
        wkt2=mask.rio.crs.to_wkt("WKT2_2019") if located and epsg is None else None,
        bbox=list(mask.rio.bounds(recalc=True)) if located else None,
        shape=[mask.sizes["y"], mask.sizes["x"]],
        transform=list(mask.rio.transform(recalc=True)) if located else None,
    )
    if size is not None and size[2] == "m":
        item.common_metadata.gsd = round(size[0], 3)


def _describe_classes(counted: Shares) -> list[dict[str, Any]]:
    """Describe the classes by the classification extension.

    Its `percentage` is of all pixels of the area.
    """
    area = max(counted.area, 1)
    return [
        {
            "value": one.of.value,
            "name": one.of.name,
            "description": one.of.description or one.label,
            "color_hint": one.of.color_hint.upper(),
            "count": one.pixels,
            "percentage": round(100 * one.pixels / area, DIGITS),
        }
        for one in counted.classes
    ]


# Earlier names, which the documentation showed.
stac_item = make_stac_item
