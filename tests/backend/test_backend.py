"""The embedded back-end over its own API, with the openEO client.

The server is real, and jobs run in their own processes.
"""

from __future__ import annotations

import base64
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
import rasterio
import requests
import xarray as xr
from distributed import LocalCluster
from openeo.rest import OpenEoApiError
from serving import (
    BANDS,
    EPSG,
    FAILS,
    HEAD,
    IDENTITY,
    MASK,
    NORTH,
    SLEEPS,
    WEST,
    chunks,
    load,
    read_stored,
    run_udf,
    udf_of,
    wait,
    wait_for_log,
    write_scene,
)  # fmt: skip

from kappamask.backend import runner
from kappamask.backend.chunks import apply_neighborhood
from kappamask.backend.job_store import JobFolder, JobSpec, Settings
from kappamask.backend.scene_index import index
from kappamask.backend.server import Server, running_server
from kappamask.models import SceneError
from kappamask.scenes import open_scene, write_mask


def test_collections_describe_the_scenes(connection: openeo.Connection) -> None:
    assert connection.list_collection_ids() == ["SENTINEL2_L1C", "SENTINEL2_L2A"]
    described = connection.describe_collection("SENTINEL2_L2A")
    assert described["cube:dimensions"]["bands"]["values"] == list(BANDS)
    assert described["cube:dimensions"]["x"]["reference_system"] == EPSG
    assert described["extent"]["temporal"]["interval"] == [["2024-05-01T09:40:00Z", "2024-05-06T09:40:00Z"]]
    west, south, east, north = described["extent"]["spatial"]["bbox"][0]
    assert 28.27 < west < east < 28.28 and 45.14 < south < north < 45.15
    assert connection.describe_collection("SENTINEL2_L1C")["cube:dimensions"]["bands"]["values"] == ["B02", "B10"]


def test_udf_runtime_is_this_python(connection: openeo.Connection) -> None:
    runtimes = connection.list_udf_runtimes()
    assert list(runtimes) == ["Python"]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert runtimes["Python"]["versions"][version]["libraries"]["numpy"]["version"] == np.__version__


def test_synchronous_netcdf_holds_the_udfs_pixels(connection: openeo.Connection, scenes: Path, tmp_path: Path) -> None:
    """Both dates, served as float32 digital numbers, through chunks, equal to the file."""
    run_udf(load(connection), IDENTITY, per_date=False).download(tmp_path / "cube.nc", format="netCDF")
    with xr.open_dataset(tmp_path / "cube.nc") as data:
        assert list(data.t.values) == [np.datetime64("2024-05-01"), np.datetime64("2024-05-06")]
        for band in BANDS:
            np.testing.assert_array_equal(
                data[band].isel(t=0).values, read_stored(scenes, "L2A_2024-05-01.tif").sel(bands=band)
            )
            assert data[band].dtype == np.float32
        assert data.rio.write_crs(data.spatial_ref.attrs["crs_wkt"]).rio.crs.to_epsg() == EPSG


