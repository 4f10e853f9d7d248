"""Publish KappaMask as a user-defined process: definition, catalogue record, benchmark scenario.

All three follow from one source, this module and the card, so that they cannot contradict each other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode
from openeo.rest.udp import build_process_dict

from kappamask.files.atomic import atomic_write
from kappamask.models import LEVEL_BANDS, JobError, ModelCard
from kappamask.models.cleaning import MAX_BUFFER_M, PRODUCT_SIDE_M, Cleaning, read_cleaning
from kappamask.models.hints import by_door
from kappamask.openeo_process.archive import require_url
from kappamask.openeo_process.chunks import make_chunk_arguments, resolve_overlap
from kappamask.openeo_process.graph import PYTHON, TOP, make_udf
from kappamask.openeo_process.job import job_options
from kappamask.openeo_process.job_options import find_largest_load

__all__ = ["PROCESS_ID", "Publication", "make_benchmark", "make_publication", "make_record", "write_publication"]

CONFORMS = (
    "http://www.opengis.net/spec/ogcapi-records-1/1.0/req/record-core",
    "https://apex.esa.int/core/openeo-udp",
)
"""Conformance classes of an APEx record of an openEO process."""
KEYWORDS = ("Sentinel-2", "Land Use/Land Cover Classification")
"""Of the terms that APEx takes, those nearest to a cloud mask, for which it has none."""
CREDITS_PER_KM2 = 0.0016
"""Of one date: a chunk of 480 px (23 km2) at `plan`'s 20 core seconds and 6.5 credits an hour; a first estimate."""
PROCESS_TYPE = "application/vnd.openeo+json;type=process"
"""Media type of a process definition, in links."""
PLATFORM = (
    "https://raw.githubusercontent.com/ESA-APEx/apex_algorithms/refs/heads/main/platform_catalog/"
    "cdse_openeo_federation.json"
)
"""APEx's record of Copernicus Data Space; a record must name a platform of its catalogue."""
BENCHMARK = {
    "spatial_extent": {"west": 5.00, "south": 51.20, "east": 5.05, "north": 51.23},
    "temporal_extent": ["2018-02-01", "2018-02-04"],
    "level": "L1C",
}
"""A small area and few dates, so that the benchmark costs a credit or two."""
PROCESS_ID = "kappamask"
SUMMARY = "Cloud mask of Sentinel-2 by KappaMask: clear, cloud shadow, semi-transparent cloud, cloud."
COLLECTIONS = {"L1C": "SENTINEL2_L1C", "L2A": "SENTINEL2_L2A"}
"""Product level -> collection, as Copernicus Data Space calls it."""


def make_record(card: ModelCard, process_id: str, description: str, namespace: str, backend: str) -> dict[str, Any]:
    """Make the record (OGC API Records, APEx) of the process whose definition lies at `namespace`."""
    now = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "id": process_id,
        "type": "Feature",
        "conformsTo": list(CONFORMS),
        "geometry": None,
        "properties": {
            "created": now,
            "updated": now,
            "type": "service",
            "title": "KappaMask cloud mask",
            "description": description,
            "cost_estimate": CREDITS_PER_KM2,
            "cost_unit": "platform credits per km²",
            "keywords": list(KEYWORDS),
            "language": {"code": "en", "name": "English"},
            "languages": [{"code": "en", "name": "English"}],
            "contacts": [{"name": "kappamask-openeo", "roles": ["developer"]}],
            "themes": [{"concepts": [{"id": keyword} for keyword in KEYWORDS],
                        "scheme": "https://gcmd.earthdata.nasa.gov/kms/concepts/concept_scheme/sciencekeywords"}],
            "formats": [{"name": "GeoTIFF", "mediaType": "image/tiff; application=geotiff"}],
            "license": card.licence,
        },
        "linkTemplates": [],
        "links": [
            _make_link("application", "openEO process definition", namespace, PROCESS_TYPE),
            _make_link("service", "openEO back-end", backend),
            _make_link("platform", "Copernicus Data Space openEO", PLATFORM),
        ],
    }  # fmt: skip


def _make_link(rel: str, title: str, href: str, media_type: str = "application/json") -> dict[str, str]:
    return {"rel": rel, "type": media_type, "title": title, "href": href}


def make_benchmark(process_id: str, namespace: str, backend: str, options: dict[str, Any]) -> dict[str, Any]:
    """Make a scenario that calls the process over a small area.

    APEx adds the reference data of its first run.
    """
    node = {"process_id": process_id, "namespace": namespace, "arguments": BENCHMARK}
    saved = {"process_id": "save_result", "arguments": {"data": {"from_node": process_id}, "format": "GTiff"}}
    return {
        "id": process_id,
        "type": "openeo",
        "description": "Masks a small area of a few dates.",
        "backend": backend,
        "process_graph": {process_id: node, "save": {**saved, "result": True}},
        "job_options": options,
        "reference_data": {},
        "reference_options": {"rtol": 0, "atol": 0, "pixel_tolerance": 1},
    }


@dataclass(frozen=True)
class Publication:
    """Three JSON documents."""

    process: dict[str, Any]
    """The user-defined process (openEO API 1.2), with parameters and default job options."""
    record: dict[str, Any]
    """The APEx catalogue's record (OGC API Records) of it."""
    benchmark: dict[str, Any]
    """An APEx benchmark scenario that calls it."""


