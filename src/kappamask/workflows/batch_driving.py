"""Drive the jobs of batches, the test job of each first, within its credits."""

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappamask.files.atomic import atomic_write
from kappamask.models import JobError
from kappamask.models.errors import require_extra
from kappamask.models.hints import option
from kappamask.models.schemes import KAPPAMASK, find_scheme, is_kappamask
from kappamask.openeo_process.jobs.record import find_arguments, make_udf_context
from kappamask.workflows.batch_results import find_output_folder
from kappamask.workflows.progress import BatchProgress, Notify, ignore_message

if TYPE_CHECKING:
    from kappamask.openeo_process.jobs.assets import Asset
    from kappamask.openeo_process.jobs.driver import Driver
    from kappamask.openeo_process.jobs.journal import JobRecord, Journal

__all__ = [
    "BatchDriver",
    "group_by_backend",
    "make_driver",
    "move_results",
    "open_journal",
    "refetch_if_damaged",
]

SILENT = BatchProgress()


@dataclass(frozen=True)
class BatchDriver:
    """Drives the jobs of batches, and reports where they stand."""

    journal: "Journal"
    at_once: int
    """Jobs of one back-end that run at the same time."""
    allow_holes: bool = False
    """Accept masks that do not cover their area."""
    progress: BatchProgress = SILENT

    def drive_batches(self, batches: "Sequence[Sequence[JobRecord]]", max_credits: float | None = None) -> None:
        """Drive every job of these batches as far as it goes.

        Of each batch the test job goes first, or the first job where there is none. Unless it came back whole, and its
        cost predicts that the batch stays within its credits, nothing else of the batch is started; jobs that were
        started before are watched and fetched all the same.
        max_credits: of a batch, in place of those that it was submitted with.
        """
        first = [_find_test_job(records) for records in batches]
        self.drive_jobs(first, first)
        notify = self.progress.notify
        rest = [one for jobs in batches for one in _select_allowed(self.journal, jobs, max_credits, notify)]
        self.drive_jobs(rest, [self.journal.get(one.fingerprint) for one in chain.from_iterable(batches)])

    def drive_jobs(self, jobs: "Sequence[JobRecord]", watched: "Sequence[JobRecord]", *, once: bool = False) -> None:
        """Drive those jobs that have not ended.

        watched: jobs whose progress is shown. once: see `Driver.run`.
        """
        waiting = [one for one in jobs if not one.state.is_final]
        if not waiting:
            return
        with require_extra("client"), self.progress.watch(watched) as report:
            for backend, own in group_by_backend(waiting).items():
                driver = make_driver(self.journal, backend, self.at_once, report, self.allow_holes)
                driver.run([record.fingerprint for record in own], once=once)


def group_by_backend(jobs: "Iterable[JobRecord]") -> "dict[str, list[JobRecord]]":
    """Group jobs by the URL of their back-end."""
    found: dict[str, list[JobRecord]] = {}
    for record in jobs:
        found.setdefault(record.backend, []).append(record)
    return found


def _find_test_job(records: "Sequence[JobRecord]") -> "JobRecord":
    return next((record for record in records if record.is_test_job), records[0])


def _select_allowed(
    journal: "Journal", records: "Sequence[JobRecord]", limit: float | None, notify: Notify
) -> "list[JobRecord]":
    """Select the jobs that may go on after the test job; record the reason otherwise."""
    from kappamask.openeo_process.jobs.journal import State

    now = [journal.get(record.fingerprint) for record in records]
    test_job = _find_test_job(now)
    others = [record for record in now if record is not test_job and not record.state.is_final]
    refusal = _credit_refusal(test_job, now, limit, notify) if others and test_job.state is State.FETCHED else None
    if test_job.state is State.FETCHED and refusal is None:
        return others
    held = [record for record in others if not record.state.under_way]
    if refusal and held:
        journal.change(held[0], message=f"left for resume: {refusal}")
    return [record for record in others if record.state.under_way]


def _credit_refusal(
    test_job: "JobRecord", records: "Sequence[JobRecord]", limit: float | None, notify: Notify
) -> str | None:
    """Return the reason to stop if the test job's cost predicts too much, else None."""
    from kappamask.openeo_process.jobs.cost import MEASURED_BASIS, check_credits, measured_credits
    from kappamask.openeo_process.jobs.download import iter_valid_files
    from kappamask.openeo_process.results import collect_dates

    dates = len(collect_dates(iter_valid_files(Path(test_job.folder), str(test_job.job))))
    price = measured_credits(test_job, records, dates)
    limit = test_job.max_credits if limit is None else limit
    if price is None:
        if limit is not None:
            notify("the back-end does not tell what the test job cost, so the credits are as estimated before")
        return None
    notify(f"about {price:.0f} credits for {len(records)} jobs, {MEASURED_BASIS}")
    try:
        check_credits(price, MEASURED_BASIS, limit)
    except JobError as error:
        return str(error)
    return None


