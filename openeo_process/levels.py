"""Decide the processing level of a back-end's cube by its bands and collections."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import openeo

from kappamask.models import LEVEL_BANDS, LEVELS, CubeError, ModelCard, parse_level
from kappamask.models.band_names import find_bands
from kappamask.models.hints import option

__all__ = ["check_level", "level_from_collection", "resolve_level"]

LEVEL_WORDS = {
    "L1C": re.compile(r"L(EVEL)?[-_ ]?1C|(?<![A-Z])TOA(?![A-Z])|^COPERNICUS/S2(_HARMONIZED)?$"),
    "L2A": re.compile(r"L(EVEL)?[-_ ]?2A|(?<![A-Z])(BOA|TOC)(?![A-Z])|S2_SR(?![A-Z])"),
}
"""Level -> how names of collections have it; the last of each are Google Earth Engine's."""
INPUTS = ("data", "cube1", "cube2")
"""Arguments whose pixels go on through a process; not those that only choose pixels, as `mask`."""


def level_from_collection(collection: str) -> str | None:
    """Read the level from a collection's name, as SENTINEL2_L1C; None if not exactly one.

    Other back-ends call Level-2A also BOA, TOC or SR, and Level-1C TOA.
    """
    named = [level for level, words in LEVEL_WORDS.items() if words.search(collection.upper())]
    return named[0] if len(named) == 1 else None


def resolve_level(datacube: openeo.DataCube, level: str | None, card: ModelCard) -> str:
    """Return the level that bands, collection, card and the caller agree on.

    Raises CubeError if they contradict each other, or none tells.
    """
    level = None if level is None else check_level(level, card)
    sources = {**_levels_from_collections(datacube), **_levels_from_bands(datacube)}
    found = set(sources.values())
    if wrong := [source for source, one in sources.items() if one != (level or one)]:
        raise CubeError(
            f"{option('level', level)} contradicts {wrong[0]}, which is of level {sources[wrong[0]]}: "
            f"leave {option('level')} out, or load the other collection."
        )
    if len(found) > 1:
        raise CubeError(f"The cube has both levels, of {' and of '.join(sources)}: load one collection.")
    if level is None:
        found = found or set(card.levels)
        if len(found) != 1:
            raise CubeError(
                f"Bands and collection do not tell the level: say {option('level', 'L1C')} or {option('level', 'L2A')}."
            )
        level = found.pop()
    return level


def _levels_from_bands(datacube: openeo.DataCube) -> dict[str, str]:
    bands = (datacube.metadata.band_names or []) if datacube.metadata and datacube.metadata.has_band_dimension() else []
    named = zip(bands, find_bands(bands), strict=True)
    return {f"band {label}": LEVEL_BANDS[band] for label, band in named if band in LEVEL_BANDS}


def _levels_from_collections(datacube: openeo.DataCube) -> dict[str, str]:
    """Return the levels of what the cube is loaded from, where its names have one."""
    graph = datacube.flat_graph()
    ahead, names = [key for key, node in graph.items() if node.get("result")], {}
    while ahead:
        node = graph[ahead.pop()]
        match node["process_id"], node["arguments"]:
            case "load_collection", {"id": str() as name}:
                names[f"collection {name}"] = name
            case "load_stac", {"url": str() as url}:
                names[urlsplit(url)._replace(query="", fragment="").geturl()] = urlsplit(url).path
        inputs = (node["arguments"].get(name) for name in INPUTS)
        ahead += [one["from_node"] for one in inputs if isinstance(one, Mapping) and "from_node" in one]
    return {source: level for source, name in names.items() if (level := level_from_collection(name))}


def check_level(level: str, card: ModelCard) -> str:
    """Return `level` as "L1C" or "L2A" if the network is for it; else raise CubeError."""
    level = parse_level(level)
    if level not in card.levels or level not in LEVELS:
        raise CubeError(f"{card.id} is for {' and '.join(card.levels)}, not for level {level!r}.")
    return level
