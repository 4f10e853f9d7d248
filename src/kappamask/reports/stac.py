"""A mask as a STAC item: where it lies, what its codes mean, how much of each, and how it was made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pystac
import xarray as xr
from pystac.extensions.eo import EOExtension
from pystac.extensions.grid import GridExtension
from pystac.extensions.projection import ProjectionExtension

from kappamask.reports.footprint import footprint
from kappamask.reports.provenance import provenance, sensing_time, software
from kappamask.reports.shares import Shares, shares
from kappamask.reports.stac_assets import add_file
from kappamask.scenes import read_mask
from kappamask.scenes.atomic import written_whole
from kappamask.scenes.counts import has_bits
from kappamask.scenes.grid import pixel_size

__all__ = ["stac_item", "write_stac"]

CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.1.0/schema.json"
"""Written by hand: no pystac knows the second, and those before 1.9 only an older version of the first."""
DIGITS = 4
"""Of a percentage: one pixel of 1000 x 1000."""
CONSTELLATION = {"constellation": "sentinel-2", "instruments": ["msi"]}
"""Of a mask that names its platform, as Sentinel-2's own items have it."""


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
    properties = _percentages(counted) | _processing(told) | _acquired(told)
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
    with written_whole(path) as draft:
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


def _acquired(told: Mapping[str, Any]) -> dict[str, Any]:
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
