"""Read STAC items lazily as cubes, on the grid that they share."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from kappamask.models import LEVELS, SceneError, parse_level
from kappamask.models.band_names import check_band_list, choose_bands
from kappamask.models.cleaning import PIXEL_M
from kappamask.models.errors import make_extra_error
from kappamask.scenes.grid import make_cube
from kappamask.scenes.metadata import collect_attributes, name_source, parse_product_name
from kappamask.scenes.readers.remote import resolve
from kappamask.scenes.readers.stac_driver import Driver, append_band_number, load_pixels
from kappamask.scenes.readers.stac_grid import Footprint, check_box, find_anchor, find_common_grid, find_common_nodata
from kappamask.scenes.readers.stac_items import StacItem, read_item, warn_of_left_out
from kappamask.scenes.readers.stac_providers import find_item_radiometry, read_baseline
from kappamask.scenes.resample import KERNELS
from kappamask.udf.radiometry import MODES
from kappamask.udf.series import add_scene_facts

__all__ = ["open_item", "open_stac", "search"]

LEVEL_PROPERTIES: Final = ("processing:level", "product:type", "s2:product_type")
"""Properties that state the level: L2A, S2MSI2A."""
PAGE_ITEMS: Final = 100
"""Items that are asked for on a page."""
FULL_PAGES: Final = (10, 20, 25, 30, 50, PAGE_ITEMS)
"""Items of a page that is full: the first is what an API gives that does not regard the number asked for (STAC API),
the last what is asked for, and the others are limits that APIs have of their own."""
PLACES: Final = {"tile": "s2:mgrs_tile", "orbit": "sat:relative_orbit"}
"""Attribute -> the property of items that tells it, where the product's name is not there to do so."""


def open_stac(
    item: Any,
    *,
    bands: Iterable[str] | None = None,
    level: str | None = None,
    resolution: float = PIXEL_M,
    bbox: Sequence[float] | None = None,
    radiometry: str | None = None,
    resampling: str = "bilinear",
    loopback: bool = False,
) -> xr.DataArray:
    """Open one STAC item, or several, as a lazy cube of stored values.

    One item gives dims (bands, y, x), a list of several (t, bands, y, x).
    `item`: the path of its file, its https address, its JSON as a dict, or a `pystac.Item`. Its assets must be GeoTIFFs
    or JPEG 2000s next to its file or at https addresses; sign those of Planetary Computer first.
    `bands`: which to read, in this order; names for all bands, in order, of an item that only numbers them.
    `resolution`: metres, whatever the unit of the item's CRS; the grid is that of its 10 m bands, or starts where that
    does. In a CRS of degrees pixels of about that size stay as they are, and numbers below 0.1 are degrees.
    `bbox`: west, south, east, north in degrees, west the larger one across the antimeridian; pixels that it touches are
    read, without it all.
    `radiometry`: "reflectance", "dn_harmonized" or "dn_offset", where the item does not say or contradicts itself;
    without it, the rule of its provider holds (`scenes.providers`), and the attribute is left out where that leaves a
    doubt, so that `cloud_mask` asks the pixels.
    `resampling`: of bands on other grids, see `open_scene`. `loopback`: allow plain HTTP to this machine.
    Coordinates, attributes and errors are those of `open_scene`. Several items may differ in radiometry and level: the
    numbers stay as stored, the coordinate `scene_facts` tells those of each date, and `cloud_mask` reads them.
    """
    _check_words(radiometry, resampling, resolution)
    check_band_list(bands)
    names = None if bands is None else [*bands]
    items = [
        read_item(one, resolution, names, loopback=loopback) for one in (item if isinstance(item, list) else [item])
    ]
    held = [band for band in items[0].assets if all(band in one.assets for one in items)] if items else []
    labels = choose_bands(items[0].id if len(items) == 1 else f"{len(items)} items", held, names)
    if names is None:
        warn_of_left_out(items, labels)
    if not labels:
        raise SceneError("No band that all items have; needed are items of one collection.")
    grids, dtypes, fills = zip(*(find_anchor(one, loopback) for one in items), strict=True)
    if len(kinds := {str(dtype) for dtype in dtypes}) > 1:
        raise SceneError(
            f"The items hold numbers of several types ({', '.join(sorted(kinds))}): open and mask them apart, then "
            "join the masks, as with xarray.concat."
        )
    target = find_common_grid(list(grids), resolution, bbox)
    sources = [
        {label: append_band_number(one.source(label, loopback=loopback), one.number(label)) for label in labels}
        for one in items
    ]
    stated = {source[label]: one.nodata(label) for one, source in zip(items, sources, strict=True) for label in labels}
    nodata = find_common_nodata(fills, stated.values(), dtypes[0])
    places = {
        source[label]: Footprint(one.id, label, source[label], tuple(grid.boundingbox))
        for one, source, grid in zip(items, sources, grids, strict=True)
        for label in labels
    }
    pixels = load_pixels(sources, target, Driver(dtypes[0], nodata, resampling, stated, places))
    facts = [_read_facts(one, labels, level, radiometry) for one in items]
    cubes = [add_scene_facts(make_cube(pixels[i], labels, target, known, nodata)) for i, known in enumerate(facts)]
    return cubes[0] if not isinstance(item, list) else _join_dates(cubes)


