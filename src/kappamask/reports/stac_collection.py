"""Write the masks of a batch as a STAC collection with its items."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pystac

from kappamask.reports.stac import CLASSIFICATION, make_href, make_stac_item, write_document

__all__ = ["write_collection"]

LICENCES = {"1.0": "proprietary"}
OTHER = "other"
"""STAC's word for terms without an SPDX identifier, as those of Copernicus Sentinel data are; its version 1.1
deprecates what 1.0 wants. By 1.1 such data are private unless a link `license` leads to the terms."""
TERMS = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"
"""Everybody may use the data, change them and pass on what is made of them, with a notice: see `_make_notice`."""
COPERNICUS = pystac.Provider(
    "European Union, Copernicus Sentinel-2", roles=[pystac.ProviderRole.LICENSOR, pystac.ProviderRole.PRODUCER],
    url="https://www.copernicus.eu",
)  # fmt: skip
ITEM_KEYS = ("value", "name", "description", "color_hint")
"""Of a class, what all masks of a collection share; counts are the items' own."""


def write_collection(masks: Sequence[Path], path: Path, *, title: str, about: Mapping[str, Any] | None = None) -> Path:
    """Write an item next to each mask, and the collection of them as `path`.

    They link to each other; hrefs are relative.
    about: further properties of the collection, such as provenance and costs, as `kappamask:KEY`. Raises SceneError as
    `make_stac_item` does, and if there is no mask.
    """
    items = [make_stac_item(mask) for mask in masks]
    collection = pystac.Collection(
        path.stem, f"{title}. {_make_notice(items)}", _make_extent(items), title=title, license=_name_licence(),
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
        item.add_link(pystac.Link("collection", make_href(path, file.parent), "application/json"))
        write_document(item.to_dict(include_self_link=False, transform_hrefs=False), file)
        collection.add_link(pystac.Link("item", make_href(file, path.parent), "application/geo+json"))
    return write_document(collection.to_dict(include_self_link=False, transform_hrefs=False), path)


def _name_licence() -> str:
    """Return the licence's word in the STAC version that this pystac writes."""
    return LICENCES.get(pystac.get_stac_version()[:3], OTHER)


def _make_notice(items: Sequence[pystac.Item]) -> str:
    """Make the notice that the terms require for modified data, with the masks' years."""
    years = sorted({item.datetime.year for item in items if item.datetime})
    return f"Contains modified Copernicus Sentinel data {', '.join(map(str, years))}."


def _make_extent(items: Sequence[pystac.Item]) -> pystac.Extent:
    boxes = [item.bbox for item in items if item.bbox]
    times = sorted(item.datetime for item in items if item.datetime)
    west, south, east, north = zip(*boxes, strict=True)
    box: list[float | int] = [min(west), min(south), max(east), max(north)]
    return pystac.Extent(pystac.SpatialExtent([box]), pystac.TemporalExtent([[times[0], times[-1]]]))
