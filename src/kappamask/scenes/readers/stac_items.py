"""Read STAC items from files, URLs or memory, and find their band assets."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kappamask.files.atomic import check_utf8
from kappamask.files.untrusted import parse_json
from kappamask.files.urls import redact
from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.models.band_names import are_numbered, find_band
from kappamask.models.errors import make_extra_error
from kappamask.models.hints import by_door
from kappamask.scenes.readers.remote import fetch_bytes, is_url, resolve

__all__ = ["StacItem", "read_item"]

IMAGES: Final = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2")
SUFFIXES: Final = (".tif", ".tiff", ".jp2")
"""Media types, and where an asset has none the suffixes, of what can be read."""
NUMBER: Final = "kappamask:band"
"""Key under which an asset that holds several bands says here which of them is meant, from 1."""
LISTS: Final = ("eo:bands", "bands", "raster:bands")
"""What assets say of each of their bands, in order."""
PICTURES: Final = ("visual", "overview", "thumbnail", "preview", "tci")
"""Roles and keys of assets that look like bands and are pictures of them."""
LONGEST: Final = 2**23
"""Bytes of an item that are read: usual ones are 20 to 60 KB."""
_METRES = re.compile(r"(?<=_)(\d+)m$", re.IGNORECASE)


@dataclass(frozen=True)
class StacItem:
    """An item whose hrefs have not been followed."""

    raw: Mapping[str, Any]
    """Its JSON."""
    base: str | Path
    """Its address or file, which relative hrefs start from."""
    assets: Mapping[str, tuple[Mapping[str, Any], ...]]
    """Band label -> the assets that hold it, the most suitable first."""

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


def read_item(item: Any, resolution: float, *, loopback: bool = False) -> StacItem:
    """Read an item from a file, an address, a dict, or a `pystac.Item`.

    `resolution`: metres; of assets that hold the same band, the coarsest that is no coarser is taken.
    Raises SceneError if it cannot be fetched, is no item, or has no band.
    """
    raw, base = _load_item(item, loopback)
    kept = _validate_item(raw, base)
    try:
        assets = _choose_assets(kept["assets"], resolution)
    except SceneError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise SceneError(f"Item {kept['id']} describes its assets in no way that is known: {error}.") from error
    if not assets:
        raise SceneError(
            f"Item {kept['id']} has no bands as GeoTIFF or JPEG 2000, only {', '.join(kept['assets']) or 'nothing'}; "
            "download the product and open that."
        )
    return StacItem(kept, base, assets)


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


def _choose_assets(
    assets: Mapping[str, Mapping[str, Any]], resolution: float
) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """See `StacItem.assets`; labels in the order of the spectrum."""
    found: dict[str, list[str]] = {}
    images = {key: asset for key, asset in assets.items() if _is_image(asset)}
    is_counted = are_numbered([key for key in images if find_band(key)])
    for key, asset in images.items():
        if label := _find_label(key, asset, is_counted=is_counted):
            found.setdefault(label, []).append(key)
    if is_counted and not found:
        _refuse_numbers([*images])
    ranked = {
        label: sorted(keys, key=lambda key: _rank_asset(key, assets[key], resolution)) for label, keys in found.items()
    }
    single = {band: tuple(assets[key] for key in ranked[band]) for band in SENTINEL2_BANDS if band in ranked}
    return single or _bands_of_stacks(assets)


def _bands_of_stacks(assets: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """Split assets of several bands into one asset per band, with its `NUMBER`."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for key, asset in assets.items():
        words = {key.lower(), *(str(role).lower() for role in asset.get("roles") or [])}
        described = asset.get("eo:bands") or asset.get("bands") or []
        if not _is_image(asset) or words & {*PICTURES} or len(described) < 2:
            continue
        is_counted = are_numbered([str(one.get("name")) for one in described])
        labels = [_band_of_description(one, is_counted=is_counted) for one in described]
        if is_counted and not any(labels):
            _refuse_numbers([str(one.get("name")) for one in described])
        for place, label in enumerate(labels):
            if label:
                own = {name: [asset[name][place]] for name in LISTS if len(asset.get(name) or []) == len(described)}
                found.setdefault(label, []).append({**asset, **own, NUMBER: place + 1})
    return {band: tuple(found[band]) for band in SENTINEL2_BANDS if band in found}


def _refuse_numbers(names: Sequence[str]) -> None:
    """Raise SceneError for bands that are only counted."""
    how = by_door(python="open_scene(FILE, bands=['B02', …])", command="--bands B02,…")
    raise SceneError(
        f"The item's bands are only numbered ({', '.join(names[:3])}, …), which names no band: write their common "
        "names (blue, green, red, …) into the item, or take the file itself and name its bands with "
        f"{how}."
    )


def _find_label(key: str, asset: Mapping[str, Any], *, is_counted: bool) -> str | None:
    """Find an asset's band by its key, else by its one band's description.

    is_counted: the keys of all assets only count them, and name no band.
    """
    if not is_counted and (named := find_band(key)):
        return named
    described = asset.get("eo:bands") or asset.get("bands") or []
    if len(described) != 1:
        return None
    return _band_of_description(described[0], is_counted=is_counted)


def _band_of_description(band: Mapping[str, Any], *, is_counted: bool) -> str | None:
    common = str(band.get("common_name", band.get("eo:common_name")))
    return (None if is_counted else find_band(str(band.get("name")))) or find_band(common)


def _is_image(asset: Mapping[str, Any]) -> bool:
    kind, path = str(asset.get("type") or ""), urlsplit(str(asset.get("href"))).path.lower()
    return kind.lower().startswith(IMAGES) if kind else path.endswith(SUFFIXES)


def _rank_asset(key: str, asset: Mapping[str, Any], resolution: float) -> tuple[bool, bool, float, bool]:
    """Rank an asset: reachable, not too coarse, coarsest, and no JPEG 2000 come first."""
    href, metres = str(asset.get("href")), _asset_metres(key, asset)
    reachable = not is_url(href) or href.startswith(("https:", "http:"))
    return not reachable, metres > resolution, metres if metres > resolution else -metres, href.lower().endswith("jp2")


def _asset_metres(key: str, asset: Mapping[str, Any]) -> float:
    metres = _METRES.search(key)
    return float(metres[1] if metres else asset.get("gsd") or asset.get("raster:spatial_resolution") or 0)
