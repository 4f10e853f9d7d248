"""Time one peer over one size in a process of its own.

`python timed.py JSON`; prints JSON. `times.py` calls it.

JSON: `peer`, `array` (a .npy of digital numbers, uint16 (band, y, x), L1C), `bands` of it, `side`, `block` (or null),
`repeat`, `patience`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import xarray as xr
from machine import memory_mb
from numpy.typing import NDArray

from kappamask.datasets import Patch
from kappamask.evaluation.peers import open_peer
from kappamask.models import CardError, load_card
from kappamask.udf import cloud_mask

Array = NDArray[np.uint16]
WARM = 512
"""Pixels of a first run that is not counted: networks plan their memory then."""


def make_runner(peer: str, bands: list[str]) -> Callable[[Array], Any]:
    """Return the function that masks an array by a peer.

    Networks as a user would run them, other tools as `kappamask compare` runs them.
    """
    try:
        card = load_card(peer)
    except CardError:
        opened = open_peer(peer, Path())
        return lambda array: opened.run(_patch(array, bands))
    return lambda array: cloud_mask(_cube(array, bands), model=card, level="L1C", radiometry="dn_harmonized")


def _cube(array: Array, bands: list[str]) -> xr.DataArray:
    return xr.DataArray(array, dims=("bands", "y", "x"), coords={"bands": bands})


def _patch(array: Array, bands: list[str]) -> Patch:
    truth = np.zeros(array.shape[1:], np.uint8)
    return Patch(
        "product", "product", "test", "L1C", 10.0, tuple(bands), array / np.float32(1e4), truth, merges_thin=False
    )


def mask_whole(run: Callable[[Array], Any], array: Array, block: int | None) -> None:
    """Mask all of it, in squares of `block` px if that is given."""
    height, width = array.shape[1:]
    step = block or max(height, width)
    for y in range(0, height, step):
        for x in range(0, width, step):
            run(array[:, y : y + step, x : x + step])


def main(asked: dict[str, Any]) -> None:
    side = asked["side"]
    array = np.ascontiguousarray(np.load(asked["array"], mmap_mode="r")[asked["index"], :side, :side])
    run, seconds = make_runner(asked["peer"], asked["bands"]), []
    run(array[:, :WARM, :WARM])
    while len(seconds) < asked["repeat"] and sum(seconds) < asked["patience"]:
        began = perf_counter()
        mask_whole(run, array, asked["block"])
        seconds.append(round(perf_counter() - began, 3))
    print(json.dumps({"seconds": seconds, "peak_mb": round(memory_mb("VmHWM"))}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
