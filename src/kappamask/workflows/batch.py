"""Submit a batch, continue it in any process, and fetch its masks.

Every request that costs something is recorded in a journal before it is sent, so nothing is paid twice.
"""

from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappamask.models import JobError
from kappamask.models.errors import require_extra
from kappamask.models.hints import by_door, option
from kappamask.openeo_process.jobs.journal import locate_journal
from kappamask.openeo_process.jobs.record import JobRecord
from kappamask.workflows.batch_driving import (
    BatchDriver,
    group_by_backend,
    make_driver,
    move_results,
    open_journal,
    refetch_if_damaged,
)
from kappamask.workflows.batch_options import (
    BatchOptions,
    Submission,
    choose_bands,
    prepare_submission,
    resolve_archive,
    state_archive,
)
from kappamask.workflows.batch_results import BatchResult, collect_results
from kappamask.workflows.progress import BATCH_PROGRESS, BatchProgress

if TYPE_CHECKING:
    from kappamask.openeo_process.jobs.cost import BandSavings, Plan
    from kappamask.openeo_process.jobs.journal import Journal

__all__ = [
    "BatchPlan",
    "cancel",
    "fetch",
    "list_jobs",
    "plan_batch",
    "resume",
    "submit_batch",
]


@dataclass(frozen=True)
class BatchPlan:
    """What a batch would take, from the back-end's own bands."""

    submission: Submission
    cost: "Plan"
    offered: tuple[str, ...]
    """Bands that the network takes and the collection has."""
    savings: "BandSavings"
    graph: dict[str, Any]
    """Flat process graph of the first job."""
    archive_fault: str | None = None
    """Why the archive of the release cannot be read; None if it can, or another was given."""

    def as_json(self) -> dict[str, Any]:
        """Return what the command prints as JSON, without signatures of links."""
        request = self.submission.request
        return {
            **asdict(self.cost), "worker_gigabytes": round(request.load.python / 2**30, 2), "bands": request.bands,
            "job_options": request.public_job_options, "graph": self.graph, "sparing": asdict(self.savings),
        }  # fmt: skip


def plan_batch(area: str, dates: str | tuple[str, str], options: BatchOptions, **changes: Any) -> BatchPlan:
    """Estimate jobs, chunks, dates and credits of a batch; nothing is submitted. See `submit_batch`."""
    options = replace(options, **changes)
    submission = prepare_submission(area, _split_period(dates), options)
    submission, offered, connection = _ask_back_end(submission, options)
    request = state_archive(options.archive, submission.request)
    submission = replace(submission, request=request)
    from kappamask.openeo_process.archive import find_release_fault
    from kappamask.openeo_process.jobs.cost import estimate_savings

    savings = estimate_savings(submission.cells, submission.request, offered)
    graph = submission.request.graph(connection, submission.cells[0])
    fault = find_release_fault(request.archive) if request.archive and options.archive is None else None
    return BatchPlan(submission, submission.plan(), offered, savings, graph, fault)


def submit_batch(
    area: str,
    dates: str | tuple[str, str],
    output: str | Path,
    options: BatchOptions,
    *,
    progress: BatchProgress = BATCH_PROGRESS,
    **changes: Any,
) -> BatchResult:
    """Mask an area on an openEO back-end and wait for the masks.

    This is what `kappamask submit` does.

    area: "W,S,E,N", WKT, or the path of a GeoJSON or GeoPackage. dates: from the first day to before the last, as
    "2018-02-01/2018-02-28" or two days. output: folder for mask_DATE_ZONE.tif, uint8 with nodata 255. changes: fields
    of `BatchOptions`, in place of those of `options`.

    The same call again, also after an interruption or in another process, goes on; no job is paid twice.
    Raises BatchFailedError, which has the result, if a job was not fetched or a mask has holes; OptionError for bands
    that do not suit; JobError for too many jobs or credits, and for what the back-end lacks.
    """
    options = replace(options, **changes)
    submission = prepare_submission(area, _split_period(dates), options)
    _check_number(len(submission.cells), options.max_jobs)
    submission.plan().check(options.max_credits)
    submission, _, connection = _ask_back_end(submission, options)
    request = resolve_archive(options.archive, submission.request, connection, Path(output))
    if options.archive is None:
        progress.notify(f"archive {request.archive}")
    wanted = replace(submission, request=request).records(connection, Path(output))
    journal = open_journal(options.journal or locate_journal(), new=True)
    moved = move_results(journal, journal.plan(wanted), wanted, progress.notify)
    jobs = [refetch_if_damaged(journal, one) for one in moved]
    BatchDriver(journal, options.at_once, options.allow_holes, progress).drive_batches([jobs])
    return collect_results(journal, [jobs], options.allow_holes, progress)