def test_batch_job_writes_one_named_geotiff_per_date(
    connection: openeo.Connection, scenes: Path, tmp_path: Path
) -> None:
    area = {"west": WEST + 100, "east": WEST + 400, "south": NORTH - 400, "north": NORTH - 50, "crs": EPSG}
    cube = run_udf(load(connection, spatial_extent=area), MASK).rename_labels("bands", target=["mask"])
    job = cube.apply(lambda x: x.linear_scale_range(0, 250, 0, 250)).create_job(
        title="masks", out_format="GTiff", filename_prefix="km", job_options={"soft-errors": 0.1, "colour": "blue"}
    )
    assert job.status() == "created"
    job.start()
    wait(job, "finished")
    files = {path.name: path for path in job.get_results().download_files(tmp_path, include_stac_metadata=False)}
    assert sorted(files) == ["km_2024-05-01Z.tif", "km_2024-05-06Z.tif"]
    with rasterio.open(files["km_2024-05-01Z.tif"]) as file:
        assert (file.dtypes, file.nodata, file.descriptions, file.crs.to_epsg()) == (("uint8",), 255, ("mask",), EPSG)
        assert tuple(file.bounds) == (WEST + 100, NORTH - 400, WEST + 400, NORTH - 50)
        expected = (read_stored(scenes, "L2A_2024-05-01.tif").values[0] > 4000) + 1
        np.testing.assert_array_equal(file.read(1), expected[5:40, 10:40])
    messages = [entry["message"] for entry in job.logs()]
    assert "one chunk" in messages and "Unknown job options are ignored: colour." in messages
    assert job.logs()[-1]["data"] == {"shape": [3, 24, 24]}
    assert job.describe()["progress"] == 100
    asset = job.get_results().get_metadata()["assets"]["km_2024-05-06Z.tif"]
    assert asset["proj:epsg"] == EPSG and asset["bands"] == [{"name": "mask"}]
    assert asset["raster:bands"][0]["statistics"]["maximum"] == 2


def test_results_are_served_in_ranges_under_signed_links(connection: openeo.Connection, scenes: Path) -> None:
    job = load(connection, bands=["B02"]).filter_temporal("2024-05-01", "2024-05-02").create_job(out_format="GTiff")
    job.start()
    wait(job, "finished")
    link = job.get_results().get_assets()[0].href
    whole = requests.get(link, timeout=10)
    part = requests.get(link, headers={"Range": "bytes=10-19"}, timeout=10)
    assert part.status_code == 206 and part.content == whole.content[10:20]
    with rasterio.open(f"/vsicurl/{link}") as file:
        np.testing.assert_array_equal(file.read(1), read_stored(scenes, "L2A_2024-05-01.tif").values[0])
    assert requests.get(link.replace("assets/", "assets/0"), timeout=10).status_code in (401, 403, 404, 500)
    forged = link.split("?")[0].rsplit("/", 2)
    assert requests.get(f"{forged[0]}/{'0' * 64}/{forged[2]}?{link.split('?')[1]}", timeout=10).status_code == 403


def test_udf_error_is_http_500_synchronously(connection: openeo.Connection, tmp_path: Path) -> None:
    with pytest.raises(OpenEoApiError, match="no band B99 in this cube") as caught:
        run_udf(load(connection), FAILS).download(tmp_path / "x.nc")
    assert caught.value.http_status_code == 500


