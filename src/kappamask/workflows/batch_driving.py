"""Drive the jobs of batches, the test job of each first, within its credits."""

import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kappamask.files.atomic import atomic_write
from kappamask.models import JobError
from kappamask.models.errors import require_extra
from kappamask.workflows.batch_results import make_driver, output_folder
from kappamask.workflows.progress import BatchProgress, Notify, ignore_message

if TYPE_CHECKING:
    from kappamask.openeo_process.jobs.journal import JobRecord, Journal

__all__ = ["drive_batches", "drive_jobs", "group_by_backend", "move_results"]

SILENT = BatchProgress()


def drive_batches(
    journal: "Journal", batches: "Sequence[Sequence[JobRecord]]", at_once: int, allow_partial: bool = False,
    limit: float | None = None, progress: BatchProgress = SILENT,
) -> None:  # fmt: skip
    """Drive every job of these batches as far as it goes.

    Of each batch the test job goes first, or the first job where there is none. Unless it came back whole, and its cost
    predicts that the batch stays within its `max_credits`, nothing else of the batch is started; jobs that were started
    before are watched and fetched all the same.
    allow_partial: accept masks that do not cover their area. limit: credits of a batch, in place of `max_credits`.
    """
    first = [_find_test_job(records) for records in batches]
    drive_jobs(journal, first, first, at_once, allow_partial, progress=progress)
    rest = [record for records in batches for record in _select_allowed(journal, records, limit, progress.notify)]
    watched = [journal.get(record.fingerprint) for records in batches for record in records]
    drive_jobs(journal, rest, watched, at_once, allow_partial, progress=progress)


def drive_jobs(
    journal: "Journal", jobs: "Sequence[JobRecord]", watched: "Sequence[JobRecord]", at_once: int, allow_partial: bool,
    once: bool = False, progress: BatchProgress = SILENT,
) -> None:  # fmt: skip
    """Drive those jobs that have not ended.

    watched: jobs whose progress is shown. once: see `Driver.run`.
    """
    waiting = [one for one in jobs if not one.state.is_final]
    if not waiting:
        return
    with require_extra("client"), progress.watch(watched) as report:
        for backend, own in group_by_backend(waiting).items():
            make_driver(journal, backend, at_once, report, allow_partial).run(
                [record.fingerprint for record in own], once=once
            )


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
    from kappamask.openeo_process.jobs.cost import SEEN, check_credits, measured_credits
    from kappamask.openeo_process.jobs.download import iter_valid_files
    from kappamask.openeo_process.results import collect_dates

    dates = len(collect_dates(iter_valid_files(Path(test_job.folder), str(test_job.job))))
    price = measured_credits(test_job, records, dates)
    if price is None:
        return None
    notify(f"about {price:.0f} credits for {len(records)} jobs, {SEEN}")
    try:
        check_credits(price, SEEN, test_job.max_credits if limit is None else limit)
    except JobError as error:
        return str(error)
    return None


def move_results(
    journal: "Journal", records: "Sequence[JobRecord]", wanted: "Sequence[JobRecord]", notify: Notify = ignore_message
) -> "list[JobRecord]":
    """Give each job of the journal the folder of its equal in `wanted`.

    Fetched files are copied.

    The files of the earlier folder stay; the journal knows the new ones only. A job that another client works on stays
    where that one wants it.
    """
    after = [_move_result(journal, record, one) for record, one in zip(records, wanted, strict=True)]
    old = [record for record, now in zip(records, after, strict=True) if record.folder != now.folder]
    if old:
        day = datetime.fromtimestamp(old[0].changed, tz=UTC).date()
        notify(
            f"the same was submitted before, last changed on {day}, for {output_folder(old[0])}: its masks come to "
            f"{output_folder(wanted[0])} as well, and nothing is paid again"
        )
    return after


def _move_result(journal: "Journal", record: "JobRecord", wanted: "JobRecord") -> "JobRecord":
    if record.folder == wanted.folder or output_folder(record) == output_folder(wanted):
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
