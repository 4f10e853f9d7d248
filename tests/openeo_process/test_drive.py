"""The driver against a table of jobs: what it asks for, and what it records."""

import time
from dataclasses import replace
from hashlib import sha256
from types import SimpleNamespace

import pytest
import requests
from openeo.rest import OpenEoApiError, OpenEoApiPlainError

from kappamask.openeo_process.jobs.download import write_manifest
from kappamask.openeo_process.jobs.driver import Driver
from kappamask.openeo_process.jobs.journal import JobRecord, Journal, State
from kappamask.openeo_process.jobs.request import TEST_JOB
from kappamask.openeo_process.jobs.retry import PatientSession, RetryPolicy, find_requested_wait
from kappamask.workflows import batch_driving
from kappamask.workflows.batch_driving import BatchDriver

POLICY = RetryPolicy(poll_s=0.01, first_s=0.01, most_s=0.01)
PART = JobRecord("a" * 16, "batch", "part", "https://example.org", "{}", "{}", "out", job="j-1")


class BackEnd:
    """Jobs by id with their status; a job that is not listed was deleted."""

    def __init__(self, **status: str) -> None:
        self.status, self.asked = status, []

    def job(self, key):
        asked = {word: lambda word=word: self._ask(key, word) for word in ("start", "stop", "delete")}
        looked = {"status": lambda: self._status(key), "describe": lambda: {"status": self._status(key)}}
        return SimpleNamespace(**looked, **asked)

    def get(self, path, **_):
        if path.endswith("/results"):
            self._ask(path.split("/")[-2], "get_results")
        found = {"jobs": [], "logs": []}
        return SimpleNamespace(status_code=200, url=path, json=lambda: found)

    def create_job(self, *_, title, **__):
        self.asked.append(f"create {title.split()[1]}")
        self.status[title] = "created"
        return SimpleNamespace(job_id=title)

    def _status(self, key):
        if key not in self.status:
            raise OpenEoApiError(http_status_code=404, code="JobNotFound", message="no such job")
        return self.status[key]

    def _ask(self, key, word):
        self._status(key)
        self.asked.append(word)
        if word == "start":
            self.status[key] = "error"


@pytest.fixture
def book(tmp_path):
    return Journal(tmp_path / "j")


@pytest.fixture
def back_end(monkeypatch):
    """What `BatchDriver` finds at every address: here a job that is started fails."""
    found = BackEnd(**{"j-1": "running", "j-2": "error"})
    monkeypatch.setattr(
        batch_driving, "make_driver", lambda book, *_: Driver(book, lambda: found, at_once=9, policy=POLICY)
    )
    return found


def batch_of(book, pilot, *others, **values):
    """Record a batch whose pilot is in the state `pilot`, in parts of 9 chunks."""
    asked = [replace(PART, fingerprint=TEST_JOB, name=TEST_JOB, state=pilot, chunks=1, **values)]
    for number, state in enumerate(others):
        asked.append(replace(PART, fingerprint=f"{number}", name=f"p{number}", state=state, job="j-2", chunks=9))
    return book.plan([replace(part, max_credits=40) for part in asked])


def plan_masks(book, state, **values):
    (part,) = book.plan([PART])
    return book.change(part, state=state, job="j-1", **values)


def driver(book, back_end):
    return Driver(book, lambda: back_end, policy=POLICY)


@pytest.mark.parametrize("state", [State.CREATED, State.STARTED, State.FINISHED])
def test_a_job_that_was_deleted_on_the_back_end_ends_its_part(book, state):
    plan_masks(book, state)
    (after,) = driver(book, BackEnd()).run([PART.fingerprint])
    assert (after.state, after.message) == (State.FAILED, "The back-end knows no job j-1 any more.")


def test_a_job_that_was_deleted_on_the_back_end_can_be_canceled(book):
    plan_masks(book, State.STARTED)
    (after,) = driver(book, BackEnd()).cancel([PART.fingerprint])
    assert after.state is State.CANCELED


@pytest.mark.parametrize("state", [State.PLANNED, State.CREATED, State.STARTED])
def test_who_only_fetches_starts_nothing(book, state):
    """Nothing is started, not even a job whose start was lost and that is `created`."""
    plan_masks(book, state)
    back_end = BackEnd(**{"j-1": "created"})
    driver(book, back_end).run([PART.fingerprint], once=True)
    assert back_end.asked == []


def test_who_only_fetches_does_not_wait_for_another_client(book, tmp_path):
    plan_masks(book, State.STARTED)
    other = Journal(tmp_path / "j")
    assert other.claim(PART.fingerprint)
    (after,) = driver(book, BackEnd(**{"j-1": "running"})).run([PART.fingerprint], once=True)
    assert after.state is State.STARTED