def test_a_refusal_is_one_plain_line_in_the_servers_log(
    connection: openeo.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(OpenEoApiError, match="JobNotFound"):
        connection.job("j-1").status()
    [found] = [record for record in caplog.records if record.name == "openeo_driver.views.error"]
    assert logging.Formatter().format(found) == "404 JobNotFound: The batch job 'j-1' does not exist."


def test_udf_error_is_a_traceback_in_the_jobs_log(connection: openeo.Connection) -> None:
    job = run_udf(load(connection), FAILS).create_job()
    job.start()
    wait(job, "error")
    [failure] = [entry for entry in job.logs(level="error") if "no band B99" in entry["message"]]
    assert "Traceback" in failure["message"] and 'File "<string>", line 4, in apply_datacube' in failure["message"]
    with pytest.raises(OpenEoApiError, match="JobNotFinished"):
        job.get_results().get_metadata()


def test_the_last_line_of_a_failed_jobs_log_is_the_reason_in_plain_words(connection: openeo.Connection) -> None:
    cube = load(connection, spatial_extent={"west": 100, "south": 10, "east": 100.1, "north": 10.1})
    job = cube.create_job(out_format="netCDF")
    job.start()
    wait(job, "error")
    *_, traceback, reason = (entry["message"] for entry in job.logs(level="error"))
    assert "Traceback" in traceback and re.match(r"No scene covers .*; the scenes lie in west .*\.$", reason)


def test_several_dates_need_netcdf_or_a_job(connection: openeo.Connection, tmp_path: Path) -> None:
    with pytest.raises(OpenEoApiError, match=r"netCDF.*batch job"):
        load(connection).download(tmp_path / "x.tif", format="GTiff")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"size": [{"dimension": "x", "value": 16, "unit": "m"}, {"dimension": "y", "value": 16, "unit": "m"}]},
            "only 'px'",
        ),
        (
            {"size": [{"dimension": "x", "value": 3, "unit": "px"}, {"dimension": "y", "value": 3, "unit": "px"}]},
            "too small",
        ),
        (
            {"size": [{"dimension": "x", "value": 16, "unit": "px"}, {"dimension": "y", "value": 32, "unit": "px"}]},
            "same for both",
        ),
        ({"size": [*chunks()["size"][:2], {"dimension": "t", "value": "P10D"}]}, "P1D"),
        ({"size": chunks()["size"][:1]}, "x and y are both needed"),
        ({"overlap": [{"dimension": "x", "value": 4, "unit": "px"}]}, "same for both"),
        ({"overlap": [*chunks()["overlap"], {"dimension": "t", "value": "P1D"}]}, "overlap in t"),
        ({"overlap": [{"dimension": d, "value": 17, "unit": "px"} for d in "xy"]}, "exceeds the size"),
    ],
)
def test_validation_refuses_what_copernicus_refuses(
    connection: openeo.Connection, change: dict[str, Any], reason: str
) -> None:
    cube = load(connection).apply_neighborhood(openeo.UDF(IDENTITY, runtime="Python"), **{**chunks(), **change})
    [error] = cube.validate()
    assert error["code"] == "ProcessParameterInvalid" and reason in error["message"]


def test_validation_of_a_good_graph_is_silent(connection: openeo.Connection) -> None:
    assert run_udf(load(connection), IDENTITY).validate() == []


@pytest.mark.parametrize(
    "udf",
    [
        openeo.UDF("def (", runtime="Python"),
        openeo.UDF(IDENTITY, runtime="R"),
        openeo.UDF(IDENTITY, runtime="Python", version="2.7"),
    ],
)
def test_validation_refuses_bad_udfs(connection: openeo.Connection, udf: openeo.UDF) -> None:
    [error] = load(connection).apply_neighborhood(udf, **chunks()).validate()
    assert error["code"] in {"ProcessParameterInvalid", "InvalidRuntime", "InvalidVersion"}


def test_wrong_credentials_and_forged_tokens_are_refused(server: Server) -> None:
    with pytest.raises(OpenEoApiError, match="CredentialsInvalid"):
        openeo.connect(server.url).authenticate_basic(server.user, "guess")
    drivers_own = base64.urlsafe_b64encode(server.user.encode()).decode()
    for header in ({}, {"Authorization": f"Bearer basic//{drivers_own}"}):
        assert requests.get(f"{server.url}/openeo/1.2/jobs", headers=header, timeout=10).status_code in (401, 403)


def test_graphs_beyond_two_mebibytes_are_refused(connection: openeo.Connection) -> None:
    with pytest.raises(OpenEoApiError, match="413"):
        run_udf(load(connection), IDENTITY + "# " + "x" * (2 << 20)).create_job()


def test_bound_to_loopback_alone(server: Server) -> None:
    """A server on all interfaces would answer on 127.0.0.2 too."""
    port = int(server.url.rsplit(":", 1)[1])
    socket.create_connection(("127.0.0.1", port), timeout=2).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=2)


def test_killing_one_of_two_jobs_leaves_the_other(connection: openeo.Connection, server: Server) -> None:
    victim, other = (run_udf(load(connection), code).create_job() for code in (SLEEPS, SLEEPS))
    victim.start()
    other.start()
    wait_for_log(victim, "asleep")
    wait_for_log(other, "asleep")
    os.kill(server.runner.pid(victim.job_id), signal.SIGKILL)
    assert wait(victim, "error") == "error"
    assert "ended by SIGKILL" in victim.logs(level="error")[-1]["message"]
    assert other.status() == "running"
    pid = server.runner.pid(other.job_id)
    other.stop()
    assert other.status() == "canceled"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    other.delete()
    with pytest.raises(OpenEoApiError, match="JobNotFound"):
        other.status()
    assert victim.job_id in [job["id"] for job in connection.list_jobs()]


