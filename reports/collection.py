"""Masks of a batch as a STAC collection, one item a file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pystac

from kappamask.reports.stac import CLASSIFICATION, stac_item, write_stac
from kappamask.scenes.atomic import written_whole

__all__ = ["write_collection"]

LICENCE = "proprietary"
"""STAC 1.0's word for what has no SPDX licence; masks are the user's own."""
ITEM_KEYS = ("value", "name", "description", "color_hint")
"""Of a class, what all masks of a collection share; counts are the items' own."""


def write_collection(masks: Sequence[Path], path: Path, *, title: str, about: Mapping[str, Any] | None = None) -> Path:
    """Write an item beside each mask, and `path`, the collection that links to them; hrefs are relative.

    about: further properties of the collection, such as provenance and costs, as `kappamask:KEY`. Raises SceneError as
    `stac_item` does, and if there is no mask.
    """
    items = [stac_item(mask) for mask in masks]
    collection = pystac.Collection(
        path.stem, title, _extent(items), title=title, license=LICENCE, stac_extensions=[CLASSIFICATION],
        extra_fields={f"kappamask:{key}": value for key, value in (about or {}).items()},
    )  # fmt: skip
    classes = items[0].assets["mask"].extra_fields.get("classification:classes", [])  # masks of bits have none
    shared = [{key: one[key] for key in ITEM_KEYS} for one in classes]
    collection.extra_fields["item_assets"] = {"mask": {"roles": ["data"], "classification:classes": shared}}
    for mask in masks:
        href = f"./{write_stac(mask).relative_to(path.parent).as_posix()}"
        collection.add_link(pystac.Link("item", href, "application/geo+json"))
    text = json.dumps(collection.to_dict(include_self_link=False, transform_hrefs=False), indent=2)
    with written_whole(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path


def _extent(items: Sequence[pystac.Item]) -> pystac.Extent:
    boxes = [item.bbox for item in items if item.bbox]
    times = sorted(item.datetime for item in items if item.datetime)
    west, south, east, north = zip(*boxes, strict=True)
    box: list[float | int] = [min(west), min(south), max(east), max(north)]
    return pystac.Extent(pystac.SpatialExtent([box]), pystac.TemporalExtent([[times[0], times[-1]]]))
