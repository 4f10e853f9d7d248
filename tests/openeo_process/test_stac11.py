"""Job results in STAC 1.0 and 1.1: names, masks, and batches from submit to mosaic."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import openeo
import pytest
import rasterio
from command import one_sentence
from faults import FaultPlan, spoil_requests
from remote import DATE, DATES, WIDE, jobs_of, log_in

from kappamask.models import JobError
from kappamask.openeo_process import fetch
from kappamask.openeo_process.job import JOB_OPTIONS, job_options
from kappamask.openeo_process.jobs.assets import find_bounds, find_link, list_assets
from kappamask.openeo_process.jobs.journal import Journal, State, compute_fingerprint
from kappamask.openeo_process.jobs.record import IMPLIED_OPTIONS
from kappamask.openeo_process.jobs.request import TEST_JOB
from kappamask.openeo_process.results import (
    LONGEST,
    MANIFEST,
    NoMaskError,
    check_masks,
    collect_dates,
    find_masks,
    name_files,
)

KAPPAMASK = Path(sys.executable).parent / "kappamask"
LARGE = "26.98,58.62,27.04,58.65"
"""More than one chunk, so that a canary goes first."""
TIFF = b"II*\0 and so on"
HREF = "https://example.org/results/{}?expires=1&signature=abc"


def as_item_keys(assets: dict) -> dict:
    """The keys of the Copernicus driver: an item's id, its date, and a word."""
    return {f"{uuid.uuid5(uuid.NAMESPACE_URL, key)}_{DATE}T00:00:00Z_openEO": one for key, one in assets.items()}


def as_folders(assets: dict) -> dict:
    """Keys with slashes, assets without a type, and the box given by transform and shape."""
    found = {}
    for key, one in assets.items():
        west, south, east, north = one["proj:bbox"]
        rows, columns = one["proj:shape"]
        size = ((east - west) / columns, (south - north) / rows)
        facts = {"proj:code": f"EPSG:{one['proj:epsg']}", "proj:shape": [rows, columns], "roles": ["data"]}
        facts["proj:transform"] = [size[0], 0, west, 0, size[1], north]
        found[f"items/{key}/../data"] = {"href": one["href"], "file:size": one["file:size"], **facts}
    return found


def as_data(assets: dict) -> dict:
    """Give assets the key `data`, and an address that only the cloud knows, with another."""
    (one,) = assets.values()
    alternate = {"s3": {"href": "s3://bucket/elsewhere"}, "https": {"href": one["href"]}}
    return {"data": {**one, "href": "s3://bucket/openEO.tif", "alternate": alternate, "bands": [{"name": "mask"}]}}


def as_documents(assets: dict) -> dict:
    """No raster, but the back-end's list of versions."""
    (one,) = assets.values()
    return {"thumbnail": {"href": one["href"].partition("/openeo/")[0] + "/.well-known/openeo", "roles": ["metadata"]}}


class Stac11(FaultPlan):
    """Results rewritten to STAC 1.1, and jobs that cost so many credits."""

    def __init__(self, shape=as_item_keys, costs: float | None = None) -> None:
        super().__init__(0, 0)
        self.shape, self.costs = shape, costs

    def amend(self, method, path, content):
        if method == "GET" and path.endswith("/results"):
            found = json.loads(content)
            if "assets" in found:
                content = json.dumps({**found, "stac_version": "1.1.0", "assets": self.shape(found["assets"])}).encode()
        elif self.costs is not None and method == "GET" and path.rpartition("/")[0].endswith("/jobs"):
            content = json.dumps({**json.loads(content), "costs": self.costs}).encode()
        return content


def words(url, tmp_path, *more, area=WIDE, part_km=1):
    return [
        "submit", "--backend", url, "--collection", "SENTINEL2_L1C", "--bbox", area, "--dates", DATES,
        "-o", tmp_path / "out", "--journal", tmp_path / "j", "--archive", "none", "--part-km", part_km, *more,
    ]  # fmt: skip


def pixels(path):
    with rasterio.open(path) as file:
        return file.read().tobytes(), file.transform, file.crs


