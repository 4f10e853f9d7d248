"""Build the process graph: load with a margin, mask in overlapping chunks, rename, cast, clip."""

import re
from collections.abc import Iterable, Mapping
from functools import reduce
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Unpack
from urllib.parse import urlsplit

import openeo
from openeo.processes import or_, text_begins

from kappamask.models import LEVEL_BANDS, LEVELS, CubeError, ModelCard, check_thresholds, load_card, parse_level
from kappamask.models.card import MISSING_CODE
from kappamask.models.cleaning import CleaningOptions, read_cleaning
from kappamask.models.hints import option
from kappamask.models.schemes import KAPPAMASK, UNUSABLE, class_codes, find_scheme, is_kappamask
from kappamask.openeo_process.chunks import chunk_arguments, enlarge_extent, overlap_for

__all__ = ["chunk_arguments", "cloud_mask", "level_from_collection", "load", "udf", "unusable"]

CONTEXT_SCHEMA = 1
TOP = 250
"""`linear_scale_range` with these whole numbers is the identity on codes and percents, and makes the cube uint8
with nodata 255; from 254 on the Copernicus back-end would not."""
LEVEL_WORDS = {
    "L1C": re.compile(r"L(EVEL)?[-_ ]?1C|(?<![A-Z])TOA(?![A-Z])|^COPERNICUS/S2(_HARMONIZED)?$"),
    "L2A": re.compile(r"L(EVEL)?[-_ ]?2A|(?<![A-Z])(BOA|TOC)(?![A-Z])|S2_SR(?![A-Z])"),
}
"""Level -> how names of collections have it; the last of each are Google Earth Engine's."""
INPUTS = ("data", "cube1", "cube2")
"""Arguments whose pixels go on through a process; not those that only choose pixels, as `mask`."""
PYTHON = "3.11"
"""UDF runtime version; must be that of the dependency archive."""


def load(
    connection: openeo.Connection,
    collection: str,
    *,
    area: dict[str, Any],
    dates: tuple[str, str],
    bands: list[str] | None = None,
    model: str | Path | ModelCard = "compact",
    overlap: int | None = None,
    max_cloud_cover: float | None = None,
    only: Iterable[str] = (),
    **cleaning: Unpack[CleaningOptions],
) -> openeo.DataCube:
    """Load a collection over `area`, enlarged by the overlap of the chunks.

    Give `area` to `cloud_mask` as `clip_to`.
    bands: left out, all that the network knows and the collection offers.
    overlap, cleaning: the same as for `cloud_mask`, because cleaning needs a larger overlap.
    max_cloud_cover: percent of a product, as its own metadata tell, from which on it is left out.
    only: days, as "2018-02-02", of which the others are left out.

    Raises CubeError for a wrong area, for cleaning that chunks cannot do, and for openEO's local processing.
    """
    card = load_card(model)
    _refuse_local(connection)
    if bands is None:
        offered = connection.collection_metadata(collection).band_names
        bands = [band for band in card.bands if band in offered]
    cube = connection.load_collection(
        collection,
        spatial_extent=enlarge_extent(area, overlap_for(card, overlap, read_cleaning(cleaning))),
        temporal_extent=list(dates),
        bands=bands,
        max_cloud_cover=max_cloud_cover,
    )
    days = list(only)
    return cube.filter_labels(lambda value: _matches_day(value, days), dimension="t") if days else cube


def _matches_day(label: Any, days: list[str]) -> Any:
    """Compare a label of t with days; back-ends write labels with or without seconds."""
    return reduce(or_, (text_begins(label, day) for day in days))


def cloud_mask(
    datacube: openeo.DataCube,
    *,
    model: str | Path | ModelCard = "compact",
    level: str | None = None,
    radiometry: str = "dn_harmonized",
    scores: bool = False,
    thresholds: Mapping[str, float] | None = None,
    scheme: str = KAPPAMASK,
    size: int | None = None,
    overlap: int | None = None,
    clip_to: dict[str, Any] | None = None,
    python: str = PYTHON,
    package: str | None = None,
    **cleaning: Unpack[CleaningOptions],
) -> openeo.DataCube:
    """KappaMask classes of every pixel of `datacube`, as a cube with the band `mask`.

    datacube: Sentinel-2 on a 10 m grid, bands B01 … B12, B8A; other bands are ignored.
    level: "L1C" or "L2A"; left out, the cube's bands, its collection's name or the card decide.
    radiometry: what the back-end serves; Copernicus Data Space serves "dn_harmonized".
    thresholds: class name to score, as {"cloud": 0.3}: taken where its score reaches that, and only there.
    scheme: class scheme of the mask, such as "SCL"; see `kappamask.udf.to_scheme`.
    size, overlap: of the chunks in pixels; left out, the card's window. clip_to: area that is kept.
    python: version of the UDF runtime, that of the dependency archive.
    package: hash that the archive must have (`kappamask.models.package`), or the job fails; left out, any will do.
    cleaning: buffer_m, min_object_m2, fill_holes_m2, shadow_length_m, sun, as for `kappamask.udf.clean`; the overlap is
        enlarged so that chunks are cleaned as the whole image would be. Give the same to `load`.

    On the back-end codes are exact and NaN means no data; saved as GTiff the mask is uint8 with nodata 255.
    Raises CubeError if chunk sizes do not fit, if the level contradicts the cube's bands or collection, for an unknown
    scheme, for cleaning that chunks cannot do as the whole image would be, and for a cube of openEO's local processing;
    CardError for an unknown model.
    """
    card = load_card(model)
    _refuse_local(datacube.connection)
    code = udf(
        model=card, level=_resolve_level(datacube, level, card), radiometry=radiometry, scores=scores,
        thresholds=thresholds, scheme=scheme, python=python, package=package, **cleaning,
    )  # fmt: skip
    arguments = chunk_arguments(card, size, overlap, read_cleaning(cleaning))
    masked = datacube.apply_neighborhood(process=code, **arguments)
    named = masked.rename_labels("bands", target=card.result_bands(scores))
    as_bytes = named.apply(lambda x: x.linear_scale_range(0, TOP, 0, TOP))
    return as_bytes.filter_bbox(**clip_to) if clip_to else as_bytes


