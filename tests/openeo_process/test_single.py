"""Jobs of the caller's own graph: recorded before they are created, and paid once."""

import openeo
from faults import Script, spoil_requests
from remote import DATES, PYTHON, jobs_of

from kappamask.openeo_process import cloud_mask, fetch, submit
from kappamask.openeo_process.jobs.journal import Journal, State, locate_journal
from kappamask.openeo_process.jobs.retry import RetryPolicy

QUICK = RetryPolicy(create_grace_s=0.2, first_s=0.1)
OPTIONS = {"options": {"max-executors": 2}, "report": None}


def mask_of(server, url=None):
    connection = openeo.connect(url or server.url).authenticate_basic(server.user, server.password)
    loaded = connection.load_collection("SENTINEL2_L1C", temporal_extent=DATES.split("/"))
    return cloud_mask(loaded, level="L1C", python=PYTHON)


def test_the_same_call_again_finds_the_same_job(server, tmp_path, capsys, kappamask):
    before = len(jobs_of(server))
    first = submit(mask_of(server), wait=True, title="Mine", options=OPTIONS["options"])
    again = submit(mask_of(server), wait=True, title="Mine", **OPTIONS)
    assert first.job_id == again.job_id and len(jobs_of(server)) == before + 1
    said = capsys.readouterr().out
    assert "finished" in said and first.job_id in said
    (path,) = fetch(again, tmp_path / "out")
    assert str(path) in capsys.readouterr().out
    (record,) = Journal(locate_journal()).records()
    assert (record.job, record.state, record.folder) == (first.job_id, State.FETCHED, str(tmp_path / "out"))
    assert record.title.startswith("Mine ") and path.parent == tmp_path / "out"
    resumed = kappamask("resume", "--journal", locate_journal())
    assert resumed.code == 0 and len(jobs_of(server)) == before + 1, "only the caller knows where its files go"
    named = kappamask("resume", record.batch, "--journal", locate_journal())
    assert named.code == 1 and "fetch(job, folder)" in named.err
    other = submit(mask_of(server), repeat=True, **OPTIONS)
    assert other.job_id != first.job_id


def test_an_answer_that_is_lost_makes_no_second_job(server, monkeypatch):
    monkeypatch.setattr("kappamask.openeo_process.jobs.single.RetryPolicy", lambda: QUICK)
    before = len(jobs_of(server))
    with spoil_requests(server.url, Script(("POST", "/jobs", "drop after", 0))) as url:
        job = submit(mask_of(server, url), title="Lost", **OPTIONS)
    assert len(jobs_of(server)) == before + 1
    assert job.job_id in {one["id"] for one in jobs_of(server)}


def test_a_job_that_the_back_end_forgot_is_created_again(server):
    first = submit(mask_of(server), title="Forgotten", wait=True, **OPTIONS)
    first.delete()
    again = submit(mask_of(server), title="Forgotten", wait=True, **OPTIONS)
    assert again.job_id != first.job_id


def test_a_job_of_another_journal_is_fetched_without_a_trace(server, tmp_path):
    job = submit(mask_of(server), wait=True, journal=tmp_path / "elsewhere", **OPTIONS)
    (path,) = fetch(job, tmp_path / "out", report=None)
    assert path.is_file() and not locate_journal().exists()