def test_why_a_part_was_left_is_forgotten_once_it_goes_on(book):
    """It goes with a new state or a look at a running job.

    The time of the last state stays.
    """
    left = plan_masks(book, State.CREATED, message="left for resume: no route to host")
    started = book.change(left, state=State.STARTED)
    assert started.message == ""
    left = book.change(started, message="left for resume: no route to host")
    (after,) = driver(book, BackEnd(**{"j-1": "running"})).run([PART.fingerprint], once=True)
    assert (after.message, after.changed) == ("", started.changed)


@pytest.mark.parametrize("pilot", [State.FAILED, State.CANCELED])
def test_after_a_canary_that_failed_nothing_is_started_and_what_was_is_watched(book, back_end, pilot):
    BatchDriver(book, 1).drive_batches([batch_of(book, pilot, State.PLANNED, State.CREATED, State.STARTED)])
    assert back_end.asked == []
    assert [part.state for part in book.records()] == [pilot, State.PLANNED, State.CREATED, State.FAILED]


def test_after_a_canary_that_came_back_the_rest_is_started(book, back_end):
    BatchDriver(book, 1).drive_batches([batch_of(book, State.FETCHED, State.PLANNED)])
    assert back_end.asked == ["create p0", "start"]


@pytest.mark.parametrize(("most", "asked"), [(None, []), (9, []), (99, ["create p0", "start"])])
def test_what_a_batch_may_cost_holds_for_resume_too(book, back_end, tmp_path, most, asked):
    """The limit in credits is what submit was given, or what resume is given.

    10 chunks cost 5 each, and each of 2 jobs 2.
    """
    (tmp_path / "m.tif").write_bytes(b"mask!")
    file = {"name": "m.tif", "size": 5, "sha256": sha256(b"mask!").hexdigest()}
    write_manifest(tmp_path, {"job": "j-1"}, [file])
    parts = batch_of(book, State.FETCHED, State.PLANNED, costs=7.0, folder=str(tmp_path))
    BatchDriver(book, 1).drive_batches([parts], max_credits=most)
    assert back_end.asked == asked
    dear = "left for resume: About 54 credits (from the test job) are more than max_credits="
    assert book.get("0").message.startswith(dear) == (not asked)


@pytest.mark.parametrize("pilot", [State.FAILED, State.CANCELED])
def test_only_what_was_fetched_whole_is_a_success(kappamask, book, pilot):
    batch_of(book, pilot, State.PLANNED, message="canceled on the back-end")
    done = kappamask("resume", "--journal", book.path)
    assert done.code == 1 and "2 of 2 jobs did not end with masks: test job: canceled on the back-end" in done.err
    assert "canceled on the back-end" not in done.out, "it is read once"
    fetched = kappamask("fetch", "--journal", book.path)
    assert fetched.code == (pilot is State.FAILED), "what is not finished yet is no failure of fetch"


NOW = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120), ({"Retry-After": " 0 "}, 0), ({}, 0), ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "-5"}, 0), ({"Retry-After": "Sun, 06 Nov 1994 08:51:37 GMT", "Date": NOW}, 120),
        ({"Retry-After": "Sun, 06 Nov 1994 09:49:37 +0100", "Date": NOW}, 0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:00:00 GMT", "Date": NOW}, 0), ({"Retry-After": "999999"}, 300),
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_busy_server_is_left_alone_as_long_as_it_asks(monkeypatch, headers, seconds, status):
    answer = requests.Response()
    answer.status_code, answer._content = status, b"{}"
    answer.headers.update(headers)
    session = PatientSession()
    monkeypatch.setattr(requests.Session, "send", lambda *_, **__: answer)
    session.get("https://example.org")
    policy = replace(POLICY, longest_asked_s=300)
    found = find_requested_wait(SimpleNamespace(session=session), policy)
    assert found == pytest.approx(0 if status == 500 else seconds, abs=5)
    answer.status_code = 200
    session.get("https://example.org")
    assert find_requested_wait(SimpleNamespace(session=session), policy) == 0


def test_the_driver_waits_as_long_as_it_is_asked_to(book, monkeypatch):
    """The first of two faults asks for 1000 s, by the driver's own clock."""
    found, session = BackEnd(**{"j-1": "running"}), PatientSession()
    found.session, slept, faults = session, [], iter([1000, None])

    def describe(key):
        asked = next(faults, 0)
        if asked != 0:
            session.free_at = time.monotonic() + asked if asked else 0.0
            raise OpenEoApiPlainError("busy", http_status_code=429, error_message="busy")
        return "error"

    monkeypatch.setattr(found, "_status", describe)
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(slept), sleep=slept.append)
    monkeypatch.setattr("kappamask.openeo_process.jobs.driver.time", clock)
    plan_masks(book, State.STARTED)
    Driver(book, lambda: found, policy=POLICY).run([PART.fingerprint])
    waits = [wait for wait in slept if wait > 0.001]
    assert waits[0] == pytest.approx(1000, rel=0.01)
    assert all(wait < 1 for wait in waits[1:])