def resume(
    batch: str | None = None,
    *,
    journal: Path | None = None,
    at_once: int = 2,
    max_credits: float | None = None,
    allow_holes: bool = False,
    progress: BatchProgress = BATCH_PROGRESS,
) -> BatchResult:
    """Continue a batch, or all: create, start, watch and fetch its jobs.

    batch: as `list_jobs` names it. max_credits: in place of those that the batch was submitted with.
    Raises BatchFailedError as `submit_batch` does, and JobError for an unknown batch or journal.
    """
    opened = open_journal(journal or locate_journal())
    batches = _find_batches(opened, batch)
    BatchDriver(opened, at_once, allow_holes, progress).drive_batches(batches, max_credits)
    return collect_results(opened, batches, allow_holes, progress)


def fetch(
    batch: str | None = None,
    *,
    journal: Path | None = None,
    allow_holes: bool = False,
    progress: BatchProgress = BATCH_PROGRESS,
) -> BatchResult:
    """Download what is finished on the back-end and not yet here; nothing is started.

    Raises BatchFailedError if a job failed or a mask has holes, and JobError for an unknown batch or journal.
    """
    opened = open_journal(journal or locate_journal())
    batches = _find_batches(opened, batch)
    jobs = [*chain.from_iterable(batches)]
    BatchDriver(opened, 1, allow_holes, progress).drive_jobs(jobs, jobs, once=True)
    return collect_results(opened, batches, allow_holes, progress, all_ended=False)


def list_jobs(batch: str | None = None, *, journal: Path | None = None) -> list[JobRecord]:
    """List the jobs of a batch, or of all, as the journal knows them."""
    return _find_jobs(open_journal(journal or locate_journal()), batch)


def cancel(batch: str | None = None, *, journal: Path | None = None) -> list[JobRecord]:
    """End jobs on the back-end that have not ended, and return them; fetched files stay."""
    opened = open_journal(journal or locate_journal())
    waiting = [one for one in _find_jobs(opened, batch) if not one.state.is_final]
    ended: list[JobRecord] = []
    with require_extra("client"):
        for backend, jobs in group_by_backend(waiting).items():
            ended += make_driver(opened, backend, 1, lambda _: None).cancel(one.fingerprint for one in jobs)
    return ended


def _split_period(dates: str | tuple[str, str]) -> tuple[str, str]:
    first, last = dates.partition("/")[::2] if isinstance(dates, str) else dates
    return first, last


def _check_number(jobs: int, limit: int) -> None:
    """Raise JobError for more than `limit` jobs.

    An area that is not cut at the antimeridian spans the world.
    """
    if jobs > limit:
        raise JobError(
            f"The area would become {jobs} jobs; look at it with "
            f"{by_door(python='plan_batch', command='--dry-run')}, and if it is meant say {option('max_jobs', jobs)}. "
            "Across the antimeridian a box has its west larger than its east (179,-18,-179,-16), and a polygon is cut "
            "at 180 degrees."
        )


def _ask_back_end(submission: Submission, options: BatchOptions) -> tuple[Submission, tuple[str, ...], Any]:
    """Connect, check what the back-end offers, and choose the bands; the connection is returned last."""
    from kappamask.openeo_process.connection import connect_or_explain
    from kappamask.openeo_process.offers import check_backend

    request = submission.request
    connection = connect_or_explain(options.backend)
    offered = tuple(
        check_backend(connection, options.collection, request.card, request.python, days=bool(options.only))
    )
    request = replace(request, bands=choose_bands(options.bands, offered, request.card))
    return replace(submission, request=request), offered, connection


def _find_jobs(journal: "Journal", batch: str | None) -> list[JobRecord]:
    found = journal.records(batch=batch) if batch else journal.records()
    if batch and not found:
        raise JobError(
            f"The journal {journal.path} knows no batch {batch}; "
            f"{by_door(python='list_jobs()', command='kappamask jobs')} lists them."
        )
    return found


def _find_batches(journal: "Journal", batch: str | None) -> list[list[JobRecord]]:
    """Group the jobs by batch; those whose files are damaged are to be fetched again.

    Jobs of the caller's own graphs are left out: only the caller knows where their files go.
    """
    found: dict[str, list[JobRecord]] = {}
    for one in _find_jobs(journal, batch):
        if not one.has_own_graph:
            found.setdefault(one.batch, []).append(refetch_if_damaged(journal, one))
    if batch and not found:
        raise JobError(
            f"{batch} is a job of openeo_process.submit: call that again, or openeo_process.fetch(job, folder)."
        )
    return [*found.values()]
