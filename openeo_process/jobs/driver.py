"""Drive the jobs of a batch to their end, retrying transient faults."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import openeo

from kappamask.models import JobError, KappaMaskError
from kappamask.openeo_process.jobs.answers import AnswerError
from kappamask.openeo_process.jobs.assets import Asset
from kappamask.openeo_process.jobs.download import LinkError
from kappamask.openeo_process.jobs.journal import JobRecord, Journal, State
from kappamask.openeo_process.jobs.retry import LoginError, RetryPolicy, is_gone, is_transient, needs_login
from kappamask.openeo_process.jobs.transitions import Transitions, one_line
from kappamask.openeo_process.results import NoMaskError

__all__ = ["Driver"]

ACTIVE = (State.POSTING, State.CREATED, State.STARTED)
"""States in which a job takes one of the places that the back-end grants."""
LEFT = (NoMaskError, AnswerError)
"""Errors after which a paid result may still be fetched, by a retry or by a later version."""
SILENT_RETRIES = 3
"""Faults in a row that are not reported."""


@dataclass
class _Schedule:
    """When a job is looked at next, and the faults it had."""

    next_at: float = 0.0
    faults: int = 0
    waits: bool = False
    """True while the back-end works on the job."""
    since: float = field(default_factory=time.monotonic)
    """Time of the last step that succeeded."""


class Driver:
    """Drive the jobs of a journal to their end."""

    def __init__(
        self,
        journal: Journal,
        connect: Callable[[], openeo.Connection],
        *,
        at_once: int = 2,
        policy: RetryPolicy | None = None,
        check: Callable[[JobRecord, Path, Asset], None] = lambda _part, _path, _asset: None,
        tell: Callable[[JobRecord], None] = lambda _: None,
    ) -> None:
        """Make a driver of the jobs in `journal`.

        connect: makes a connection that is logged in and does not retry; called again when a token has expired.

        at_once: jobs that may run at the same time. check: raises a KappaMaskError unless a job's file is the
        whole mask that an asset stands for. tell: called at each change of state.
        """
        self.journal, self.at_once, self.tell = journal, at_once, tell
        self.policy = policy or RetryPolicy()
        self.transitions = Transitions(journal, connect, self.policy, check)

    def run(self, keys: Iterable[str], *, once: bool = False) -> list[JobRecord]:
        """Drive the jobs with these fingerprints until each has ended, and return them.

        Raises LoginError if the back-end refuses the login; no job is changed by it.
        once: look and fetch only: nothing is created or started, and no job that runs is waited for. A record whose
        faults do not pass is left as it stands, with the reason as its message, for another run.
        """
        order = list(keys)
        schedules = {key: _Schedule() for key in order}
        while schedules:
            key = min(schedules, key=lambda one: schedules[one].next_at)
            time.sleep(max(0.0, schedules[key].next_at - time.monotonic()))
            if self._take_step(key, schedules, once) or (once and schedules[key].waits):
                del schedules[key]
        return [self.journal.get(key) for key in order]

    def cancel(self, keys: Iterable[str]) -> list[JobRecord]:
        """End these jobs, on the back-end too; fetched files stay.

        Raises JobError where another client has one.
        """
        return [self._cancel_job(key) for key in keys]

    def _cancel_job(self, key: str) -> JobRecord:
        with self.journal.hold(key) as record:
            if record is None:
                raise JobError(f"Another client works on job {key}: end it, or try again in a few minutes.")
            after = record if record.state.is_final else self.transitions.cancel(record)
        self.tell(after)
        return after

    def _take_step(self, key: str, schedules: dict[str, _Schedule], once: bool) -> bool:
        """Take one step of a job and return whether nothing is left to do."""
        schedule = schedules[key]
        with self.journal.hold(key) as record:
            if once and (record is None or not record.state.under_way):
                return True
            if record is None or (record.state is State.PLANNED and not self._has_place(schedules)):
                schedule.next_at = time.monotonic() + self.policy.poll_s
                return self.journal.get(key).state.is_final
            return record.state.is_final or self._step(record, schedule)

    def _has_place(self, schedules: dict[str, _Schedule]) -> bool:
        return sum(self.journal.get(key).state in ACTIVE for key in schedules) < self.at_once

    def _step(self, record: JobRecord, schedule: _Schedule) -> bool:
        try:
            after = self.transitions.of[record.state](record)
        except LoginError:  # no job is at fault
            raise
        except LEFT as error:
            return self._handle_fault(record.fingerprint, schedule, error)
        except JobError as error:
            return self._fail(record, one_line(error))
        except (KappaMaskError, LinkError, OSError, openeo.BaseOpenEoException) as error:
            if is_gone(error):
                return self._fail(record, f"The back-end knows no job {record.job} any more.")
            return self._handle_fault(record.fingerprint, schedule, error)
        schedule.waits = after.state is record.state
        if not schedule.waits:
            self.tell(after)
        elif record.message:  # why it was left once, which is over
            self.journal.change(record, message="")
        schedule.next_at = time.monotonic() + (self.policy.poll_s if schedule.waits else 0.0)
        schedule.faults, schedule.since = 0, time.monotonic()
        return after.state.is_final

    def _fail(self, record: JobRecord, message: str) -> bool:
        self.tell(self.journal.change(record, state=State.FAILED, message=message))
        return True

    def _handle_fault(self, key: str, schedule: _Schedule, error: Exception) -> bool:
        """Schedule the next try, or leave the job for `resume`; True if it is left."""
        schedule.faults += 1
        wait = max(self.policy.wait(schedule.faults), self.transitions.find_requested_wait())
        if needs_login(error):
            self.transitions.log_in_again()
        passes = needs_login(error) or is_transient(error) or schedule.faults <= self._max_retries(error)
        if not passes or time.monotonic() - schedule.since > self.policy.deadline_s:
            self.tell(self.journal.change(self.journal.get(key), message=f"left for resume: {one_line(error)}"))
            return True
        if schedule.faults > SILENT_RETRIES:
            self.tell(replace(self.journal.get(key), message=f"again in {wait:.0f} s: {one_line(error)}"))
        schedule.next_at = time.monotonic() + wait
        return False

    def _max_retries(self, error: Exception) -> int:
        """Return the retries of a fault that is not transient.

        Bad files are retried, a full disk is not.
        """
        passing = isinstance(error, LinkError | KappaMaskError) and not isinstance(error, LEFT)
        return self.policy.max_file_retries if passing else 0
