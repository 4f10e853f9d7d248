"""Time `mask_many` on a dask cluster of this machine.

By number of workers and size of the scenes.

`python benchmarks/cluster_times.py -o docs/results/cluster.json`; then `make results` writes docs/how-to/cluster.md. On
an idle machine only: the page says what its load was.

The scenes are GeoTIFFs of the demo's real pixels under painted clouds, repeated; the same file under several names.
Each worker is a process; memory is the most that one of them ever held.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

import rasterio
from arguments import make_parser
from distributed import Client, LocalCluster
from machine import commit, describe_machine, memory_mb
from rasterio.windows import Window

from kappamask.files.atomic import atomic_write
from kappamask.models import load_card
from kappamask.workflows.demo import paint
from kappamask.workflows.many_scenes import RunOptions, mask_many
from kappamask.workflows.progress import no_progress
from kappamask.workflows.scene_options import SceneOptions

SIDES: Final = (2000, 5490, 10980)
"""Of the scenes, px: 4, 30 and 121 Mpx; the last is a product."""
WORKERS: Final = ("1x2", "1x1", "2x1", "4x1")
"""Processes, and threads of each: 1x1 against 2x1 is the efficiency of a second worker."""
MODEL: Final = "compact"


def write_scenes(folder: Path, side: int, count: int) -> list[Path]:
    """Write `count` scenes of `side` px: one file, and links to it under other dates."""
    painted = paint(folder / "demo", seed=8)
    with rasterio.open(painted.folder / "painted_L1C_2018-02-02.tif") as source:
        piece, names, tags = source.read(), source.descriptions, source.tags()
        profile = source.profile | {"height": side, "width": side, "tiled": True, "blockxsize": 512, "blockysize": 512}
    first = folder / "scene_L1C_20180201.tif"
    with rasterio.open(first, "w", **(profile | {"compress": "deflate", "bigtiff": "if_safer"})) as target:
        for row in range(0, side, piece.shape[1]):
            for column in range(0, side, piece.shape[2]):
                height, width = min(piece.shape[1], side - row), min(piece.shape[2], side - column)
                target.write(piece[:, :height, :width], window=Window(column, row, width, height))
        target.descriptions = names
        target.update_tags(**tags)
    scenes = [first, *(folder / f"scene_L1C_201802{day:02}.tif" for day in range(2, count + 1))]
    for path in scenes[1:]:
        os.link(first, path)
    return scenes


def time_masks(scenes: list[Path], output: Path, workers: int, threads: int) -> tuple[float, float]:
    """Mask all scenes on a new cluster; return seconds and the largest worker's peak, MB."""
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        processes = client.run(os.getpid).values()
        run = RunOptions(overwrite=True, dask=True, scheduler=cluster.scheduler_address)
        began = perf_counter()
        mask_many(scenes, output, SceneOptions(threads=threads), run=run, progress=no_progress)
        return perf_counter() - began, max(memory_mb("VmHWM", process) for process in processes)


def measure(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row for each side and number of workers."""
    for side in asked.sides:
        with tempfile.TemporaryDirectory(dir=asked.scratch) as name:
            scenes = write_scenes(Path(name), side, asked.scenes)
            for setting in asked.workers:
                workers, threads = map(int, setting.split("x"))
                runs = [time_masks(scenes, Path(name) / "masks", workers, threads) for _ in range(asked.repeat)]
                seconds = [round(one, 2) for one, _ in runs]
                peak = round(max(peak for _, peak in runs))
                row = {"side": side, "mpx": round(side**2 / 1e6, 3), "workers": workers, "threads": threads}
                yield row | {"seconds": seconds, "median": median(seconds), "peak_mb": peak}
                print(f"{side:>6} px{setting:>5}{median(seconds):>9.1f} s{peak:>7} MB a worker", flush=True)


def main(asked: argparse.Namespace) -> None:
    """Measure, and write or print JSON."""
    card = load_card(MODEL)
    document = {
        "commit": commit(), "date": datetime.now(UTC).date().isoformat(), "machine": describe_machine(),
        "network": card.sha256, "bands": len(card.bands), "scenes": asked.scenes, "repeat": asked.repeat,
    }  # fmt: skip
    document["rows"] = [*measure(asked)]
    text = json.dumps(document, indent=1) + "\n"
    if not asked.output:
        print(text, end="")
        return
    with atomic_write(asked.output) as draft:
        draft.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    options = make_parser(__doc__)
    options.add_argument("-o", "--output", type=Path, help="JSON file; printed if left out")
    options.add_argument("--sides", type=int, nargs="+", default=SIDES, help="px of the scenes")
    options.add_argument("--workers", nargs="+", default=WORKERS, help="processes of the cluster, x, threads of each")
    options.add_argument("--scenes", type=int, default=8, help="masked at a time; %(default)s")
    options.add_argument("--repeat", type=int, default=3, help="runs, of which the median counts; %(default)s")
    options.add_argument("--scratch", type=Path, help="folder for the scenes, up to 2 GB; default: temporary")
    main(options.parse_args())
