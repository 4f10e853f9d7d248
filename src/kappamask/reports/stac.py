"""Write masks as STAC items, and a batch as a STAC collection."""

import json
import os
from collections.abc import Mapping, Sequence
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
from kappamask.models.catalog import SHA256_MULTIHASH
from kappamask.reports.class_shares import Shares, shares
from kappamask.reports.footprint import footprint
from kappamask.reports.provenance import provenance, sensing_time, software
from kappamask.scenes import read_mask
from kappamask.scenes.grid import pixel_size
from kappamask.scenes.readers.raster import local_raster
from kappamask.scenes.statistics import has_bits

__all__ = ["ASSETS", "add_file", "href", "stac_item", "write_collection", "write_stac"]

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
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.1.0/schema.json"
"""Written by hand: no pystac knows the second, and those before 1.9 only an older version of the first."""
DIGITS = 4
"""Of a percentage: one pixel of 1000 x 1000."""
CONSTELLATION = {"constellation": "sentinel-2", "instruments": ["msi"]}
"""Of a mask that names its platform, as Sentinel-2's own items have it."""
LICENCES = {"1.0": "proprietary"}
OTHER = "other"
"""STAC's word for terms without an SPDX identifier, as those of Copernicus Sentinel data are; its version 1.1
deprecates what 1.0 wants. By 1.1 such data are private unless a link `license` leads to the terms."""
TERMS = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"
"""Everybody may use the data, change them and pass on what is made of them, with a notice: see `_notice`."""
COPERNICUS = pystac.Provider(
    "European Union, Copernicus Sentinel-2", roles=[pystac.ProviderRole.LICENSOR, pystac.ProviderRole.PRODUCER],
    url="https://www.copernicus.eu",
)  # fmt: skip
ITEM_KEYS = ("value", "name", "description", "color_hint")
"""Of a class, what all masks of a collection share; counts are the items' own."""


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


def stac_item(
    mask_file: str | Path, *, scene: xr.DataArray | None = None, files: Mapping[str, str | Path] | None = None
) -> pystac.Item:
    """The STAC item of a mask that `write_mask` wrote; hrefs are relative to the mask's folder.

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
    told = {**(scene.attrs if scene is not None else {}), **mask.attrs}
    counted, place = shares(mask), footprint(mask)
    properties = _percentages(counted) | _processing(told) | _acquisition(told)
    item = pystac.Item(path.stem, place.geometry, place.bbox, sensing_time(path.name, told), properties)
    item.stac_extensions += [PROCESSING] if has_bits(mask) else [CLASSIFICATION, PROCESSING]
    if counted.cloud_cover is not None:
        EOExtension.ext(item, add_if_missing=True).apply(cloud_cover=round(counted.cloud_cover, DIGITS))
    if told.get("tile"):
        GridExtension.ext(item, add_if_missing=True).apply(code=f"MGRS-{told['tile']}")
    _project(item, mask)
    asset = add_file(item, "mask", path, path.parent)
    asset.extra_fields |= {} if has_bits(mask) else {"classification:classes": _classes(counted)}
    for key, file in (files or {}).items():
        add_file(item, key, Path(file), path.parent)
    return item


def write_stac(
    mask_file: str | Path, *, scene: xr.DataArray | None = None, files: Mapping[str, str | Path] | None = None
) -> Path:
    """Write `stac_item` to NAME.json beside the mask; returns its path. Raises SceneError as that does."""
    path = Path(mask_file).with_suffix(".json")
    text = json.dumps(stac_item(mask_file, scene=scene, files=files).to_dict(include_self_link=False), indent=2)
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path


def _percentages(counted: Shares) -> dict[str, float]:
    """As Sentinel-2's own items have them, under the names of our classes."""
    found = {"valid": counted.valid_percent, **counted.percentages}
    return {f"kappamask:{name}_percentage": round(value, DIGITS) for name, value in found.items() if value is not None}


def _processing(told: Mapping[str, Any]) -> dict[str, Any]:
    made = provenance(told)
    facts = [f"{key} {value}" for key, value in made.items()]
    properties: dict[str, Any] = {"processing:lineage": "; ".join(["Cloud mask", *facts])}
    properties |= {"processing:level": made["level"]} if "level" in made else {}
    properties |= {"processing:software": software(told)} if software(told) else {}
    return properties | {f"kappamask:{key}": value for key, value in made.items()}


def _acquisition(told: Mapping[str, Any]) -> dict[str, Any]:
    return {"platform": str(told["platform"]).lower(), **CONSTELLATION} if told.get("platform") else {}


def _project(item: pystac.Item, mask: xr.DataArray) -> None:
    located, size = mask.rio.crs is not None, pixel_size(mask)
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


def _classes(counted: Shares) -> list[dict[str, Any]]:
    """In the words of the classification extension; its `percentage` is of all pixels of the area."""
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


def write_collection(masks: Sequence[Path], path: Path, *, title: str, about: Mapping[str, Any] | None = None) -> Path:
    """Write an item beside each mask, and `path`, the collection that links to them and they to it; hrefs are relative.

    about: further properties of the collection, such as provenance and costs, as `kappamask:KEY`. Raises SceneError as
    `stac_item` does, and if there is no mask.
    """
    items = [stac_item(mask) for mask in masks]
    collection = pystac.Collection(
        path.stem, f"{title}. {_notice(items)}", _extent(items), title=title, license=_licence(),
        providers=[COPERNICUS], stac_extensions=[CLASSIFICATION],
        extra_fields={f"kappamask:{key}": value for key, value in (about or {}).items()},
    )  # fmt: skip
    collection.add_link(pystac.Link("license", TERMS, "application/pdf", "Terms of Copernicus Sentinel data"))
    classes = items[0].assets["mask"].extra_fields.get("classification:classes", [])  # masks of bits have none
    shared = [{key: one[key] for key in ITEM_KEYS} for one in classes]
    collection.extra_fields["item_assets"] = {"mask": {"roles": ["data"], "classification:classes": shared}}
    for item, mask in zip(items, masks, strict=True):
        file = mask.with_suffix(".json")
        item.collection_id = collection.id
        item.add_link(pystac.Link("collection", href(path, file.parent), "application/json"))
        _write(item.to_dict(include_self_link=False, transform_hrefs=False), file)
        collection.add_link(pystac.Link("item", href(file, path.parent), "application/geo+json"))
    return _write(collection.to_dict(include_self_link=False, transform_hrefs=False), path)


def _licence() -> str:
    """The word of the STAC version that this pystac writes."""
    return LICENCES.get(pystac.get_stac_version()[:3], OTHER)


def _notice(items: Sequence[pystac.Item]) -> str:
    """What the terms ask to be told of data that were changed, with the years of the masks."""
    years = sorted({item.datetime.year for item in items if item.datetime})
    return f"Contains modified Copernicus Sentinel data {', '.join(map(str, years))}."


def _write(document: dict[str, Any], path: Path) -> Path:
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return path


def _extent(items: Sequence[pystac.Item]) -> pystac.Extent:
    boxes = [item.bbox for item in items if item.bbox]
    times = sorted(item.datetime for item in items if item.datetime)
    west, south, east, north = zip(*boxes, strict=True)
    box: list[float | int] = [min(west), min(south), max(east), max(north)]
    return pystac.Extent(pystac.SpatialExtent([box]), pystac.TemporalExtent([[times[0], times[-1]]]))
