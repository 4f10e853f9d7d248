"""Batches over a faulty network: nothing is lost or done twice.

A proxy spoils requests, and clients are killed.

KAPPAMASK_FAULT_RUNS (`make faults`: 200) says how many seeds are run.
"""

import json
import multiprocessing
import os
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import openeo
import pytest
import rasterio
from fault_client import drive
from faults import FaultPlan, spoil_requests
from files import geotiff

from kappamask.backend.server import Server, running_server
from kappamask.openeo_process import cloud_mask
from kappamask.openeo_process.jobs.download import iter_valid_files
from kappamask.openeo_process.jobs.journal import JobRecord, Journal, State, compute_fingerprint, title_tag

RUNS = int(os.environ.get("KAPPAMASK_FAULT_RUNS", "6"))
PARTS, KILLS, SHARE = 2, 3, 0.3
LIMIT_S = 90.0
BANDS = ("B02", "B03", "B04", "B08")
PROCESS = multiprocessing.get_context("forkserver")
PROCESS.set_forkserver_preload(["kappamask.openeo_process.jobs.driver", "fault_client"])
TALLY: Counter[str] = Counter()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    scenes = tmp_path_factory.mktemp("scenes")
    values = np.random.default_rng(3).integers(300, 9000, (len(BANDS), 96, 96)).astype(np.uint16)
    geotiff(scenes / "scene_L1C_20180202.tif", values, BANDS, {"datetime": "2018-02-02T10:50:00Z", "level": "L1C"})
    with running_server(scenes) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def tally():
    yield
    print(f"\n{RUNS} runs: " + ", ".join(f"{count} {what}" for what, count in sorted(TALLY.items())))


def graph(server: Server, run: int) -> dict:
    """Request masks of the scene in chunks; `run` marks the requests of one run."""
    connection = openeo.connect(server.url).authenticate_basic(server.user, server.password)
    cube = connection.load_collection("SENTINEL2_L1C", temporal_extent=["2018-02-01", f"{2019 + run}-02-03"])
    return cloud_mask(cube, level="L1C", python=python()).save_result("GTiff").flat_graph()


def python() -> str:
    import platform

    return platform.python_version().rpartition(".")[0]


def plan_jobs(server: Server, url: str, run: int, folder: Path) -> list[JobRecord]:
    asked = json.dumps(graph(server, run))
    return [
        JobRecord(
            compute_fingerprint(url, json.loads(asked), {"part": i}),
            "run",
            f"part{i}",
            url,
            asked,
            "{}",
            str(folder / f"{i}"),
        )
        for i in range(PARTS)
    ]


def through(url: str, server: Server, book: Journal, keys: list[str], plan: FaultPlan) -> None:
    """Clients, some of them killed, until one comes to its end."""
    chance, began = random.Random(plan.random.random()), time.monotonic()
    for kill in range(10_000):
        client = PROCESS.Process(target=drive, args=(url, (server.user, server.password), str(book.path), keys))
        client.start()
        client.join(chance.uniform(0.1, 3.0) if kill < KILLS else LIMIT_S)
        if client.is_alive():
            client.kill()
            client.join()
            TALLY["clients killed"] += 1
        elif all(part.state.is_final for part in book.records()):
            return
        plan.calm = time.monotonic() - began > LIMIT_S / 3
        assert time.monotonic() - began < LIMIT_S, [(part.state, part.message) for part in book.records()]


@pytest.mark.parametrize("seed", range(RUNS))
def test_nothing_is_lost_or_done_twice(server, seed, tmp_path):
    plan = FaultPlan(seed, SHARE)
    with spoil_requests(server.url, plan) as url:
        book = Journal(tmp_path / "journal.sqlite")
        parts = book.plan(plan_jobs(server, url, seed, tmp_path / "out"))
        through(url, server, book, [part.fingerprint for part in parts], plan)
    TALLY.update(plan.happened)
    connection = openeo.connect(server.url).authenticate_basic(server.user, server.password)
    jobs = connection.list_jobs(limit=10_000)
    masks = set()
    for part in book.records():
        assert part.state is State.FETCHED, part.message
        own = [job for job in jobs if title_tag(part.fingerprint) in job["title"]]
        assert [job["id"] for job in own if job["status"] != "created"] == [part.job], "paid once"
        TALLY["jobs left unstarted"] += len(own) - 1
        TALLY["posts"] += part.posts
        (path,) = iter_valid_files(Path(part.folder), part.job)
        with rasterio.open(path) as file:
            masks.add(file.read().tobytes())
        assert not list(Path(part.folder).glob(".*"))
    assert len(masks) == 1
    TALLY["parts fetched whole"] += PARTS
