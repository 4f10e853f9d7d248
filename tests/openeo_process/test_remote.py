"""`kappamask submit` and its kin against a real back-end on this machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from command import one_sentence
from faults import FaultPlan, Prices, Script, spoil_requests
from files import geotiff
from remote import DATE, DATES, INSIDE, WIDE, back_end, jobs_of

from kappamask.models import load_card
from kappamask.openeo_process.archive import build
from kappamask.openeo_process.jobs.download import write_manifest
from kappamask.openeo_process.jobs.journal import JobRecord, Journal, State
from kappamask.openeo_process.jobs.retry import RetryPolicy
from kappamask.openeo_process.levels import level_from_collection
from kappamask.workflows.batch_driving import move_results, refetch_if_damaged
from kappamask.workflows.batch_results import JOB_FILES

ROOT = Path(__file__).resolve().parents[2]
KAPPAMASK = Path(sys.executable).parent / "kappamask"


def words(url, tmp_path, *more, area=INSIDE, dates=DATES):
    return [
        "submit", "--backend", url, "--collection", "SENTINEL2_L1C", "--bbox", area, "--dates", dates,
        "-o", tmp_path / "out", "--journal", tmp_path / "j", "--archive", "none", "--level", "L1C", *more,
    ]  # fmt: skip


def test_an_area_becomes_a_mask_and_is_not_paid_twice(kappamask, server, account, tmp_path):
    asked = words(server.url, tmp_path, "--part-km", 1, "--json", area=WIDE)
    before = len(jobs_of(server))
    done = kappamask(*asked)
    assert done.code == 0, done.err
    result = json.loads(done.out)
    states = {part["part"]: part["state"] for part in result["parts"]}
    assert set(states.values()) == {"fetched"}
    assert len(states) == 2
    made = len(jobs_of(server)) - before
    assert made == len(states)
    path, collection = (Path(file) for file in result["files"])
    assert path == tmp_path / "out" / f"mask_{DATE}_32635.tif"
    assert result["holes"] == {}
    found = pystac.Collection.from_file(str(collection))
    provenance = {key: found.extra_fields[f"kappamask:{key}"] for key in ("udf_sha256", "context", "jobs", "costs")}
    assert provenance["udf_sha256"] == sha256((ROOT / "udf" / "script.py").read_bytes()).hexdigest()
    assert provenance["context"]["model"] == "compact" and {one["part"] for one in provenance["jobs"]} == {*states}
    assert provenance["costs"] is None, "this back-end tells none"
    (item,) = found.get_items()
    assert item.properties["kappamask:backend"] == server.url
    with rasterio.open(path) as file:
        assert file.crs == "EPSG:32635" and file.nodata == 255 and file.colormap(1)
        assert not (file.transform.c % 10 or file.transform.f % 10)
        assert set(np.unique(file.read(1))) <= {1, 2, 3, 4, 255}
        assert file.tags()["model_id"] == "compact" and file.tags()["backend"] == server.url
    again = kappamask(*asked)
    (tmp_path / "j").unlink()
    other_day = kappamask(*asked)
    assert (again.code, other_day.code) == (0, 0), other_day.err
    assert len(jobs_of(server)) - before == made, "the same request is found by its mark, from any client"


def test_a_plan_costs_nothing(kappamask, server, account, tmp_path):
    before = len(jobs_of(server))
    plan = kappamask(*words(server.url, tmp_path, "--plan"))
    assert plan.code == 0, plan.err
    for fact in (
        "1 job in ",
        "1 chunk,",
        "about 1 date\n",
        "EPSG:32635",
        "credits",
        "soft-errors=0.0",
        "apply_neighborhood",
    ):
        assert fact in plan.out
    assert "a worker needs about 1.0 GB for 640 px, 4 bands and 6 MB of weights" in plan.out
    assert "\n  executor-memory=2G\n  executor-memoryOverhead=3G\n  python-memory=disable\n" in plan.out
    assert max(map(len, plan.out.splitlines())) < 200, "the graph, with the whole UDF in it, is for --json"
    whole = ("--part-km", 20, "--json")
    large = words(server.url, tmp_path, "--plan", *whole, area="26.9,58.58,27.09,58.637")
    proven, unproven = (json.loads(kappamask(*large, *more).out) for more in ((), ("--no-canary",)))
    assert (proven["parts"], proven["chunks"]) == (unproven["parts"] + 1, unproven["chunks"] + 1)
    assert proven["credits"] > unproven["credits"] + 2, "the canary is paid as well"
    fewer = kappamask(*words(server.url, tmp_path, "--plan", "--bands", "B02,B03,B04"))
    assert "1 fewer than there are: saves about 0 credits" in fewer.out
    assert "B02,B03,B04, dice: clear 0." in fewer.out and "lower than with B02,B03,B04,B08 by: clear 0." in fewer.out
    blind = kappamask(*words(server.url, tmp_path, "--plan", "--bands", "B08"))
    assert blind.code == 2 and "needs B02, B03, B04" in " ".join(blind.err.split())
    refused = kappamask(*words(server.url, tmp_path, "--max-credits", "0.5"))
    assert refused.code == 1 and "--max-credits 0.5" in refused.err and one_sentence(refused.err)
    assert len(jobs_of(server)) == before
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize(("name", "codes"), [("SCL", {3, 4, 9, 10, 255}), ("bits", {4, 8, 16, 64, 255})])
def test_masks_come_in_the_scheme_that_is_asked_for(kappamask, server, account, tmp_path, name, codes):
    done = kappamask(*words(server.url, tmp_path, "--scheme", name.lower(), "--min-object-m2", 300, "--json"))
    assert done.code == 0, done.err
    with rasterio.open(json.loads(done.out)["files"][0]) as file:
        assert file.tags()["scheme"] == name and set(np.unique(file.read(1))) <= codes


def test_scores_come_in_a_file_next_to_the_mask(kappamask, server, account, tmp_path):
    done = kappamask(*words(server.url, tmp_path, "--scores", "--json"))
    assert done.code == 0, done.err
    mask, scores, collection = (Path(file) for file in json.loads(done.out)["files"])
    assert scores == mask.with_name(f"{mask.stem}_scores.tif") and collection.name == "collection.json"
    with rasterio.open(mask) as codes, rasterio.open(scores) as file:
        percents = file.read()
        assert file.descriptions == load_card("compact").output_names
        assert (codes.count, codes.bounds, file.nodata, file.scales[0]) == (1, file.bounds, 255, 0.01)
        summed = percents[:, codes.read(1) != 255].sum(axis=0, dtype=int)
        assert summed.size and set(np.unique(summed)) <= set(range(97, 104)), "a share of each class, rounded"
    assert len([*pystac.Collection.from_file(str(collection)).get_items()]) == 1


def test_what_the_canary_cost_counts_for_the_rest(kappamask, server, account, tmp_path):
    with spoil_requests(server.url, Prices(30.0)) as url:
        asked = words(url, tmp_path, "--part-km", 1, "--max-credits", 40, area=WIDE)
        done = kappamask(*asked)
        assert done.code == 1 and "from the test job" in done.err, done.err
        parts = Journal(tmp_path / "j").records()
        assert [part.state for part in parts[:1]] == [State.FETCHED] and parts[0].costs == 30.0
        assert {part.state for part in parts[1:]} == {State.PLANNED}, "nothing else was started"
        allowed = kappamask(*asked[:-1], 400)
        assert allowed.code == 0 and "credits for 2 jobs, from the test job" in allowed.err
        costs = json.loads((tmp_path / "out" / "collection.json").read_text())["kappamask:costs"]
        assert costs == sum(part.costs for part in Journal(tmp_path / "j").records()) > 30
    assert len([job for job in jobs_of(server) if job["id"] == parts[0].job]) == 1


def test_days_are_chosen_by_label_and_clouds_widened(kappamask, server, account, tmp_path):
    plain = kappamask(*words(server.url, tmp_path / "plain", dates="2018-02-01/2018-02-11"))
    done = kappamask(
        *words(server.url, tmp_path / "wide", "--only", DATE, "--buffer-m", 60, dates="2018-02-01/2018-02-11")
    )
    assert (plain.code, done.code) == (0, 0), done.err
    thin, wide = (
        rasterio.open(tmp_path / name / "out" / f"mask_{DATE}_32635.tif").read(1) for name in ("plain", "wide")
    )
    assert (wide == 4).sum() > (thin == 4).sum() > 0
    other = kappamask(*words(server.url, tmp_path / "other", "--only", "2018-02-03", dates="2018-02-01/2018-02-11"))
    assert other.code == 1 and "no date fulfils it" in other.err


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (["--collection", "SENTINEL3"], "collection SENTINEL3"),
        (["--python", "3.2"], "runtime Python 3.2"),
        (["--dates", "2018-02-03/2018-02-01"], "two days"),
        (["--bbox", "1,2,3"], "cannot be read"),
        (["--model", "nobody"], "No model"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(kappamask, server, account, tmp_path, change, fact):
    before = len(jobs_of(server))
    done = kappamask(*words(server.url, tmp_path), *change)
    assert done.code == 1 and fact in done.err and one_sentence(done.err)
    assert len(jobs_of(server)) == before


def test_the_canary_refuses_an_archive_of_another_version(kappamask, server, account, tmp_path):
    right, stale = build(tmp_path), tmp_path / "stale.zip"
    with zipfile.ZipFile(right) as source, zipfile.ZipFile(stale, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name) + (b"# as it was\n" if name.endswith("udf/cleaning.py") else b""))
    asked = words(server.url, tmp_path, "--part-km", 1, area=WIDE, dates="2018-02-01/2018-02-12")
    done = kappamask(*asked, "--archive", stale)
    assert done.code == 1 and one_sentence(done.err.splitlines(keepends=True)[-1])
    assert "not the KappaMask that sent this job: package hash" in done.err
    assert "build the archive again with kappamask archive" in done.err and "give its URL again" in done.err
    first, other = Journal(tmp_path / "j").records()
    assert (first.state, other.state) == (State.FAILED, State.PLANNED), "nothing else is paid"
    assert ('"package"' in first.graph, '"package"' in other.graph) == (True, False)
    done = kappamask(*asked, "--archive", right)
    assert done.code == 0, done.err


def test_masks_of_a_network_of_ones_own_say_so(kappamask, server, account, tmp_path, brightness, monkeypatch):
    """The worker has the network; here its card is known by a path."""
    monkeypatch.setenv("KAPPAMASK_CACHE", str(tmp_path))  # read at the start of a process, as the worker's
    shutil.copytree(brightness.folder, tmp_path / brightness.id)
    done = kappamask(*words(server.url, tmp_path, "--model", brightness.folder, "--no-canary"))
    assert done.code == 0, done.err
    again = kappamask("resume", "--journal", tmp_path / "j", "--json")
    assert again.code == 0, again.err
    with rasterio.open(json.loads(again.out)["files"][0]) as file:
        assert (file.tags()["model_id"], file.tags()["model_sha256"]) == ("brightness", brightness.sha256)
        assert set(np.unique(file.read(1))) <= {1, 2, 3, 4, 255} and file.colormap(1)


def test_a_job_that_fails_says_what_to_change(kappamask, server, account, tmp_path):
    absent = 'udf-dependency-archives=["/absent/deps.zip#kappamask_deps"]'
    asked = words(server.url, tmp_path, "--option", absent, dates="2018-02-01/2018-02-04")
    done = kappamask(*asked)
    assert done.code == 1 and one_sentence(done.err.splitlines(keepends=True)[-1])
    (part,) = Journal(tmp_path / "j").records()
    assert part.state is State.FAILED
    assert "URL that it reaches" in part.message and part.message.startswith("No archive /absent/deps.zip")
    assert kappamask("resume", "--journal", tmp_path / "j").code == 1
    assert Journal(tmp_path / "j").records()[0].job == part.job
    kappamask(*asked)
    assert Journal(tmp_path / "j").records()[0].job != part.job, "who types it again means it"


def test_ctrl_c_leaves_what_resume_goes_on_with(kappamask, server, account, tmp_path):
    command = [str(KAPPAMASK), *map(str, words(server.url, tmp_path, dates="2018-02-01/2018-02-05"))]
    client = subprocess.Popen(command, env={**os.environ}, stderr=subprocess.PIPE, text=True)
    for line in client.stderr:
        if "created" in line:
            client.send_signal(signal.SIGINT)
            break
    _, said = client.communicate(timeout=60)
    assert client.returncode not in (0, 1)
    assert "kappamask resume goes on" in said and "Traceback" not in said
    before = len(jobs_of(server))
    done = kappamask("resume", "--journal", tmp_path / "j", "--json")
    assert done.code == 0, done.err
    assert len(jobs_of(server)) == before
    assert {part["state"] for part in json.loads(done.out)["parts"]} == {"fetched"}


def test_a_full_disk_loses_nothing(kappamask, server, account, tmp_path):
    asked = words(server.url, tmp_path, dates="2018-02-01/2018-02-06")
    book = Journal(tmp_path / "j")
    assert kappamask(*asked, "--plan").code == 0
    with spoil_requests(server.url, Script(("GET", "/results", "status before", 503))):
        pass
    kappamask(*asked)
    (part,) = book.records()
    folder, (name,) = Path(part.folder), [p.name for p in Path(part.folder).glob("*.tif")]
    whole = (folder / name).read_bytes()
    for path in folder.iterdir():
        path.unlink()
    book.change(part, state=State.FINISHED)
    full = folder / f".{name}.{part.fingerprint}.part"
    full.symlink_to("/dev/full")
    done = kappamask("resume", "--journal", tmp_path / "j")
    assert done.code == 1 and "No space left" in done.err
    assert book.records()[0].state is State.FINISHED
    assert not (folder / name).exists()
    full.unlink()
    assert kappamask("fetch", "--journal", tmp_path / "j").code == 0
    assert (folder / name).read_bytes() == whole


def test_links_that_have_expired_are_signed_again(kappamask, server, account, tmp_path):
    plan = Script(
        ("GET", ".tif", "status before", 403), ("GET", ".tif", "truncate", 0), ("GET", ".tif", "status before", 410)
    )
    with spoil_requests(server.url, plan) as url:
        done = kappamask(*words(url, tmp_path, dates="2018-02-01/2018-02-07"))
    assert done.code == 0, done.err
    assert plan.happened == {"status before": 2, "truncate": 1}


class Silent(FaultPlan):
    """No faults, but results do not tell what they cover."""

    def amend(self, method, path, content):
        return content.replace(b"proj:bbox", b"its bbox") if path.endswith("/results") else content


def test_a_mask_of_half_its_part_is_refused_unless_the_back_end_says_so(
    kappamask, server, account, tmp_path, monkeypatch
):
    """West of the scene there is no image, and the back-end cuts there.

    It says so, but here the message is lost.
    """
    monkeypatch.setattr(RetryPolicy, "wait", lambda *_: 0.1)
    with spoil_requests(server.url, Silent(0, 0)) as url:
        asked = words(url, tmp_path, "--part-km", 1, area=WIDE, dates="2018-02-01/2018-02-13")
        done = kappamask(*asked)
        assert done.code == 1 and "covers 47% of its part" in done.err and "--allow-holes" in done.err, done.err
        assert [part.state for part in Journal(tmp_path / "j").records()] == [State.FINISHED, State.PLANNED]
        taken = kappamask("resume", "--journal", tmp_path / "j", "--allow-holes")
        assert taken.code == 0, taken.err
    parts = Journal(tmp_path / "j").records()
    assert {(part.state, part.posts) for part in parts} == {(State.FETCHED, 1)}, "no job was made twice"


def test_the_same_request_with_another_folder_comes_there_and_is_not_paid_again(kappamask, server, account, tmp_path):
    asked = words(server.url, tmp_path, dates="2018-02-01/2018-02-14")
    assert kappamask(*asked).code == 0
    before, out = len(jobs_of(server)), asked.index("-o") + 1
    asked[out] = tmp_path / "other"
    done = kappamask(*asked, "--json")
    assert done.code == 0, done.err
    assert len(jobs_of(server)) == before
    (said,) = (line for line in done.err.splitlines() if "submitted before" in line)
    assert str(tmp_path / "out") in said and str(tmp_path / "other") in said and "nothing is paid again" in said
    mask, collection = (Path(file) for file in json.loads(done.out)["files"])
    assert {mask.parent, collection.parent} == {tmp_path / "other"}
    assert mask.read_bytes() == (tmp_path / "out" / mask.name).read_bytes(), "what was there stays there"
    (part,) = Journal(tmp_path / "j").records()
    assert Path(part.folder).parent == tmp_path / "other" / JOB_FILES
    (Path(part.folder) / "manifest.json").unlink()
    asked[out] = tmp_path / "third"
    again = kappamask(*asked)
    assert again.code == 0 and (tmp_path / "third" / mask.name).is_file(), "what is gone is fetched again"
    assert len(jobs_of(server)) == before
    same = kappamask(*asked)
    assert same.code == 0 and "submitted before" not in same.err


def test_what_another_client_works_on_stays_in_its_folder(tmp_path):
    part = JobRecord("k", "b", "p", "https://example.org", "{}", "{}", str(tmp_path / "a" / "p"))
    one, other = Journal(tmp_path / "j"), Journal(tmp_path / "j")
    plan_masks, asked = one.plan([part]), [replace(part, folder=str(tmp_path / "b" / "p"))]
    assert other.claim("k")
    assert move_results(one, plan_masks, asked) == plan_masks
    with other.hold("k"):
        pass
    assert [now.folder for now in move_results(one, plan_masks, asked)] == [asked[0].folder]
    assert one.get("k").folder == asked[0].folder and not (tmp_path / "b").exists()


def test_products_that_say_they_are_cloudier_are_left_out(kappamask, tmp_path, monkeypatch):
    """Of three scenes one is too cloudy, and one says nothing."""
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    with back_end(scenes) as running:
        monkeypatch.setenv("OPENEO_AUTH_METHOD", "basic")
        monkeypatch.setenv("KAPPAMASK_USER", running.user)
        monkeypatch.setenv("KAPPAMASK_PASSWORD", running.password)
        for day, cover in ((3, "12.5"), (4, "80")):
            tags = {"datetime": f"2018-02-0{day}T10:50:00Z", "level": "L1C", "cloud_cover": cover}
            values = np.random.default_rng(day).integers(300, 9000, (4, 96, 96)).astype(np.uint16)
            geotiff(scenes / f"scene_L1C_2018020{day}.tif", values, tags=tags)
        asked = words(running.url, tmp_path, "--max-cloud-cover", 20, dates="2018-02-01/2018-02-06")
        process_graph = json.loads(kappamask(*asked, "--plan", "--json").out)["graph"]
        done = kappamask(*asked, "--json")
    (loaded,) = (node["arguments"] for node in process_graph.values() if node["process_id"] == "load_collection")
    assert [*loaded["properties"]] == ["eo:cloud_cover"]
    assert done.code == 0, done.err
    days = [Path(file).name for file in json.loads(done.out)["files"] if file.endswith(".tif")]
    assert days == ["mask_2018-02-02_32635.tif", "mask_2018-02-03_32635.tif"]


def test_a_token_that_has_expired_is_renewed(kappamask, server, account, tmp_path):
    with spoil_requests(server.url, Script(("GET", "/jobs/", "status before", 401))) as url:
        done = kappamask(*words(url, tmp_path, dates="2018-02-01/2018-02-08"))
    assert done.code == 0, done.err


def test_cancel_ends_jobs_on_the_back_end(kappamask, server, account, tmp_path):
    command = [str(KAPPAMASK), *map(str, words(server.url, tmp_path, dates="2018-02-01/2018-02-09"))]
    client = subprocess.Popen(command, env={**os.environ}, stderr=subprocess.PIPE, text=True)
    for line in client.stderr:
        if "created" in line:
            client.kill()
            break
    client.communicate(timeout=60)
    assert kappamask("cancel", "--journal", tmp_path / "j").code == 0
    (part,) = Journal(tmp_path / "j").records()
    assert part.state is State.CANCELED
    assert {job["status"] for job in jobs_of(server) if job["id"] == part.job} <= {"canceled", "finished"}
    listed = kappamask("jobs", "--journal", tmp_path / "j")
    wanted = ("canceled", "credits", "age", "2018-02-01/2018-02-09", "127.0.0.1:")
    assert not [word for word in wanted if word not in listed.out]


def test_a_back_end_that_takes_no_files_is_named(kappamask, server, account, tmp_path):
    done = kappamask(*words(server.url, tmp_path), "--archive", "upload")
    assert done.code == 1 and "NoAdvertisedProviders" in done.err and "--archive" in done.err and one_sentence(done.err)


def test_no_journal_and_no_batch_are_named(kappamask, tmp_path):
    none = kappamask("jobs", "--journal", tmp_path / "none")
    assert none.code == 1 and "nothing was submitted" in none.err and one_sentence(none.err)
    Journal(tmp_path / "j")
    unknown = kappamask("resume", "abc", "--journal", tmp_path / "j")
    assert unknown.code == 1 and "no batch abc" in unknown.err


def test_passwords_and_signatures_are_nowhere(kappamask, server, account, tmp_path):
    asked = words(server.url, tmp_path, dates="2018-02-01/2018-02-10")
    done = kappamask(*asked)
    said = done.out + done.err + "".join(
        path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()
    )  # fmt: skip
    assert server.password not in said
    assert "expires=" not in said and "Bearer" not in said


def test_a_back_end_that_does_not_answer_is_named(kappamask, account, tmp_path):
    done = kappamask(*words("http://127.0.0.1:9", tmp_path))
    assert done.code == 1 and "Nothing answers at http://127.0.0.1:9" in done.err and one_sentence(done.err)


def test_plain_http_to_others_is_refused(kappamask, account, tmp_path):
    done = kappamask(*words("http://example.org", tmp_path))
    assert done.code == 1 and "https://" in done.err and one_sentence(done.err)


@pytest.mark.parametrize(
    ("collection", "level"),
    [
        ("SENTINEL2_L1C", "L1C"), ("sentinel-2-l2a", "L2A"), ("S2", None), ("L1C_AND_L2A", None),
        ("COPERNICUS/S2_SR_HARMONIZED", "L2A"), ("COPERNICUS/S2_HARMONIZED", "L1C"), ("COPERNICUS/S2_SR", "L2A"),
        ("COPERNICUS/S2", "L1C"), ("TERRASCOPE_S2_TOC_V2", "L2A"), ("boa_sentinel_2", "L2A"), ("S2_TOA", "L1C"),
        ("Sentinel-2 Level-1C", "L1C"), ("S2_STOCKS", None), ("S2_SRTM", None), ("S2_TOA_AND_BOA", None),
    ],
)  # fmt: skip
def test_the_collections_name_tells_the_level(collection, level):
    assert level_from_collection(collection) == level


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_a_part_of_whose_files_one_is_lost_or_damaged_is_fetched_again(tmp_path, damage):
    names = ("mask_2018-02-02.tif", "mask_2018-02-05.tif")
    for name in names:
        (tmp_path / name).write_bytes(b"mask!")
    entries = [{"name": name, "size": 5, "sha256": sha256(b"mask!").hexdigest()} for name in names]
    write_manifest(tmp_path, {"job": "j-1"}, entries)
    book = Journal(tmp_path / "j")
    (part,) = book.plan(
        [JobRecord("k", "b", "p", "https://example.org", "{}", "{}", str(tmp_path), State.FETCHED, "j-1")]
    )
    assert refetch_if_damaged(book, part).state is State.FETCHED
    damage(tmp_path / names[0])
    assert refetch_if_damaged(book, part).state is State.FINISHED
