"""What other clients rely on: pages, offsets, error codes and the place of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
import rasterio
import requests
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from openeo.rest import OpenEoApiError
from serving import EPSG, IDENTITY, NORTH, SIDE, WEST, load, read_stored, run_udf, wait

EDGES = (WEST, NORTH - 10 * SIDE, WEST + 10 * SIDE, NORTH)


def get(connection: openeo.Connection, path: str, **query: Any) -> requests.Response:
    response: requests.Response = connection.get(path, params=query, check_error=False)
    return response


def download(cube: openeo.DataCube, folder: Path, *, batch: bool) -> Path:
    """The cube as netCDF, by a batch job or by a synchronous request."""
    if not batch:
        cube.download(folder / "sync.nc", format="netCDF")
        return folder / "sync.nc"
    job = cube.create_job(out_format="netCDF")
    job.start_and_wait(print=lambda _: None, max_poll_interval=0.3)
    [path] = job.get_results().download_files(folder, include_stac_metadata=False)
    return path


@pytest.mark.parametrize("batch", [True, False])
def test_netcdf_results_say_where_they_are(
    connection: openeo.Connection, scenes: Path, tmp_path: Path, batch: bool
) -> None:
    cube = run_udf(load(connection, bands=["B02", "B04"]), IDENTITY)
    path = download(cube, tmp_path, batch=batch)
    with xr.open_dataset(path, decode_coords="all") as data:
        assert set(data.data_vars) == {"B02", "B04"}
        assert data.rio.crs.to_epsg() == EPSG and data.rio.bounds() == EDGES
        assert (
            data.B02.encoding["grid_mapping"] == "spatial_ref" and "UTM zone 35N" in data.spatial_ref.attrs["crs_wkt"]
        )
        for axis in ("x", "y"):
            assert data[axis].attrs["standard_name"] == f"projection_{axis}_coordinate"
            assert data[axis].attrs["units"] == "metre"
        assert data.t.attrs["standard_name"] == "time"
        expected = read_stored(scenes, "L2A_2024-05-06.tif").sel(bands="B04")
        np.testing.assert_array_equal(data.B04.isel(t=1), expected)
    with rasterio.open(f"netcdf:{path}:B02") as file:
        assert file.crs.to_epsg() == EPSG and tuple(file.bounds) == EDGES


def test_netcdf_of_one_pixel_keeps_its_place(connection: openeo.Connection, tmp_path: Path) -> None:
    pixel = {"west": WEST + 100, "south": NORTH - 210, "east": WEST + 110, "north": NORTH - 200, "crs": EPSG}
    path = download(load(connection, spatial_extent=pixel), tmp_path, batch=False)
    with xr.open_dataset(path, decode_coords="all") as data:
        assert data.rio.bounds() == tuple(pixel[edge] for edge in ("west", "south", "east", "north"))


@pytest.fixture(scope="module")
def failed_job(connection: openeo.Connection) -> openeo.BatchJob:
    """A job that ended in an error, with a log."""
    job = connection.create_job({"eq1": {"process_id": "eq", "arguments": {"x": 3, "y": 3}, "result": True}})
    job.start()
    wait(job, "error")
    return job


def test_graph_that_ends_in_a_value_is_unsupported(failed_job: openeo.BatchJob, connection: openeo.Connection) -> None:
    assert any("save_result" in entry["message"] and "bool" in entry["message"] for entry in failed_job.logs())
    with pytest.raises(OpenEoApiError) as caught:
        connection.execute(failed_job.describe()["process"]["process_graph"])
    assert caught.value.code == "FeatureUnsupported" and "bool" in str(caught.value)
    assert caught.value.http_status_code == 400


def test_an_empty_log_offset_is_none(failed_job: openeo.BatchJob, connection: openeo.Connection) -> None:
    logs = f"/jobs/{failed_job.job_id}/logs"
    whole = get(connection, logs).json()["logs"]
    assert whole and get(connection, logs, offset="").json()["logs"] == whole
    assert get(connection, logs, offset=whole[0]["id"]).json()["logs"] == whole[1:]


@pytest.mark.parametrize("offset", ["abc", "-1", "[1673351608383, 102790]", "9" * 40, "1.5"])
def test_a_wrong_log_offset_is_refused(failed_job: openeo.BatchJob, connection: openeo.Connection, offset: str) -> None:
    response = get(connection, f"/jobs/{failed_job.job_id}/logs", offset=offset)
    assert response.status_code == 400
    assert response.json()["code"] == "OffsetInvalid" and offset[:100] in response.json()["message"]


@pytest.mark.parametrize(("name", "value"), [("level", "loud"), ("limit", "0"), ("limit", "-1")])
def test_a_log_level_or_limit_that_is_none_is_refused(
    failed_job: openeo.BatchJob, connection: openeo.Connection, name: str, value: str
) -> None:
    response = get(connection, f"/jobs/{failed_job.job_id}/logs", **{name: value})
    assert response.status_code == 400 and response.json()["code"] == "QueryParameterInvalid"
    assert value in response.json()["message"]


@pytest.mark.parametrize("bounds", [
    ("2024-05-01T02:00:00+02:00", "2024-05-08T02:00:00+02:00"),
    ("2024-05-01T00:00:00.000Z", "2024-05-08T00:00:00.000Z"),
    ("2024-05-01T00:00:00", None),
])  # fmt: skip
def test_times_come_in_any_zone_and_with_fractions(connection: openeo.Connection, tmp_path: Path, bounds) -> None:
    """JavaScript writes times with a fraction of a second."""
    graph = load(connection, bands=["B04"]).filter_temporal("2024-05-01", "2024-05-08").flat_graph()
    for node in graph.values():
        node["arguments"] |= {name: list(bounds) for name in ("temporal_extent", "extent") if name in node["arguments"]}
    saved = {"data": {"from_node": next(key for key, node in graph.items() if node.pop("result", None))}}
    graph["save"] = {"process_id": "save_result", "arguments": {**saved, "format": "netCDF"}, "result": True}
    connection.download(graph, tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc") as data:
        assert "2024-05-06" in data.t.dt.strftime("%Y-%m-%d").values


@pytest.mark.parametrize("bound", ["soon", "2024-05", 5, "2024-13-01", "2024-05-01T25:00:00Z"])
def test_a_bound_that_is_no_time_is_named(connection: openeo.Connection, bound) -> None:
    arguments = {"id": "SENTINEL2_L2A", "spatial_extent": None, "temporal_extent": [bound, None]}
    with pytest.raises(OpenEoApiError, match="is neither a date") as caught:
        connection.execute({"a": {"process_id": "load_collection", "arguments": arguments, "result": True}})
    assert caught.value.code == "ProcessParameterInvalid" and caught.value.http_status_code == 400


def test_job_listings_have_pages(connection: openeo.Connection) -> None:
    made = [load(connection).create_job(title=f"job {i}").job_id for i in range(5)]
    pages, url = [], f"{connection.root_url}/jobs?limit=2"
    while url:
        answer = requests.get(url, headers={"Authorization": f"Bearer {connection.auth.bearer}"})
        page = answer.json()
        pages.append([job["id"] for job in page["jobs"]])
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), "")
        if len(pages) == 1:
            load(connection).create_job(title="created while somebody reads")
    listed = [job for page in pages for job in page]
    assert all(len(page) <= 2 for page in pages)
    assert len(listed) == len(set(listed)) and set(made) <= set(listed)
    whole = get(connection, "/jobs").json()
    assert set(listed) <= {job["id"] for job in whole["jobs"]} and not whole["links"]
    assert len(whole["jobs"]) - len(listed) in (0, 1)  # the one created meanwhile, where it sorts before the first page


@pytest.mark.parametrize("limit", ["0", "-3", "many"])
def test_a_wrong_page_size_is_refused(connection: openeo.Connection, limit: str) -> None:
    response = get(connection, "/jobs", limit=limit)
    assert response.status_code == 400 and "limit" in response.json()["message"]
