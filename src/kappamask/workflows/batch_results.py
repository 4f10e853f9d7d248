"""Verify the results of a batch and mosaic them into masks."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappamask.models import JobError, ModelCard, load_card
from kappamask.models.hints import option
from kappamask.models.schemes import KAPPAMASK, find_scheme, is_kappamask
from kappamask.openeo_process.jobs.journal import JobRecord, Journal

if TYPE_CHECKING:
    from kappamask.openeo_process.jobs.download import Asset
    from kappamask.openeo_process.jobs.driver import Driver

__all__ = [
    "JOB_FILES",
    "assemble",
    "check_holes",
    "describe_classes",
    "list_dates",
    "list_rows",
    "make_driver",
    "measure_holes",
    "open_journal",
    "output_folder",
    "refetch_if_damaged",
]

JOB_FILES = "job_files"
"""Folder below the output in which each job has a folder of its own; earlier versions put those into the output."""
MAX_HOLE_SHARE = 0.01
"""Share of a file's pixels that may lack data inside the swath before it is an error."""
MASK, SCORE = "mask", "score_"
"""A job's bands, as `ModelCard.result_bands` names them."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def assemble(records: "Iterable[JobRecord]") -> list[Path]:
    """Mosaic fetched jobs into a mask for each date and UTM zone.

    Also writes the collection.
    Back-ends name files by date; parts of one zone lie on one grid and are put together pixel for pixel. Returns the
    files but for the STAC items, which lie next to the masks.
    """
    records = list(records)
    by_target, made_by = _group_by_target(records)
    made = {target: _write_mosaic(files, target, made_by[target]) for target, files in sorted(by_target.items())}
    return [*chain.from_iterable(made.values()), *_write_collection([*made], records)]


def _write_mosaic(files: list[Path], target: Path, record: "JobRecord") -> list[Path]:
    """Write the mask at `target`, and the scores next to it.

    Scores are the bands after the mask in the files of jobs.
    """
    from kappamask.scenes import write_mask
    from kappamask.scenes.mosaic import mosaic, mosaic_of_scores

    date = _DATE.search(target.name)
    assert date
    attributes = _mask_attributes(record) | {"datetime": f"{date[0]}T00:00:00Z"}
    classes = _scored_classes(record)
    scores = mosaic_of_scores(files, classes).assign_attrs(attributes) if classes else None
    return write_mask(mosaic(files, band=1).assign_attrs(attributes), target, scores=scores)


def _scored_classes(record: "JobRecord") -> list[str]:
    """List the classes whose scores the job's files hold, in the order of their bands."""
    _mask, *bands = next((one["target"] for one in find_arguments(json.loads(record.graph), "rename_labels")), [MASK])
    return [band.removeprefix(SCORE) for band in bands]


def measure_holes(records: "Iterable[JobRecord]") -> dict[str, float]:
    """Measure the share of pixels that lack data though the satellite saw them.

    Returns path -> share of each fetched file that has any.
    """
    from kappamask.scenes.verify import missing_within_swath

    found = {str(path): round(missing_within_swath(path), 6) for record in records for path, _ in _list_masks(record)}
    return {path: share for path, share in found.items() if share}


def check_holes(found: Mapping[str, float]) -> None:
    """Raise JobError if a file has more than `MAX_HOLE_SHARE`."""
    bad = {path: share for path, share in found.items() if share > MAX_HOLE_SHARE}
    if bad:
        path, share = max(bad.items(), key=lambda one: one[1])
        raise JobError(
            f"{share:.1%} of {path} have no data though the satellite saw them: the back-end may have failed to read "
            "images; submit again later, or take it as it is with "
            f"{option('allow_holes', True)}."
        )


def _group_by_target(records: "Iterable[JobRecord]") -> "tuple[dict[Path, list[Path]], dict[Path, JobRecord]]":
    by_target: dict[Path, list[Path]] = defaultdict(list)
    made_by: dict[Path, JobRecord] = {}
    for record in records:
        for path, date in _list_masks(record):
            target = output_folder(record) / f"mask_{date}_{record.name.split('_')[0]}.tif"
            by_target[target].append(path)
            made_by[target] = record
    return by_target, made_by


def output_folder(record: "JobRecord") -> Path:
    """Return the folder that the masks of a job's batch go to."""
    parent = Path(record.folder).parent
    return parent.parent if parent.name == JOB_FILES else parent


def _list_masks(record: "JobRecord") -> Iterator[tuple[Path, str]]:
    """Yield the masks that a job has fetched, with dates; none of the test job."""
    from kappamask.openeo_process.jobs.download import iter_valid_files
    from kappamask.openeo_process.results import find_masks

    if not record.is_test_job and record.job is not None:
        yield from find_masks(iter_valid_files(Path(record.folder), record.job))


def _write_collection(masks: list[Path], records: "list[JobRecord]") -> list[Path]:
    from kappamask.openeo_process.jobs.journal import redact_urls
    from kappamask.reports.stac_collection import write_collection

    if not masks:
        return []
    record = records[0]
    code = next(find_arguments(json.loads(record.graph), "run_udf"))["udf"]
    known = [one.costs for one in records if one.costs is not None]
    about = {
        "backend": record.backend,
        "batch": record.batch,
        "job_options": json.loads(redact_urls(record.options)),
        "udf_sha256": hashlib.sha256(code.encode()).hexdigest(),
        "context": udf_context(record),
        "jobs": [{"part": one.name, "job": one.job, "costs": one.costs} for one in records],
        "costs": sum(known) if known else None,
    }
    return [write_collection(masks, masks[0].with_name("collection.json"), title="KappaMask", about=about)]


