"""Time a whole product from JPEG 2000 to a mask on disk.

Reading alone, inference alone, and the command that does both.

`python benchmarks/product.py [FOLDER] [RESOLUTION …]` writes a product into FOLDER, once, and measures at 10 and 20 m.
Wall time is what a user waits; CPU seconds (user and system, of all threads) tell whether a busy machine inflates it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep
from typing import Final, NamedTuple

import numpy as np
import rasterio
from arguments import make_parser
from machine import memory_mb
from rasterio.transform import from_origin
from reading import WRITTEN

from kappamask.files.atomic import atomic_write
from kappamask.models import SENTINEL2_BANDS

SIDE: Final = 10980
"""Pixels of 10 m of a product (Sentinel-2 Products Specification Document)."""
NATIVE_M: Final = dict(zip(SENTINEL2_BANDS[:13], (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20), strict=True))
BLOCK: Final = {10: 1024, 20: 640, 60: 192}
"""Sides of the blocks of ESA's JP2s."""
PIECE: Final = 1020
"""Pixels of 10 m that are repeated, mirrored: whole pixels of 60 m."""
PIECE_FILE: Final = "piece.npy"
"""File name of the piece, in the folder of the product."""
NOISE: Final = 2.0
"""Standard deviation in digital numbers: with it bands compress to 7 to 9 bits a pixel, as ESA's do."""
RESOLUTIONS: Final = (10, 20)
LOOK_S: Final = 0.05
"""Between two looks at a process."""
READING: Final = """
import sys, dask
from kappamask.scenes import open_scene
cube = open_scene(sys.argv[1], level="L1C", resolution=int(sys.argv[2]))
for first in range(0, cube.sizes["y"], 1024):
    cube.isel(y=slice(first, first + 1024)).max().compute()
"""
INFERENCE: Final = """
import sys, numpy, xarray
from kappamask.udf import cloud_mask
piece, side = numpy.load(sys.argv[1]), 109800 // int(sys.argv[2])
tiled = numpy.pad(piece, [(0, 0), (0, side - piece.shape[1]), (0, side - piece.shape[2])], mode="symmetric")
cube = xarray.DataArray(tiled, dims=("bands", "y", "x"), coords={"bands": sys.argv[3].split(",")})
cloud_mask(cube, level="L1C", radiometry="dn_harmonized")
"""


class Cost(NamedTuple):
    """Of a process, from start to end."""

    wall: float
    cpu: float
    peak_mb: float

    def __str__(self) -> str:
        return f"{self.wall:>8.1f} s{self.cpu:>8.1f} s{self.cpu / self.wall:>8.2f}{self.peak_mb:>8.0f} MB"


def write(folder: Path) -> None:
    """Write thirteen lossless JPEG 2000 files with a product's sizes and blocks.

    From real pixels under painted clouds.
    """
    from kappamask.workflows.demo import paint

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        array = paint(Path(scratch), 8).cube.values[:, :PIECE, :PIECE]
    np.save(folder / PIECE_FILE, array)
    write_bands(folder, array, SIDE)


def write_bands(folder: Path, array: np.ndarray, side: int) -> None:
    """Write a JPEG 2000 of `side` px of 10 m for each band.

    array: uint16 (band, y, x), repeated to that size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for values, (band, metres) in zip(array, NATIVE_M.items(), strict=True):
        small = values[:: metres // 10, :: metres // 10]
        _write_band(folder / f"{WRITTEN}_{band}.jp2", small, metres, random, side * 10 // metres)


def _write_band(path: Path, small: np.ndarray, metres: int, random: np.random.Generator, side: int) -> None:
    image = np.pad(small, [(0, side - n) for n in small.shape], mode="symmetric").astype(np.float32)
    image += random.standard_normal(image.shape, dtype=np.float32) * np.float32(NOISE)
    facts = {"count": 1, "dtype": "uint16", "height": side, "width": side, "crs": "EPSG:32618"}
    options = {"reversible": True, "quality": 100, "blockxsize": BLOCK[metres], "blockysize": BLOCK[metres]}
    where = from_origin(300_000, 4_200_000, metres, metres)
    with (
        atomic_write(path) as draft,
        rasterio.open(draft, "w", driver="JP2OpenJPEG", transform=where, **facts, **options) as target,
    ):
        target.write(np.clip(np.rint(image), 1, 65_535).astype(np.uint16), 1)


def measure_cost(command: list[str]) -> Cost:
    """Run a command, which must succeed."""
    began, peak, ended = perf_counter(), 0.0, 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603  our own code
    while not ended:  # ru_maxrss would be that of this process, if that was larger, for it was there before exec
        peak = memory_mb("VmHWM", process.pid) or peak
        sleep(LOOK_S)
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
    if status:
        raise SystemExit(f"{' '.join(command[:6])} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(perf_counter() - began, used.ru_utime + used.ru_stime, peak)


def measure(folder: Path, resolutions: tuple[int, ...] = RESOLUTIONS) -> None:
    """Print a row for each part of the work, at each resolution."""
    if not (folder / f"{WRITTEN}_B12.jp2").exists():
        write(folder)
    print(f"product of {SIDE} px {'wall':>20}{'CPU':>10}{'cores':>8}{'peak':>11}", flush=True)
    python, words = sys.executable, ["--level", "L1C", "--radiometry", "dn_harmonized", "--overwrite"]
    for metres in map(str, resolutions):
        mask = [python, "-m", "kappamask.cli", "mask", str(folder), "-o", str(folder / f"mask{metres}.tif"), *words]
        parts = {
            "reading": [python, "-c", READING, str(folder), metres],
            "inference": [python, "-c", INFERENCE, str(folder / PIECE_FILE), metres, ",".join(NATIVE_M)],
            "kappamask mask": [*mask, "--resolution", metres],
        }
        for name, command in parts.items():
            print(f"{metres:>4} m  {name:<22}{measure_cost(command)}", flush=True)


if __name__ == "__main__":
    arguments = make_parser(__doc__)
    default = Path(tempfile.gettempdir()) / "kappamask-product"
    arguments.add_argument("folder", type=Path, nargs="?", default=default, help="where the product is written")
    arguments.add_argument("resolution", type=int, nargs="*", help="metres; default 10 and 20")
    given = arguments.parse_args()
    measure(given.folder, tuple(given.resolution) or RESOLUTIONS)
