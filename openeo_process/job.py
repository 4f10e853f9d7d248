"""Submit and fetch a batch job of the caller's own graph, with explicit options."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openeo

from kappamask.models import JobError, ModelCard, load_card
from kappamask.openeo_process.archive import FOLDER
from kappamask.openeo_process.job_options import (
    Load,
    check_memory,
    find_largest_load,
    make_memory_options,
    parse_gigabytes,
)
from kappamask.openeo_process.jobs.journal import JobRecord, Journal, State, compute_fingerprint, locate_journal
from kappamask.openeo_process.jobs.single import SingleJob, find_record, plan_record

__all__ = ["JOB_OPTIONS", "fetch", "job_options", "submit"]

ENDS = (State.FINISHED, State.FETCHED)
"""States of a job that has finished."""
JOB_OPTIONS: dict[str, Any] = {
    "driver-memory": "2G",
    "driver-memoryOverhead": "1G",
    "driver-cores": 1,
    "executor-memory": "2G",
    "executor-memoryOverhead": "3G",
    "python-memory": "disable",
    "executor-cores": 1,
    "task-cpus": 1,
    "max-executors": 20,
    "soft-errors": 0.0,
    "stac-version": "1.0",
}
"""Every option whose default differs between back-ends; of memory, the least. python-memory limits *virtual* memory,
of which a library reserves more than it uses, so it is disabled and Python's share is in memoryOverhead. A tile that
could not be read is an error: the default of 0.1 would turn up to a tenth of them into nodata in silence.
The version of results is stated too; both versions can be read."""


def job_options(archive: str | None = None, load: Load | None = None, **changes: Any) -> dict[str, Any]:
    """Return `JOB_OPTIONS` with the memory that `load` needs, and with `changes`.

    archive: URL of the dependency archive.
    Raises JobError if that is more memory than back-ends give, or no amount of memory.
    """
    archives = {"udf-dependency-archives": [f"{archive}#{FOLDER}"]} if archive else {}
    asked = {**JOB_OPTIONS, **archives, **changes}
    asked["stac-version"] = str(asked["stac-version"])  # back-ends compare it with a text, and 1.1 typed is a number
    needed = make_memory_options(load, _count_tasks(asked)) if load else {}
    more = {name: text for name, text in needed.items() if text != asked[name] and name not in changes}
    asked |= {name: text for name, text in more.items() if parse_gigabytes(text) > parse_gigabytes(asked[name])}
    check_memory(asked)
    return asked


def _count_tasks(options: dict[str, Any]) -> int:
    """Count the chunks that an executor works on at the same time."""
    try:
        return max(1, int(float(options["executor-cores"]) / float(options["task-cpus"])))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        raise JobError(
            f"The job options executor-cores {options['executor-cores']!r} and task-cpus {options['task-cpus']!r} must "
            "be whole numbers from 1 on."
        ) from None


def submit(
    datacube: openeo.DataCube,
    *,
    archive: str | None = None,
    model: str | Path | ModelCard = "compact",
    title: str = "KappaMask",
    out_format: str = "GTiff",
    options: dict[str, Any] | None = None,
    wait: bool = False,
    report: Callable[[str], None] | None = print,
    repeat: bool = False,
    journal: Path | None = None,
) -> openeo.BatchJob:
    """Create and start a batch job that computes `datacube`, once; return the job.

    The job is recorded in a journal before it is created, as `kappamask submit` does: the same call again, also after
    an interruption or in another process, finds the same job, and nothing is paid twice.

    archive: URL, as the back-end sees it, of what `kappamask archive` wrote; None if the back-end has the package.
    model: the network in `datacube`, for whose chunks there is memory.
    options: job options that replace those of `JOB_OPTIONS`. wait: return when the job has finished.
    report: gets a line at each look at the job, as openEO's client prints them; None for none.
    repeat: create another job though the same was submitted before, as for new images.
    journal: file in which the job is recorded; left out, the user's.

    Raises JobError, with the errors of the job's log, if the job ends otherwise than finished; openEO's own
    errors pass as they are.
    """
    asked = job_options(archive, find_largest_load(load_card(model)), **(options or {}))
    connection, open_journal = datacube.connection, Journal(journal or locate_journal())
    single = SingleJob(open_journal, connection, report or _print_nothing)
    record = plan_record(open_journal, connection, _saved_graph(datacube, out_format), asked, title, repeat=repeat)
    record = single.advance(single.forget_lost(record), ENDS if wait else (State.STARTED, *ENDS))
    if record.state in (State.FAILED, State.CANCELED):
        status = "error" if record.state is State.FAILED else "canceled"
        raise JobError(f"Job {record.job} ended with status '{status}': {record.message}")
    return connection.job(str(record.job))


def fetch(
    job: openeo.BatchJob,
    folder: str | Path,
    *,
    report: Callable[[str], None] | None = print,
    journal: Path | None = None,
) -> list[Path]:
    """Download the files of a finished job into `folder` and return their paths.

    Files are named after the paths of their addresses, and GeoTIFFs end in .tif. A file gets its name when it is
    complete.

    report: gets a line for each file; None for none. journal: as for `submit`.
    Raises JobError if the job has no result, if a file cannot be downloaded completely, or if no raster is among the
    files, which stay where they are.
    """
    with _open_record(job, journal) as (open_journal, record):
        files = SingleJob(open_journal, job.connection, _print_nothing).fetch(record, Path(folder))
    for path in files if report else []:
        (report or _print_nothing)(f"Job {job.job_id!r}: {path}")
    return files


def _saved_graph(datacube: openeo.DataCube, out_format: str) -> dict[str, Any]:
    """Return the flat graph, with a save_result node."""
    graph = dict(datacube.flat_graph())
    if any(node["process_id"] == "save_result" for node in graph.values()):
        return graph
    return dict(datacube.save_result(format=out_format).flat_graph())


@contextmanager
def _open_record(job: openeo.BatchJob, path: Path | None) -> Iterator[tuple[Journal, JobRecord]]:
    """Yield the journal and record of a job; temporary ones of an unknown job."""
    job_id = str(job.job_id)
    path = path or locate_journal()
    open_journal = Journal(path) if path.is_file() else None
    if open_journal and (record := find_record(open_journal, job.connection, job_id)):
        yield open_journal, record
        return
    with TemporaryDirectory(prefix="kappamask-") as scratch:
        open_journal, key = Journal(Path(scratch) / path.name), compute_fingerprint("", {"job": job_id}, {})
        record = JobRecord(key, key[:8], job_id, "", "{}", "{}", "", State.FINISHED, job_id)
        yield open_journal, open_journal.plan([record])[0]


def _print_nothing(_line: str) -> None:
    """Ignore a line."""
