"""Find which assets of a STAC item hold which bands."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.models.band_names import are_numbered, find_band, find_bands, list_numbered, normalise_bands
from kappamask.models.hints import option
from kappamask.scenes.readers.remote import is_url

__all__ = ["NUMBER", "Assets", "choose_assets", "find_unread"]

Asset = Mapping[str, Any]
Assets = Mapping[str, tuple[Asset, ...]]
"""Band label -> the assets that hold it, the most suitable first."""
IMAGES: Final = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2")
SUFFIXES: Final = (".tif", ".tiff", ".jp2")
"""Media types, and where an asset has none the suffixes, of what can be read."""
NUMBER: Final = "kappamask:band"
"""Key under which an asset that holds several bands says here which of them is meant, from 1."""
LISTS: Final = ("eo:bands", "bands", "raster:bands")
"""What assets say of each of their bands, in order."""
PICTURES: Final = ("visual", "overview", "thumbnail", "preview", "tci")
"""Roles and keys of assets that look like bands and are pictures of them."""
MEASURED: Final = ("data", "reflectance")
"""Roles of assets that hold numbers; one without a role may."""
_METRES = re.compile(r"(?<=_)(\d+)m$", re.IGNORECASE)


def choose_assets(
    assets: Mapping[str, Asset],
    resolution: float,
    names: Sequence[str] | None,
    read_descriptions: Callable[[Asset], list[str | None]],
) -> Assets:
    """Choose the assets of each band, in the order of the spectrum.

    Returns none if nothing is an image.

    `resolution`, `names`: as of `read_item`. `read_descriptions`: reads what an asset's file calls its bands.
    Raises SceneError for images whose bands have no names.
    """
    images = {key: asset for key, asset in assets.items() if _is_image(asset)}
    shown = {key: asset for key, asset in images.items() if not _is_picture(key, asset)}
    if found := _bands_of_keys(images, resolution) or _bands_of_stacks(shown):
        return found
    return _name_bands(shown, names, read_descriptions) if shown else {}


def find_unread(assets: Mapping[str, Asset], chosen: Assets) -> dict[str, str]:
    """Find assets named after a band that alone hold it and are no images."""
    named = {key: find_band(key) for key, asset in assets.items() if not _is_image(asset)}
    if are_numbered([key for key, band in named.items() if band]):
        return {}
    return {
        key: band
        for key, band in named.items()
        if band and band not in chosen and {*(assets[key].get("roles") or ["data"])} & {*MEASURED}
    }


def _bands_of_keys(images: Mapping[str, Asset], resolution: float) -> Assets:
    """Find the bands of assets that hold one each."""
    found: dict[str, list[str]] = {}
    is_counted = are_numbered([key for key in images if find_band(key)])
    for key, asset in images.items():
        if label := _find_label(key, asset, is_counted=is_counted):
            found.setdefault(label, []).append(key)
    ranked = {
        label: sorted(keys, key=lambda key: _rank_asset(key, images[key], resolution)) for label, keys in found.items()
    }
    return {band: tuple(images[key] for key in ranked[band]) for band in SENTINEL2_BANDS if band in ranked}


def _bands_of_stacks(images: Mapping[str, Asset]) -> Assets:
    """Split assets of several bands into one asset per band, with its `NUMBER`."""
    found: dict[str, list[Asset]] = {}
    for asset in images.values():
        described = _list_described(asset)
        is_counted = are_numbered([str(one.get("name")) for one in described])
        labels = [_band_of_description(one, is_counted=is_counted) for one in described]
        for place, label in enumerate(labels if len(described) > 1 else []):
            if label:
                found.setdefault(label, []).append(_split_band(asset, place, len(described)))
    return {band: tuple(found[band]) for band in SENTINEL2_BANDS if band in found}


def _split_band(asset: Asset, place: int, count: int) -> Asset:
    """Return an asset of `count` bands as one of the band at `place`, from 0."""
    own = {name: [asset[name][place]] for name in LISTS if len(asset.get(name) or []) == count}
    return {**asset, **own, NUMBER: place + 1}


def _name_bands(
    images: Mapping[str, Asset], names: Sequence[str] | None, read_descriptions: Callable[[Asset], list[str | None]]
) -> Assets:
    """Give bands without a name those that their file has, or the caller's, in order."""
    if len(images) == 1:
        ((key, asset),) = images.items()
        texts = read_descriptions(asset)
        if any(labels := find_bands(texts)):
            return _sort_bands(labels, [_split_band(asset, place, len(texts)) for place in range(len(texts))])
        if len(texts) == 1:
            return {}
        described = [str(one.get("name")) for one in _list_described(asset)]
        shown = described if len(described) == len(texts) else [text or key for text in texts]
        layers = [_split_band(asset, place, len(texts)) for place in range(len(texts))]
    else:
        shown = sorted(images, key=_find_count) if are_numbered([*images]) else [*images]
        layers = [images[key] for key in shown]
    places = list_numbered(shown)
    return _sort_bands(_take_names(names, [shown[place] for place in places]), [layers[place] for place in places])


def _sort_bands(labels: Sequence[str | None], layers: Sequence[Asset]) -> Assets:
    """Give each label its layer; SceneError for a label that several have."""
    if twice := [label for label in SENTINEL2_BANDS if labels.count(label) > 1]:
        raise SceneError(f"The item's file names {', '.join(twice)} more than once; every band needs its own name.")
    found = {label: layer for label, layer in zip(labels, layers, strict=True) if label}
    return {band: (found[band],) for band in SENTINEL2_BANDS if band in found}


def _find_count(key: str) -> int:
    return int((re.findall(r"\d+", key) or [0])[-1])


def _take_names(names: Sequence[str] | None, shown: Sequence[str]) -> list[str]:
    """Return `names` if there is one for each band; SceneError if not."""
    if names is not None and len(names) == len(shown):
        return normalise_bands(names)
    listed = ", ".join(filter(None, shown[:3])) + (", …" if len(shown) > 3 else "")
    what = f"are only numbered ({listed})" if are_numbered(shown) else f"have no names of bands ({listed or 'none'})"
    raise SceneError(
        f"The item's bands {what}: write their common names (blue, green, red, …) into the item, or name all "
        f"{len(shown)} in order with {option('bands', ['B02', '…'])}."
    )


def _list_described(asset: Asset) -> list[Any]:
    """List what the item says of an asset's bands."""
    return [*(asset.get("eo:bands") or asset.get("bands") or [])]


def _is_picture(key: str, asset: Asset) -> bool:
    return bool({key.lower(), *(str(role).lower() for role in asset.get("roles") or [])} & {*PICTURES})


def _find_label(key: str, asset: Mapping[str, Any], *, is_counted: bool) -> str | None:
    """Find an asset's band by its key, else by its one band's description.

    is_counted: the keys of all assets only count them, and name no band.
    """
    if not is_counted and (named := find_band(key)):
        return named
    described = _list_described(asset)
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
