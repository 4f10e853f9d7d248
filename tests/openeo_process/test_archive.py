"""The dependency archive: reproducible, complete, and refused when it is not."""

import zipfile
from dataclasses import replace
from importlib.metadata import metadata

import pytest
import requests
from networks import write_model

from kappamask.models import CardError, JobError, WeightsError, load_card
from kappamask.models.hints import Door, use_door
from kappamask.models.package import check_package, compute_package_hash, list_package_files
from kappamask.openeo_process.archive import (
    FOLDER,
    build,
    find_release_fault,
    name_archive,
    release_url,
    run_smoke_test,
)
from kappamask.openeo_process.jobs.request import Request
from kappamask.workflows.batch_options import resolve_archive, state_archive


def test_equal_content_makes_equal_bytes_and_name(tmp_path):
    first, second = build(tmp_path / "a"), build(tmp_path / "b")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    assert [p.name for p in first.parent.iterdir()] == [first.name]


def test_it_holds_the_udf_the_card_and_the_network_and_no_other_room(tmp_path):
    with zipfile.ZipFile(build(tmp_path)) as content:
        names = set(content.namelist())
    ours = {name for name in names if name.startswith("kappamask/")}
    assert {"kappamask/udf/chunk.py", "kappamask/models/compact.json", "kappamask/models/compact.onnx"} <= ours
    assert {name.split("/")[1] for name in ours} == {"udf", "models"}
    assert not any("__pycache__" in name for name in names)


def test_it_leaves_out_the_library_that_no_network_needs(tmp_path):
    """Give the archive only the Python module of ONNX Runtime, with all of it.

    `run_smoke_test` masks a cube with what is left.
    """
    path = build(tmp_path)
    with zipfile.ZipFile(path) as content:
        libraries = [name for name in content.namelist() if ".so" in name]
    assert len([name for name in libraries if "onnxruntime_pybind11_state" in name]) == 1
    assert not [name for name in libraries if "libonnxruntime.so" in name]
    run_smoke_test(path)


def test_the_hash_of_the_package_is_that_of_what_the_archive_unpacks_to(tmp_path, monkeypatch):
    card = load_card("compact")
    wanted = compute_package_hash(list_package_files(card))
    with zipfile.ZipFile(build(tmp_path)) as content:
        packed = {name: content.read(name) for name in content.namelist() if name.startswith("kappamask/")}
        content.extractall(tmp_path / FOLDER, packed)
    assert compute_package_hash(packed.items()) == compute_package_hash(reversed(packed.items())) == wanted
    monkeypatch.chdir(tmp_path)
    check_package(card, wanted)


def test_the_card_that_was_given_is_packed_whatever_its_file_is_called(tmp_path):
    written = write_model(tmp_path)
    given = (tmp_path / "card.json").rename(tmp_path / "mine.json")
    for other in ("card.json", f"{written.id}.json"):
        (tmp_path / other).write_text("{}")
    packed = dict(list_package_files(load_card(given)))
    assert packed["kappamask/models/brightness.json"] == given.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "udf" / "chunk.py").write_text("# older"),
        lambda folder: (folder / "udf" / "cleaning.py").rename(folder / "udf" / "cleaner.py"),
        lambda folder: (folder / "models" / "compact.json").unlink(),
        lambda folder: (folder / "udf" / "more.py").touch(),
    ],
)
def test_an_archive_that_is_another_is_refused(tmp_path, monkeypatch, change):
    card = load_card("compact")
    wanted = compute_package_hash(list_package_files(card))
    with zipfile.ZipFile(build(tmp_path)) as content:
        content.extractall(tmp_path / FOLDER)
    change(tmp_path / FOLDER / "kappamask")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        JobError, match=r"The dependency archive is not .*build the archive again with kappamask archive"
    ):
        check_package(card, wanted)


def test_a_package_of_the_workers_own_is_refused_too(tmp_path, monkeypatch):
    """It would come before the archive's; without an archive it is all that there is."""
    card = load_card("compact")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JobError, match=r"[0-9a-f]{12}….*000000000000….*archive"):
        check_package(card, "0" * 64)
    (tmp_path / FOLDER / "kappamask").mkdir(parents=True)
    (tmp_path / FOLDER / "kappamask" / "x.py").write_text("")
    with pytest.raises(JobError, match=r"The package in .* comes before the archive's"):
        check_package(card, compute_package_hash([("kappamask/x.py", b"")]))


