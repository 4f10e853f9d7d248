"""Move a job from state to state; each step can be repeated without paying twice.

Intent is written before each request that creates a job. Where an answer was lost, the back-end's list is searched for
the record's fingerprint before anything is created again, and a job is started only if the back-end says that it is
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
from kappamask.openeo_process.jobs.answers import AnswerError, list_entries, read_costs, read_status
from kappamask.openeo_process.jobs.assets import Asset, list_assets
from kappamask.openeo_process.jobs.download import download, iter_valid_files, remove_partial_files, write_manifest
from kappamask.openeo_process.jobs.failures import explain_failure
from kappamask.openeo_process.jobs.journal import JobRecord, Journal, State, redact_urls, title_tag
from kappamask.openeo_process.jobs.retry import (
    RetryPolicy,
    find_requested_wait,
    is_gone,
    is_refusal,
    is_transient,
    needs_login,
)
from kappamask.openeo_process.results import check_masks

__all__ = ["Transitions", "one_line"]

ENDED = {"error": State.FAILED, "canceled": State.CANCELED}
"""openEO's status of a job that will not finish -> state of its record."""
LISTED = 1000
"""Jobs asked for on a page of the listing; back-ends may send fewer, in any order."""


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
            State.CREATED: self._start_job,
            State.STARTED: self._watch_job,
            State.FINISHED: self._fetch_results,
        }

    @property
    def connection(self) -> openeo.Connection:
        """The connection in use."""
        if self._connection is None:
            self._connection = self.connect()
        return self._connection

    def find_requested_wait(self) -> float:
        """Return the seconds that the back-end's last answer asked to wait."""
        return find_requested_wait(self._connection, self.policy)

    def log_in_again(self) -> None:
        """Make a new connection for the next step."""
        self._connection = None

    def _adopt_or_create(self, record: JobRecord) -> JobRecord:
        """Adopt a job with this fingerprint, of another journal or day; else create one."""
        return self._adopt_existing(record) or self.create(record)

    def _recover_created(self, record: JobRecord) -> JobRecord:
        """Find the job of an unanswered request, once the request is too old to act."""
        if time.time() - record.changed < self.policy.create_grace_s:
            return record
        return self._adopt_existing(record) or self.create(record)

    def create(self, record: JobRecord) -> JobRecord:
        """Create the job; raises JobError if the back-end refuses it."""
        connection = self.connection  # logged in before the intent is written
        record = self.journal.change(record, state=State.POSTING, posts=record.posts + 1)
        graph, options = json.loads(record.graph), json.loads(record.options)
        try:
            job = connection.create_job(graph, title=record.title, job_options=options, validate=False)
        except OpenEoApiPlainError as error:
            if not is_refusal(error):
                raise
            self.journal.change(record, state=State.PLANNED)
            if needs_login(error) or is_transient(error):
                raise
            raise JobError(f"The back-end refuses the job: {error}") from error
        return self.journal.change(record, state=State.CREATED, job=job.job_id)

    def _adopt_existing(self, record: JobRecord) -> JobRecord | None:
        """Adopt the job whose title has the tag; of several, the one furthest on."""
        own, missing = self._list_own(record)
        found = [job for job in own if read_status(job) not in ENDED]
        if not found and missing and record.posts:
            raise AnswerError(
                f"The back-end's list of jobs lacks those of {', '.join(missing)}, and the job may be among them: "
                "nothing is created until the list is whole."
            )
        if not found:
            return None
        best = max(found, key=lambda job: (read_status(job) != "created", str(job["id"])))
        state = State.CREATED if read_status(best) == "created" else State.STARTED
        return self.journal.change(record, state=state, job=best["id"])

    def _list_own(self, record: JobRecord) -> tuple[list[dict[str, Any]], list[str]]:
        """List the jobs with the record's tag, and the parts that did not answer."""
        jobs, missing = list_entries(self.connection, "/jobs", "jobs", limit=LISTED)
        tag = title_tag(record.fingerprint)
        return [job for job in jobs if job.get("id") and tag in str(job.get("title"))], missing

    def _start_job(self, record: JobRecord) -> JobRecord:
        job = self.connection.job(str(record.job))
        if read_status(job.describe()) == "created":
            job.start()
        return self.journal.change(record, state=State.STARTED)

    def _watch_job(self, record: JobRecord) -> JobRecord:
        job_id = str(record.job)
        found = self.connection.job(job_id).describe()
        status, costs = read_status(found), read_costs(found)
        self.watch(found)
        if status == "created":  # a start that was lost on the way
            return self.journal.change(record, state=State.CREATED)
        if status in ENDED:
            message = explain_failure(self.connection, job_id) if status == "error" else "canceled on the back-end"
            return self.journal.change(record, state=ENDED[status], message=message, costs=costs)
        if status != "finished":
            return record
        return self.journal.change(record, state=State.FINISHED, costs=costs)

    def _fetch_results(self, record: JobRecord) -> JobRecord:
        folder, job_id = Path(record.folder), str(record.job)
        assets = list_assets(self.connection, job_id)
        names = {path.name for path in iter_valid_files(folder, job_id)}
        if not all(names & asset.names for asset in assets):
            entries = [self.download(asset, folder, record) for asset in assets]
            about = {"job": record.job, "backend": record.backend, "fingerprint": record.fingerprint}
            write_manifest(folder, about, entries)
            names = {entry["name"] for entry in entries}
        remove_partial_files(folder, record.fingerprint)
        self._delete_duplicates(record)
        check_masks((folder / name for name in names), job_id)
        return self.journal.change(record, state=State.FETCHED)

    def download(self, asset: Asset, folder: Path, record: JobRecord) -> dict[str, Any]:
        """Fetch and check one file of a job; return its entry in the manifest."""

        def check(path: Path) -> None:
            self.check(record, path, asset)

        def progress() -> None:
            self.journal.claim(record.fingerprint)

        return download(self.connection, asset, folder, record.fingerprint, check, progress)

    def _delete_duplicates(self, record: JobRecord) -> None:
        """Delete duplicates of the job, which were never started and cost nothing."""
        for job in self._list_own(record)[0] if record.posts > 1 else []:
            if job["id"] != record.job and read_status(job) == "created":
                with _ignore_gone():
                    self.connection.job(job["id"]).delete()

    def cancel(self, record: JobRecord) -> JobRecord:
        """End a job, on the back-end too."""
        record = (self._adopt_existing(record) if record.state is State.POSTING else None) or record
        if record.job:
            with _ignore_gone():
                _end_job(self.connection.job(record.job))
        return self.journal.change(record, state=State.CANCELED, message="canceled by kappamask cancel")


def _end_job(job: openeo.BatchJob) -> None:
    status = read_status(job.describe())
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
