"""A batch of scenes on workers of a dask scheduler, of which one is killed."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from files import digits, geotiff

from kappamask.models import ModelCard
from kappamask.scenes import open_scene, read_mask
from kappamask.udf import cloud_mask

WAIT_S = 400
PRELOAD = """
import os, time
from pathlib import Path
from kappamask.scenes.writers import geotiff
fill = getattr(geotiff, "uncounted_fill", geotiff._fill)  # dask imports a preloaded file more than once
geotiff.uncounted_fill = fill
made = []
def count_and_fill(layers):
    fill(layers)
    made.append(1)
    with Path("made.txt").open("a") as log:
        log.write(f"{os.getpid()}\\n")
    if len(made) == 2 and os.environ.get("STOPS_AT_SECOND"):
        Path("halfway.txt").write_text(f"{os.getpid()}\\n")
        time.sleep(600)
geotiff._fill = count_and_fill
"""
"""Counts the masks that a worker writes; one of them stops when its second is half-way."""


@contextmanager
def run_dask(folder: Path, *words: str, stops: bool = False) -> Iterator[subprocess.Popen]:
    """Run a command of dask in `folder` until the block ends."""
    command = [sys.executable, "-m", "dask", *words]
    variables = {"STOPS_AT_SECOND": "1"} if stops else {}
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **variables}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(path: Path, ending: str) -> str:
    """Wait for a file that ends so, and return its text."""
    end = time.monotonic() + WAIT_S
    while not (path.is_file() and path.read_text().endswith(ending)):
        assert time.monotonic() < end, f"{path.name} was not written"
        time.sleep(0.1)
    return path.read_text()


def test_a_killed_worker_loses_no_mask_and_none_is_made_twice(tmp_path: Path, brightness: ModelCard) -> None:
    (tmp_path / "scenes").mkdir()
    names = [f"S2_L1C_202105{day:02}.tif" for day in range(1, 7)]
    scenes = [geotiff(tmp_path / "scenes" / name, digits(4, 80 + i, 70)) for i, name in enumerate(names)]
    (tmp_path / "preload.py").write_text(PRELOAD)
    address, out = tmp_path / "scheduler.json", tmp_path / "masks"
    worker = ("worker", "--scheduler-file", str(address), "--nthreads", "1", "--no-nanny", "--no-dashboard")
    worker += ("--preload", str(tmp_path / "preload.py"), "--local-directory", str(tmp_path))
    listening = ("scheduler", "--scheduler-file", str(address), "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    with run_dask(tmp_path, *listening):
        url = json.loads(wait_for(address, "\n}"))["address"]
        command = [sys.executable, "-m", "kappamask", "mask", *map(str, scenes), "-o", str(out)]
        command += ["--model", str(brightness.folder), "--engine", "dask", "--scheduler", url]
        with (
            run_dask(tmp_path, *worker, stops=True) as victim,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as batch,
        ):
            wait_for(tmp_path / "halfway.txt", "\n")
            with run_dask(tmp_path, *worker):
                victim.send_signal(signal.SIGKILL)
                printed, said = batch.communicate(timeout=WAIT_S)
    assert batch.returncode == 0, printed + said
    for scene in scenes:
        expected = cloud_mask(open_scene(scene).compute(), model=brightness.folder)
        np.testing.assert_array_equal(read_mask(out / f"{scene.stem}_mask.tif").values, expected.values)
    assert len((tmp_path / "made.txt").read_text().split()) == len(scenes) + 1, "only the one that was cut off"
