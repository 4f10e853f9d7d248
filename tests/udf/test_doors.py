"""The UDF, the local function and the batch job give the same pixels."""

import platform
from pathlib import Path

import numpy as np
import openeo
import pytest
import rasterio
import xarray as xr
from doors import SIZE, mask_in_chunks, mask_locally, scene_with_clouds
from openeo.udf import execute_local_udf

from kappamask.backend.server import running_server
from kappamask.openeo_process import cloud_mask as graph_cloud_mask
from kappamask.openeo_process import fetch, make_udf, submit
from kappamask.scenes import open_scene

PYTHON = platform.python_version().rpartition(".")[0]


@pytest.fixture(scope="module")
def one_window() -> xr.DataArray:
    return scene_with_clouds(SIZE)


@pytest.fixture(scope="module")
def four_chunks() -> xr.DataArray:
    return scene_with_clouds(SIZE + 200)


def write(cube: xr.DataArray, path: Path) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", count=cube.shape[0], height=cube.shape[1], width=cube.shape[2], dtype="uint16",
        crs=cube.rio.crs, transform=cube.rio.transform(), nodata=0,
    ) as file:  # fmt: skip
        file.write(cube.values)
        file.descriptions = tuple(cube.bands.values)
        file.update_tags(datetime="2018-02-02T16:00:00Z", level="L1C")


def job_mask(cube: xr.DataArray, tmp_path: Path) -> np.ndarray:
    """Through the embedded back-end, a batch job and its GeoTIFF."""
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    write(cube, scenes / "scene.tif")
    with running_server(scenes) as server:
        connection = openeo.connect(server.url).authenticate_basic(server.user, server.password)
        loaded = connection.load_collection("SENTINEL2_L1C", temporal_extent=["2018-02-01", "2018-02-03"])
        job = submit(graph_cloud_mask(loaded, level="L1C", python=PYTHON), wait=True)
        (path,) = fetch(job, tmp_path / "out")
    with rasterio.open(path) as file:
        assert file.dtypes == ("uint8",)
        assert file.descriptions == ("mask",)
        values = file.read(1)
    return np.where(values == 255, 5, values)


def test_one_window_three_doors_the_same_bits(one_window, tmp_path):
    expected = mask_locally(one_window)
    assert len(np.unique(expected)) >= 3
    assert (expected == 5).sum() == 40 * 60
    np.testing.assert_array_equal(mask_in_chunks(one_window), expected)
    np.testing.assert_array_equal(job_mask(one_window, tmp_path), expected)


def test_many_chunks_the_job_gives_what_the_simulator_gives(four_chunks, tmp_path):
    np.testing.assert_array_equal(job_mask(four_chunks, tmp_path), mask_in_chunks(four_chunks))


def test_both_layouts_give_the_same(one_window):
    dated = one_window.expand_dims(t=np.array(["2018-02-02", "2018-02-07"], "M8[ns]"))
    expected = mask_locally(one_window)
    for per_date in (True, False):
        for date in mask_in_chunks(dated, per_date=per_date):
            np.testing.assert_array_equal(date, expected)


@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_execute_local_udf_on_a_file(one_window, tmp_path, suffix):
    """openEO's local runner gives the same mask: one chunk, float64, the UDF's context.

    It reads netCDF; the GeoTIFF is read for it.
    """
    small = one_window.isel(y=slice(100), x=slice(120))
    path = tmp_path / f"scene{suffix}"
    if suffix == ".tif":
        write(small, path)
        datacube = open_scene(path)
    else:
        plain = xr.DataArray(
            small.values.astype(np.float32), dims=("bands", "y", "x"), coords={"bands": small.bands.values}
        )
        plain = plain.expand_dims(t=np.array(["2018-02-02"], "M8[ns]"))
        plain.assign_coords(x=small.x.values, y=small.y.values).to_dataset(dim="bands").to_netcdf(
            path, engine="h5netcdf"
        )
        datacube = str(path)
    result = execute_local_udf(make_udf(level="L1C"), datacube)
    (found,) = result.get_datacube_list()
    values = found.get_array().values.squeeze()
    np.testing.assert_array_equal(np.where(np.isnan(values), 5, values), mask_locally(small))
