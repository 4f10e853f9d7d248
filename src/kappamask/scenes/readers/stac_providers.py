"""Radiometric conventions of STAC providers, and an error where signals contradict each other.

Providers serve the same product with and without the radiometric offset (docs/design/0003-radiometry.md); some say so
in each asset's scale and offset, some by the processing baseline only, one in a flag that is wrong at times.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from kappamask.scenes.metadata import find_baseline_radiometry, parse_baseline, read_packing_mode, resolve_radiometry
from kappamask.udf.radiometry import decide_radiometry
from kappamask.udf.radiometry_metadata import AUXILIARY

__all__ = [
    "PROVIDERS",
    "UNKNOWN",
    "Provider",
    "find_item_radiometry",
    "find_provider",
    "read_baseline",
]

Item = Mapping[str, Any]
REMEDY: Final = "say which with open_stac(…, radiometry='dn_harmonized') or 'dn_offset'"
FLAGS: Final = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
"""Earth Search v1 and v0: whether the offset was taken from the pixels. True is right as far as is known; False often
is not (cirrus-earth-search 33, earth-search 66 and 71), and neither is the offset that the assets declare with it."""
BASELINES: Final = ("s2:processing_baseline", "processing:version", "sentinel:processing_baseline")
"""Properties that state the processing baseline: Planetary Computer and Earth Search, Copernicus Data Space, v0."""


@dataclass(frozen=True)
class Provider:
    """Who serves an item, and what tells the meaning of its numbers."""

    name: str
    collections: tuple[str, ...]
    """Ids; empty: any."""
    hosts: tuple[str, ...]
    """Ends of the host names in the item's links and hrefs, one of which must be there; empty: any."""
    signals: tuple[str, ...]
    """What is asked, of `SIGNALS`; all that answer must agree."""
    raw: bool = True
    """Whether the pixels are known to be as ESA made them, so that the processing baseline alone decides."""


PROVIDERS: Final = (
    Provider("Earth Search", ("sentinel-2-c1-l2a",), (), ("offset", "baseline")),
    Provider("Earth Search", ("sentinel-2-l1c",), ("element84.com", "sentinel-s2-l1c"), ("offset", "baseline")),
    Provider("Earth Search", ("sentinel-2-l2a", "sentinel-s2-l2a-cogs"), ("element84.com", "sentinel-cogs"), ("flag",)),
    Provider("Planetary Computer", ("sentinel-2-l2a",), ("microsoft.com", "windows.net"), ("baseline",)),
    Provider(
        "Copernicus Data Space", ("sentinel-2-l1c", "sentinel-2-l2a"), ("copernicus.eu", "eodata"),
        ("offset", "baseline"),
    ),
    Provider(
        "Earth Engine", ("COPERNICUS/S2_HARMONIZED", "COPERNICUS/S2_SR_HARMONIZED"), (), ("collection",)
    ),
    Provider("Earth Engine", ("COPERNICUS/S2", "COPERNICUS/S2_SR"), (), ("baseline",)),
)  # fmt: skip
"""The first that fits counts."""


UNKNOWN: Final = Provider("a catalogue that is not known", (), (), ("offset", "baseline"), raw=False)


def find_provider(item: Item) -> Provider:
    """Return the row of `PROVIDERS` that fits a STAC item, as JSON, or `UNKNOWN`."""
    collection, hosts = str(item.get("collection")), set(_iter_hosts(item))
    return next((one for one in PROVIDERS if _fits_provider(one, collection, hosts)), UNKNOWN)


def find_item_radiometry(item: Item, reflective: Mapping[str, Item]) -> str | None:
    """Determine the radiometry, dn_harmonized or dn_offset, by the rule of the item's provider.

    None where nothing states it reliably.
    `reflective`: the assets that are read, as JSON, by band label. Raises SceneError if signals contradict each other.
    """
    provider = find_provider(item)
    flagged = any(flag in _item_properties(item) for flag in FLAGS)
    asked = ("flag",) if flagged and provider is UNKNOWN else provider.signals
    signals = {name: SIGNALS[name](item, reflective) for name in asked}
    found = resolve_radiometry(f"Item {item.get('id')} ({provider.name})", signals, REMEDY)
    mode = found.mode if found else None
    if mode == "dn_offset" and not provider.raw and not signals.get("offset"):
        return None
    return mode


def read_baseline(item: Item) -> str | None:
    """Read the processing baseline that an item states, else that in its product's name."""
    properties = _item_properties(item)
    stated = next((str(properties[key]) for key in BASELINES if properties.get(key)), None)
    return stated or parse_baseline(f"{properties.get('s2:product_uri', '')} {item.get('id')}")


def _item_properties(item: Item) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = item.get("properties", {})
    return properties


def _baseline_radiometry(item: Item, _: Mapping[str, Item]) -> str | None:
    return find_baseline_radiometry(read_baseline(item))


def _flag_radiometry(item: Item, assets: Mapping[str, Item]) -> str | None:
    if any(_item_properties(item).get(flag) is True for flag in FLAGS):
        return "dn_harmonized"
    early = _baseline_radiometry(item, assets)
    return early if early == "dn_harmonized" else None


def _offset_radiometry(item: Item, assets: Mapping[str, Item]) -> str | None:
    pairs = [_scale_and_offset(asset) for label, asset in assets.items() if label not in AUXILIARY]
    return read_packing_mode(str(item.get("id")), pairs)


def _collection_radiometry(item: Item, _: Mapping[str, Item]) -> str | None:
    mode = decide_radiometry("auto", {"collection": item.get("collection")}, {}, []).mode
    return None if mode == "unknown" else mode


SIGNALS: Final = {
    "flag": _flag_radiometry,
    "offset": _offset_radiometry,
    "baseline": _baseline_radiometry,
    "collection": _collection_radiometry,
}
"""Signal -> what it says of an item and its assets. offset: scale and offset in `raster:bands`, or as in STAC 1.1."""


def _scale_and_offset(asset: Item) -> tuple[float, float]:
    for place in (*asset.get("raster:bands", []), *asset.get("bands", []), asset):
        for prefix in ("", "raster:"):
            if f"{prefix}scale" in place or f"{prefix}offset" in place:
                return float(place.get(f"{prefix}scale", 1.0)), float(place.get(f"{prefix}offset", 0.0))
    return 1.0, 0.0


def _iter_hosts(item: Item) -> Iterator[str]:
    hrefs = [link.get("href", "") for link in item.get("links", [])]
    hrefs += [asset.get("href", "") for asset in item.get("assets", {}).values()]
    for href in hrefs:
        yield urlsplit(str(href)).hostname or ""


def _fits_provider(provider: Provider, collection: str, hosts: set[str]) -> bool:
    if provider.collections and collection not in provider.collections:
        return False
    return not provider.hosts or any(_is_host_below(host, end) for host in hosts for end in provider.hosts)


def _is_host_below(host: str, end: str) -> bool:
    return host == end or host.endswith(f".{end}") or host.startswith(f"{end}.")
