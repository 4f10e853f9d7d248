"""The journal: written once, held by one client at a time, readable by the next."""

import multiprocessing
import os
import sqlite3
import time
from dataclasses import replace

import pytest

from kappamask.models import JobError
from kappamask.openeo_process.jobs.journal import (
    ADDED,
    JobRecord,
    Journal,
    State,
    compute_fingerprint,
    redact_urls,
    title_tag,
)


def part(key: str = "a" * 16, **values) -> JobRecord:
    return JobRecord(key, "batch", "part", "https://example.org", "{}", "{}", "out", **values)


def hold(path, ready):
    """A client that takes a part and dies with it."""
    book = Journal(path)
    assert book.claim("a" * 16)
    ready.set()
    time.sleep(60)


def test_a_record_is_shown_without_its_graph():
    shown = repr(replace(part(job="j-1"), graph='{"loadcollection1": 1}', options='{"driver-memory": "2G"}'))
    assert "j-1" in shown and "https://example.org" in shown
    assert "loadcollection1" not in shown and "driver-memory" not in shown


def test_what_is_planned_twice_is_planned_once(tmp_path):
    book = Journal(tmp_path / "j")
    (first,) = book.plan([part()])
    book.change(first, state=State.CREATED, job="j-1")
    (again,) = book.plan([part()])
    assert (again.state, again.job) == (State.CREATED, "j-1")
    assert Journal(tmp_path / "j").records(batch="batch") == [book.get(first.fingerprint)]


def test_a_batch_that_is_part_of_a_larger_one_goes_into_it(tmp_path):
    """So does one in other words, such as a job option that is the default."""
    book = Journal(tmp_path / "j")
    a, b, c, d = (part(key, state=State.FETCHED) for key in "abcd")
    book.plan([a, replace(b, state=State.FAILED)])
    grown = book.plan([replace(one, batch="larger") for one in (a, b, c)])
    assert {one.batch for one in grown} == {"larger"} and not book.records(batch="batch")
    book.plan([replace(one, batch="other") for one in (c, d)])
    assert [len(book.records(batch=name)) for name in ("larger", "other")] == [3, 1], "others stay whole"


def test_a_second_plan_changes_the_credit_limit_but_no_jobs(tmp_path):
    book = Journal(tmp_path / "j")
    book.plan([part(max_credits=40)])
    assert book.plan([part(attributes="first", chunks=3)]) == [book.get("a" * 16)]
    (after,) = book.plan([part(attributes="other", chunks=3, max_credits=400)])
    assert (after.attributes, after.chunks, after.max_credits) == ("first", 3, 400)


def test_a_batch_that_is_asked_for_with_another_archive_forgets_what_came_to_nothing(tmp_path):
    """What runs was paid and goes on; other batches are left alone."""
    book = Journal(tmp_path / "j")
    old = [replace(part(f"old-{state}"), name=state, state=state) for state in State]
    other = replace(part("other"), batch="another", state=State.FAILED)
    book.plan([*old, other])
    new = [replace(part(f"new-{name}"), name=name) for name in (State.FAILED, State.PLANNED)]
    assert book.plan(new) == [book.get(one.fingerprint) for one in new]
    left = {one.fingerprint for one in book.records()} - {one.fingerprint for one in new}
    assert left == {"other", *(f"old-{state}" for state in ("posting", "created", "started", "finished", "fetched"))}
    book.plan([replace(part("new-fetched"), name=State.FETCHED)])
    assert "old-fetched" not in {one.fingerprint for one in book.records()}, "its files are about to be replaced"
    assert not book.claim("old-fetched")
    with pytest.raises(JobError, match="submitted again meanwhile"):
        book.get("old-fetched")


def test_a_fingerprint_follows_from_what_is_asked():
    asked = ("https://example.org", {"a": {"x": 1, "y": 2}}, {"m": "2G"})
    assert compute_fingerprint(*asked) == compute_fingerprint(
        "https://example.org/", {"a": {"y": 2, "x": 1}}, {"m": "2G"}
    )
    others = [("https://example.com", *asked[1:]), (asked[0], {}, asked[2]), (*asked[:2], {"m": "3G"})]
    assert len({compute_fingerprint(*asked), *(compute_fingerprint(*other) for other in others)}) == 4
    assert title_tag(compute_fingerprint(*asked)) in part(compute_fingerprint(*asked)).title


def test_a_link_that_is_signed_again_asks_for_the_same(tmp_path):
    signed = [{"archives": [f"https://x.org/deps.zip?sig={sig}#kappamask_deps"]} for sig in ("SECRET", "OTHER")]
    keys = {compute_fingerprint("https://example.org", {}, options) for options in signed}
    assert len(keys) == 1
    assert (
        compute_fingerprint("https://example.org", {}, {"archives": ["https://x.org/other.zip#kappamask_deps"]})
        not in keys
    )
    assert redact_urls(str(signed[0])) == "{'archives': ['https://x.org/deps.zip?…#kappamask_deps']}"
    Journal(tmp_path / "j")
    assert (tmp_path / "j").stat().st_mode & 0o077 == 0


def test_two_clients_do_not_have_the_same_part(tmp_path):
    one, two = Journal(tmp_path / "j"), Journal(tmp_path / "j")
    one.plan([part()])
    with one.hold("a" * 16) as mine, two.hold("a" * 16) as none:
        assert mine is not None
        assert none is None
        assert one.claim("a" * 16), "a claim can be renewed"
    with two.hold("a" * 16) as free:
        assert free is not None


def test_a_part_of_a_killed_client_is_free_at_once(tmp_path):
    book, context = Journal(tmp_path / "j"), multiprocessing.get_context("spawn")
    book.plan([part()])
    ready = context.Event()
    other = context.Process(target=hold, args=(tmp_path / "j", ready))
    other.start()
    assert ready.wait(30)
    assert not book.claim("a" * 16)
    other.kill()
    other.join()
    assert book.claim("a" * 16)


def test_an_overdue_claim_of_another_machine_ends(tmp_path):
    away, here = Journal(tmp_path / "j", lease_s=0.2), Journal(tmp_path / "j")
    away.owner = f"elsewhere:{os.getpid()}:1"
    here.plan([part()])
    assert away.claim("a" * 16)
    assert not here.claim("a" * 16)
    time.sleep(0.3)
    assert here.claim("a" * 16)


def test_what_is_no_journal_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("this is no database, but it is long enough to be taken for one" * 20)
    before = path.read_bytes()
    with pytest.raises(JobError, match="journal"):
        Journal(path)
    assert path.read_bytes() == before
    with pytest.raises(JobError, match="no job bbbb"):
        Journal(tmp_path / "j").get("b" * 16)


def test_a_journal_of_an_earlier_version_goes_on(tmp_path):
    Journal(tmp_path / "j").plan([part()])
    with sqlite3.connect(tmp_path / "j") as file:
        for name in ADDED:
            file.execute(f"ALTER TABLE part DROP COLUMN {name}")
    assert replace(Journal(tmp_path / "j").get("a" * 16), changed=0) == part()


def test_the_file_names_no_secret(tmp_path):
    book = Journal(tmp_path / "j")
    book.plan([part()])
    with sqlite3.connect(tmp_path / "j") as file:
        columns = {row[1] for row in file.execute("PRAGMA table_info(part)")}
    assert not columns & {"token", "password", "href", "url"}