def udf(
    *,
    model: str | Path | ModelCard = "compact",
    level: str | None = None,
    radiometry: str = "dn_harmonized",
    scores: bool = False,
    thresholds: Mapping[str, float] | None = None,
    scheme: str = KAPPAMASK,
    python: str = PYTHON,
    package: str | None = None,
    **cleaning: Unpack[CleaningOptions],
) -> openeo.UDF:
    """Return the UDF alone, for those who write `apply_neighborhood` themselves.

    Its context is on the run_udf node.
    With cleaning, the overlap must be that of `chunk_arguments`, or results differ near the chunks' borders.
    """
    card = load_card(model)
    context: dict[str, Any] = {"schema": CONTEXT_SCHEMA, "model": card.id, "radiometry": radiometry}
    if level is not None:
        context["level"] = _check_level(level, card)
    if scores:
        context["scores"] = True
    if thresholds:
        context["thresholds"] = dict(check_thresholds(card, thresholds))
    if not is_kappamask(scheme):
        context["scheme"] = find_scheme(scheme).name
    if package is not None:
        context["package"] = package
    if read_cleaning(cleaning):
        context.update({key: value for key, value in cleaning.items() if value is not None})
    return openeo.UDF(_read_script(), runtime="Python", version=python, context=context)


def unusable_pixels(mask: openeo.DataCube, classes: Iterable[str] = UNUSABLE) -> openeo.DataCube:
    """Return 1 where a cube of KappaMask classes has one of `classes`, else 0.

    Where it has no data the result has none. What openEO's `mask` wants: `datacube.mask(unusable_pixels(mask))` leaves
    out cloud and shadow. mask: as `cloud_mask` gives it, in KappaMask's scheme, with the band `mask` alone. Raises
    CubeError for an unknown class, or none but missing.
    """
    codes = [code for code in class_codes(classes) if code != MISSING_CODE]
    if not codes:
        raise CubeError("On a back-end missing pixels have no data in any band: name other classes, such as 'cloud'.")
    return mask.apply(lambda x: reduce(or_, [x == code for code in codes]))


unusable = unusable_pixels
"""The name of earlier versions."""


def level_from_collection(collection: str) -> str | None:
    """Read the level from a collection's name, as SENTINEL2_L1C; None if not exactly one.

    Other back-ends call Level-2A also BOA, TOC or SR, and Level-1C TOA.
    """
    named = [level for level, words in LEVEL_WORDS.items() if words.search(collection.upper())]
    return named[0] if len(named) == 1 else None


def _resolve_level(datacube: openeo.DataCube, level: str | None, card: ModelCard) -> str:
    """Return the level that bands, collection, card and the caller agree on.

    Raises CubeError if they contradict each other, or none tells.
    """
    level = None if level is None else _check_level(level, card)
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
    return {f"band {band}": LEVEL_BANDS[band] for band in bands if band in LEVEL_BANDS}


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


def _refuse_local(connection: Any) -> None:
    """Raise CubeError for a cube of openEO's client-side processing, which cannot run the graph."""
    if type(connection).__module__.startswith("openeo.local"):
        raise CubeError(
            "openEO's LocalConnection does not run UDFs in apply_neighborhood. For files on this machine use "
            "kappamask.udf.cloud_mask(cube.execute(), level=…), kappamask.workflows.mask_scene(path, 'mask.tif'), or "
            "the back-end of `kappamask serve --scenes FOLDER`."
        )


def _check_level(level: str, card: ModelCard) -> str:
    level = parse_level(level)
    if level not in card.levels or level not in LEVELS:
        raise CubeError(f"{card.id} is for {' and '.join(card.levels)}, not for level {level!r}.")
    return level


def _read_script() -> str:
    spec = find_spec("kappamask.udf")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return (Path(next(iter(spec.submodule_search_locations))) / "script.py").read_text(encoding="utf-8")
