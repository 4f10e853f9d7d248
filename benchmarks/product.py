"""A whole product from JPEG 2000 to a mask on disk: reading, inference and both together."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np
import rasterio
from rasterio.transform import from_origin

from kappamask.models import SENTINEL2_BANDS
from kappamask.scenes import open_scene
from kappamask.udf import cloud_mask

SIDE: Final = 10980
NATIVE_M: Final = dict(zip(SENTINEL2_BANDS[:13], (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20), strict=True))


def write(folder: Path) -> None:
    """Thirteen JPEG 2000 files in the sizes of a product, lossless, in blocks of 1024 px, from mirrored real pixels."""
    from kappamask.cli.demo_scene import paint

    array = paint(folder / "scene", 8).cube.values
    for values, (band, metres) in zip(array, NATIVE_M.items(), strict=True):
        side, step = SIDE * 10 // metres, metres // 10
        small = values[::step, ::step]
        image = np.pad(small, [(0, side - n) for n in small.shape], mode="symmetric")
        facts = {"count": 1, "dtype": "uint16", "height": side, "width": side, "crs": "EPSG:32618"}
        options = {"REVERSIBLE": "YES", "QUALITY": "100", "BLOCKXSIZE": "1024", "BLOCKYSIZE": "1024"}
        where = from_origin(300000, 4200000, metres, metres)
        path = folder / f"T18SUH_20180202T160000_{band}.jp2"
        with rasterio.open(path, "w", driver="JP2OpenJPEG", transform=where, **facts, **options) as target:
            target.write(image, 1)


def measure() -> None:
    """Prints seconds of reading alone, of inference alone, and of the command that does both, with its peak memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        began = perf_counter()
        cube = open_scene(folder, level="L1C")
        cube.max().compute()
        print(f"product of {SIDE} px: reading {len(cube.bands)} JPEG 2000 files {perf_counter() - began:.0f} s")
        command = [sys.executable, "-m", "kappamask.cli", "mask", str(folder), "-o", str(folder / "mask.tif")]
        began = perf_counter()
        process = subprocess.Popen([*command, "--level", "L1C", "--radiometry", "dn_harmonized"])  # noqa: S603
        _, status, used = os.wait4(process.pid, 0)
        took = perf_counter() - began
        print(f"kappamask mask, reading and all {took:.0f} s, exit {status}, peak {used.ru_maxrss / 1024:.0f} MB")
        array = cube.compute()
    began = perf_counter()
    cloud_mask(array, level="L1C", radiometry="dn_harmonized")
    print(f"cloud_mask of the array in memory, inference only {perf_counter() - began:.0f} s")