def open_item(
    path: Path | str, bands: Iterable[str] | None, level: str | None, kernel: str, metres: float
) -> xr.DataArray:
    """See `open_scene`; `path` is the file of an item, or its address."""
    return open_stac(path, bands=bands, level=level, resolution=metres, resampling=kernel)


def search(
    url: str,
    collection: str,
    *,
    bbox: Sequence[float],
    dates: tuple[str, str],
    most: int | None = None,
    loopback: bool = False,
) -> list[Any]:
    """Search a STAC API with `pystac-client`, and return the matching `pystac.Item`s.

    All are returned, or at most `most`.
    `bbox`: as of `open_stac`. `dates`: first and last, ISO 8601. `loopback`: see `open_stac`.
    Warns, with how many match, where items are left out. Raises SceneError if the API cannot be asked, or the dates
    are reversed.
    """
    _check_dates(dates)
    try:
        from pystac import Item
        from pystac_client import Client
        from pystac_client.exceptions import APIError
    except ModuleNotFoundError as error:
        raise make_extra_error("pystac-client", "stac", user="Searching") from error
    boxes = check_box(bbox)
    asked_box = [*boxes[0][:2], *boxes[-1][2:]]
    address = str(resolve(url, "", loopback=loopback))
    sizes: list[int] = []
    try:
        client = Client.open(address, modifier=partial(_note_size, sizes))
        asked = client.search(
            collections=[collection], bbox=asked_box, datetime=dates, max_items=most, limit=PAGE_ITEMS
        )
        pages = [*asked.pages_as_dicts()]
        unique = {(one.get("collection"), one.get("id")): one for page in pages for one in page.get("features", [])}
        items = [Item.from_dict(one, root=client) for one in unique.values()]
    except (APIError, NotImplementedError, ValueError, KeyError, OSError) as error:
        raise SceneError(f"{address} cannot be searched: {type(error).__name__}: {str(error)[:200]}.") from error
    _tell_of_others(pages, sizes, len(items), most)
    return items


def _check_dates(dates: tuple[str, str] | str) -> None:
    """Raise SceneError for a last day before the first, for which APIs return nothing."""
    ends = dates.split("/") if isinstance(dates, str) else dates  # pystac-client takes text, too
    first, last = (str(day)[:10] for day in (ends[0], ends[-1]))
    if first > last and first[:1].isdigit() and last[:1].isdigit():
        raise SceneError(f"dates={(first, last)}: needed are two days, the earlier first: dates={(last, first)}.")