def test_udf_that_ends_the_process_ends_only_its_own(connection: openeo.Connection, tmp_path: Path) -> None:
    with pytest.raises(OpenEoApiError, match="ended with exit code 7"):
        run_udf(load(connection), HEAD + "    import os\n    os._exit(7)\n").download(tmp_path / "x.nc")
    assert connection.list_collection_ids()


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ("progress.json", "[1]"),
        ("progress.json", '{"done": "x", "total": 0}'),
        ("state.json", '{"started": 5}'),
        ("outcome.json", "{broken"),
        ("outcome.json", '{"assets": 5}'),
    ],
)
def test_job_with_damaged_records_is_an_error_and_hurts_no_other(
    connection: openeo.Connection, server: Server, record: str, text: str
) -> None:
    """A UDF can write into its job's folder."""
    other = load(connection).create_job()
    code = udf_of(
        f"open('../{record}', 'w').write({text!r})", "inspect(message='asleep')", "import time", "time.sleep(120)"
    )
    job = run_udf(load(connection), code).create_job()
    server.runner.start(JobFolder(server.runner.jobs / job.job_id))
    wait_for_line(server.runner.jobs / job.job_id / "log.jsonl")
    listed = {one["id"]: one["status"] for one in connection.list_jobs()}
    assert (listed[job.job_id], listed[other.job_id]) == ("error", "created")
    assert record in job.logs(level="error")[-1]["message"] or "damaged" in job.logs(level="error")[-1]["message"]
    with pytest.raises(KeyError):
        server.runner.pid(job.job_id)
    job.delete()
    assert job.job_id not in [one["id"] for one in connection.list_jobs()]


def wait_for_line(path: Path, seconds: float = 60) -> None:
    """Poll until a file holds something, without asking the server."""
    end = time.monotonic() + seconds
    while not path.exists() or not path.stat().st_size:
        assert time.monotonic() < end, f"{path} stays empty"
        time.sleep(0.1)


def test_log_survives_what_a_udf_writes_into_it(connection: openeo.Connection) -> None:
    code = udf_of("open('../log.jsonl', 'ab').write(b'[1]\\n{\\xff\\n')", "inspect(message='after')", "return cube")
    job = run_udf(load(connection, temporal_extent=["2024-05-01", "2024-05-02"]), code, size=48).create_job()
    job.start()
    wait(job, "finished")
    assert [entry["level"] for entry in job.logs()] == ["warning", "warning", "info"]


def test_job_whose_request_is_damaged_is_left_out(connection: openeo.Connection, server: Server) -> None:
    job, other = (load(connection).create_job() for _ in range(2))
    (server.runner.jobs / job.job_id / "spec.json").write_text('{"user": "tester"}')
    listed = [one["id"] for one in connection.list_jobs()]
    assert other.job_id in listed and job.job_id not in listed


@pytest.mark.parametrize("name", ["%00", "x" * 5000, "..", "j-0", "state.json"])
def test_unknown_jobs_are_not_found(connection: openeo.Connection, name: str) -> None:
    with pytest.raises(OpenEoApiError, match="JobNotFound") as caught:
        connection.get(f"/jobs/{name.replace('..', '%2e%2e')}")
    assert caught.value.http_status_code == 404


@pytest.mark.parametrize("path", ["/jobs", "/result"])
@pytest.mark.parametrize("options", [["x"], "x", 5])
def test_job_options_must_be_an_object(connection: openeo.Connection, path: str, options: Any) -> None:
    request = {"process": {"process_graph": load(connection).flat_graph()}, "job_options": options}
    with pytest.raises(OpenEoApiError, match="JobOptionsInvalid") as caught:
        connection.post(path, json=request)
    assert caught.value.http_status_code == 400