def move_results(
    journal: "Journal", records: "Sequence[JobRecord]", wanted: "Sequence[JobRecord]", notify: Notify = ignore_message
) -> "list[JobRecord]":
    """Give each job of the journal the folder of the same job in `wanted`.

    Fetched files are copied.

    The files of the earlier folder stay; the journal knows the new ones only. A job that another client works on stays
    where that one wants it.
    """
    after = [_move_result(journal, record, one) for record, one in zip(records, wanted, strict=True)]
    old = [record for record, now in zip(records, after, strict=True) if record.folder != now.folder]
    if old:
        day = datetime.fromtimestamp(old[0].changed, tz=UTC).date()
        notify(
            f"the same was submitted before, last changed on {day}, for {find_output_folder(old[0])}: its masks come "
            f"to {find_output_folder(wanted[0])} as well, and nothing is paid again"
        )
    return after


def _move_result(journal: "Journal", record: "JobRecord", wanted: "JobRecord") -> "JobRecord":
    if record.folder == wanted.folder or find_output_folder(record) == find_output_folder(wanted):
        return record
    with journal.hold(record.fingerprint) as own:
        if own is None:
            return record
        _copy_files(own, Path(wanted.folder))
        return journal.change(own, folder=wanted.folder)


def _copy_files(record: "JobRecord", folder: Path) -> None:
    """Copy what the job has fetched, and last its manifest."""
    from kappamask.openeo_process.jobs.download import MANIFEST, iter_valid_files

    names = [path.name for path in iter_valid_files(Path(record.folder), str(record.job))]
    for name in [*names, MANIFEST] if names else []:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / name) as draft:
            shutil.copyfile(Path(record.folder) / name, draft)


def open_journal(path: Path, *, new: bool = False) -> "Journal":
    """Open the journal at `path`.

    Raises JobError if there is none, unless a `new` one may be made.
    """
    from kappamask.openeo_process.jobs.journal import Journal

    if not new and not path.is_file():
        raise JobError(f"There is no journal {path}: nothing was submitted yet, or name it with {option('journal')}.")
    return Journal(path)


def refetch_if_damaged(journal: "Journal", record: "JobRecord") -> "JobRecord":
    """Mark a job to be fetched again if its files are damaged; return it.

    Earlier versions named files after the assets' keys, which have no suffix in results of STAC 1.1.
    """
    from kappamask.openeo_process.jobs.download import list_whole_files
    from kappamask.openeo_process.jobs.journal import State
    from kappamask.openeo_process.results import find_masks

    useless = record.state is State.FETCHED and not find_masks(list_whole_files(Path(record.folder), str(record.job)))
    return journal.change(record, state=State.FINISHED) if useless else record


def make_driver(journal: "Journal", backend: str, at_once: int, report: Any, allow_partial: bool = False) -> "Driver":
    """Make the driver of this back-end's jobs.

    report: called with each job whose state changes. allow_partial: accept masks that do not cover their area.
    """
    from kappamask.openeo_process.connection import connect, is_local
    from kappamask.openeo_process.jobs.driver import Driver
    from kappamask.openeo_process.jobs.retry import RetryPolicy

    policy = RetryPolicy(poll_s=1.0) if is_local(backend) else RetryPolicy()
    return Driver(
        journal, lambda: connect(backend, policy), at_once=at_once, policy=policy,
        check=partial(_check_file, allow_partial=allow_partial), tell=report,
    )  # fmt: skip


def _check_file(record: "JobRecord", path: Path, asset: "Asset", allow_partial: bool = False) -> None:
    """Check that a raster is a mask on the job's grid; other files pass."""
    from kappamask.openeo_process.results import is_geotiff, is_geotiff_name
    from kappamask.scenes.verify import OWN_CODES, verify_cover, verify_mask

    graph, name = json.loads(record.graph), make_udf_context(record).get("scheme", KAPPAMASK)
    area: dict[str, Any] = next((one["extent"] for one in find_arguments(graph, "filter_bbox")), {})
    if not (is_geotiff_name(asset.name) or is_geotiff(path)):
        return
    codes = OWN_CODES if is_kappamask(name) else find_scheme(name).classes_by_code
    found = verify_mask(path, crs=area.get("crs"), codes=codes, name=asset.name)
    if area:
        wanted = (area["west"], area["south"], area["east"], area["north"])
        verify_cover(asset.name, found["bounds"], wanted, asset.bounds, partly=allow_partial)
