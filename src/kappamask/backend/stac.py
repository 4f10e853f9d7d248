"""Find scenes by STAC items and collections, on disk or this machine's web servers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pandas as pd
import pystac
from pystac.utils import make_absolute_href

from kappamask.backend.scene_index import CLOUD_COVER, SceneRecord, record
from kappamask.files.untrusted import parse_json
from kappamask.files.urls import LOCALHOST, LOOPBACK, read_loopback
from kappamask.models import SceneError

__all__ = ["check_source", "load_stac_scenes"]

BELOW: Final = ("item", "child")
"""Relations of the links that are followed."""
LONGEST: Final = 2**23
"""Bytes of a document that are read: usual items are 20 to 60 KB."""
UNREADABLE: Final = (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError, pystac.STACError)
"""What is raised where a document cannot be fetched, is no JSON or no STAC."""


def check_source(url: str, folder: Path) -> str:
    """Check `url`: a file below `folder`, or http on this machine; SceneError otherwise."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        if parts.hostname not in LOOPBACK:
            raise SceneError(
                f"{url} is on another machine; this back-end opens its scenes folder and http://{LOCALHOST} only."
            )
        return url
    resolve_local(url, folder)
    return url


def resolve_local(href: str, folder: Path) -> Path:
    """Find the file that `href` names, if it lies below `folder`."""
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


def load_stac_scenes(url: str, folder: Path) -> list[SceneRecord]:
    """Find a STAC object's scenes: assets that are GeoTIFFs with named bands.

    An item's own datetime goes before that of its files. Raises SceneError if there are none, if a document is no STAC,
    or if a link leads to what `check_source` refuses.
    """
    scenes = [scene for item in _iter_items(url, folder) for scene in _item_scenes(item, folder)]
    if not scenes:
        raise SceneError(
            f"{url} names no GeoTIFF in the scenes folder; give a STAC item whose data assets are such files."
        )
    return sorted(scenes, key=lambda s: (s.datetime, s.path))


def _iter_items(url: str, folder: Path) -> Iterator[pystac.Item]:
    """Yield the items at `url` and below; pystac itself would follow links to anywhere."""
    ahead, seen = [url], set[str]()
    while ahead:
        source = _check_source(ahead.pop(), folder)
        if source not in seen:
            seen.add(source)
            items, links = _read(source)
            ahead += links
            yield from items


def _check_source(href: str, folder: Path) -> str:
    """Check `href`: a URL that may be opened, or its file's path."""
    if urlsplit(href).scheme in ("http", "https"):
        return check_source(href, folder)
    return str(resolve_local(href, folder))


def _read(source: str) -> tuple[list[pystac.Item], list[str]]:
    """Read a document's item, or a collection's links to what is below."""
    try:
        document = parse_json(
            Path(source).read_bytes() if Path(source).is_absolute() else read_loopback(source, LONGEST),
            max_bytes=LONGEST,
            allow_nan=True,
        )
        if document.get("type") == "Feature":
            return [pystac.Item.from_dict(document, href=source, migrate=True)], []
        links = [link["href"] for link in document.get("links", []) if link.get("rel") in BELOW]
        return [], [make_absolute_href(href, source) for href in links]
    except UNREADABLE as error:
        raise SceneError(f"{source} cannot be read as a STAC item, collection or catalogue: {error!r}.") from error


def _item_scenes(item: pystac.Item, folder: Path) -> list[SceneRecord]:
    data = [asset for asset in item.assets.values() if _is_data(asset)]
    records = [record(resolve_local(str(asset.get_absolute_href()), folder)) for asset in data]
    cover = item.properties.get(CLOUD_COVER)
    if isinstance(cover, int | float):
        records = [replace(r, cloud_cover=float(cover)) for r in records]
    if item.datetime is None:
        return records
    when = pd.to_datetime(item.datetime, utc=True).tz_localize(None)
    return [replace(r, datetime=when) for r in records]


def _is_data(asset: pystac.Asset) -> bool:
    is_tiff = "tiff" in (asset.media_type or "").lower() or asset.href.lower().endswith((".tif", ".tiff"))
    return is_tiff and (not asset.roles or "data" in asset.roles)
