"""A batch job: explicit options, submitted, waited for, fetched."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import openeo

from kappamask.models import JobError, ModelCard, load_card
from kappamask.openeo_process.archive import FOLDER
from kappamask.openeo_process.job_options import Load, check_memory, largest_load, memory_options, parse_gigabytes
from kappamask.openeo_process.jobs.download import Asset, LinkError, download, list_assets, remove_partial_files
from kappamask.openeo_process.jobs.failures import explain_failure
from kappamask.openeo_process.jobs.retry import FAULTS
from kappamask.openeo_process.results import check_rasters

__all__ = ["JOB_OPTIONS", "fetch", "job_options", "submit"]

TRIES = 3
"""How often in a row a file is asked for, from where it was cut."""
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
The shape of results is stated too; both are read."""


def job_options(archive: str | None = None, load: Load | None = None, **changes: Any) -> dict[str, Any]:
    """`JOB_OPTIONS`, with more memory where `load` needs it, the dependency archive at this URL, and `changes`.

    Raises JobError if that is more memory than back-ends give, or no amount of memory.
    """
    archives = {"udf-dependency-archives": [f"{archive}#{FOLDER}"]} if archive else {}
    asked = {**JOB_OPTIONS, **archives, **changes}
    asked["stac-version"] = str(asked["stac-version"])  # back-ends compare it with a text, and 1.1 typed is a number
    needed = memory_options(load, _tasks(asked)) if load else {}
    more = {name: text for name, text in needed.items() if text != asked[name] and name not in changes}
    asked |= {name: text for name, text in more.items() if parse_gigabytes(text) > parse_gigabytes(asked[name])}
    check_memory(asked)
    return asked


def _tasks(options: dict[str, Any]) -> int:
    """Chunks that an executor works on at the same time."""
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
    report: Callable[[str], None] | None = None,
) -> openeo.BatchJob:
    """Create and start a batch job that computes `datacube`; with `wait`, return when it has finished.

    archive: URL, as the back-end sees it, of what `kappamask archive` wrote; None if the back-end has the package.
    model: the network in `datacube`, for whose chunks there is memory.
    options: job options that replace those of `JOB_OPTIONS`. report: gets a line at each change of status.
    Raises JobError, with the errors of the job's log, if the job ends otherwise than finished; openEO's own
    errors pass as they are.
    """
    asked = job_options(archive, largest_load(load_card(model)), **(options or {}))
    job = datacube.create_job(out_format=out_format, title=title, job_options=asked)
    if not wait:
        job.start()
        return job
    quiet: Callable[[str], None] = report or (lambda _: None)
    job.start_and_wait(print=quiet, max_poll_interval=15, require_success=False, show_error_logs=False)
    status = job.status()
    if status != "finished":
        raise JobError(f"Job {job.job_id} ended with status '{status}': {explain_failure(job)}")
    return job


def fetch(job: openeo.BatchJob, folder: str | Path) -> list[Path]:
    """Download the assets of a finished job; their paths. Each is written beside its place, then renamed.

    Files are named after the paths of their addresses, and GeoTIFFs end in .tif. Raises JobError if the job has no
    result, if a file cannot be had whole, or if no raster is among the files, which stay where they are.
    """
    target, job_id = Path(folder), str(job.job_id)
    key = sha256(job_id.encode()).hexdigest()[:16]
    try:
        files = [_fetch(job.connection, asset, target, key) for asset in list_assets(job.connection, job_id)]
    finally:
        remove_partial_files(target, key)
    check_rasters(files, job_id)
    return files


def _fetch(connection: openeo.Connection, asset: Asset, folder: Path, key: str) -> Path:
    """Download one file, going on where it was cut."""
    faults: list[Exception] = []
    while len(faults) < TRIES:
        try:
            entry = download(connection, asset, folder, key, check=lambda _: None, progress=lambda: None)
            return folder / str(entry["name"])
        except (LinkError, *FAULTS) as error:
            faults.append(error)
    last = faults[-1]
    why = str(last) if isinstance(last, LinkError) else type(last).__name__  # others tell the address, a secret
    raise JobError(
        f"{asset.name} could not be fetched whole: {why}; type fetch(job, {str(folder)!r}) again, which costs nothing."
    ) from last
