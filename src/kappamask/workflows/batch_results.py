"""Verify the results of a batch and mosaic them into masks."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappamask.models import JobError, ModelCard, load_card
from kappamask.models.hints import option
from kappamask.models.schemes import KAPPAMASK, find_scheme, is_kappamask
from kappamask.openeo_process.jobs.record import JobRecord, State, find_arguments, make_udf_context
from kappamask.workflows.progress import BatchProgress

if TYPE_CHECKING:
    from kappamask.openeo_process.jobs.journal import Journal

__all__ = [
    "JOB_FILES",
    "BatchFailedError",
    "BatchResult",
    "assemble",
    "check_holes",
    "collect_results",
    "describe_classes",
    "find_output_folder",
    "list_dates",
    "list_rows",
    "measure_holes",
]

JOB_FILES = "job_files"
"""Folder below the output in which each job has a folder of its own; earlier versions put those into the output."""
MAX_HOLE_SHARE = 0.01
"""Share of a file's pixels that may lack data inside the swath before it is an error."""
MASK, SCORE = "mask", "score_"
"""A job's bands, as `ModelCard.result_bands` names them."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class BatchResult:
    """Where the jobs stand, and the files of whole batches."""

    jobs: list[JobRecord]
    files: list[Path]
    """Masks, their scores, and collections."""
    holes: dict[str, float]
    """Share of each file's pixels that lack data though the satellite saw them, where there are any."""

    def as_json(self) -> dict[str, Any]:
        """Return what the command prints as JSON."""
        return {"parts": list_rows(self.jobs), "files": [str(file) for file in self.files], "holes": self.holes}


class BatchFailedError(JobError):
    """A job was not fetched, or a mask has holes; `result` has what there is."""

    def __init__(self, message: str, result: BatchResult) -> None:
        super().__init__(message)
        self.result = result


def collect_results(
    journal: "Journal",
    batches: Sequence[Sequence[JobRecord]],
    allow_holes: bool,
    progress: BatchProgress,
    *,
    all_ended: bool = True,
) -> BatchResult:
    """Put the masks of whole batches together.

    all_ended: False where jobs may still run. Raises BatchFailedError if a job is missing or a mask has holes.
    """
    now = [[journal.get(one.fingerprint) for one in jobs] for jobs in batches]
    whole = [jobs for jobs in now if all(one.state is State.FETCHED for one in jobs)]
    if whole:
        progress.notify("putting the masks together")
    files = [file for jobs in whole for file in assemble(jobs)]
    result = BatchResult([*chain.from_iterable(now)], files, measure_holes(chain.from_iterable(whole)))
    try:
        _check_fetched(result.jobs, all_ended)
        if not allow_holes:
            check_holes(result.holes)
    except JobError as error:
        raise BatchFailedError(str(error), result) from error
    return result


def _check_fetched(jobs: Iterable[JobRecord], all_ended: bool) -> None:
    jobs = list(jobs)
    missing = [one for one in jobs if one.state is not State.FETCHED and (all_ended or _has_failed(one))]
    if missing:
        first = next((one for one in missing if one.message), missing[0])
        why = first.message or f"it is {first.state}"
        raise JobError(f"{len(missing)} of {len(jobs)} jobs did not end with masks: {first.label}: {why}")


def _has_failed(job: JobRecord) -> bool:
    """Tell whether a job failed, or was left though it was started."""
    return job.state is State.FAILED or (job.state.under_way and job.message != "")


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
    from kappamask.scenes.mosaic import join_masks, join_scores

    date = _DATE.search(target.name)
    assert date
    attributes = _mask_attributes(record) | {"datetime": f"{date[0]}T00:00:00Z"}
    classes = _scored_classes(record)
    scores = join_scores(files, classes).assign_attrs(attributes) if classes else None
    return write_mask(join_masks(files, band=1).assign_attrs(attributes), target, scores=scores)


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
            target = find_output_folder(record) / f"mask_{date}_{record.name.split('_')[0]}.tif"
            by_target[target].append(path)
            made_by[target] = record
    return by_target, made_by


def find_output_folder(record: "JobRecord") -> Path:
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
        "context": make_udf_context(record),
        "jobs": [{"part": one.name, "job": one.job, "costs": one.costs} for one in records],
        "costs": sum(known) if known else None,
    }
    return [write_collection(masks, masks[0].with_name("collection.json"), title="KappaMask", about=about)]


def describe_classes(card: ModelCard, scheme: str = KAPPAMASK) -> str:
    """Describe network and class scheme as JSON, which the records of jobs keep."""
    from kappamask.udf.schemes import make_flag_attributes, make_scheme_attributes

    classes = make_flag_attributes(card) if is_kappamask(scheme) else make_scheme_attributes(find_scheme(scheme))
    made_by = {"model_id": card.id, "model_sha256": card.sha256}
    return json.dumps({**classes, **made_by}, default=lambda values: values.tolist())


def _mask_attributes(record: "JobRecord") -> dict[str, Any]:
    """Return the attributes of a mask: classes, network, back-end and job."""
    context = make_udf_context(record)
    kept = record.attributes or describe_classes(
        load_card(context.get("model", "compact")), context.get("scheme", KAPPAMASK)
    )
    known = {key: context[key] for key in ("level", "radiometry") if key in context}
    return {**json.loads(kept), "backend": record.backend, "job": record.job, **known}


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
