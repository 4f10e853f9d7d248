"""Scenes named by STAC items and collections, on disk below the scenes folder or on this machine's own web servers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pystac

from kappamask.backend.archives import LOOPBACK
from kappamask.backend.properties import CLOUD_COVER
from kappamask.backend.scene_index import SceneRecord, record
from kappamask.models import SceneError

__all__ = ["check_source", "stac_scenes"]


def check_source(url: str, folder: Path) -> str:
    """`url` if it may be opened: a file below `folder`, or http on this machine. SceneError otherwise."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        if parts.hostname not in LOOPBACK:
            raise SceneError(
                f"{url} is on another machine; this back-end opens its scenes folder and http://127.0.0.1 only."
            )
        return url
    local(url, folder)
    return url


def local(href: str, folder: Path) -> Path:
    """The file that `href` names, if it lies below `folder`."""
    parts = urlsplit(href)
    if parts.scheme not in ("", "file"):
        raise SceneError(f"{href} cannot be opened; STAC items must name files below the scenes folder.")
    given = Path(unquote(parts.path) if parts.scheme else href)
    path = (given if given.is_absolute() else folder / given).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise SceneError(f"{href} lies outside the scenes folder; move it there.")
    if not path.exists():
        raise SceneError(f"No file {href} in the scenes folder.")
    return path


def stac_scenes(url: str, folder: Path) -> list[SceneRecord]:
    """The scenes of a STAC item or collection: assets that are GeoTIFFs on disk with named bands.

    An item's own datetime goes before that of its files.
    """
    source = url if urlsplit(url).scheme in ("http", "https") else str(local(url, folder))
    found = pystac.read_file(source)
    items = (
        [found]
        if isinstance(found, pystac.Item)
        else list(found.get_items(recursive=True))
        if isinstance(found, pystac.Catalog)
        else []
    )
    scenes = [scene for item in items for scene in _item_scenes(item, folder)]
    if not scenes:
        raise SceneError(
            f"{url} names no GeoTIFF in the scenes folder; give a STAC item whose data assets are such files."
        )
    return sorted(scenes, key=lambda s: (s.datetime, s.path))


def _item_scenes(item: pystac.Item, folder: Path) -> list[SceneRecord]:
    data = [asset for asset in item.assets.values() if _is_data(asset)]
    records = [record(local(str(asset.get_absolute_href()), folder)) for asset in data]
    cover = item.properties.get(CLOUD_COVER)
    if isinstance(cover, int | float):
        records = [replace(r, cloud_cover=float(cover)) for r in records]
    if item.datetime is None:
        return records
    when: Any = item.datetime.replace(tzinfo=None) - (item.datetime.utcoffset() or item.datetime - item.datetime)
    return [replace(r, datetime=r.datetime.__class__(when)) for r in records]


def _is_data(asset: pystac.Asset) -> bool:
    is_tiff = "tiff" in (asset.media_type or "").lower() or asset.href.lower().endswith((".tif", ".tiff"))
    return is_tiff and (not asset.roles or "data" in asset.roles)
