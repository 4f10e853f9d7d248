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
from kappamask.openeo_process.jobs.download import Asset, assets_of, download, fetched, remove_halves, write_manifest
from kappamask.openeo_process.jobs.failures import reason
from kappamask.openeo_process.jobs.journal import Journal, Part, State, mark, unsigned
from kappamask.openeo_process.jobs.retry import Patience, is_gone, is_refusal, is_transient, needs_login
from kappamask.openeo_process.results import check_masks

__all__ = ["Steps", "told"]

ENDED = {"error": State.FAILED, "canceled": State.CANCELED}
"""openEO's status of a job that will not finish -> state of its part."""
LISTED = 1000
"""Jobs asked for in a listing; back-ends may send fewer, the newest first."""


class Steps:
    """The steps of parts of one journal; JobError where a part cannot go on, other errors where it may later."""

    def __init__(
        self,
        journal: Journal,
        connect: Callable[[], openeo.Connection],
        patience: Patience,
        check: Callable[[Part, Path, Asset], None],
    ) -> None:
        """See `Driver`."""
        self.journal, self.connect, self.patience, self.check = journal, connect, patience, check
        self._connection: openeo.Connection | None = None
        self.of: dict[State, Callable[[Part], Part]] = {
            State.PLANNED: self._create,
            State.POSTING: self._find,
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

    def _create(self, part: Part) -> Part:
        """Adopt a job with this fingerprint, of another journal or day; else create one."""
        return self._adopted(part) or self._post(part)

    def _find(self, part: Part) -> Part:
        """A request to create the job was made and nobody answered: wait until it has taken effect or never will."""
        if time.time() - part.changed < self.patience.settle_s:
            return part
        return self._adopted(part) or self._post(part)

    def _post(self, part: Part) -> Part:
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

    def _adopted(self, part: Part) -> Part | None:
        """The part with the job that bears its mark; of several, the one furthest on; the others are not started."""
        found = [job for job in self._listed(part) if job["status"] not in ENDED]
        if not found:
            return None
        best = max(found, key=lambda job: (job["status"] != "created", job["id"]))
        state = State.CREATED if best["status"] == "created" else State.STARTED
        return self.journal.change(part, state=state, job=best["id"])

    def _listed(self, part: Part) -> list[dict[str, Any]]:
        jobs = self.connection.list_jobs(limit=LISTED)
        return [dict(job) for job in jobs if mark(part.fingerprint) in str(job.get("title"))]

    def _start(self, part: Part) -> Part:
        job = self.connection.job(str(part.job))
        if job.status() == "created":
            job.start()
        return self.journal.change(part, state=State.STARTED)

    def _watch(self, part: Part) -> Part:
        job = self.connection.job(str(part.job))
        found = job.describe()
        status, costs = found["status"], found.get("costs")
        if status == "created":  # a start that was lost on the way
            return self.journal.change(part, state=State.CREATED)
        if status in ENDED:
            message = reason(job) if status == "error" else "canceled on the back-end"
            return self.journal.change(part, state=ENDED[status], message=message, costs=costs)
        if status != "finished":
            return part
        return self.journal.change(part, state=State.FINISHED, costs=costs)

    def _fetch(self, part: Part) -> Part:
        folder, job_id = Path(part.folder), str(part.job)
        assets = assets_of(self.connection, job_id)
        names = {path.name for path in fetched(folder, job_id)}
        if not all(names & asset.names for asset in assets):
            entries = [self._download(asset, folder, part) for asset in assets]
            about = {"job": part.job, "backend": part.backend, "fingerprint": part.fingerprint}
            write_manifest(folder, about, entries)
            names = {entry["name"] for entry in entries}
        remove_halves(folder, part.fingerprint)
        self._sweep(part)
        check_masks((folder / name for name in names), job_id)
        return self.journal.change(part, state=State.FETCHED)

    def _download(self, asset: Asset, folder: Path, part: Part) -> dict[str, Any]:
        def check(path: Path) -> None:
            self.check(part, path, asset)

        def progress() -> None:
            self.journal.claim(part.fingerprint)

        return download(self.connection, asset, folder, part.fingerprint, check, progress)

    def _sweep(self, part: Part) -> None:
        """Remove what a repeated request created beside the job that ran: it was never started and costs nothing."""
        for job in self._listed(part) if part.posts > 1 else []:
            if job["id"] != part.job and job["status"] == "created":
                with _or_gone():
                    self.connection.job(job["id"]).delete()

    def cancel(self, part: Part) -> Part:
        """End a part, on the back-end too."""
        part = (self._adopted(part) if part.state is State.POSTING else None) or part
        if part.job:
            with _or_gone():
                _end(self.connection.job(part.job))
        return self.journal.change(part, state=State.CANCELED, message="canceled by kappamask cancel")


def _end(job: openeo.BatchJob) -> None:
    status = job.status()
    if status == "created":
        job.delete()
    elif status not in (*ENDED, "finished"):
        job.stop()


@contextmanager
def _or_gone() -> Iterator[None]:
    """For what ends a job: one that the back-end does not know any more has ended."""
    try:
        yield
    except openeo.BaseOpenEoException as error:
        if not is_gone(error):
            raise


def told(error: Exception) -> str:
    """An error in one line, without signatures of links."""
    return unsigned(" ".join(str(error).split()))
