"""Drive the jobs of a batch to their end, retrying transient faults."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import openeo

from kappamask.models import JobError, KappaMaskError
from kappamask.openeo_process.jobs.download import Asset, LinkError
from kappamask.openeo_process.jobs.journal import Journal, Part, State
from kappamask.openeo_process.jobs.retry import Patience, is_gone, is_transient, needs_login
from kappamask.openeo_process.jobs.transitions import Steps, told
from kappamask.openeo_process.results import NoMaskError

__all__ = ["Driver"]

ACTIVE = (State.POSTING, State.CREATED, State.STARTED)
"""States in which a part takes one of the places that the back-end grants."""
QUIET = 3
"""Faults in a row that nobody needs to hear of."""


@dataclass
class _Turn:
    """When a part is next looked at, and how it has fared."""

    due: float = 0.0
    faults: int = 0
    waits: bool = False
    """For the back-end, which is still at it."""
    since: float = field(default_factory=time.monotonic)
    """When it last fared well."""


class Driver:
    """Takes parts of a journal to their end."""

    def __init__(
        self,
        journal: Journal,
        connect: Callable[[], openeo.Connection],
        *,
        at_once: int = 2,
        patience: Patience | None = None,
        check: Callable[[Part, Path, Asset], None] = lambda _part, _path, _asset: None,
        tell: Callable[[Part], None] = lambda _: None,
    ) -> None:
        """connect: a connection that is logged in and does not retry; made anew when a token has expired.

        at_once: jobs that may run at the same time. check: raises a KappaMaskError unless a part's file is the
        whole mask that an asset stands for. tell: called at each change of state.
        """
        self.journal, self.at_once, self.tell = journal, at_once, tell
        self.patience = patience or Patience()
        self.steps = Steps(journal, connect, self.patience, check)

    def run(self, keys: Iterable[str], *, once: bool = False) -> list[Part]:
        """Drive the parts with these fingerprints until each has ended; as they are then.

        once: look and fetch only: nothing is created or started, and no job that runs is waited for. A part whose
        faults do not pass is left as it stands, with the reason as its message, for another run.
        """
        order = list(keys)
        turns = {key: _Turn() for key in order}
        while turns:
            key = min(turns, key=lambda one: turns[one].due)
            time.sleep(max(0.0, turns[key].due - time.monotonic()))
            if self._turn(key, turns, once) or (once and turns[key].waits):
                del turns[key]
        return [self.journal.get(key) for key in order]

    def cancel(self, keys: Iterable[str]) -> list[Part]:
        """End these parts, on the back-end too; what is fetched stays. JobError where another client has one."""
        return [self._cancel(key) for key in keys]

    def _cancel(self, key: str) -> Part:
        with self.journal.claimed(key) as part:
            if part is None:
                raise JobError(f"Another client works on part {key}: end it, or try again in a few minutes.")
            after = part if part.state.ended else self.steps.cancel(part)
        self.tell(after)
        return after

    def _turn(self, key: str, turns: dict[str, _Turn], once: bool) -> bool:
        """One step of a part; whether nothing is left to do."""
        turn = turns[key]
        with self.journal.claimed(key) as part:
            if once and (part is None or not part.state.under_way):
                return True
            if part is None or (part.state is State.PLANNED and not self._has_place(turns)):
                turn.due = time.monotonic() + self.patience.poll_s
                return self.journal.get(key).state.ended
            return part.state.ended or self._step(part, turn)

    def _has_place(self, turns: dict[str, _Turn]) -> bool:
        return sum(self.journal.get(key).state in ACTIVE for key in turns) < self.at_once

    def _step(self, part: Part, turn: _Turn) -> bool:
        try:
            after = self.steps.of[part.state](part)
        except NoMaskError as error:  # what was paid can be had by a later version
            return self._fault(part.fingerprint, turn, error)
        except JobError as error:
            return self._failed(part, told(error))
        except (KappaMaskError, LinkError, OSError, openeo.BaseOpenEoException) as error:
            if is_gone(error):
                return self._failed(part, f"The back-end knows no job {part.job} any more.")
            return self._fault(part.fingerprint, turn, error)
        turn.waits = after.state is part.state
        if not turn.waits:
            self.tell(after)
        elif part.message:  # why it was left once, which is over
            self.journal.change(part, message="")
        turn.due = time.monotonic() + (self.patience.poll_s if turn.waits else 0.0)
        turn.faults, turn.since = 0, time.monotonic()
        return after.state.ended

    def _failed(self, part: Part, message: str) -> bool:
        self.tell(self.journal.change(part, state=State.FAILED, message=message))
        return True

    def _fault(self, key: str, turn: _Turn, error: Exception) -> bool:
        """Wait for the next try, with a new login if need be, or leave the part for `resume`; True if it is left."""
        turn.faults += 1
        if needs_login(error):
            self.steps.log_in_again()
        passes = needs_login(error) or is_transient(error) or turn.faults <= self._tries(error)
        if not passes or time.monotonic() - turn.since > self.patience.deadline_s:
            self.tell(self.journal.change(self.journal.get(key), message=f"left for resume: {told(error)}"))
            return True
        wait = self.patience.wait(turn.faults)
        if turn.faults > QUIET:
            self.tell(replace(self.journal.get(key), message=f"again in {wait:.0f} s: {told(error)}"))
        turn.due = time.monotonic() + wait
        return False

    def _tries(self, error: Exception) -> int:
        """How often what is no passing fault is tried again: a file may be better next time, a full disk not."""
        passing = isinstance(error, LinkError | KappaMaskError) and not isinstance(error, NoMaskError)
        return self.patience.bad_files if passing else 0