def test_any_network_by_its_card(tmp_path):
    card = write_model(tmp_path / "model")
    with zipfile.ZipFile(build(tmp_path / "out", model=tmp_path / "model")) as content:
        names = set(content.namelist())
    assert {f"kappamask/models/{card.id}.json", f"kappamask/models/{card.file}"} <= names
    assert "kappamask/models/compact.onnx" not in names


def test_works_where_only_numpy_2_and_xarray_are(tmp_path):
    archive, right = build(tmp_path), compute_package_hash(list_package_files(load_card("compact")))
    run_smoke_test(archive, package=right)
    with pytest.raises(JobError, match=f"package hash {right[:12]}…, needed is 0000.*give its URL again"):
        run_smoke_test(archive, package="0" * 64)


def test_an_archive_without_its_network_is_found_out(tmp_path):
    whole, broken = build(tmp_path), tmp_path / "broken.zip"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(broken, "w") as target:
        for name in source.namelist():
            if not name.endswith("compact.onnx"):
                target.writestr(name, source.read(name))
    with pytest.raises(JobError, match=r"broken\.zip does not work in a clean environment: .*No weights"):
        run_smoke_test(broken)


def test_nothing_is_left_when_the_network_is_not_its_cards(tmp_path):
    write_model(tmp_path / "model")
    (tmp_path / "model" / "model.onnx").write_bytes(b"other")
    with pytest.raises(WeightsError):
        build(tmp_path / "out", model=tmp_path / "model")
    with pytest.raises(CardError):
        build(tmp_path / "out", model="nonesuch")
    assert not (tmp_path / "out").exists()


def test_the_name_in_a_release_is_stable_and_its_address_is_the_projects(tmp_path):
    path = build(tmp_path, hashed=False)
    assert path.name == name_archive("compact")
    assert name_archive("compact", "3.11") == "kappamask-deps-compact-cp311.zip"
    about = metadata("kappamask-openeo")
    assert release_url("compact", "3.11").split("/releases/")[0] == about["Home-page"]
    assert release_url("compact", "3.11").endswith(f"/v{about['Version']}/kappamask-deps-compact-cp311.zip")


def test_a_release_that_is_not_there_says_what_to_type(requests_mock, tmp_path):
    url = release_url("compact", "3.11")
    card = load_card("compact")
    asked = Request("openeo.test", "SENTINEL2_L1C", ("2018-02-01", "2018-02-03"), card, "3.11")
    requests_mock.head(url, status_code=404)
    with use_door(Door.COMMAND):
        with pytest.raises(JobError) as found:
            resolve_archive(None, asked, None, tmp_path)
        message = str(found.value)
    for fact in (url, "HTTP 404", "kappamask archive -o . --model compact --python 3.11", "--archive upload"):
        assert fact in message
    requests_mock.head(url, exc=requests.ConnectionError)
    assert "ConnectionError" in str(find_release_fault(url))
    requests_mock.head(url)
    assert resolve_archive(None, asked, None, tmp_path).archive == url
    assert resolve_archive("none", asked, None, tmp_path).archive is None
    assert not [*tmp_path.iterdir()]


def test_a_file_of_this_machine_is_no_archive_for_a_distant_back_end(tmp_path, monkeypatch):
    """Else the test job would find out, for credits."""
    request = Request("openeo.test", "SENTINEL2_L1C", ("2018-02-01", "2018-02-03"), load_card(), "3.11")
    with pytest.raises(JobError, match=r"deps\.zip' is no address"):
        state_archive("deps.zip", request)
    assert state_archive("https://example.org/deps.zip", request).archive
    here = replace(request, backend="http://127.0.0.1:8080")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JobError, match=r"no archive deps\.zip: `kappamask archive -o \.` makes one"):
        state_archive("deps.zip", here)
    (tmp_path / "deps.zip").touch()
    assert state_archive("deps.zip", here).archive == str(tmp_path / "deps.zip"), "the server may run elsewhere"
    assert state_archive("file:///srv/deps.zip", here).archive == "file:///srv/deps.zip"
