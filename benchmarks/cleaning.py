"""Measure what changing and cleaning a mask costs: `python benchmarks/cleaning.py [SIDE]`.

SIDE: 10980 px if left out.

One thread. The mask has a third of cloud and shadow in blobs with specks, which is harder than most. CPU seconds, so
that other work on the machine counts little; the memory is what the process grew by.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np
import xarray as xr
from arguments import make_parser
from scipy.ndimage import gaussian_filter

from kappamask.udf import clean, from_scheme, to_scheme, unusable_pixels

SIDE, TILE = 10980, 1220
SHARES = (0.05, 0.67, 0.83)
"""Of all pixels: cloud shadow, and with clear, and with semi-transparent cloud; the rest is cloud."""


def cleaning(**options: Any) -> Callable[[xr.DataArray], xr.DataArray]:
    return lambda mask: clean(mask, pixel_m=10, **options)


WORK: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "to SCL": lambda mask: to_scheme(mask, "SCL"),
    "to SCL and back": lambda mask: from_scheme(to_scheme(mask, "SCL"), "SCL"),
    "unusable": unusable_pixels,
    "buffer of cloud 20 m": cleaning(buffer_m={"cloud": 20}),
    "buffers 60 m": cleaning(buffer_m=60),
    "buffers 300 m": cleaning(buffer_m=300),
    "buffer of cloud 1 km": cleaning(buffer_m={"cloud": 1000}),
    "objects below 900 m2": cleaning(min_object_m2=900),
    "holes below 900 m2": cleaning(fill_holes_m2=900),
    "shadow within 1 km": cleaning(shadow_length_m=1000),
    "shadow, sun 40 degrees": cleaning(sun=(40, 150)),
}


def make_cloudy_mask(side: int) -> xr.DataArray:
    """Make a mask of blobs some 100 m wide; only its specks do not repeat."""
    rng = np.random.default_rng(0)
    tile = gaussian_filter(rng.standard_normal((TILE, TILE), dtype=np.float32), 4, mode="wrap")
    limits = np.quantile(tile, SHARES)
    made = np.empty((side, side), np.uint8)
    for top in range(0, side, TILE):
        rows = np.tile(tile, (1, -(-side // TILE)))[: side - top, :side]
        noisy = rows + tile.std() / 20 * rng.standard_normal(rows.shape, dtype=np.float32)
        made[top : top + TILE] = np.array([2, 1, 3, 4], np.uint8)[np.digitize(noisy, limits)]
    return xr.DataArray(made, dims=("y", "x"))


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(side: int = SIDE) -> None:
    mask = make_cloudy_mask(side)
    before = peak_gb()
    print(f"{side} x {side} px\n{'':24} {'CPU s':>7} {'Mpx/s':>7} {'GB':>6}")
    for name, work in WORK.items():
        started = process_time()
        work(mask)
        seconds = process_time() - started
        print(f"{name:24} {seconds:7.2f} {side**2 / 1e6 / seconds:7.1f} {peak_gb() - before:6.2f}", flush=True)


if __name__ == "__main__":
    arguments = make_parser(__doc__)
    arguments.add_argument(
        "side", type=int, nargs="?", default=SIDE, help="side of the mask in pixels; default %(default)s"
    )
    main(**vars(arguments.parse_args()))
