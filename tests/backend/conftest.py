"""A server over a folder of small scenes, and a client that is logged in."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openeo
import pytest
import xarray as xr
from serving import BOX, DATES, Fetch, load, read_stored, write_scene

from kappamask.backend.server import Server, running_server


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scene(folder, "2024-05-01")
    write_scene(folder, "2024-05-06", seed=1)
    write_scene(folder, "2024-05-01", level="L1C", bands=("B02", "B10"), seed=2)
    return folder


@pytest.fixture(scope="module")
def server(scenes: Path) -> Iterator[Server]:
    with running_server(scenes, user="tester", password="s3cret") as running:
        yield running


@pytest.fixture(scope="module")
def connection(server: Server) -> openeo.Connection:
    return openeo.connect(server.url).authenticate_basic(server.user, server.password)


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    """Download a cube as netCDF."""

    def download(cube: openeo.DataCube) -> xr.Dataset:
        cube.download(tmp_path / "cube.nc", format="netCDF")
        with xr.open_dataset(tmp_path / "cube.nc", decode_coords="all") as data:
            return data.load()

    return download


@pytest.fixture
def cube(connection: openeo.Connection) -> openeo.DataCube:
    """Return ten rows and eight columns of both dates."""
    return load(connection, bands=["B02", "B03", "B04"], spatial_extent=BOX)


@pytest.fixture(scope="module")
def files(scenes: Path) -> xr.DataArray:
    """Return what the files hold there: (t, bands, y, x)."""
    days = [read_stored(scenes, f"L2A_{date}.tif")[:, :10, :8] for date in DATES]
    return xr.concat(days, xr.DataArray(np.array(DATES, "datetime64[ns]"), dims="t", name="t"))
