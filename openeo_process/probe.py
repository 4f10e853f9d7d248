"""What a back-end must be able to do, asked before anything is sent."""

from collections.abc import Iterable

import openeo

from kappamask.models import JobError, ModelCard

__all__ = ["probe"]

PROCESSES = ("load_collection", "apply_neighborhood", "run_udf", "rename_labels", "apply", "linear_scale_range",
             "filter_bbox", "save_result")  # fmt: skip
"""What the graphs of `kappamask.openeo_process` consist of."""
OF_DAYS = ("filter_labels", "text_begins", "or")
"""And those by which single days are chosen."""
FORMAT = "GTiff"


def probe(
    connection: openeo.Connection, collection: str, card: ModelCard, python: str, *, days: bool = False
) -> list[str]:
    """The bands of `collection` that the network takes. Raises JobError that says all that the back-end lacks.

    days: whether single days will be chosen.
    """
    needed = (*PROCESSES, *(OF_DAYS if days else ()))
    lacks = [
        *_missing("processes", needed, (process["id"] for process in connection.list_processes())),
        *_missing("output format", [FORMAT.upper()], map(str.upper, connection.list_file_formats()["output"])),
        *_runtime(connection, python),
    ]
    known = [entry["id"] for entry in connection.list_collections()]
    lacks += _missing("collection", [collection], known)
    bands = (connection.collection_metadata(collection).band_names or []) if collection in known else []
    if collection in known:
        lacks += _missing("bands", sorted(card.required), bands)
    if lacks:
        raise JobError(f"{connection.root_url} cannot run {card.id}: it lacks {'; '.join(lacks)}.")
    return [band for band in card.bands if band in bands]


def _missing(what: str, needed: Iterable[str], offered: Iterable[str]) -> list[str]:
    have = set(offered)
    lacking = [name for name in needed if name not in have]
    return [f"{what} {', '.join(lacking)}"] if lacking else []


def _runtime(connection: openeo.Connection, python: str) -> list[str]:
    offered = {str(version) for version in connection.list_udf_runtimes().get("Python", {}).get("versions", {})}
    if python in offered or not offered:
        return []
    return [f"a UDF runtime Python {python} (it has {', '.join(sorted(offered))}; say --python)"]
