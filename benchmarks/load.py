"""Run 100 jobs, 4 at a time, through the embedded back-end: `python load.py [JOBS [AT_ONCE]]`.

Prints how many were fetched whole, how many ran at the same time at most, and seconds for each.
"""

from __future__ import annotations

import platform
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import openeo
import rasterio
from arguments import make_parser
from rasterio.transform import from_origin

from kappamask.backend.server import Server, running_server
from kappamask.openeo_process import cloud_mask
from kappamask.openeo_process.jobs.driver import Driver
from kappamask.openeo_process.jobs.journal import JobRecord, Journal, compute_fingerprint
from kappamask.openeo_process.jobs.retry import RetryPolicy

BANDS = ("B02", "B03", "B04", "B08")
PYTHON = platform.python_version().rpartition(".")[0]


def write_scene(path: Path, side: int = 96) -> None:
    """Noise, as L1C digital numbers."""
    values = np.random.default_rng(3).integers(300, 9000, (len(BANDS), side, side)).astype(np.uint16)
    profile = {"crs": "EPSG:32635", "transform": from_origin(500_000, 6_500_000, 10, 10), "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", count=len(BANDS), height=side, width=side, **profile) as file:
        file.write(values)
        file.descriptions = BANDS
        file.update_tags(datetime="2018-02-02T10:50:00Z", level="L1C")


def make_parts(server: Server, count: int, folder: Path) -> list[JobRecord]:
    """Make parts with the same request and different names."""
    connection = openeo.connect(server.url).authenticate_basic(server.user, server.password)
    cube = connection.load_collection("SENTINEL2_L1C", temporal_extent=["2018-02-01", "2018-02-03"])
    graph = cloud_mask(cube, level="L1C", python=PYTHON).save_result("GTiff").to_json()
    names = [f"job{number}" for number in range(count)]
    return [
        JobRecord(
            compute_fingerprint(server.url, {}, {"name": name}),
            "load",
            name,
            server.url,
            graph,
            "{}",
            str(folder / name),
        )
        for name in names
    ]


def count_running_jobs(server: Server, done: threading.Event, seen: list[int]) -> None:
    """Record again and again how many jobs the back-end runs."""
    connection = openeo.connect(server.url).authenticate_basic(server.user, server.password)
    while not done.wait(0.3):
        jobs = connection.list_jobs(limit=1000)
        seen.append(sum(job["status"] in ("queued", "running") for job in jobs))


def main(count: int, at_once: int) -> None:
    """Run and print."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, done, seen = Path(scratch), threading.Event(), [0]
        (folder / "scenes").mkdir()
        write_scene(folder / "scenes" / "scene_L1C_20180202.tif")
        with running_server(folder / "scenes") as server:
            journal = Journal(folder / "journal.sqlite")
            parts = journal.plan(make_parts(server, count, folder / "out"))
            watcher = threading.Thread(target=count_running_jobs, args=(server, done, seen))
            watcher.start()
            began = time.perf_counter()

            def connect() -> openeo.Connection:
                return openeo.connect(server.url, retry=False).authenticate_basic(server.user, server.password)

            ended = Driver(journal, connect, at_once=at_once, policy=RetryPolicy(poll_s=0.5)).run(
                part.fingerprint for part in parts
            )
            seconds = time.perf_counter() - began
            done.set()
            watcher.join()
            tally = Counter(part.state.value for part in ended)
            posts = sum(part.posts for part in ended)
        print(f"{count} jobs, {dict(tally)}, {posts} posts, at most {max(seen)} at once, {seconds / count:.2f} s each")


if __name__ == "__main__":
    arguments = make_parser(__doc__)
    arguments.add_argument("count", type=int, nargs="?", default=100, metavar="JOBS", help="default %(default)s")
    arguments.add_argument("at_once", type=int, nargs="?", default=4, metavar="AT_ONCE", help="default %(default)s")
    main(**vars(arguments.parse_args()))
