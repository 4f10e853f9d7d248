"""What other back-ends answer: words, pages, links, logs and faults, over HTTP."""

import gzip
from dataclasses import replace

import pytest
from foreign import Foreign, Reply, foreign_backend

from kappamask.openeo_process import fetch
from kappamask.openeo_process.jobs import failures
from kappamask.openeo_process.jobs.answers import AnswerError, read_costs
from kappamask.openeo_process.jobs.assets import find_day
from kappamask.openeo_process.jobs.driver import Driver
from kappamask.openeo_process.jobs.journal import JobRecord, Journal, State, title_tag
from kappamask.openeo_process.jobs.retry import RetryPolicy
from kappamask.openeo_process.results import NoMaskError, check_masks
from kappamask.workflows.batch_driving import _credit_refusal

POLICY = RetryPolicy(poll_s=0.02, first_s=0.02, most_s=0.05, create_grace_s=0.0, deadline_s=2.0)
KEY = "a" * 16
MASK = "openEO_2018-02-02Z.tif"
TIFF = b"II*\0 a mask"
OTHER = {"id": "j-0", "status": "finished", "title": "of somebody"}
OWN = {"id": "j-1", "status": "finished", "title": f"KappaMask part {title_tag(KEY)}"}


@pytest.fixture
def backend():
    """A back-end with the finished job j-1 and its mask."""
    with foreign_backend() as made:
        made["GET /jobs/j-1"] = {"id": "j-1", "status": "finished"}
        made["GET /jobs/j-1/results"] = {"assets": {"mask": {"href": f"{made.url}/files/{MASK}"}}}
        made[f"GET /files/{MASK}"] = Reply(TIFF)
        made["POST /jobs"] = Reply(b"", 201, OpenEO_Identifier="j-1")
        yield made


def drive(backend: Foreign, folder, state=State.STARTED) -> JobRecord:
    book = Journal(folder / "j")
    job = None if state in (State.PLANNED, State.POSTING) else "j-1"
    record = JobRecord(KEY, "batch", "part", f"{backend.url}/api", "{}", "{}", str(folder / "out"))
    book.change(book.plan([record])[0], state=state, job=job, posts=int(state is State.POSTING))
    return Driver(book, backend.connect, policy=POLICY).run([KEY])[0]


def count_posts(backend: Foreign) -> int:
    return backend.asked.count("POST /jobs")


@pytest.mark.parametrize(("href", "path"), [
    (MASK, f"jobs/j-1/{MASK}"), (f"./{MASK}", f"jobs/j-1/{MASK}"), (f"../x/{MASK}?sig=1", f"jobs/x/{MASK}"),
    (f"/api/elsewhere/{MASK}", f"elsewhere/{MASK}"),
])  # fmt: skip
def test_a_relative_address_is_one_of_the_document_it_stands_in(backend, tmp_path, href, path):
    """A file of the same name lies where the back-end's root is, and is another."""
    backend[f"GET /{MASK}"] = Reply(TIFF + b" of another job")
    backend[f"GET /{path}"] = Reply(TIFF)
    backend["GET /jobs/j-1/results"] = {"assets": {"mask": {"href": href}}}
    assert drive(backend, tmp_path / "batch").state is State.FETCHED
    job = backend.connect().job("j-1")
    (file,) = fetch(job, tmp_path / "own", report=None, journal=tmp_path / "none")
    assert file.read_bytes() == (tmp_path / "batch" / "out" / MASK).read_bytes() == TIFF


@pytest.mark.parametrize("assets", [None, {}])
def test_assets_of_the_items_of_a_collection_are_results(backend, tmp_path, assets):
    links = [{"rel": "canonical", "href": "x.json"}, {"rel": "item", "href": "items/1"}, {"rel": "item", "href": "2"}]
    backend["GET /jobs/j-1/results"] = {"type": "Collection", "assets": assets, "links": links}
    for path, name, time in (("items/1", "a", "2018-02-02T23:30:00-05:00"), ("2", "b", "2018-02-05T10:50:00Z")):
        backend[f"GET /jobs/j-1/{path}"] = {
            "type": "Feature", "properties": {"datetime": time}, "assets": {"data": {"href": f"./{name}/openEO.tiff"}},
        }  # fmt: skip
        backend[f"GET /jobs/j-1/{path.rpartition('/')[0]}/{name}/openEO.tiff".replace("//", "/")] = Reply(TIFF)
    assert drive(backend, tmp_path).state is State.FETCHED
    names = {file.name for file in (tmp_path / "out").glob("*.tiff")}
    assert names == {"openEO_2018-02-03.tiff", "openEO_2018-02-05.tiff"}, "days are those of UTC"


