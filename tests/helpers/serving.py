"""A folder of small scenes for the embedded back-end, and an openEO client for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
import rasterio
import xarray as xr
from openeo.rest import OpenEoApiError
from rasterio.transform import from_origin

WEST, NORTH, EPSG = 600_000, 5_000_000, 32635
SIDE = 48
BOX = {"west": WEST, "south": NORTH - 100, "east": WEST + 80, "north": NORTH, "crs": EPSG}
"""Ten rows and eight columns in the corner of the scenes."""
DATES = ("2024-05-01", "2024-05-06")
Fetch = Callable[[openeo.DataCube], xr.Dataset]
BANDS = ("B02", "B03", "B04")
HEAD = (
    "import xarray\nfrom openeo.udf import inspect\n"
    "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n"
)
IDENTITY = HEAD + "    return cube\n"
MASK = (
    HEAD
    + "    inspect(data={'shape': list(cube.shape)}, message='one chunk')\n"
    + "    return (cube.isel(bands=[0]) > 4000) + 1.0 + 0 * cube.isel(bands=[0])\n"
)
FAILS = HEAD + "    raise RuntimeError('no band B99 in this cube')\n"
SLEEPS = (
    HEAD
    + "    import os, time\n    inspect(data=os.getpid(), message='asleep')\n    time.sleep(120)\n    return cube\n"
)


def udf_of(*lines: str) -> str:
    """A UDF whose entry has these lines."""
    return HEAD + "".join(f"    {line}\n" for line in lines)


def write_scene(
    folder: Path, date: str, level: str = "L2A", bands: tuple[str, ...] = BANDS, seed: int = 0
) -> np.ndarray:
    """A GeoTIFF scene as the back-end wants it; returns its digital numbers."""
    values = np.random.default_rng(seed).integers(1, 8000, (len(bands), SIDE, SIDE)).astype("uint16")
    profile = {"driver": "GTiff", "count": len(bands), "height": SIDE, "width": SIDE, "dtype": "uint16", "nodata": 0}
    place = {"crs": f"EPSG:{EPSG}", "transform": from_origin(WEST, NORTH, 10, 10)}
    with rasterio.open(folder / f"{level}_{date}.tif", "w", **profile, **place) as file:
        file.write(values)
        file.descriptions = bands
        file.update_tags(datetime=f"{date}T09:40:00Z", level=level, radiometry="dn_harmonized")
    return values


def chunks(size: int = 16, overlap: int = 4, per_date: bool = True) -> dict[str, Any]:
    lengths = [{"dimension": d, "value": size, "unit": "px"} for d in ("x", "y")]
    margins = [{"dimension": d, "value": overlap, "unit": "px"} for d in ("x", "y")]
    return {"size": lengths + ([{"dimension": "t", "value": "P1D"}] if per_date else []), "overlap": margins}


def load(connection: openeo.Connection, **more: Any) -> openeo.DataCube:
    return connection.load_collection("SENTINEL2_L2A", **more)


def run_udf(
    cube: openeo.DataCube, code: str, context: dict[str, Any] | None = None, **geometry: Any
) -> openeo.DataCube:
    return cube.apply_neighborhood(openeo.UDF(code, runtime="Python", context=context), **chunks(**geometry))


def wait(job: openeo.BatchJob, *states: str, seconds: float = 60) -> str:
    """Poll until the job's status is one of `states`."""
    end = time.monotonic() + seconds
    while (status := job.status()) not in states:
        assert time.monotonic() < end, f"{job.job_id} is still {status}: {job.logs()}"
        assert status not in {"error", "canceled", "finished"}, f"{status}: {job.logs()}"
        time.sleep(0.2)
    return status


def wait_for_log(job: openeo.BatchJob, message: str, seconds: float = 60) -> Any:
    """Poll until the job has logged `message`; returns the data that came with it."""
    end = time.monotonic() + seconds
    while not (found := [entry for entry in job.logs() if entry["message"] == message]):
        assert time.monotonic() < end, f"{job.job_id} ({job.status()}) never logged {message}"
        time.sleep(0.2)
    return found[0].get("data")


def read_stored(scenes: Path, name: str) -> xr.DataArray:
    with rasterio.open(scenes / name) as file:
        values = file.read().astype(np.float32)
    y, x = NORTH - 5 - 10.0 * np.arange(SIDE), WEST + 5 + 10.0 * np.arange(SIDE)
    return xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": list(BANDS), "y": y, "x": x})


def refusal(cube: Any) -> tuple[str | None, str]:
    """Code and message of the error that the cube ends in."""
    with pytest.raises(OpenEoApiError) as caught:
        cube.execute()
    assert caught.value.http_status_code < 600
    return caught.value.code, str(caught.value)