@pytest.fixture(scope="module")
def expected_mask(server, tmp_path_factory):
    """The mask that comes of results as they are."""
    folder = tmp_path_factory.mktemp("plain")
    account = {"OPENEO_AUTH_METHOD": "basic", "KAPPAMASK_USER": server.user, "KAPPAMASK_PASSWORD": server.password}
    command = [str(KAPPAMASK), *map(str, words(server.url, folder))]
    subprocess.run(command, env={**os.environ, **account}, check=True, capture_output=True, timeout=120)
    return pixels(folder / "out" / f"mask_{DATE}_32635.tif")


@pytest.mark.parametrize("shape", [as_item_keys, as_folders, as_data])
def test_results_of_both_versions_become_the_same_mask(kappamask, server, account, tmp_path, shape, expected_mask):
    with spoil_requests(server.url, Stac11(shape)) as url:
        done = kappamask(*words(url, tmp_path, "--json"))
    assert done.code == 0, done.err
    mask, _collection = json.loads(done.out)["files"]
    assert pixels(mask) == expected_mask
    for part in Journal(tmp_path / "j").records():
        names = {path.name for path in Path(part.folder).iterdir()}
        assert names == {f"openEO_{DATE}Z.tif", MANIFEST}


def test_the_canary_is_proven_and_its_dates_are_counted(kappamask, server, account, tmp_path):
    with spoil_requests(server.url, Stac11(costs=30.0)) as url:
        done = kappamask(*words(url, tmp_path, "--max-credits", 40, area=LARGE, part_km=50))
        assert done.code == 1 and "from the test job) are more than --max-credits 40" in done.err, done.err
        canary, other = Journal(tmp_path / "j").records()
        assert (canary.name, canary.state, other.state) == (TEST_JOB, State.FETCHED, State.PLANNED)
        allowed = kappamask(*words(url, tmp_path, "--max-credits", 4000, area=LARGE, part_km=50))
    assert allowed.code == 0 and "credits for 2 jobs, from the test job" in allowed.err, allowed.err
    assert (tmp_path / "out" / f"mask_{DATE}_32635.tif").is_file()


