"""Memory of jobs: enough for chunk, dates and network, within what back-ends give."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kappamask.models import JobError, load_card
from kappamask.openeo_process.archive import FOLDER
from kappamask.openeo_process.job import JOB_OPTIONS, job_options
from kappamask.openeo_process.job_options import MB, Load, check_memory, find_largest_load, parse_gigabytes
from kappamask.openeo_process.jobs.request import Request
from kappamask.openeo_process.publish import make_publication

PLACE = "https://example.org/p.json"
CARD = load_card("compact")
NAMES = ("executor-memory", "executor-memoryOverhead")
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
HEAVY_BYTES = 153_000_000
"""Of the official U-Net as ONNX."""


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Cards by the size of their weights; the files have a length and no content."""
    folder = tmp_path_factory.mktemp("networks")

    def card(size: int):
        place = folder / str(size)
        place.mkdir(exist_ok=True)
        with (place / CARD.file).open("wb") as file:
            file.truncate(size)
        return replace(CARD, folder=place)

    return card


def amounts(load: Load, **changes) -> list[float]:
    options = job_options(None, load, **changes)
    check_memory(options)
    assert options["python-memory"] == "disable"
    return [parse_gigabytes(options[name]) for name in NAMES]


sizes = st.integers(0, 400_000_000)


@given(
    side=st.integers(1, 100).map(lambda n: 16 * n), bands=st.integers(3, 15), results=st.integers(1, 6),
    dates=st.integers(1, 40), size=sizes, more=st.tuples(*[st.integers(0, 3)] * 4), heavier=sizes,
)  # fmt: skip
def test_larger_chunks_more_dates_and_heavier_networks_never_get_less(
    networks, side, bands, results, dates, size, more, heavier
):
    small = Load(networks(size), bands, results, dates, side)
    large = Load(
        networks(max(size, heavier)), bands + more[0], results + more[1], dates + more[2], side + 16 * more[3]
    )  # fmt: skip
    try:
        big = amounts(large)
    except JobError as error:
        assume("ask for" not in str(error))
        raise
    little = amounts(small)
    assert all(one <= other for one, other in zip(little, big, strict=True))
    assert all(one >= parse_gigabytes(JOB_OPTIONS[name]) for one, name in zip(little, NAMES, strict=True))
    assert little[1] * 1024 >= 1.5 * small.python / MB, "what Python needs, and a margin"


def test_compact_is_content_with_the_least_and_others_get_more(networks):
    assert job_options(None, find_largest_load(CARD)) == JOB_OPTIONS
    heavy = Load(networks(HEAVY_BYTES), 13, side=512)
    assert amounts(heavy)[1] > 3
    assert amounts(replace(find_largest_load(CARD), dates=40))[0] > 2
    two, one = (amounts(heavy, **{"executor-cores": cores, "task-cpus": 1}) for cores in (2, 1))
    assert two[1] > one[1], "two chunks at the same time"
    assert amounts(heavy, **{"executor-cores": 2, "task-cpus": 2}) == one
    absent = Load(replace(CARD, folder=Path("/absent")), 13)
    assert absent.weights >= HEAVY_BYTES, "a network that is not here may be heavy"


def test_given_memory_counts_and_more_than_back_ends_give_is_named(networks):
    heavy = Load(networks(HEAVY_BYTES), 13)
    assert job_options(None, heavy, **{NAMES[1]: "500m"})[NAMES[1]] == "500m"
    assert job_options("https://example.org/a.zip", heavy)["udf-dependency-archives"] == [
        f"https://example.org/a.zip#{FOLDER}"
    ]
    with pytest.raises(JobError, match=r" GB .*\b64\b.*bands"):
        job_options(None, replace(heavy, dates=400))
    with pytest.raises(JobError, match="ask for 85 GB"):
        job_options(None, None, **{"python-memory": "80G"})
    with pytest.raises(JobError, match=r"python-memory 1500m limits the address space.*'disable'"):
        job_options(None, None, **{"python-memory": "1500m"})
    assert job_options(None, None, **{"python-memory": "3g"})["python-memory"] == "3g"
    for name, value in (("executor-cores", "many"), ("task-cpus", 0)):
        with pytest.raises(JobError, match="whole numbers"):
            job_options(None, heavy, **{name: value})


def test_a_batch_and_the_published_process_ask_for_their_own_network(networks):
    heavy = networks(HEAVY_BYTES)
    asked = Request("https://example.org", "SENTINEL2_L1C", ("2025-05-01", "2025-05-11"), heavy, "3.11")
    asked = replace(asked, bands=CARD.bands, scores=True)
    assert asked.load == find_largest_load(heavy)
    options = make_publication(heavy, namespace=PLACE, archive="https://example.org/a.zip", backend="x")
    for found in (asked.job_options, options.process["default_job_options"], options.benchmark["job_options"]):
        assert parse_gigabytes(found[NAMES[1]]) > 3


@pytest.mark.parametrize(("bands", "dates", "side"), [(13, 1, 640), (3, 4, 320)])
def test_the_udf_needs_no_more_than_is_reckoned(bands, dates, side):
    """Measured in a process of its own."""
    words = ["udf_memory.py", "compact", "--calls", 2, "--bands", bands, "--dates", dates, "--side", side]
    done = subprocess.run([sys.executable, *map(str, words)], cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    measured, reckoned = json.loads(done.stdout), Load(CARD, bands, 1, dates, side).python / MB
    assert measured["idle_mb"] < measured["peak_mb"] < reckoned