@pytest.mark.parametrize(("facts", "day"), [
    ({"datetime": "2018-02-02T23:30:00-05:00"}, "2018-02-03"), ({"datetime": "2018-02-02 10:50:00"}, "2018-02-02"),
    ({"start_datetime": "2018-02-01", "end_datetime": "2018-03-01T00:00:00Z"}, None), ({"datetime": "soon"}, None),
    ({"start_datetime": "2018-02-01T00:00:00Z", "end_datetime": "2018-02-01T23:59:59Z"}, "2018-02-01"),
])  # fmt: skip
def test_the_day_of_an_asset_is_that_of_utc(facts, day):
    assert find_day("key", facts) == day


@pytest.mark.parametrize("results", [
    {"openeo:status": "running", "assets": {"mask": {"href": f"/files/{MASK}"}}}, {"assets": [{"href": "a.tif"}]},
    {"assets": {"mask": "https://example.org/a.tif"}}, ["a.tif"], {"assets": {"mask": {"href": "s3://bucket/a.tif"}}},
    Reply({"openeo:status": "running"}, 202),
])  # fmt: skip
def test_results_that_are_not_whole_or_not_understood_leave_the_job_for_later(backend, tmp_path, results):
    backend["GET /jobs/j-1/results"] = lambda _: results
    if isinstance(results, list):
        backend["GET /jobs/j-1/results"] = Reply(results)
    after = drive(backend, tmp_path)
    assert after.state is State.FINISHED and after.message.startswith("left for resume: ")
    with pytest.raises(AnswerError):
        fetch(backend.connect().job("j-1"), tmp_path / "own", report=None, journal=tmp_path / "none")
    assert not count_posts(backend) and not [*tmp_path.rglob("*.tif")]


def test_documents_that_only_the_cloud_reads_do_not_keep_masks_away(backend, tmp_path):
    document = {"href": "s3://bucket/job-results.json", "roles": ["metadata"]}
    backend["GET /jobs/j-1/results"] = {"assets": {"mask": {"href": f"/files/{MASK}"}, "about": document}}
    backend[f"GET /files/{MASK}"] = Reply(TIFF)
    assert drive(backend, tmp_path).state is State.FETCHED


@pytest.mark.parametrize("status", ["FINISHED", " Finished"])
def test_words_of_a_status_are_understood_in_any_case(backend, tmp_path, status):
    backend["GET /jobs/j-1"] = {"id": "j-1", "status": status}
    assert drive(backend, tmp_path).state is State.FETCHED


def test_canceled_has_two_spellings(backend, tmp_path):
    backend["GET /jobs/j-1"] = {"id": "j-1", "status": "cancelled"}
    assert drive(backend, tmp_path).state is State.CANCELED


@pytest.mark.parametrize("state", [State.CREATED, State.STARTED])
@pytest.mark.parametrize("answer", [{"status": "paused"}, {"status": None}, {"status": 5}, {}, Reply([1])])
def test_an_unknown_status_is_named_and_neither_waited_for_nor_started(backend, tmp_path, answer, state):
    backend["GET /jobs/j-1"] = answer
    after = drive(backend, tmp_path, state)
    assert after.state is state and "left for resume: The back-end says that the status" in after.message
    assert not [one for one in backend.asked if one.startswith("POST")]


@pytest.mark.parametrize("state", [State.PLANNED, State.POSTING])
@pytest.mark.parametrize("href", ["?page=2", "/api/jobs?page=2"])
def test_a_job_on_a_later_page_is_found_and_not_paid_again(backend, tmp_path, href, state):
    first = {"jobs": [None, OTHER], "links": [{"rel": "next", "href": href}]}
    backend["GET /jobs"] = lambda query: {"jobs": [OWN], "links": None} if "page=2" in query else first
    after = drive(backend, tmp_path, state)
    assert (after.state, after.job, count_posts(backend)) == (State.FETCHED, "j-1", 0)


@pytest.mark.parametrize("listing", [
    {"jobs": [OTHER], "federation:missing": ["b"]}, {"jobs": None}, {"jobs": [{**OWN, "status": "paused"}]},
    {"jobs": [OTHER], "links": [{"rel": "next", "href": "?page=2"}]},
])  # fmt: skip
def test_nothing_is_created_where_the_list_may_lack_the_job(backend, tmp_path, listing):
    backend["GET /jobs"] = listing
    after = drive(backend, tmp_path, State.POSTING)
    assert after.state is State.POSTING and after.message.startswith("left for resume: ")
    assert not count_posts(backend)


