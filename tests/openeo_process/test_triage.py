"""Known failures are answered with what to change."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from kappamask.models import JobError, load_card
from kappamask.openeo_process.jobs.cells import Cell
from kappamask.openeo_process.jobs.cost import estimate_acquisitions, estimate_savings, make_plan, measured_credits
from kappamask.openeo_process.jobs.failures import FAILURES, explain_failure, find_hint
from kappamask.openeo_process.jobs.journal import JobRecord
from kappamask.openeo_process.jobs.request import TEST_JOB, Request, count_chunks, crop_to_chunk
from kappamask.openeo_process.jobs.transitions import one_line
from kappamask.openeo_process.offers import check_backend

CARD = load_card("compact")
ASKED = Request("https://example.org", "SENTINEL2_L1C", ("2025-05-01", "2025-05-11"), CARD, "3.11")
LOGS = {
    "KappaMask's dependency archive is not usable here (No module named 'onnxruntime').": "kappamask archive",
    "The dependency archive is not the KappaMask that sent this job: package hash 0f3a…": "build it again",
    "CubeError: Unknown key in the UDF's context: package; known are schema, level": "build it again",
    "OpenEO batch job failed: UDF Exception: No UDF found.": "UDF's text",
    "terminate called after throwing an instance of 'std::bad_alloc'": "python-memory",
    "Container killed: OOMKilled, exit code 137": "executor-memoryOverhead",
    "java.io.FileNotFoundException: 404 Not Found https://x.org/kappamask-deps.zip": "URL that it reaches",
    "ExtentTooLarge: requested extent for collection SENTINEL2_L1C": "smaller area",
    "[403] TokenInvalid: Authorization token has expired": "log in again",
}


@pytest.mark.parametrize("log", LOGS)
def test_known_failures(log):
    assert LOGS[log] in find_hint("INFO something else\n" + log)


def test_unknown_failures_get_no_advice():
    assert find_hint("division by zero") is None
    assert len({failure.pattern for failure in FAILURES}) == len(FAILURES)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ([], "its log holds no error"),
        ([""], "its log holds no error"),
        (["Traceback …\npkg.errors.CubeError: No UDF found."], "No UDF found. (send the UDF's text"),
    ],
)
def test_the_last_error_of_a_log_comes_with_what_to_change(log, said):
    answer = {"logs": [{"message": message} for message in log]}
    connection = SimpleNamespace(get=lambda path, **_: SimpleNamespace(status_code=200, url=path, json=lambda: answer))
    assert explain_failure(connection, "j-1").startswith(said)


def test_arguments_of_a_process_do_not_hide_the_reason():
    text = (
        "pkg.OpenEOApiException: Unexpected error during 'load_collection': SceneError('No scene.'). The process had "
    )
    answer = {"logs": [{"message": text + "these arguments: {'bands': ['B02'], 'id': 'SENTINEL2_L1C'} "}]}
    connection = SimpleNamespace(get=lambda path, **_: SimpleNamespace(status_code=200, url=path, json=lambda: answer))
    assert explain_failure(connection, "j-1") == "Unexpected error during 'load_collection': SceneError('No scene.')"


def test_errors_show_no_signatures():
    error = OSError("Max retries exceeded with url: /jobs/1/results/a.tif?expires=1&sig=SECRET (Caused by\n  x)")
    assert one_line(error) == "Max retries exceeded with url: /jobs/1/results/a.tif?… (Caused by x)"


class Bare:
    """A back-end that lacks much."""

    root_url = "https://bare.example"
    bands = SimpleNamespace(band_names=["B02", "B03"], band_dimension=SimpleNamespace(name="bands"))

    def __init__(self):
        processes = [{"id": name} for name in ("load_collection", "apply", "save_result")]
        self.documents = {
            "/processes": {"processes": processes},
            "/file_formats": {"output": {"netCDF": {}}},
            "/udf_runtimes": {"Python": {"versions": {"3.8": {}}}},
            "/collections": {"collections": [{"id": "SENTINEL2_L1C"}]},
        }

    def get(self, path, **_):
        return SimpleNamespace(status_code=200, url=path, json=lambda: self.documents[path])

    def collection_metadata(self, _name):
        return self.bands


@pytest.mark.parametrize("days", [False, True])
def test_all_that_a_back_end_lacks_is_named_at_once(days):
    with pytest.raises(JobError, match=r"bare\.example cannot run compact") as said:
        check_backend(Bare(), "SENTINEL2_L1C", CARD, "3.11", days=days)
    for lack in ("processes apply_neighborhood", "run_udf", "format GTIFF", "Python 3.11 .it has 3.8", "bands B04"):
        assert re.search(lack, str(said.value))
    assert ("filter_labels" in str(said.value)) == days
    with pytest.raises(JobError, match="collection SENTINEL2_L2A"):
        check_backend(Bare(), "SENTINEL2_L2A", CARD, "3.8")


def test_a_canary_is_one_chunk_inside_the_area():
    whole = Cell(32631, 600_000, 5_600_000, 660_000, 5_654_000)
    small = crop_to_chunk(whole, ASKED)
    assert count_chunks(small, ASKED) == 1
    assert whole.west <= small.west < small.east <= whole.east
    assert whole.south <= small.south < small.north <= whole.north
    assert count_chunks(crop_to_chunk(Cell(32631, 0, 0, 120, 60), ASKED), ASKED) == 1


def test_a_plan_counts_what_is_computed():
    cell = Cell(32631, 0, 0, 100_020, 100_020)
    every = CARD.bands
    plan = make_plan([cell], replace(ASKED, bands=every))
    assert (plan.parts, plan.chunks, plan.dates) == (1, 20 * 20, 4)
    assert plan.megapixels == pytest.approx(100.04, abs=0.01)
    assert plan.credits == pytest.approx(2 + 400 * 4 * 20 / 3600 * (5 * 1.0 + 1.5))
    with pytest.raises(JobError, match="max_credits=10"):
        plan.check(10)
    plan.check(None)
    wide = replace(ASKED, cleaning=(("buffer_m", 500),))
    assert make_plan([cell], wide).chunks > plan.chunks, "wider margins leave less of a chunk"


SAME = """
import json, sys
from dataclasses import replace
from pathlib import Path
from kappamask.models import load_card
from kappamask.openeo_process.jobs.cells import Cell
from kappamask.openeo_process.jobs.request import Request, compute_batch_id
card = replace(load_card("compact"), folder=Path(sys.argv[1]))
asked = Request("https://example.org", "S2", ("2025-05-01", "2025-05-11"), card, "3.11", archive=sys.argv[1])
cleaned = replace(asked, cleaning=(("buffer_m", {"cloud": 60.0}),), options=(("executor-cores", 2),))
cells = [Cell(32631, 0, 0, 600, 600)]
print(*(compute_batch_id(cells, one) for one in (asked, cleaned, replace(asked, card=replace(card, sha256="0" * 64)))))
"""


def test_the_same_request_is_the_same_batch_in_every_process():
    """Sets have another order in each, and a network may be found in another folder."""
    said = [
        subprocess.check_output(
            [sys.executable, "-c", SAME, folder], env={**os.environ, "PYTHONHASHSEED": seed}, text=True
        )
        for seed, folder in (("1", "/a"), ("2", "/b"), ("3", "/a"))
    ]
    assert len({*said}) == 1
    assert len({*said[0].split()}) == 3, "what is asked otherwise, or of another network, is another batch"


@pytest.mark.parametrize("name", [TEST_JOB, "canary"])
def test_the_test_job_is_known_by_its_name_in_new_and_old_journals(name):
    record = JobRecord("a", "b", name, "https://example.org", "{}", "{}", "out", chunks=1)
    assert record.is_test_job and record.label == "test job"


def test_what_a_pilot_cost_is_the_price_of_its_chunks():
    pilot = JobRecord("a", "b", TEST_JOB, "https://example.org", "{}", "{}", "out", costs=3.0, chunks=1)
    other = replace(pilot, name="other", costs=None, chunks=400)
    assert measured_credits(pilot, [pilot, other], dates=4) == pytest.approx(2 * 2 + 401 * 4 * 0.25)
    assert measured_credits(replace(pilot, costs=1.0), [pilot, other], dates=4) == 4, "a job costs two credits at least"
    for one, all_, dates in ((other, [other], 4), (pilot, [pilot, replace(other, chunks=0)], 4), (pilot, [pilot], 0)):
        assert measured_credits(one, all_, dates) is None


def test_fewer_bands_save_credits_and_cost_accuracy():
    cell = Cell(32631, 0, 0, 100_020, 100_020)
    spared = estimate_savings([cell], replace(ASKED, bands=("B02", "B03", "B04")), CARD.bands)
    assert spared.credits == pytest.approx(400 * 4 * 10 / 3600 * (5 * 1.0 + 1.5))
    assert spared.measured is not None and spared.best is not None
    assert (len(spared.measured.bands), len(spared.best.bands)) == (3, 6)
    lost = spared.measured.dice_loss(spared.best)
    assert min(lost.values()) > 0 and max(lost, key=lost.__getitem__) == "cloud_shadow"
    nothing = estimate_savings([cell], replace(ASKED, card=replace(CARD, accuracy=())), CARD.bands)
    assert (nothing.measured, nothing.best) == (None, None)


@pytest.mark.parametrize(
    "dates", [("2025-05-01", "2025-05-01"), ("2025-05-02", "2025-05-01"), ("May", "June"), ("", "")]
)
def test_no_period_is_refused(dates):
    with pytest.raises(JobError, match="two days"):
        estimate_acquisitions(dates)


def test_an_amount_of_memory_that_is_none_is_refused():
    with pytest.raises(JobError, match="memory"):
        make_plan([Cell(32631, 0, 0, 600, 600)], replace(ASKED, options=(("executor-memory", "much"),)))
