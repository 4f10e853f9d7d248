"""What a catalogue of openEO processes wants beside the process: a record, and a benchmark scenario (ESA's APEx)."""

from datetime import UTC, datetime
from typing import Any

from kappamask.models import ModelCard

__all__ = ["benchmark", "record"]

CONFORMS = (
    "http://www.opengis.net/spec/ogcapi-records-1/1.0/req/record-core",
    "https://apex.esa.int/core/openeo-udp",
)
"""Conformance classes of an APEx record of an openEO process."""
KEYWORDS = ("Sentinel-2", "Land Use/Land Cover Classification")
"""Of the terms that APEx takes, those nearest to a cloud mask, for which it has none."""
CREDITS_PER_KM2 = 0.0016
"""Of one date: a chunk of 480 px (23 km2) at `plan`'s 20 core seconds and 6.5 credits an hour; a first estimate."""
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


def record(card: ModelCard, process_id: str, description: str, namespace: str, backend: str) -> dict[str, Any]:
    """The record (OGC API Records, APEx's profile) of the process whose definition lies at `namespace`."""
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
            _link("application", "openEO process definition", namespace, "application/vnd.openeo+json;type=process"),
            _link("service", "openEO back-end", backend),
            _link("platform", "Copernicus Data Space openEO", PLATFORM),
        ],
    }  # fmt: skip


def _link(rel: str, title: str, href: str, media_type: str = "application/json") -> dict[str, str]:
    return {"rel": rel, "type": media_type, "title": title, "href": href}


def benchmark(process_id: str, namespace: str, backend: str, options: dict[str, Any]) -> dict[str, Any]:
    """A scenario that calls the process over a small area; APEx adds the reference data of its first run."""
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
