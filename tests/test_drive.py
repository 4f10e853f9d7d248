"""The driver against a back-end that is a table of jobs: what it asks for, and what it writes down."""

from types import SimpleNamespace

import pytest
from openeo.rest import OpenEoApiError

from kappamask.openeo_process.drive import Driver
from kappamask.openeo_process.journal import Journal, Part, State
from kappamask.openeo_process.patience import Patience

PATIENCE = Patience(poll_s=0.01, first_s=0.01, most_s=0.01)
PART = Part("a" * 16, "batch", "part", "https://example.org", "{}", "{}", "out", job="j-1")


class BackEnd:
    """Jobs by id with their status; a job that is not listed was deleted."""

    def __init__(self, **status: str) -> None:
        self.status, self.asked = status, []

    def job(self, key):
        asked = {word: lambda word=word: self._ask(key, word) for word in ("start", "stop", "delete", "get_results")}
        looked = {"status": lambda: self._status(key), "describe": lambda: {"status": self._status(key)}}
        return SimpleNamespace(**looked, **asked)

    def list_jobs(self, **_):
        return []

    def _status(self, key):
        if key not in self.status:
            raise OpenEoApiError(http_status_code=404, code="JobNotFound", message="no such job")
        return self.status[key]

    def _ask(self, key, word):
        self._status(key)
        self.asked.append(word)


@pytest.fixture
def book(tmp_path):
    return Journal(tmp_path / "j")


def planned(book, state, **values):
    (part,) = book.plan([PART])
    return book.change(part, state=state, job="j-1", **values)


def driver(book, back_end):
    return Driver(book, lambda: back_end, patience=PATIENCE)


@pytest.mark.parametrize("state", [State.CREATED, State.STARTED, State.FINISHED])
def test_a_job_that_was_deleted_on_the_back_end_ends_its_part(book, state):
    planned(book, state)
    (after,) = driver(book, BackEnd()).run([PART.fingerprint])
    assert (after.state, after.message) == (State.FAILED, "The back-end knows no job j-1 any more.")


def test_a_job_that_was_deleted_on_the_back_end_can_be_canceled(book):
    planned(book, State.STARTED)
    (after,) = driver(book, BackEnd()).cancel([PART.fingerprint])
    assert after.state is State.CANCELED


@pytest.mark.parametrize("state", [State.PLANNED, State.CREATED, State.STARTED])
def test_who_only_fetches_starts_nothing(book, state):
    """Not even a job whose start was lost on the way, so that the back-end calls it `created`."""
    planned(book, state)
    back_end = BackEnd(**{"j-1": "created"})
    driver(book, back_end).run([PART.fingerprint], once=True)
    assert back_end.asked == []


def test_who_only_fetches_does_not_wait_for_another_client(book, tmp_path):
    planned(book, State.STARTED)
    other = Journal(tmp_path / "j")
    assert other.claim(PART.fingerprint)
    (after,) = driver(book, BackEnd(**{"j-1": "running"})).run([PART.fingerprint], once=True)
    assert after.state is State.STARTED


def test_why_a_part_was_left_is_forgotten_once_it_goes_on(book):
    """By a new state, and by a look at a job that runs; the time of the last state stays."""
    left = planned(book, State.CREATED, message="left for resume: no route to host")
    started = book.change(left, state=State.STARTED)
    assert started.message == ""
    left = book.change(started, message="left for resume: no route to host")
    (after,) = driver(book, BackEnd(**{"j-1": "running"})).run([PART.fingerprint], once=True)
    assert (after.message, after.changed) == ("", started.changed)
