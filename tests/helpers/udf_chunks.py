"""Chunks as the Copernicus back-end makes them, and the uploaded UDF on them.

The UDF runs here and in new processes.
"""

import json  # noqa: F401  for `in_new_process`
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import xarray as xr
from openeo.udf import UdfData, XarrayDataCube
from openeo.udf.run_code import run_udf_code

from kappamask.openeo_process import make_udf

SCRIPT = make_udf().code
CODE_TAIL = "\n\n# tail that a driver appends\n__kappamask_tail = 1\n"
BANDS = ["B02", "B03", "B04", "B08", "B8A", "B10", "B11", "B12"]
CONTEXT = {"schema": 1, "level": "L1C", "model": "compact", "radiometry": "dn_harmonized"}


def chunk_cube(shape=(96, 96), dates=None, bands=BANDS, seed=1):
    """A chunk as the Copernicus back-end makes it: float32, named, labelled bands, NaN-free unless changed."""
    rng = np.random.default_rng(seed)
    lead = () if dates is None else (dates,)
    smooth = np.kron(rng.uniform(200, 6000, (*lead, len(bands), 12, 12)), np.ones((20, 20)))
    values = smooth[..., : shape[0], : shape[1]].astype(np.float32).round()
    dims = ("bands", "y", "x") if dates is None else ("t", "bands", "y", "x")
    coords = {"bands": list(bands), "x": np.arange(shape[1]) * 10.0 + 5, "y": 5_000_005 - np.arange(shape[0]) * 10.0}
    if dates is not None:
        coords["t"] = np.datetime64("2024-05-01", "ns") + np.arange(dates) * np.timedelta64(5, "D")
    return xr.DataArray(values, dims=dims, coords=coords, name="openEODataChunk")


def run(cube, context=CONTEXT, code=SCRIPT):
    data = UdfData(proj={"EPSG": 32635}, datacube_list=[XarrayDataCube(cube)], user_context=context)
    (result,) = run_udf_code(code=code + CODE_TAIL, data=data).get_datacube_list()
    return result.get_array()


def peak_kb():
    """Read the peak resident memory of this process since it was started.

    ru_maxrss would hold its parent's, too.
    """
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def in_new_process(body, cwd, **limits):
    """Run `body` in a fresh interpreter, after the helpers of this file."""
    head = "import sys; sys.path[:0] = " + repr([str(Path(__file__).parent)]) + "\nfrom udf_chunks import *\n"
    limit = (lambda: resource.setrlimit(resource.RLIMIT_AS, (limits["address_space"],) * 2)) if limits else None
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(body)],
        cwd=cwd, capture_output=True, text=True, timeout=120, preexec_fn=limit,
    )  # fmt: skip