def make_publication(
    card: ModelCard, *, namespace: str, archive: str, backend: str, python: str = PYTHON,
    largest_buffer_m: float = MAX_BUFFER_M,
) -> Publication:  # fmt: skip
    """Make the documents for `card`'s network.

    namespace: URL at which the process definition will lie. archive: URL of the dependency archive, for the default
    job options. backend: URL at which the benchmark runs. largest_buffer_m: up to which callers may give `buffer`;
    chunks overlap for it. Raises CubeError if the card's chunks suit no back-end, or not that buffer, and JobError
    for a namespace or an archive without an address.
    """
    require_url(archive)
    if not _names_server(namespace):
        raise JobError(f"The namespace {namespace!r} is no address; needed is the https:// address of the process.")
    if not 0 <= largest_buffer_m <= PRODUCT_SIDE_M:
        limit = by_door(python="largest_buffer_m", command="--largest-buffer")
        raise JobError(f"{limit} is {largest_buffer_m:g}; needed are 0 to {PRODUCT_SIDE_M:g} metres.")
    widest = read_cleaning({"buffer_m": largest_buffer_m})
    options = job_options(archive, find_largest_load(card))
    process = build_process_dict(
        _build_graph(card, python, widest).flat_graph(),
        process_id=PROCESS_ID,
        summary=SUMMARY,
        description=_describe_process(card),
        parameters=_list_parameters(card, largest_buffer_m),
        returns={"description": "A cube with the band `mask`, and with `scores` one more for each class.",
                 "schema": {"type": "object", "subtype": "datacube"}},
        default_job_options=options,
    )  # fmt: skip
    described = make_record(card, PROCESS_ID, str(process["description"]), namespace, backend)
    return Publication(process, described, make_benchmark(PROCESS_ID, namespace, backend, options))


def _names_server(address: str) -> bool:
    """Tell whether an address is one of a web server."""
    try:
        split = urlsplit(address)
    except ValueError:
        return False
    return split.scheme in ("http", "https") and bool(split.hostname)


def write_publication(made: Publication, folder: Path) -> list[Path]:
    """Write the documents into `folder` as APEx lays them out; their paths."""
    places: Mapping[str, dict[str, Any]] = {
        f"openeo_udp/{PROCESS_ID}.json": made.process,
        f"records/{PROCESS_ID}.json": made.record,
        f"benchmark_scenarios/{PROCESS_ID}.json": [made.benchmark],  # type: ignore[dict-item]
    }
    written = []
    for name, document in places.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as draft:
            draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        written.append(target)
    return written


def _list_parameters(card: ModelCard, largest_buffer_m: float) -> list[Parameter | dict[Any, Any]]:
    return [
        Parameter.bounding_box("spatial_extent", description="Area of interest; pixels near its border lack context."),
        Parameter.temporal_interval("temporal_extent", description="From the first day to before the last."),
        Parameter.string("level", default=card.levels[0], values=list(card.levels), description="Product level."),
        Parameter.string("model", default=card.id, values=[card.id], description="The network, as in the archive."),
        Parameter.boolean("scores", default=False, description="Also the score of each class, in percent."),
        Parameter(
            "buffer",
            f"Metres by which cloud and shadow are widened, {largest_buffer_m:g} at most.",
            schema={"type": "number", "minimum": 0, "maximum": largest_buffer_m},
            default=0,
        ),
    ]


def _build_graph(card: ModelCard, python: str, widest: Cleaning) -> PGNode:
    """Build the graph of the process: load the level's bands, run the UDF, rename, cast.

    Chunks overlap for the `widest` cleaning.
    """
    level, scores = {"from_parameter": "level"}, {"from_parameter": "scores"}
    chosen = {
        key: _make_if_node(PGNode("eq", {"x": level, "y": "L1C"}), one, other)
        for key, one, other in (
            ("id", COLLECTIONS["L1C"], COLLECTIONS["L2A"]),
            ("bands", _list_level_bands(card, "L1C"), _list_level_bands(card, "L2A")),
        )
    }
    extents = {key: {"from_parameter": key} for key in ("spatial_extent", "temporal_extent")}
    loaded = PGNode("load_collection", {**chosen, **extents})
    context: dict[str, Any] = {"schema": 1, "radiometry": "dn_harmonized", "buffer_m": {"from_parameter": "buffer"}}
    context |= {key: {"from_parameter": key} for key in ("level", "model", "scores")}
    context["overlap"] = resolve_overlap(card, None, widest)
    code: dict[str, Any] = {"udf": make_udf(model=card, python=python).code, "runtime": "Python", "version": python}
    run = PGNode("run_udf", {"data": {"from_parameter": "data"}, **code, "context": context})
    chunks = make_chunk_arguments(card, cleaning=widest)
    masked = PGNode("apply_neighborhood", {"data": loaded, "process": _make_callback(run), **chunks})
    names = _make_if_node(scores, card.result_bands(scores=True), card.result_bands())
    named = PGNode("rename_labels", {"data": masked, "dimension": "bands", "target": names})
    limits = {"inputMin": 0, "inputMax": TOP, "outputMin": 0, "outputMax": TOP}
    scaled = PGNode("linear_scale_range", {"x": {"from_parameter": "x"}, **limits})
    return PGNode("apply", {"data": named, "process": _make_callback(scaled)})


def _make_callback(node: PGNode) -> dict[str, Any]:
    return {"process_graph": node.flat_graph()}


def _make_if_node(value: Any, accept: Any, reject: Any) -> PGNode:
    return PGNode("if", {"value": value, "accept": accept, "reject": reject})


def _list_level_bands(card: ModelCard, level: str) -> list[str]:
    return [band for band in card.bands if LEVEL_BANDS.get(band, level) == level]


def _describe_process(card: ModelCard) -> str:
    codes = ", ".join(f"{value} {name}" for value, name in zip(card.output, card.output_names, strict=True))
    return (
        f"{SUMMARY} Each 10 m pixel becomes a code: {codes}; no data where a required band has none. Network "
        f"{card.id}, sha256 {card.sha256}, from {', '.join(card.bands)}, or those of them that the level has."
    )
