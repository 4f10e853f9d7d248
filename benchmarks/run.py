"""What the compact network costs: seconds per megapixel, memory and start-up, beside the machine's own limit.

Run with `make bench`. Everything is timed in one run, so compare the rows with each other, not with another day's.
"""

import json
import platform
import subprocess
import sys
from time import perf_counter

import numpy as np
import xarray as xr

from kappamask.models import SENTINEL2_BANDS, load_card
from kappamask.udf import cloud_mask, network
from kappamask.udf.chunk import apply_datacube

SIDE = 2048
REPEATS = 3
CHUNK = """
import json, sys
from time import perf_counter
import numpy, xarray
started = perf_counter()
from kappamask.models import load_card
from kappamask.udf import network
from kappamask.udf.chunk import apply_datacube
network.session(load_card("compact"), 1)
ready = perf_counter() - started
bands = json.loads(sys.argv[1])
values = numpy.random.default_rng(0).uniform(300, 5000, (len(bands), 512, 512)).astype("float32")
cube = xarray.DataArray(values, dims=("bands", "y", "x"), coords={"bands": bands})
def peak():
    status = open("/proc/self/status").read()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
before = peak()
apply_datacube(cube, {"level": "L1C"})
print(json.dumps([ready, before, peak()]))
"""


def scene(side: int) -> xr.DataArray:
    bands = SENTINEL2_BANDS[:13]
    values = np.random.default_rng(0).integers(300, 5000, (len(bands), side, side), dtype=np.uint16)
    return xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": list(bands)})


def least(function) -> float:  # type: ignore[no-untyped-def]  # noqa: ANN001
    times = []
    for _ in range(REPEATS):
        started = perf_counter()
        function()
        times.append(perf_counter() - started)
    return min(times)


def matmul_gflops(n: int = 2048) -> float:
    a = np.random.default_rng(0).random((n, n), dtype=np.float32)
    return 2 * n**3 / least(lambda: a @ a) / 1e9


def main() -> None:
    cube, small = scene(SIDE), scene(512)
    chunk = small.astype(np.float32)
    card = load_card("compact")
    image = np.random.default_rng(0).normal(size=(card.channels, 512, 512)).astype(np.float32)
    whole = least(lambda: cloud_mask(cube, level="L1C", radiometry="dn_harmonized"))
    worker = least(lambda: apply_datacube(chunk, {"level": "L1C"}))
    bare = least(lambda: network.run(card, image, 1))
    command = [sys.executable, "-c", CHUNK, json.dumps(list(SENTINEL2_BANDS[:13]))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  our own code
    ready, before, after = json.loads(done.stdout)
    megapixels = SIDE * SIDE / 1e6
    print(f"{platform.processor() or platform.machine()}, matrix multiply {matmul_gflops():.0f} GFLOPS on all cores")
    print(
        f"cloud_mask, {SIDE} px, 13 bands, all cores   {whole / megapixels:.3f} s/Mpx = {megapixels / whole:.1f} Mpx/s"
    )
    print(f"a product of 10980 px at that pace           {whole / megapixels * 120.56:.0f} s, inference only")
    print(f"UDF, one 512 px chunk, one thread            {worker:.3f} s, of which the network {bare:.3f} s")
    print(f"worker start: import and session             {ready:.2f} s")
    print(f"worker memory: idle, after one chunk         {before:.0f} MB, {after:.0f} MB")


if __name__ == "__main__":
    main()