def _note_size(sizes: list[int], answer: Any) -> None:
    """Note how many items a page holds, before it is cut."""
    if isinstance(answer, dict) and "features" in answer:
        sizes.append(len(answer["features"]))


def _tell_of_others(pages: Sequence[Mapping[str, Any]], sizes: Sequence[int], found: int, most: int | None) -> None:
    """Warn of matching items that were not returned, or may not have been.

    This goes by the API's own count, by its link to more, or by the sizes of its pages.
    """
    context = [page.get("numberMatched", (page.get("context") or {}).get("matched")) for page in pages]
    matched = max((int(number) for number in context if number is not None), default=None)
    more = pages and any(link.get("rel") == "next" for link in pages[-1].get("links", []))
    is_cut = most is not None and found >= most and (more or sum(sizes) > found)
    if (matched is None and is_cut) or (matched or 0) > found:
        total = "more" if matched is None else str(matched)
        remedy = "ask without `most`, or for fewer dates" if most is not None else "ask for fewer dates at a time"
        warnings.warn(f"{found} items are returned, and {total} match: {remedy}.", stacklevel=3)
    elif matched is None and not more and sizes and sizes[-1] in FULL_PAGES and found != most:
        warnings.warn(
            f"{found} items are returned, and more may match: the API states neither a count nor a link to more, and "
            f"{sizes[-1]} fill a page. Ask for fewer dates at a time to be sure.",
            stacklevel=3,
        )


def _check_words(radiometry: str | None, resampling: str, resolution: float) -> None:
    for what, word, known in (("radiometry", radiometry, [None, *MODES]), ("resampling", resampling, list(KERNELS))):
        if word not in known:
            raise SceneError(f"No {what} {word!r}: known are {', '.join(filter(None, known))}.")
    if not resolution > 0:
        raise SceneError(f"The resolution is {resolution}; needed are metres above 0.")


def _read_facts(item: StacItem, labels: list[str], level: str | None, radiometry: str | None) -> dict[str, Any]:
    properties: Mapping[str, Any] = item.raw.get("properties", {})
    collection = str(item.raw.get("collection") or "")
    product = str(properties.get("s2:product_uri") or item.id).removesuffix(".SAFE")
    mode = radiometry or _find_radiometry(item, labels)
    facts = {"datetime": properties.get("datetime") or properties.get("start_datetime"), "collection": collection}
    if mode:
        facts |= {"radiometry": mode, "processing_baseline": read_baseline(item.raw)}
    stated = (parse_level(properties.get(key)) for key in LEVEL_PROPERTIES)
    facts["level"] = next((one for one in stated if one in LEVELS), None)
    known = {key: value for key, value in facts.items() if value}
    place = {key: properties[name] for key, name in PLACES.items() if name in properties}
    source = name_source(None if radiometry else mode, "the STAC item")
    return (
        collect_attributes(f"{product} {item.id} {collection}", known, level)
        | source
        | parse_product_name(product)
        | place
    )


def _find_radiometry(item: StacItem, labels: list[str]) -> str | None:
    try:
        return find_item_radiometry(item.raw, {label: item.asset(label) for label in labels})
    except SceneError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise SceneError(f"Item {item.id} tells scale and offset in no way that is known: {error}.") from error


def _join_dates(cubes: list[xr.DataArray]) -> xr.DataArray:
    """Join cubes of one grid along t, in order of time.

    What differs between them is in the coordinate `scene_facts`.
    """
    times = [np.datetime64(str(cube.attrs["datetime"]).removesuffix("Z"), "ns") for cube in cubes]
    stacked = xr.concat(cubes, xr.Variable("t", times), combine_attrs="drop_conflicts").sortby("t")
    shared = {key: value for key, value in stacked.attrs.items() if all(key in cube.attrs for cube in cubes)}
    stacked.attrs = {key: value for key, value in shared.items() if key != "datetime"}
    return stacked
