"""Submit, watch and fetch one job of the caller's own graph, recorded in a journal.

Transient faults are retried; all other errors of openEO's client pass as they are.
"""

import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import openeo
from openeo.rest.auth.auth import BearerAuth

from kappamask.models import JobError
from kappamask.openeo_process.connection import is_local
from kappamask.openeo_process.jobs.answers import read_status
from kappamask.openeo_process.jobs.assets import Asset, list_assets
from kappamask.openeo_process.jobs.download import LinkError, remove_partial_files
from kappamask.openeo_process.jobs.journal import JobRecord, Journal, State, compute_fingerprint
from kappamask.openeo_process.jobs.retry import FAULTS, RetryPolicy, is_gone, is_transient
from kappamask.openeo_process.jobs.transitions import ENDED, Transitions
from kappamask.openeo_process.results import check_rasters

__all__ = ["SingleJob", "find_record", "plan_record"]

MAX_RETRIES = 6
"""Transient faults in a row, about a minute with the waits between them; then the error is raised."""
MAX_LINK_RETRIES = 2
"""The same of links that are refused or whose file is incomplete; each time they are signed again."""
FIRST_POLL_S, LONGEST_POLL_S, LOCAL_POLL_S = 5.0, 15.0, 1.0
"""Seconds between two looks at a job; the last is of a back-end on this machine."""
POLL_GROWTH = 1.25
"""Waits between two looks at a job grow by this, as in openEO's client."""


def plan_record(
    journal: Journal, connection: openeo.Connection, graph: dict[str, Any], options: dict[str, Any], title: str,
    *, repeat: bool = False,
) -> JobRecord:  # fmt: skip
    """Record a job before it is created, or find the record of the same one.

    The same job has the same back-end, graph and options. Without a login jobs belong to nobody, so none is the same.
    repeat: make another one in any case.
    """
    salt = {} if isinstance(connection.auth, BearerAuth) and not repeat else {"repeat": uuid4().hex}
    key = compute_fingerprint(connection.root_url, graph, {**options, **salt})
    record = JobRecord(key, key[:8], title, connection.root_url, json.dumps(graph), json.dumps(options), folder="")
    return journal.plan([record])[0]


def find_record(journal: Journal, connection: openeo.Connection, job_id: str) -> JobRecord | None:
    """Find the record of a job that `plan_record` planned, else None."""
    found = [one for one in journal.records(job=job_id) if one.has_own_graph]
    return next((one for one in found if one.backend == connection.root_url), None)


class SingleJob:
    """Steps of one job in the foreground."""

    def __init__(self, journal: Journal, connection: openeo.Connection, report: Callable[[str], None]) -> None:
        """report: called with a line at each change, as openEO's client prints them."""
        self.journal, self.report, self.started = journal, report, time.monotonic()
        self.policy = RetryPolicy()
        self.transitions = Transitions(journal, lambda: connection, self.policy, _accept_file, watch=self._print_status)
        self.transitions.of[State.PLANNED] = self.transitions.create  # the journal alone decides what is the same

    def advance(self, record: JobRecord, ends: Iterable[State]) -> JobRecord:
        """Take steps until the job is in a state of `ends`; return its record."""
        ends, poll_s = {*ends}, LOCAL_POLL_S if is_local(record.backend) else FIRST_POLL_S
        while not (record.state.is_final or record.state in ends):
            after = self._step(record)
            if after.state is record.state:
                time.sleep(poll_s)
                poll_s = min(LONGEST_POLL_S, poll_s * POLL_GROWTH)
            elif after.state is State.STARTED and record.state is State.CREATED:
                self._print_state(after.job, "send 'start'")
            record = after
        return record

    def fetch(self, record: JobRecord, folder: Path) -> list[Path]:
        """Download the files of a finished job and return their paths.

        Raises JobError if the job has no result or if a file cannot be downloaded completely, and NoMaskError if no
        raster is among the files.
        """
        with self.journal.hold(record.fingerprint) as held:
            if held is None:
                raise JobError(f"Another process works on job {record.job}: wait until it has ended.")
            try:
                files = self._download_files(held, folder)
            finally:
                remove_partial_files(folder, held.fingerprint)
            check_rasters(files, str(held.job))
            self.journal.change(held, state=State.FETCHED, folder=str(folder.resolve()))
        return files

    def _download_files(self, record: JobRecord, folder: Path) -> list[Path]:
        def list_links() -> dict[str, Asset]:
            return {asset.name: asset for asset in list_assets(self.transitions.connection, str(record.job))}

        links: dict[str, Asset] = self._retry_step(list_links)

        def download(name: str) -> Path:
            links.update({} if links else list_links())
            try:
                return folder / str(self.transitions.download(links[name], folder, record)["name"])
            except Exception:
                links.clear()  # to be signed again
                raise

        return [self._download_file(partial(download, name), name, folder) for name in [*links]]

    def _download_file(self, download: Callable[[], Path], name: str, folder: Path) -> Path:
        try:
            path: Path = self._retry_step(download)
        except (LinkError, *FAULTS) as error:
            why = str(error) if isinstance(error, LinkError) else type(error).__name__  # others show the secret address
            raise JobError(
                f"{name} could not be fetched whole: {why}; type fetch(job, {str(folder)!r}) again, which costs "
                "nothing."
            ) from error
        return path

    def forget_lost(self, record: JobRecord) -> JobRecord:
        """Return the record, planned again if the job failed or is no longer known."""
        if record.job is None:
            return record
        try:
            status = read_status(self._retry_step(lambda: self.transitions.connection.job(str(record.job)).describe()))
        except openeo.BaseOpenEoException as error:
            if not is_gone(error):
                raise
            status = None
        lost = status is None or status in ENDED
        return self.journal.change(record, state=State.PLANNED, job=None) if lost else record

    def _step(self, record: JobRecord) -> JobRecord:
        with self.journal.hold(record.fingerprint) as held:
            if held is None or held.state is not record.state:  # another process is at it
                return self.journal.get(record.fingerprint)
            after: JobRecord = self._retry_step(partial(self._take_step, held.fingerprint))
            return after

    def _take_step(self, key: str) -> JobRecord:
        record = self.journal.get(key)  # a request without answer has changed it
        return self.transitions.of[record.state](record)

    def _retry_step(self, step: Callable[[], Any]) -> Any:
        faults = 0
        while True:
            try:
                return step()
            except Exception as error:
                faults += 1
                limit = MAX_LINK_RETRIES if isinstance(error, LinkError) else MAX_RETRIES if is_transient(error) else 0
                if faults > limit:
                    raise
                if not isinstance(error, LinkError):
                    time.sleep(max(self.policy.wait(faults), self.transitions.find_requested_wait()))

    def _print_status(self, job: dict[str, Any]) -> None:
        progress = job.get("progress")
        shown = f"{progress:g}%" if isinstance(progress, int | float) else "N/A"
        self._print_state(job.get("id"), f"{read_status(job)} (progress {shown})")

    def _print_state(self, job_id: str | None, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        self.report(f"{minutes // 60}:{minutes % 60:02}:{seconds:02} Job {job_id!r}: {text}")


def _accept_file(_record: JobRecord, _path: Path, _asset: Asset) -> None:
    """Accept any file: what the caller's own graph writes is not known."""
