"""`kappamask jobs`, `resume`, `fetch`, `cancel`: what was submitted, from any process on any day."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from kappamask import workflows
from kappamask.cli.options import JOURNAL, AllowHoles, AsJson, AtOnce, JournalFile, print_result
from kappamask.workflows.batch import cancel as cancel_jobs
from kappamask.workflows.batch import list_jobs
from kappamask.workflows.batch_results import BatchFailedError, BatchResult, list_dates, list_rows

if TYPE_CHECKING:
    from kappamask.openeo_process.jobs.record import JobRecord

__all__ = ["cancel", "fetch", "jobs", "print_batch", "resume"]

EXAMPLES = {
    "jobs": "kappamask jobs",
    "resume": "kappamask resume",
    "fetch": "kappamask fetch 3f2a9c41",
    "cancel": "kappamask cancel 3f2a9c41",
}
HEADER = ("batch", "job", "state", "age", "credits", "dates", "back-end", "id", "message")
"""Of `kappamask jobs`; the age is that of the state."""
Batch = Annotated[str | None, typer.Argument(help="A batch, as `kappamask jobs` lists it; all if left out.")]


def jobs(batch: Batch = None, journal: JournalFile = JOURNAL, as_json: AsJson = False) -> None:
    """List what was submitted and where it stands, as the journal knows it."""
    found = list_jobs(batch, journal=journal)
    print_result(list_rows(found), [*_format_table(found)] if found else ["nothing was submitted"], as_json)


def resume(
    batch: Batch = None,
    journal: JournalFile = JOURNAL,
    at_once: AtOnce = 2,
    max_credits: Annotated[
        float | None, typer.Option(min=0, help="Most credits that a batch may cost, in place of those of submit.")
    ] = None,
    allow_holes: AllowHoles = False,
    as_json: AsJson = False,
) -> None:
    """Continue all that has not ended: create, start, watch, fetch.

    Nothing is created or paid twice.
    """
    print_batch(
        lambda: workflows.resume(
            batch, journal=journal, at_once=at_once, max_credits=max_credits, allow_holes=allow_holes
        ),
        as_json,
    )


def fetch(
    batch: Batch = None, journal: JournalFile = JOURNAL, allow_holes: AllowHoles = False, as_json: AsJson = False
) -> None:
    """Download what is finished on the back-end and not yet here; nothing is started."""
    print_batch(lambda: workflows.fetch(batch, journal=journal, allow_holes=allow_holes), as_json)


def cancel(batch: Batch = None, journal: JournalFile = JOURNAL, as_json: AsJson = False) -> None:
    """End jobs on the back-end that have not ended; fetched files stay."""
    ended = cancel_jobs(batch, journal=journal)
    print_result(list_rows(ended), [_format_job(one) for one in ended] or ["nothing is left to cancel"], as_json)


def print_batch(run: Callable[[], BatchResult], as_json: bool) -> None:
    """Run a workflow and print its result; after a failure too, before the error."""
    try:
        result = run()
    except BatchFailedError as error:
        _print_batch(error.result, as_json, said=str(error))
        raise
    _print_batch(result, as_json)


def _print_batch(result: BatchResult, as_json: bool, said: str = "") -> None:
    """Print jobs, files and holes, without the messages that `said` repeats.

    said: the error that is printed next.
    """
    holes = [
        f"{share:.2%} of {path} have no data though the satellite saw them" for path, share in result.holes.items()
    ]
    lines = [*(_format_job(job, said) for job in result.jobs), *map(str, result.files), *holes]
    print_result(result.as_json(), lines or ["nothing was submitted"], as_json)


def _format_table(found: "Sequence[JobRecord]") -> Iterator[str]:
    """Format jobs as lines of a table with a header."""
    rows = [HEADER, *map(_make_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _make_row(job: "JobRecord") -> tuple[str, ...]:
    costs = "-" if job.costs is None else f"{job.costs:g}"
    days = (time.time() - job.changed) / 86400
    age = f"{days:.0f} d" if days >= 2 else f"{days * 24:.0f} h" if days >= 1 / 12 else f"{days * 1440:.0f} min"
    backend = urlsplit(job.backend).netloc or job.backend
    return job.batch, job.label, job.state.value, age, costs, list_dates(job), backend, job.job or "-", job.message


def _format_job(job: "JobRecord", said: str = "") -> str:
    costs = "" if job.costs is None else f" {job.costs:g} credits"
    message = "" if job.message in said else f"  {job.message}"
    return f"{job.batch} {job.label:<20} {job.state:<8} {job.job or '-'}{costs}{message}"
