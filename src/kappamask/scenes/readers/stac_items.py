"""Read STAC items from files, URLs or memory, and find their band assets."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

from kappamask.files.atomic import check_utf8
from kappamask.files.untrusted import parse_json
from kappamask.files.urls import redact
from kappamask.models import SceneError
from kappamask.models.errors import make_extra_error
from kappamask.scenes.readers.remote import fetch_bytes, is_url, open_raster, resolve
from kappamask.scenes.readers.stac_assets import NUMBER, Assets, choose_assets, find_unread

__all__ = ["StacItem", "read_item", "warn_of_left_out"]

LONGEST: Final = 2**23
"""Bytes of an item that are read: usual ones are 20 to 60 KB."""


@dataclass(frozen=True)
class StacItem:
    """An item whose hrefs have not been followed."""

    raw: Mapping[str, Any]
    """Its JSON."""
    base: str | Path
    """Its address or file, which relative hrefs start from."""
    assets: Assets
    """Band label -> the assets that hold it, the most suitable first."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Key of an asset -> its band, where that is in no image and no other asset has it."""

    @property
    def id(self) -> str:
        """As the catalogue names it."""
        return str(self.raw["id"])

    def asset(self, label: str) -> Mapping[str, Any]:
        """Return the asset to read a band from."""
        return self.assets[label][0]

    def number(self, label: str) -> int:
        """Return which band of its file a band is, from 1."""
        return int(self.asset(label).get(NUMBER, 1))

    def nodata(self, label: str) -> tuple[float, ...]:
        """List the nodata values that the item states for a band.

        They are in `raster:bands`, or as in STAC 1.1.
        """
        asset = self.asset(label)
        lists = [asset[key] for key in ("raster:bands", "bands") if isinstance(asset.get(key), list)]
        places = [place for place in (*chain(*lists), asset) if isinstance(place, Mapping)]
        stated = [place.get(key) for place in places for key in ("nodata", "raster:nodata")]
        try:
            return tuple(dict.fromkeys(float(value) for value in stated if value is not None))
        except (TypeError, ValueError) as error:
            raise SceneError(f"Item {self.id} states a nodata value of {label} that is no number: {error}.") from error

    def source(self, label: str, *, loopback: bool) -> str | Path:
        """Return the file or address of a band; SceneError as `resolve` raises it."""
        return resolve(str(self.asset(label)["href"]), self.base, loopback=loopback)


def read_item(item: Any, resolution: float, names: Sequence[str] | None = None, *, loopback: bool = False) -> StacItem:
    """Read an item from a file, an address, a dict, or a `pystac.Item`.

    `resolution`: metres; of assets that hold the same band, the coarsest that is no coarser is taken.
    `names`: bands that the caller wants; of an item that names none, all of them in order.
    Raises SceneError if it cannot be fetched, is no item, or has no band.
    """
    raw, base = _load_item(item, loopback)
    kept = _validate_item(raw, base)
    try:
        assets = choose_assets(kept["assets"], resolution, names, partial(_read_descriptions, base, loopback))
    except SceneError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise SceneError(f"Item {kept['id']} describes its assets in no way that is known: {error}.") from error
    if not assets:
        raise SceneError(
            f"Item {kept['id']} has no bands as GeoTIFF or JPEG 2000, only {', '.join(kept['assets']) or 'nothing'}; "
            "download the product and open that."
        )
    return StacItem(kept, base, assets, find_unread(kept["assets"], assets))


def warn_of_left_out(items: Sequence[StacItem], labels: Sequence[str]) -> None:
    """Warn of bands that some items lack, or hold in files that are not read."""
    for one in items:
        for key, band in one.unread.items():
            warnings.warn(
                f"Item {one.id}: {band} is left out, for its asset {key!r} is no GeoTIFF or JPEG 2000; the mask is "
                "made without it.",
                stacklevel=3,
            )
    for band in sorted({band for one in items for band in one.assets} - set(labels)):
        without = [one.id for one in items if band not in one.assets]
        warnings.warn(
            f"{band} is left out: {len(without)} of {len(items)} items lack it ({', '.join(without[:3])}); open them "
            "apart to use it.",
            stacklevel=3,
        )


def _read_descriptions(base: str | Path, loopback: bool, asset: Mapping[str, Any]) -> list[str | None]:
    """Read what an asset's file calls its bands."""
    with open_raster(resolve(str(asset["href"]), base, loopback=loopback)) as dataset:
        return [*dataset.descriptions]


def _load_item(item: Any, loopback: bool) -> tuple[Any, str | Path]:
    if isinstance(item, Mapping):
        return item, _own_address(item)
    if hasattr(item, "to_dict"):
        raw = item.to_dict(include_self_link=True, transform_hrefs=False)
        own = str(item.get_self_href() or "")
        return raw, own if is_url(own) or not own else Path(own)
    if is_url(str(item)):
        address = resolve(str(item), "", loopback=loopback)
        return _parse_item(redact(address), fetch_bytes(str(address), LONGEST)), str(address)
    path = check_utf8(Path(item))
    if not path.is_file() or path.stat().st_size > LONGEST:
        raise SceneError(f"{path} is no file of a STAC item (JSON, up to {LONGEST >> 20} MiB).")
    return _parse_item(path.name, path.read_bytes()), path


def _own_address(raw: Mapping[str, Any]) -> str:
    """Return the address in an item's own link, or ""."""
    hrefs = (str(link.get("href")) for link in raw.get("links") or [] if link.get("rel") == "self")
    return next(filter(is_url, hrefs), "")


def _parse_item(name: str, data: bytes) -> Any:
    try:
        return parse_json(data, max_bytes=LONGEST, allow_nan=True)
    except ValueError as error:
        raise SceneError(f"{name} is no STAC item: {error}.") from error


def _validate_item(raw: Any, base: str | Path) -> dict[str, Any]:
    try:
        import pystac
    except ModuleNotFoundError as error:
        raise make_extra_error("pystac", "stac", user="A STAC item") from error
    name = redact(base) or "The object"
    if not isinstance(raw, Mapping) or raw.get("type") != "Feature" or not isinstance(raw.get("assets"), Mapping):
        raise SceneError(f"{name} is no STAC item: its type is not Feature, or it has no assets.")
    try:
        pystac.Item.from_dict(dict(raw), preserve_dict=True)
    except Exception as error:  # incomplete items raise all kinds of errors
        raise SceneError(f"{name} is no STAC item: {type(error).__name__}: {error}.") from error
    return dict(raw)