@pytest.mark.parametrize(("logs", "said"), [
    ({"logs": [{"id": "1", "level": "ERROR", "message": "boom"}]}, "boom"),
    ({"logs": [{"id": "1", "level": "critical", "message": "boom"}]}, "boom"),
    ({"logs": [{"message": "boom"}]}, "boom"),
    ({"logs": [{"level": "error", "message": {"why": "OOMKilled"}}]}, "executor-memoryOverhead"),
    ({"logs": [{"level": "error", "message": None}, {"level": "info", "message": "x"}]}, "its log holds no error"),
    ({}, "cannot be read"), (Reply(b"<html>"), "cannot be read"), (Reply(b"", 500), "cannot be read"),
    (Reply({"code": "FeatureUnsupported", "message": "no"}, 501), "cannot be read"),
    (Reply(b"", 404), "cannot be read"),
])  # fmt: skip
def test_a_failed_job_has_failed_whatever_its_log_is(backend, tmp_path, monkeypatch, logs, said):
    monkeypatch.setattr(failures, "LOG_WAIT_S", 0.0)
    backend["GET /jobs/j-1"], backend["GET /jobs/j-1/logs"] = {"id": "j-1", "status": "error"}, logs
    after = drive(backend, tmp_path)
    assert after.state is State.FAILED and said in after.message, after.message


def test_logs_are_read_to_their_last_page(backend, tmp_path):
    first = {"logs": [{"level": "error", "message": "first"}], "links": [{"rel": "next", "href": "logs?offset=1"}]}
    second = {"logs": [{"level": "error", "message": "OOMKilled"}]}
    backend["GET /jobs/j-1"] = {"id": "j-1", "status": "error"}
    backend["GET /jobs/j-1/logs"] = lambda query: second if "offset=1" in query else first
    assert drive(backend, tmp_path).message.startswith("OOMKilled (give the job more memory")


@pytest.mark.parametrize("answers", [
    [Reply(b"", 503, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT")] * 8, [Reply(b"", 429, Retry_After="1")],
    [Reply(b"", 403)],
])  # fmt: skip
def test_a_file_that_cannot_be_had_now_is_asked_for_again(backend, tmp_path, answers):
    """More often than a link that is refused, which is signed again a few times."""
    backend[f"GET /files/{MASK}"] = [*answers, Reply(TIFF)]
    assert drive(backend, tmp_path).state is State.FETCHED


@pytest.mark.parametrize("reply", [
    Reply(gzip.compress(TIFF), Content_Encoding="gzip"), Reply(TIFF, chunked=True),
    Reply(b"", 302, Location=f"/files/real/{MASK}"),
])  # fmt: skip
def test_a_file_comes_in_any_way_that_http_has(backend, tmp_path, reply):
    backend[f"GET /files/{MASK}"], backend[f"GET /files/real/{MASK}"] = reply, Reply(TIFF)
    backend["GET /jobs/j-1/results"] = {
        "assets": {"m": {"href": f"{backend.url}/files/{MASK}", "file:size": len(TIFF)}}
    }
    assert drive(backend, tmp_path).state is State.FETCHED
    assert (tmp_path / "out" / MASK).read_bytes() == TIFF


def test_a_page_in_place_of_a_mask_is_not_left_out_in_silence(tmp_path):
    for name, content in (("a_2018-02-02.tif", TIFF), ("openEO_2018-02-05Z", b"<html>")):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(NoMaskError, match=r"openEO_2018-02-05Z is no GeoTIFF"):
        check_masks(tmp_path.iterdir(), "j-1")


@pytest.mark.parametrize(("stated", "costs"), [
    (12.5, 12.5), (0, 0), (None, None), ("12.5", None), (float("nan"), None), (-1, None), (True, None), ({}, None),
])  # fmt: skip
def test_costs_are_a_number_or_not_known(stated, costs):
    assert read_costs({"costs": stated}) == costs


def test_a_limit_that_cannot_be_held_against_costs_is_said():
    said: list[str] = []
    pilot = JobRecord(KEY, "b", "test_job", "https://example.org", "{}", "{}", "out", State.FETCHED, "j-1", chunks=1)
    other = replace(pilot, fingerprint="b" * 16, name="p", state=State.CANCELED, job=None)
    assert _credit_refusal(pilot, [pilot, other], 40.0, said.append) is None
    assert "does not tell what the test job cost" in said[0]