def describe_classes(card: ModelCard, scheme: str = KAPPAMASK) -> str:
    """Describe network and class scheme as JSON, which the records of jobs keep."""
    from kappamask.udf.schemes import flag_attributes, scheme_attributes

    classes = flag_attributes(card) if is_kappamask(scheme) else scheme_attributes(find_scheme(scheme))
    made_by = {"model_id": card.id, "model_sha256": card.sha256}
    return json.dumps({**classes, **made_by}, default=lambda values: values.tolist())


def _mask_attributes(record: "JobRecord") -> dict[str, Any]:
    """Return the attributes of a mask: classes, network, back-end and job."""
    context = udf_context(record)
    kept = record.attributes or describe_classes(
        load_card(context.get("model", "compact")), context.get("scheme", KAPPAMASK)
    )
    known = {key: context[key] for key in ("level", "radiometry") if key in context}
    return {**json.loads(kept), "backend": record.backend, "job": record.job, **known}


def udf_context(record: "JobRecord") -> dict[str, Any]:
    """Return the context of the job's UDF; empty for a graph without one."""
    return next((one["context"] for one in find_arguments(json.loads(record.graph), "run_udf")), {})


def find_arguments(graph: dict[str, Any], process: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments of each node of this process, in callbacks too."""
    for node in graph.values():
        if node["process_id"] == process:
            yield node["arguments"]
        for argument in node["arguments"].values():
            if isinstance(argument, dict) and "process_graph" in argument:
                yield from find_arguments(argument["process_graph"], process)


def open_journal(path: Path, *, new: bool = False) -> "Journal":
    """Open the journal at `path`.

    Raises JobError if there is none, unless a `new` one may be made.
    """
    from kappamask.openeo_process.jobs.journal import Journal

    if not new and not path.is_file():
        raise JobError(f"There is no journal {path}: nothing was submitted yet, or name it with {option('journal')}.")
    return Journal(path)


def make_driver(journal: "Journal", backend: str, at_once: int, report: Any, allow_partial: bool = False) -> "Driver":
    """Make the driver of this back-end's jobs.

    report: called with each job whose state changes. allow_partial: accept masks that do not cover their area.
    """
    from kappamask.openeo_process.connection import connect
    from kappamask.openeo_process.jobs.driver import Driver
    from kappamask.openeo_process.jobs.retry import RetryPolicy

    policy = RetryPolicy(poll_s=1.0) if _is_local(backend) else RetryPolicy()
    return Driver(
        journal, lambda: connect(backend, policy), at_once=at_once, policy=policy,
        check=partial(_check_file, allow_partial=allow_partial), tell=report,
    )  # fmt: skip


def _is_local(backend: str) -> bool:
    from kappamask.openeo_process.connection import is_local

    return is_local(backend)


def _check_file(record: "JobRecord", path: Path, asset: "Asset", allow_partial: bool = False) -> None:
    """Check that a raster is a mask on the job's grid; other files pass."""
    from kappamask.openeo_process.results import is_geotiff, names_geotiff
    from kappamask.scenes.verify import OWN_CODES, verify_cover, verify_mask

    graph, name = json.loads(record.graph), udf_context(record).get("scheme", KAPPAMASK)
    area: dict[str, Any] = next((one["extent"] for one in find_arguments(graph, "filter_bbox")), {})
    if not (names_geotiff(asset.name) or is_geotiff(path)):
        return
    found = verify_mask(
        path, crs=area.get("crs"), codes=OWN_CODES if is_kappamask(name) else find_scheme(name).classes_by_code
    )
    if area:
        wanted = (area["west"], area["south"], area["east"], area["north"])
        verify_cover(asset.name, found["bounds"], wanted, asset.bounds, partly=allow_partial)


def list_rows(records: Iterable["JobRecord"]) -> list[dict[str, Any]]:
    """List jobs as JSON objects."""
    return [_make_row(record) for record in records]


def list_dates(record: "JobRecord") -> str:
    """Return the period that a job loads as A/B, or "-" if there is none."""
    found = [one.get("temporal_extent") for one in find_arguments(json.loads(record.graph), "load_collection")]
    return "/".join(str(day)[:10] for day in found[0]) if found and found[0] else "-"


def _make_row(record: "JobRecord") -> dict[str, Any]:
    return {
        "batch": record.batch, "part": record.name, "state": record.state.value, "job": record.job,
        "backend": record.backend, "folder": record.folder, "costs": record.costs,
        "message": record.message, "fingerprint": record.fingerprint,
    }  # fmt: skip


def refetch_if_damaged(journal: "Journal", record: "JobRecord") -> "JobRecord":
    """Mark a job to be fetched again if its files are damaged; return it.

    Earlier versions named files after the assets' keys, which have no suffix in results of STAC 1.1.
    """
    from kappamask.openeo_process.jobs.download import list_whole_files
    from kappamask.openeo_process.jobs.journal import State
    from kappamask.openeo_process.results import find_masks

    useless = record.state is State.FETCHED and not find_masks(list_whole_files(Path(record.folder), str(record.job)))
    return journal.change(record, state=State.FINISHED) if useless else record
