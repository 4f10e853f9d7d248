"""Move a job from state to state; each step can be repeated without paying twice.

Intent is written before each request that creates a job. Where an answer was lost, the back-end's list is searched for
the part's fingerprint before anything is created again, and a job is started only if the back-end says that it is
`created`; so no job is paid twice.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openeo
from openeo.rest import OpenEoApiPlainError

from kappamask.models import JobError
from kappamask.openeo_process.jobs.download import (
    Asset,
    download,
    iter_valid_files,
    list_assets,
    remove_partial_files,
    write_manifest,
)
from kappamask.openeo_process.jobs.failures import explain_failure
from kappamask.openeo_process.jobs.journal import JobRecord, Journal, State, redact_urls, title_tag
from kappamask.openeo_process.jobs.retry import RetryPolicy, is_gone, is_refusal, is_transient, needs_login
from kappamask.openeo_process.results import check_masks

__all__ = ["Transitions", "one_line"]

ENDED = {"error": State.FAILED, "canceled": State.CANCELED}
"""openEO's status of a job that will not finish -> state of its part."""
LISTED = 1000
"""Jobs asked for in a listing; back-ends may send fewer, the newest first."""


class Transitions:
    """The steps of the jobs of one journal.

    A step raises JobError where a job cannot go on, and another error where it may later.
    """

    def __init__(
        self,
        journal: Journal,
        connect: Callable[[], openeo.Connection],
        policy: RetryPolicy,
        check: Callable[[JobRecord, Path, Asset], None],
        *,
        watch: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        """See `Driver`.

        watch: called with what the back-end says of a job whenever it was asked.
        """
        self.journal, self.connect, self.policy, self.check = journal, connect, policy, check
        self.watch = watch
        self._connection: openeo.Connection | None = None
        self.of: dict[State, Callable[[JobRecord], JobRecord]] = {
            State.PLANNED: self._adopt_or_create,
            State.POSTING: self._recover_created,
            State.CREATED: self._start,
            State.STARTED: self._watch,
            State.FINISHED: self._fetch,
        }

    @property
    def connection(self) -> openeo.Connection:
        """The connection in use."""
        if self._connection is None:
            self._connection = self.connect()
        return self._connection

    def log_in_again(self) -> None:
        """Make a new connection for the next step."""
        self._connection = None

    def _adopt_or_create(self, part: JobRecord) -> JobRecord:
        """Adopt a job with this fingerprint, of another journal or day; else create one."""
        return self._adopt_existing(part) or self.create(part)

    def _recover_created(self, part: JobRecord) -> JobRecord:
        """Find the job after a request without answer, when that can no longer take effect."""
        if time.time() - part.changed < self.policy.create_grace_s:
            return part
        return self._adopt_existing(part) or self.create(part)

    def create(self, part: JobRecord) -> JobRecord:
        """Create the job; raises JobError if the back-end refuses it."""
        connection = self.connection  # logged in before the intent is written
        part = self.journal.change(part, state=State.POSTING, posts=part.posts + 1)
        graph, options = json.loads(part.graph), json.loads(part.options)
        try:
            job = connection.create_job(graph, title=part.title, job_options=options, validate=False)
        except OpenEoApiPlainError as error:
            if not is_refusal(error):
                raise
            self.journal.change(part, state=State.PLANNED)
            if needs_login(error) or is_transient(error):
                raise
            raise JobError(f"The back-end refuses the job: {error}") from error
        return self.journal.change(part, state=State.CREATED, job=job.job_id)

    def _adopt_existing(self, part: JobRecord) -> JobRecord | None:
        """Adopt the job whose title has the tag; of several, the one furthest on."""
        found = [job for job in self._list_own(part) if job["status"] not in ENDED]
        if not found:
            return None
        best = max(found, key=lambda job: (job["status"] != "created", job["id"]))
        state = State.CREATED if best["status"] == "created" else State.STARTED
        return self.journal.change(part, state=state, job=best["id"])

    def _list_own(self, part: JobRecord) -> list[dict[str, Any]]:
        jobs = self.connection.list_jobs(limit=LISTED)
        return [dict(job) for job in jobs if title_tag(part.fingerprint) in str(job.get("title"))]

    def _start(self, part: JobRecord) -> JobRecord:
        job = self.connection.job(str(part.job))
        if job.status() == "created":
            job.start()
        return self.journal.change(part, state=State.STARTED)

    def _watch(self, part: JobRecord) -> JobRecord:
        job = self.connection.job(str(part.job))
        found = job.describe()
        self.watch(found)
        status, costs = found["status"], found.get("costs")
        if status == "created":  # a start that was lost on the way
            return self.journal.change(part, state=State.CREATED)
        if status in ENDED:
            message = explain_failure(job) if status == "error" else "canceled on the back-end"
            return self.journal.change(part, state=ENDED[status], message=message, costs=costs)
        if status != "finished":
            return part
        return self.journal.change(part, state=State.FINISHED, costs=costs)

    def _fetch(self, part: JobRecord) -> JobRecord:
        folder, job_id = Path(part.folder), str(part.job)
        assets = list_assets(self.connection, job_id)
        names = {path.name for path in iter_valid_files(folder, job_id)}
        if not all(names & asset.names for asset in assets):
            entries = [self.download(asset, folder, part) for asset in assets]
            about = {"job": part.job, "backend": part.backend, "fingerprint": part.fingerprint}
            write_manifest(folder, about, entries)
            names = {entry["name"] for entry in entries}
        remove_partial_files(folder, part.fingerprint)
        self._delete_duplicates(part)
        check_masks((folder / name for name in names), job_id)
        return self.journal.change(part, state=State.FETCHED)

    def download(self, asset: Asset, folder: Path, part: JobRecord) -> dict[str, Any]:
        """Fetch and check one file of a job; return its entry in the manifest."""

        def check(path: Path) -> None:
            self.check(part, path, asset)

        def progress() -> None:
            self.journal.claim(part.fingerprint)

        return download(self.connection, asset, folder, part.fingerprint, check, progress)

    def _delete_duplicates(self, part: JobRecord) -> None:
        """Delete duplicates of the job, which were never started and cost nothing."""
        for job in self._list_own(part) if part.posts > 1 else []:
            if job["id"] != part.job and job["status"] == "created":
                with _ignore_gone():
                    self.connection.job(job["id"]).delete()

    def cancel(self, part: JobRecord) -> JobRecord:
        """End a part, on the back-end too."""
        part = (self._adopt_existing(part) if part.state is State.POSTING else None) or part
        if part.job:
            with _ignore_gone():
                _end(self.connection.job(part.job))
        return self.journal.change(part, state=State.CANCELED, message="canceled by kappamask cancel")


def _end(job: openeo.BatchJob) -> None:
    status = job.status()
    if status == "created":
        job.delete()
    elif status not in (*ENDED, "finished"):
        job.stop()


@contextmanager
def _ignore_gone() -> Iterator[None]:
    """Ignore that the back-end does not know a job any more."""
    try:
        yield
    except openeo.BaseOpenEoException as error:
        if not is_gone(error):
            raise


def one_line(error: Exception) -> str:
    """Format an error in one line, without signatures of links."""
    return redact_urls(" ".join(str(error).split()))
