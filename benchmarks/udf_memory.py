"""Measure the memory of a worker that runs the UDF.

`python udf_memory.py MODEL --side 640 --dates 4`; prints JSON.

One process for each setting: what counts is the largest that a process ever held. docs/design/0006 rests on it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from arguments import make_parser
from machine import memory_mb
from openeo.udf import UdfData, XarrayDataCube
from openeo.udf.run_code import run_udf_code

from kappamask.models import ModelCard, load_card
from kappamask.openeo_process import make_udf


def chunk(card: ModelCard, side: int, bands: int, dates: int) -> xr.DataArray:
    """Make noise as a back-end hands it over, float32 (bands, y, x).

    (t, bands, y, x) of several dates.
    """
    chosen = sorted(card.bands, key=lambda band: band not in card.required)[:bands]
    names = sorted(chosen, key=card.bands.index)  # the order in which a graph loads them
    values = np.empty((dates, len(names), side, side), np.float32)
    random = np.random.default_rng(0)
    for layer in values.reshape(-1, side, side):
        layer[:] = random.integers(300, 9000, (side, side), np.uint16)
    days = pd.date_range("2024-05-01", periods=dates, freq="5D")
    cube = xr.DataArray(values, dims=("t", "bands", "y", "x"), coords={"t": days, "bands": names})
    return cube if dates > 1 else cube.isel(t=0, drop=True)


def main(asked: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """Print sizes in MB: the chunk, and memory before and after the UDF.

    Resident memory before it has run, and at most after `calls` chunks; address space.
    """
    card = load_card(asked.model)
    process = make_udf(model=card, level=card.levels[0], scores=asked.scores)
    cube = chunk(card, asked.side or card.window, asked.bands, asked.dates)
    yield "chunk_mb", cube.nbytes / 2**20
    yield "idle_mb", memory_mb("VmRSS") - cube.nbytes / 2**20
    for _ in range(asked.calls):
        data = UdfData(datacube_list=[XarrayDataCube(cube)], user_context=process.context)
        run_udf_code(process.code, data)
    yield "peak_mb", memory_mb("VmHWM")
    yield "address_space_mb", memory_mb("VmPeak")


if __name__ == "__main__":
    options = make_parser(__doc__)
    options.add_argument("model", help="id of a card, or its path")
    options.add_argument("--side", type=int, help="px of the chunk, overlap included; the card's window if left out")
    for name, default in (("--bands", 99), ("--dates", 1), ("--calls", 4)):
        options.add_argument(name, type=int, default=default)
    options.add_argument("--scores", action="store_true")
    print(json.dumps({key: round(value) for key, value in main(options.parse_args())}))