def test_who_was_interrupted_goes_on(kappamask, server, account, tmp_path, expected_mask):
    """A client is ended inside a file that an earlier version had named otherwise."""
    with spoil_requests(server.url, Stac11()) as url:
        command = [str(KAPPAMASK), *map(str, words(url, tmp_path))]
        client = subprocess.Popen(command, env={**os.environ}, stderr=subprocess.PIPE, text=True)
        for line in client.stderr:
            if "created" in line:
                client.send_signal(signal.SIGINT)
                break
        client.communicate(timeout=60)
        part = next(part for part in Journal(tmp_path / "j").records() if part.job)
        folder = Path(part.folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, half in ((f"openEO_{DATE}Z.tif", TIFF[:2]), (f"0f8f_{DATE}T00:00:00Z_openEO", TIFF)):
            (folder / f".{name}.{part.fingerprint}.part").write_bytes(half)
        before = len(jobs_of(server))
        done = kappamask("resume", "--journal", tmp_path / "j", "--json")
    assert done.code == 0, done.err
    parts = Journal(tmp_path / "j").records()
    assert len(jobs_of(server)) == before + len([one for one in parts if one.job != part.job]), "nothing is paid twice"
    assert pixels(json.loads(done.out)["files"][0]) == expected_mask
    assert not [*(tmp_path / "out").rglob(".*")]


def rewrite_as_released(part, book):
    """Rewrite a part as the released version left it.

    Files are named after keys, and options state no version.
    """
    folder = Path(part.folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    for entry in manifest["files"]:
        name = f"{uuid.uuid5(uuid.NAMESPACE_URL, entry['name'])}_{DATE}T00:00:00Z_openEO"
        (folder / entry["name"]).rename(folder / name)
        entry["name"] = name
    (folder / MANIFEST).write_text(json.dumps(manifest))
    options = {name: value for name, value in json.loads(part.options).items() if name not in IMPLIED_OPTIONS}
    with sqlite3.connect(book.path) as file:
        file.execute("UPDATE part SET options = ? WHERE fingerprint = ?", (json.dumps(options), part.fingerprint))
    assert compute_fingerprint(part.backend, json.loads(part.graph), options) == part.fingerprint


@pytest.mark.parametrize("again", ["resume", "submit"])
def test_masks_that_the_released_version_lost_come_back(kappamask, server, account, tmp_path, expected_mask, again):
    with spoil_requests(server.url, Stac11()) as url:
        asked = words(url, tmp_path)
        assert kappamask(*asked).code == 0
        before, book = len(jobs_of(server)), Journal(tmp_path / "j")
        for part in book.records():
            rewrite_as_released(part, book)
        mask = tmp_path / "out" / f"mask_{DATE}_32635.tif"
        mask.unlink()
        done = kappamask(*(asked if again == "submit" else ("resume", "--journal", tmp_path / "j")))
    assert done.code == 0, done.err
    assert pixels(mask) == expected_mask
    assert len(jobs_of(server)) == before


@pytest.mark.parametrize("once", [False, True])
def test_files_without_a_mask_are_an_error_and_come_with_a_later_version(kappamask, server, account, tmp_path, once):
    plan = Stac11(as_documents)
    with spoil_requests(server.url, plan) as url:
        done = kappamask(*words(url, tmp_path))
        last = done.err.splitlines(keepends=True)[-1]
        assert done.code == 1 and one_sentence(last), done.err
        assert "no mask is among its files: found was openeo; needed is a GeoTIFF with a date" in last
        assert "kappamask resume" in last
        assert [part.state for part in Journal(tmp_path / "j").records()] == [State.FINISHED, State.PLANNED]
        fetched = kappamask("fetch", "--journal", tmp_path / "j")
        assert fetched.code == 1 and "no mask is among its files" in fetched.err
        before, plan.shape = len(jobs_of(server)), as_item_keys
        done = kappamask("fetch" if once else "resume", "--journal", tmp_path / "j")
    assert done.code == 0, done.err
    assert len(jobs_of(server)) == before + (not once), "what was paid is not paid again"


def test_python_fetches_by_path_too(server, tmp_path):
    with spoil_requests(server.url, Stac11(as_folders)) as url:
        connection = openeo.connect(url).authenticate_basic(server.user, server.password)
        job = next(job for job in log_in(server).list_jobs() if job["status"] == "finished")
        files = fetch(connection.job(job["id"]), tmp_path / "out")
    assert [path.name for path in files] == [f"openEO_{DATE}Z.tif"] == [p.name for p in (tmp_path / "out").iterdir()]


class Connection:
    """A back-end with one job; its files by their addresses."""

    def __init__(self, files: dict[str, tuple[str, bytes]], **more) -> None:
        """files: address and content by the asset's key. more: facts of every asset."""
        self.listed = {key: {"href": href, **more} for key, (href, _) in files.items()}
        self.content, self.asked = dict(files.values()), []

    def job(self, key="j-1"):
        return SimpleNamespace(job_id=key, connection=self)

    def get(self, href, headers=None, **_):
        if href.endswith("/results"):
            url = "https://example.org/openeo" + href
            return SimpleNamespace(status_code=200, url=url, json=lambda: {"assets": self.listed})
        self.asked.append(headers)
        whole = self.content[href]
        return nullcontext(SimpleNamespace(status_code=200, headers={}, iter_content=lambda _: [whole]))


def job_with(*files):
    """A job with files that are each described by key, path and content."""
    return Connection({key: (HREF.format(path), content) for key, path, content in files}).job()


@pytest.mark.parametrize("start", [b"{}", b"<html>", b""])
def test_python_gets_an_error_for_files_without_a_mask(tmp_path, start):
    job = job_with(("mask.tif", "mask.tif", start), ("b", "b.json", b"{}"))
    with pytest.raises(NoMaskError, match=r"b\.json, mask\.tif.*GeoTIFF, netCDF.*job\.logs") as error:
        fetch(job, tmp_path / "out")
    assert isinstance(error.value, JobError) and "signature" not in str(error.value)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"mask.tif", "b.json"}


def test_python_gets_an_error_for_an_incomplete_file(tmp_path):
    """After some tries, of which nothing is left; without the address, which is a secret."""
    connection = Connection({"k": (HREF.format("a.tif"), TIFF)}, **{"file:size": 999})
    with pytest.raises(
        JobError, match=r"^a.tif could not be fetched whole: .* bytes, not 999; .*fetch\(job, '"
    ) as error:
        fetch(connection.job(), tmp_path)
    assert len(connection.asked) == 3 and not [*tmp_path.iterdir()] and "signature" not in str(error.value)


@pytest.mark.parametrize("start", [b"II+\0", b"\x89HDF\r\n", b"CDF\x02", b"\x89PNG", b"PK\x03\x04"])
def test_python_takes_rasters_of_other_formats(tmp_path, start):
    assert len(fetch(job_with(("data", "openEO", start)), tmp_path)) == 1


@pytest.mark.parametrize("path", [
    "../a.tif", "..%2f..%2fa.tif", "/a.tif", "b\\a.tif", "b%5Ca.tif", "..", ".", "%2e%2e", "", "%00", ".hidden.tif",
    MANIFEST, "a:b?c.tif", "a\nb.tif", "x" * 400 + ".tif", "%F0%9F%9B%B0.tif", "a.tif;jsessionid=secret",
])  # fmt: skip
def test_names_lead_nowhere_else(path, tmp_path):
    """Names come from neither addresses nor keys, and show no secrets of an address."""
    job = job_with((f"../{path}", path, TIFF))
    (found,) = fetch(job, tmp_path / "out")
    assert [*tmp_path.rglob("*.*")] == [found] and found.parent == tmp_path / "out"
    (asset,) = list_assets(job.connection, "j-1")
    assert found.name in asset.names and len(asset.name) <= LONGEST
    assert not asset.name.startswith(".") and asset.name != MANIFEST and "secret" not in asset.name


@pytest.mark.parametrize(("path", "name"), [
    ("a/openEO_2025-09-21Z.tif", "openEO_2025-09-21Z.tif"), ("a%20b.tif", "a_b.tif"), ("t%C3%A4ht.tif", "täht.tif"),
    ("openEO_2025-09-21T00:00:00Z.tiff", "openEO_2025-09-21T00_00_00Z.tiff"), ("data/", "data"),
])  # fmt: skip
def test_names_stay_what_they_are(path, name):
    assert name_files({"key": HREF.format(path)}) == {"key": name}


@pytest.mark.parametrize(("one", "other"), [
    ("a/m_2018-02-02.tif", "b/m_2018-02-02.tif"), ("a/M_2018-02-02.tif", "m_2018-02-02.tif"),
    ("m_2018-02-02", "m_2018-02-02.tif"), ("a%20b_2018-02-02.tif", "a_b_2018-02-02.tif"),
])  # fmt: skip
def test_two_files_of_one_name_get_two_names(one, other, tmp_path):
    """Names do not depend on the order, so that half a file can be completed."""
    paths = {"k1": one, "k2": other, "k3": "c_2018-02-03.tif"}
    hrefs = {key: HREF.format(path) for key, path in paths.items()}
    names = name_files(hrefs)
    assert name_files(dict(reversed([*hrefs.items()]))) == names and names["k3"] == "c_2018-02-03.tif"
    found = fetch(job_with(*((key, path, TIFF) for key, path in paths.items())), tmp_path)
    assert len({path.name.casefold() for path in found}) == 3
    assert {date for _, date in find_masks(found)} == collect_dates(found) == {"2018-02-02", "2018-02-03"}


@pytest.mark.parametrize("path", ["2018-02-02/openEO.tif", "1/data", "openEO.TIF"])
@pytest.mark.parametrize(("key", "facts"), [
    ("0f8f40353-02ea_2018-02-02T00:00:00Z_openEO", {}), ("data", {"datetime": "2018-02-02T10:50:00Z"}),
    ("k_1999-01-01T00:00:00Z_openEO", {"start_datetime": "2018-02-02", "end_datetime": "2018-02-03T00:00:00Z"}),
])  # fmt: skip
def test_a_file_without_a_date_gets_that_of_its_asset(tmp_path, path, key, facts):
    job = Connection({key: (HREF.format(path), TIFF), "doc": (HREF.format("items.json"), b"{}")}, **facts).job()
    found = fetch(job, tmp_path)
    assert [date for _, date in find_masks(found)] == ["2018-02-02"]
    assert (tmp_path / "items.json").is_file()
    check_masks(found, "j-1")


def test_the_date_in_a_name_goes_before_that_of_its_asset(tmp_path):
    href = HREF.format("openEO_20180202T000000Z.tif")
    (found,) = fetch(Connection({"k_1999-01-01T00:00:00Z_openEO": (href, TIFF)}).job(), tmp_path)
    assert find_masks([found]) == [(tmp_path / "openEO_20180202T000000Z.tif", "2018-02-02")]


@pytest.mark.parametrize("name", ["openEO_20181302.tif", "openEO_2018-02-40.tif", "tile_5123201802021.tif", "m.tif"])
def test_a_mask_without_a_date_is_not_left_out_in_silence(tmp_path, name):
    """Others of its job that have one do not stand for it."""
    with pytest.raises(NoMaskError, match=rf"not all of its files are masks.*{name} is without a date"):
        check_masks([tmp_path / "a_2018-02-02.tif", tmp_path / name, tmp_path / "doc.json"], "j-1")
    check_masks([tmp_path / "a_2018-02-02.tif", tmp_path / "doc.json"], "j-1")


def test_the_address_is_the_first_that_can_be_fetched():
    https, s3 = {"href": "https://example.org/a.tif"}, {"href": "s3://bucket/a.tif"}
    base = "https://example.org/openeo/jobs/1/results"
    first, second = https | {"alternate": {"s3": s3}}, s3 | {"alternate": {"https": https}}
    assert find_link("k", first, base) == find_link("k", second, base) == https["href"]
    for entry in (s3, {}, {"href": ""}, {"href": None}, {"alternate": {"a": "b"}}, {"href": "https://[a"}):
        with pytest.raises(JobError, match="no https address for the result 'k'"):
            find_link("k", entry, base)


def test_the_box_is_read_as_either_version_gives_it():
    box, shape = [600000, 5690000, 601000, 5700000], [1000, 100]
    assert find_bounds({"proj:bbox": box}) == tuple(box)
    for tail in ([], [0, 0, 1]):
        facts = {"proj:transform": [10, 0, 600000, 0, -10.0, 5700000, *tail], "proj:shape": shape}
        assert find_bounds(facts) == tuple(box)
    for entry in ({}, {"proj:bbox": None}, {"proj:shape": shape}, {"proj:transform": [1, 2], "proj:shape": shape}):
        assert find_bounds(entry) is None


def test_the_shape_of_results_is_stated_and_makes_no_job_another():
    """The fingerprints are the released version's, whose jobs are not to be paid again."""
    assert {name: JOB_OPTIONS[name] for name in IMPLIED_OPTIONS} == IMPLIED_OPTIONS == {"stac-version": "1.0"}
    asked = job_options("https://example.org/deps.zip")
    without = {name: value for name, value in asked.items() if name not in IMPLIED_OPTIONS}
    keys = [compute_fingerprint("https://example.org", {"a": 1}, options) for options in (asked, without)]
    assert keys == ["5ed203b10c48a962"] * 2
    chosen = job_options("https://example.org/deps.zip", **{"stac-version": 1.1})
    assert chosen["stac-version"] == "1.1", "as back-ends compare it; typed on the command line it is a number"
    assert compute_fingerprint("https://example.org", {"a": 1}, chosen) not in keys


def test_dates_are_counted_once(tmp_path):
    names = ("a_2018-02-02.tif", "b_2018-02-02.TIFF", "c_2018-02-03.tif", "d.tif", "e_2018-02-04.tif.aux.xml")
    assert len(collect_dates(tmp_path / name for name in names)) == 3
