"""Check what a back-end offers before anything is submitted."""

from collections.abc import Iterable, Mapping
from typing import Any

import openeo
from openeo.metadata import MetadataException

from kappamask.models import JobError, ModelCard
from kappamask.models.band_names import find_labels
from kappamask.openeo_process.jobs.answers import list_entries, read_json

__all__ = ["check_backend"]

PROCESSES = ("load_collection", "apply_neighborhood", "run_udf", "rename_labels", "apply", "linear_scale_range",
             "filter_bbox", "save_result")  # fmt: skip
"""What the graphs of `kappamask.openeo_process` consist of."""
OF_DAYS = ("filter_labels", "text_begins", "or")
"""And those by which single days are chosen."""
FORMAT = "GTiff"
BANDS = "bands"
"""Name of the dimension that the graphs rename the labels of."""
ABSENT = (404, 501)
"""HTTP: what back-ends without an endpoint answer."""
SHOWN = 20
"""Names of bands listed in a message."""


def check_backend(
    connection: openeo.Connection, collection: str, card: ModelCard, python: str, *, days: bool = False
) -> list[str]:
    """Check that the back-end can run the graph; return its labels of the network's bands.

    Listings are read to their last page. Raises JobError that lists all that the back-end lacks, or names a document
    that cannot be understood.

    days: whether single days will be chosen.
    """
    needed = (*PROCESSES, *(OF_DAYS if days else ()))
    known = _list_ids(connection, "collections")
    lacks = [
        *_list_missing("processes", needed, _list_ids(connection, "processes")),
        *_list_missing(
            "output format", [FORMAT.upper()], map(str.upper, _read_object(connection, "/file_formats", "output"))
        ),
        *_list_runtimes(connection, python),
        *_list_missing("collection", [collection], known),
    ]
    labels: dict[str, str] = {}
    if collection in known:
        dimension, bands = _read_bands(connection, collection)
        labels = find_labels(bands)
        lacking = _list_missing(BANDS, sorted(card.required), labels)
        lacks += [f"{one} (it has {', '.join(bands[:SHOWN]) or 'none that its metadata name'})" for one in lacking]
        if dimension not in (None, BANDS):
            lacks.append(f"a dimension named {BANDS} (that of its bands is named {dimension})")
    if lacks:
        raise JobError(f"{connection.root_url} cannot run {card.id}: it lacks {'; '.join(lacks)}.")
    return [labels[band] for band in card.bands if band in labels]


def _list_ids(connection: openeo.Connection, name: str) -> list[str]:
    """List the ids of the collections or processes of a back-end."""
    return [str(one.get("id")) for one in list_entries(connection, f"/{name}", name)[0]]


def _read_object(connection: openeo.Connection, path: str, name: str | None = None) -> dict[str, Any]:
    """Read a document, or the object `name` in it; empty where the back-end has none."""
    try:
        found = read_json(connection, path)[0]
    except openeo.rest.OpenEoApiPlainError as error:
        if error.http_status_code not in ABSENT:
            raise
        return {}
    inner = found if name is None else found.get(name)
    return inner if isinstance(inner, dict) else {}


def _read_bands(connection: openeo.Connection, collection: str) -> tuple[str | None, list[str]]:
    """Read the name of a collection's dimension of bands, and the bands."""
    try:
        metadata = connection.collection_metadata(collection)
    except (MetadataException, ValueError, KeyError, TypeError, AttributeError):
        return None, []
    try:
        dimension, names = metadata.band_dimension.name, list(metadata.band_names or [])
    except (MetadataException, ValueError, KeyError, TypeError, AttributeError):
        dimension, names = None, []
    return dimension, names or _read_stac_bands(metadata)


def _read_stac_bands(metadata: Any) -> list[str]:
    """Read the bands that a STAC 1.1 collection, or its item assets, list."""
    items = metadata.get("item_assets", default={})
    assets = [one for one in items.values() if isinstance(one, Mapping)] if isinstance(items, Mapping) else []
    lists = [metadata.get("bands", default=[]), *(one.get("bands") or one.get("eo:bands") for one in assets)]
    bands = [band for listed in lists if isinstance(listed, list) for band in listed if isinstance(band, Mapping)]
    return list(dict.fromkeys(str(band["name"]) for band in bands if band.get("name")))


def _list_missing(what: str, needed: Iterable[str], offered: Iterable[str]) -> list[str]:
    have = set(offered)
    lacking = [name for name in needed if name not in have]
    return [f"{what} {', '.join(lacking)}"] if lacking else []


def _list_runtimes(connection: openeo.Connection, python: str) -> list[str]:
    runtimes = _read_object(connection, "/udf_runtimes")
    found = next((one for name, one in runtimes.items() if name.lower() == "python"), None)
    versions = found.get("versions") if isinstance(found, Mapping) else None
    offered = {str(version) for version in versions} if isinstance(versions, dict) else set()
    if python in offered or not offered:
        return []
    return [f"a UDF runtime Python {python} (it has {', '.join(sorted(offered))}; say --python)"]