def test_starts_at_once_are_one_start(
    connection: openeo.Connection, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(runner.subprocess, "Popen", Recorded)
    job = run_udf(load(connection), SLEEPS).create_job()
    folder = JobFolder(server.runner.jobs / job.job_id)
    threads = [threading.Thread(target=server.runner.start, args=(folder,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for_log(job, "asleep")
    assert len(started) == 1
    job.stop()
    assert started[0].poll() is not None and job.status() == "canceled"
    job.start()
    wait(job, "running")
    assert len(started) == 2 and started[1].poll() is None
    job.delete()


def test_output_without_end_is_kept_nowhere_but_for_its_end(connection: openeo.Connection, server: Server) -> None:
    code = udf_of("import os", "os.write(1, b'x' * 50_000_000)", "os.write(1, b'the very end')", "os._exit(3)")
    job = run_udf(load(connection), code).create_job()
    job.start()
    wait(job, "error")
    assert job.logs()[-1]["message"].endswith("xthe very end")
    files = [path for path in (server.runner.jobs / job.job_id).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 100_000


def test_results_are_written_nowhere_else(connection: openeo.Connection, server: Server, tmp_path: Path) -> None:
    with pytest.raises(OpenEoApiError, match="no plain name") as caught:
        load(connection).save_result("netCDF", options={"filename_prefix": f"{tmp_path}/evil"}).download(tmp_path / "x")
    assert (caught.value.code, caught.value.http_status_code) == ("FormatArgumentInvalid", 400)
    assert not list(tmp_path.iterdir())


def test_masks_next_to_the_scenes_are_no_scenes(tmp_path: Path) -> None:
    write_scene(tmp_path, "2024-05-01")
    mask = open_scene(tmp_path / "L2A_2024-05-01.tif").isel(bands=0, drop=True).astype("uint8") * 0
    for suffix in ("tif", "nc"):
        write_mask(mask, tmp_path / f"L2A_2024-05-01_mask.{suffix}")
    assert [scene.path.name for scene in index(tmp_path)] == ["L2A_2024-05-01.tif"]


def test_file_that_is_no_scene_is_named(tmp_path: Path) -> None:
    """A single mask too, as any folder without scenes but with rasters."""
    write_scene(tmp_path, "2024-05-01")
    whole = (tmp_path / "L2A_2024-05-01.tif").read_bytes()
    (tmp_path / "other.tif").write_bytes(whole[:100])
    with pytest.raises(SceneError, match=r"other\.tif") as caught, running_server(tmp_path):
        pass
    assert "\n" not in str(caught.value)
    mask = open_scene(tmp_path / "L2A_2024-05-01.tif").isel(bands=0, drop=True).astype("uint8") * 0
    (tmp_path / "masks").mkdir()
    write_mask(mask, tmp_path / "masks/L2A_2024-05-01_mask.tif")
    with pytest.raises(SceneError, match="masks holds no scene"), running_server(tmp_path / "masks"):
        pass


def test_archives_lie_next_to_the_udf(connection: openeo.Connection, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "deps.zip", "w") as archive:
        archive.writestr("answer/__init__.py", "VALUE = 42\n")
    code = (
        "import sys\nimport xarray\nsys.path.append('my_deps')\n"
        "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n"
        "    from answer import VALUE\n    return cube * 0 + VALUE\n"
    )
    cube = run_udf(load(connection, temporal_extent=["2024-05-01", "2024-05-02"]), code)
    cube.download(tmp_path / "out.tif", job_options={"udf-dependency-archives": [f"{tmp_path}/deps.zip#my_deps"]})
    with rasterio.open(tmp_path / "out.tif") as file:
        assert np.unique(file.read()).tolist() == [42]


@pytest.fixture(params=["dask", "scheduler"])
def dask_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """A cluster of each job's own, or one that is there already."""
    if request.param == "dask":
        yield "dask"
        return
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_dask_gives_the_same_pixels(scenes: Path, tmp_path: Path, dask_engine: str) -> None:
    """And its workers' `inspect()` lines reach the job's log."""
    with running_server(scenes, engine=dask_engine) as server:
        connection = openeo.connect(server.url).authenticate_basic(server.user, server.password)
        job = run_udf(load(connection), MASK, size=20, overlap=5).create_job(out_format="netCDF")
        job.start()
        wait(job, "finished")
        assert [entry["message"] for entry in job.logs()].count("one chunk") == 18
        job.get_results().download_files(tmp_path)
    for i, name in enumerate(["L2A_2024-05-01.tif", "L2A_2024-05-06.tif"]):
        serial = apply_neighborhood(read_stored(scenes, name), MASK, 20, 5)
        with xr.open_dataset(tmp_path / "openEO.nc") as data:
            np.testing.assert_array_equal(data["B02"].isel(t=i).values, serial.values[0])


def test_stored_processes_run(connection: openeo.Connection, tmp_path: Path) -> None:
    graph = run_udf(load(connection, temporal_extent=["2024-05-01", "2024-05-02"]), MASK)
    connection.save_user_defined_process("my_mask", graph)
    connection.datacube_from_process("my_mask").download(tmp_path / "out.tif", format="GTiff")
    with rasterio.open(tmp_path / "out.tif") as file:
        assert np.unique(file.read()).tolist() == [1, 2]


def test_command_prints_url_then_password_and_ends_cleanly(scenes: Path, tmp_path: Path) -> None:
    """The URL comes first; SIGTERM ends the server, its jobs and its temporary folder."""
    code = f"from kappamask.backend.server import run_server\nrun_server({str(scenes)!r})"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    for name in ("KAPPAMASK_USER", "KAPPAMASK_PASSWORD"):
        environment.pop(name, None)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    user, password = process.stdout.readline().strip().removeprefix("user ").split(", password ")
    connection = openeo.connect(url).authenticate_basic(user, password)
    job = run_udf(load(connection), SLEEPS).create_job()
    job.start()
    pid = wait_for_log(job, "asleep")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    lines = [line for line in process.stdout.read().splitlines() if not line.startswith("#")]
    assert lines == [f"export KAPPAMASK_USER={shlex.quote(user)}", f"export KAPPAMASK_PASSWORD={shlex.quote(password)}"]
    process.stdout.close()
    wait_for_end(pid)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("kappamask-serve-")]


def test_jobs_end_with_a_killed_server_and_results_outlive_it(scenes: Path, tmp_path: Path) -> None:
    """A new server on the same state folder knows finished and broken jobs."""
    arguments = f"{str(scenes)!r}, user='tester', password='s3cret', state={str(tmp_path / 'state')!r}"
    code = f"from kappamask.backend.server import run_server\nrun_server({arguments})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = openeo.connect(process.stdout.readline().strip()).authenticate_basic("tester", "s3cret")
    done = load(first).create_job(out_format="netCDF")
    done.start()
    wait(done, "finished")
    lost = run_udf(load(first), SLEEPS).create_job()
    lost.start()
    pid = wait_for_log(lost, "asleep")
    process.kill()
    process.wait()
    process.stdout.close()
    wait_for_end(pid)
    with running_server(scenes, user="tester", password="s3cret", state=tmp_path / "state") as server:
        second = openeo.connect(server.url).authenticate_basic("tester", "s3cret")
        assert second.job(lost.job_id).status() == "error"
        assert "went away with an earlier server" in second.job(lost.job_id).logs()[-1]["message"]
        [file] = second.job(done.job_id).get_results().download_files(tmp_path / "out", include_stac_metadata=False)
        assert file.name == "openEO.nc" and file.stat().st_size > 1000


def wait_for_end(pid: int, seconds: float = 10) -> None:
    """Poll until no process has this id."""
    end = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() if Path("/proc/self").exists() else _is_running(pid):
        assert time.monotonic() < end, f"process {pid} outlives its server"
        time.sleep(0.1)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_context_and_announced_names_reach_the_result(connection: openeo.Connection, tmp_path: Path) -> None:
    """The outer context arrives through from_parameter; `apply_metadata` names the bands."""
    code = (
        "import xarray\nfrom openeo.metadata import CubeMetadata\n"
        "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n"
        "    return cube.isel(bands=[0]) * 0 + context['value']\n"
        "def apply_metadata(metadata: CubeMetadata, context: dict) -> CubeMetadata:\n"
        "    return metadata.filter_bands(['B02']).rename_labels('bands', target=[context['name']])\n"
    )
    udf = openeo.UDF(code, runtime="Python", context={"from_parameter": "context"})
    cube = load(connection, temporal_extent=["2024-05-01", "2024-05-02"])
    cube.apply_neighborhood(udf, **chunks(), context={"value": 9, "name": "nine"}).download(tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.descriptions == ("nine",) and np.unique(file.read()).tolist() == [9]


def test_log_takes_whatever_a_udf_says(connection: openeo.Connection) -> None:
    """Levels, numpy data, far too much data, and a log call that is itself wrong."""
    code = udf_of(
        "import logging, numpy",
        "inspect(level='warning', message='careful')",
        "inspect(data=numpy.float32(2), message='numpy')",
        "inspect(data=list(range(100000)), message='much')",
        "logging.getLogger('mine').info('%d', 'no number')",
        "logging.getLogger('mine').debug('not asked for')",
        "return cube",
    )
    job = run_udf(load(connection, temporal_extent=["2024-05-01", "2024-05-02"]), code, size=48).create_job()
    job.start()
    wait(job, "finished")
    logs = {entry["message"]: entry for entry in job.logs()}
    assert list(logs) == ["careful", "numpy", "much"]
    assert (
        logs["careful"]["level"] == "warning" and "2.0" in logs["numpy"]["data"] and len(logs["much"]["data"]) < 20_000
    )
    assert [entry["message"] for entry in job.logs(level="warning")] == ["careful"]
    assert [entry["message"] for entry in job.logs(offset=logs["careful"]["id"])] == ["numpy", "much"]


def test_progress_counts_chunks(connection: openeo.Connection) -> None:
    code = (
        "import time\nimport xarray\nfrom openeo.udf import inspect\ncalls = []\n"
        "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n    calls.append(1)\n"
        "    if len(calls) == 7:\n        inspect(message='asleep')\n        time.sleep(120)\n    return cube\n"
    )
    job = run_udf(load(connection), code).create_job()
    job.start()
    wait_for_log(job, "asleep")
    assert job.describe()["progress"] == pytest.approx(100 * 6 / 18)
    job.delete()


def test_a_job_appears_with_its_records_or_not_at_all(tmp_path, monkeypatch):
    seen = []
    put = JobFolder.put

    def put_and_list(folder, name, value):
        seen.append([path.name for path in tmp_path.glob("j-*")])
        put(folder, name, value)

    monkeypatch.setattr(JobFolder, "put", put_and_list)
    spec = JobSpec("j-1", "me", {}, "1.2.0", "2018-02-02T10:50:00+00:00")
    folder = JobFolder.create(tmp_path, spec, Settings(scenes=".", state="."))
    assert seen == [[], []] and folder.path == tmp_path / "j-1" and folder.spec() == spec
    assert [path.name for path in tmp_path.iterdir()] == ["j-1"]


def test_a_refused_request_is_logged_in_one_line(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """A client without a login asks for an address that is not there."""
    assert requests.get(f"{server.url}/openeo/1.2/credentials/oidc", timeout=30).status_code == 404
    (record,) = [one for one in caplog.records if one.name == "openeo_driver.views.error"]
    assert "404" in record.getMessage() and record.exc_info is None
