"""`kappamask mask` on many scenes, again, and after a run was killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command import SLOW, one_sentence
from files import digits, geotiff, jp2, per_band
from networks import write_model

from kappamask.files.atomic import PREFIX, YOUNG_S, scratch_dir
from kappamask.models import ModelCard
from kappamask.models.schemes import CLASSES
from kappamask.scenes import open_scene, read_mask
from kappamask.udf import clean, cloud_mask, to_scheme
from kappamask.workflows import dask_scenes
from kappamask.workflows.scene_options import SceneOptions, list_targets


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    (tmp_path / "scenes").mkdir()
    names = [f"S2_L1C_2021052{day}.tif" for day in (5, 6, 7)]
    return [geotiff(tmp_path / "scenes" / name, digits(4, 80 + i, 70)) for i, name in enumerate(names)]


def damage(scene: Path) -> None:
    scene.write_bytes(scene.read_bytes()[:-5000])


def make_old(folder: Path) -> None:
    long_ago = time.time() - 2 * YOUNG_S
    os.utime(folder, (long_ago, long_ago))


@pytest.mark.parametrize("engine", ["here", "dask"])
def test_one_damaged_scene_stops_no_other(
    kappamask, scenes: list[Path], tmp_path: Path, brightness: ModelCard, engine: str
) -> None:
    damage(scenes[1])
    out = tmp_path / "masks" / "new"
    words = ["mask", *scenes, "-o", out, "--model", brightness.folder, "--engine", engine, "--json"]
    done = kappamask(*words)
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert last == "kappamask: 1 of 3 scenes failed: S2_L1C_20210526.tif."
    assert f"kappamask: {scenes[1]}: S2_L1C_20210526.tif cannot be read as a whole" in done.err
    assert sorted(path.name for path in out.glob("*")) == sorted(
        f"S2_L1C_2021052{day}_mask.tif{suffix}" for day in (5, 7) for suffix in ("", ".aux.xml")
    )
    summary = json.loads(done.out)
    assert [one["scene"] for one in summary] == [str(scenes[i]) for i in (0, 2, 1)]
    assert "cannot be read" in summary[2]["error"]
    for scene in (scenes[0], scenes[2]):
        expected = cloud_mask(open_scene(scene).compute(), model=brightness.folder)
        np.testing.assert_array_equal(read_mask(out / f"{scene.stem}_mask.tif").values, expected.values)


def test_a_scheduler_that_does_not_answer_is_named(kappamask, scenes: list[Path], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(dask_scenes, "WAIT_S", 1)
    monkeypatch.setenv("COLUMNS", "200")
    for url in ("tcp://127.0.0.1:9", "nonsense://x"):
        done = kappamask("mask", *scenes, "-o", tmp_path / "m", "--engine", "dask", "--scheduler", url)
        assert done.code == 1
        assert "No dask scheduler answers" in done.err
        assert one_sentence(done.err)
    assert kappamask("mask", *scenes, "-o", tmp_path / "m", "--scheduler", "tcp://127.0.0.1:9").code == 2


def test_finished_masks_are_not_made_again(kappamask, scenes: list[Path], tmp_path: Path, brightness) -> None:
    out = tmp_path / "m.tif"
    words = ["mask", scenes[0], "-o", out, "--model", brightness.folder]

    def is_skipped(*more: object) -> bool:
        before = out.stat().st_mtime_ns
        done = kappamask(*words, *more)
        assert done.code == 0, done.err
        assert ("there already" in done.out) == (out.stat().st_mtime_ns == before)
        return "there already" in done.out

    assert kappamask(*words).code == 0
    assert is_skipped()
    assert is_skipped("--threads", 3), "threads change no pixel"
    assert json.loads(kappamask(*words, "--json").out)["skipped"] is True
    assert not is_skipped("--overwrite")
    assert not is_skipped("--threshold", "cloud=0.3"), "other options"
    assert not is_skipped(), "and back"
    assert not is_skipped("--scores"), "a file that is lacking"
    assert is_skipped("--scores")
    damage(tmp_path / "m_scores.tif")
    assert not is_skipped("--scores")
    later = out.stat().st_mtime_ns + 10**9
    os.utime(scenes[0], ns=(later, later))
    assert not is_skipped("--scores"), "a scene that was changed"


def test_another_network_is_another_mask(kappamask, scenes: list[Path], tmp_path: Path, brightness) -> None:
    shutil.copytree(brightness.folder, tmp_path / "card")
    words = ["mask", scenes[0], "-o", tmp_path / "m.tif", "--model"]
    assert kappamask(*words, tmp_path / "card").code == 0
    assert "there already" in kappamask(*words, brightness.folder).out, "the same network from elsewhere"
    write_model(tmp_path / "other", **{"kappamask:fill": -1.0})
    assert "there already" not in kappamask(*words, tmp_path / "other").out, "the same network by another card"
    assert "there already" not in kappamask(*words, "compact").out


@pytest.mark.parametrize(
    ("within", "scene"), [("", "."), ("", "MTD_MSIL1C.xml"), ("GRANULE", ".."), ("GRANULE", "../MTD_MSIL1C.xml")]
)
def test_a_mask_is_named_by_its_product_from_inside_too(tmp_path: Path, monkeypatch, within: str, scene: str) -> None:
    product = tmp_path / "S2A_MSIL1C_20180202.SAFE"
    (product / "GRANULE").mkdir(parents=True)
    (product / "MTD_MSIL1C.xml").touch()
    monkeypatch.chdir(product / within)
    ((_, mask),) = list_targets([scene], tmp_path, SceneOptions())
    assert mask == tmp_path / "S2A_MSIL1C_20180202_mask.tif"


@pytest.mark.parametrize("suffix", ["tif", "nc"])
def test_what_was_not_written_by_the_command_is_no_finished_mask(
    kappamask, scenes: list[Path], tmp_path: Path, brightness: ModelCard, suffix: str
) -> None:
    out = tmp_path / f"m.{suffix}"
    out.write_bytes(b"something else")
    done = kappamask("mask", scenes[0], "-o", out, "--model", brightness.folder)
    assert done.code == 0, done.err
    assert "there already" in kappamask("mask", scenes[0], "-o", out, "--model", brightness.folder).out


def run_again(words: list[str]) -> None:
    ended = subprocess.run([sys.executable, "-m", "kappamask.cli", *words], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_a_killed_run_leaves_no_file_and_the_next_one_clears_up(scenes: list[Path], tmp_path: Path, brightness) -> None:
    out = tmp_path / "m.tif"
    words = ["mask", str(scenes[0]), "-o", str(out), "--model", str(brightness.folder)]
    with subprocess.Popen([sys.executable, "-c", SLOW, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "half-way\n"
        left = sorted(tmp_path.glob(f"{PREFIX}*"))
        assert len(left) == 2
        for folder in left:
            make_old(folder)
        run = subprocess.run(
            [sys.executable, "-m", "kappamask.cli", *words], check=False, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        assert sorted(tmp_path.glob(f"{PREFIX}*")) == left, "the other run lives"
        out.unlink()
        process.send_signal(signal.SIGKILL)
    assert sorted(tmp_path.glob("m*")) == [out.with_name("m.tif.aux.xml")]
    run_again(words)
    assert not sorted(tmp_path.glob(f"{PREFIX}*"))
    expected = cloud_mask(open_scene(scenes[0]).compute(), model=brightness.folder)
    np.testing.assert_array_equal(read_mask(out).values, expected.values)


def test_only_folders_of_the_dead_are_swept(tmp_path: Path) -> None:
    new, other = tmp_path / f"{PREFIX}abcdefgh", tmp_path / f"{PREFIX}notes"
    new.mkdir()
    other.mkdir()
    make_old(other)
    (tmp_path / f"{PREFIX}linklink").symlink_to(other)
    with scratch_dir(tmp_path / "m.tif") as folder:
        (folder / "work").write_text("here")
        make_old(folder)
        with scratch_dir(tmp_path / "n.tif"):
            assert (folder / "work").read_text() == "here"
    assert new.is_dir() and other.is_dir() and not folder.exists()
    make_old(new)
    with scratch_dir(tmp_path / "m.tif"):
        assert not new.exists()


def test_names_of_masks(kappamask, tmp_path: Path, brightness: ModelCard, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    product = tmp_path / "S2A_L1C_20210527.SAFE.tif"
    geotiff(product)
    geotiff(tmp_path / "S2B_L1C_20210527.tif")
    (tmp_path / "out").mkdir()
    words = ["--model", brightness.folder]
    assert kappamask("mask", product, "-o", tmp_path / "out", *words).code == 0, "one scene, a folder that is there"
    assert (tmp_path / "out" / "S2A_L1C_20210527_mask.tif").is_file()
    (tmp_path / "more").mkdir()
    for band, values in zip(("B02", "B03", "B04"), digits(3), strict=True):
        jp2(tmp_path / "more" / f"T35VLG_20210527T102021_{band}.jp2", values, 10)
    found = json.loads(kappamask("mask", tmp_path, "-o", tmp_path / "all", "--json", "--level", "L1C", *words).out)
    assert [Path(one["files"][0]).name for one in found] == [
        "S2A_L1C_20210527_mask.tif", "S2B_L1C_20210527_mask.tif", "more_mask.tif",
    ]  # fmt: skip
    twins = geotiff(tmp_path / "more" / "S2B_L1C_20210527.tif")
    wrong = [
        ([product, twins, "-o", tmp_path / "m.tif"], "for 2 scenes name a folder"),
        ([tmp_path / "S2B_L1C_20210527.tif", twins, "-o", tmp_path / "x"], "have one name"),
        ([product, "-o", tmp_path / "m"], "must end in"),
        ([tmp_path / "typo", "-o", tmp_path / "m"], f"No file or folder {tmp_path / 'typo'}."),
    ]
    for rest, message in wrong:
        done = kappamask("mask", *rest, *words)
        assert done.code == 2
        assert message in done.err
    assert not (tmp_path / "x").exists()


def test_a_dry_run_reads_no_pixel_and_writes_nothing(kappamask, scenes: list[Path], tmp_path: Path) -> None:
    geotiff(scenes[0], digits(4, 80, 70), compress="deflate")
    content = bytearray(scenes[0].read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    scenes[0].write_bytes(content)
    (tmp_path / "scenes" / "text.tif").write_text("no image")
    before = sorted(tmp_path.rglob("*"))
    done = kappamask("mask", tmp_path / "scenes", "-o", tmp_path / "out", "--dry-run", "--json", "--scores", "--stac")
    assert done.code == 1, "text.tif is no scene"
    assert sorted(tmp_path.rglob("*")) == before
    *found, failed = json.loads(done.out)
    assert failed["scene"].endswith("text.tif")
    assert [one["height"] for one in found] == [80, 81, 82]
    facts = {"level": "L1C", "bands": ["B02", "B03", "B04", "B08"], "windows": 1, "radiometry": None, "skipped": False}
    assert facts.items() <= found[0].items()
    assert [Path(path).name for path in found[0]["files"]] == [
        f"S2_L1C_20210525_mask{rest}" for rest in (".tif", "_scores.tif", ".json")
    ]
    assert kappamask("mask", scenes[0], "-o", tmp_path / "m.tif").code == 1, "its pixels are damaged"
    said = kappamask("mask", scenes[1], "-o", tmp_path / "m.tif", "--dry-run", "--radiometry", "dn_harmonized")
    assert "dn_harmonized (given by the caller), 70 x 81 px" in said.out


def test_cleaned_and_in_another_scheme(kappamask, scenes: list[Path], tmp_path: Path, brightness: ModelCard) -> None:
    out = tmp_path / "m.tif"
    options = ["--buffer-m", "cloud=60", "--buffer-m", "cloud_shadow=20", "--min-object-m2", 2000]
    words = ["mask", scenes[0], "-o", out, "--model", brightness.folder, *options]
    assert kappamask(*words, "--scheme", "scl").code == 0
    raw = cloud_mask(open_scene(scenes[0]).compute(), model=brightness.folder)
    cleaned = clean(raw, buffer_m={"cloud": 60, "cloud_shadow": 20}, min_object_m2=2000)
    np.testing.assert_array_equal(read_mask(out).values, to_scheme(cleaned, "SCL").values)
    summary = json.loads(kappamask(*words, "--scheme", "bits", "--json").out)
    grown = (raw == 1) & (cleaned.isin([2, 3, 4]))
    np.testing.assert_array_equal((read_mask(out).values & 2) > 0, grown.values)
    expected = {name: float((cleaned == code).mean()) for code, name in enumerate(CLASSES)}
    assert grown.any() and summary["classes"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "words",
    [
        ["--scheme", "ESRI"], ["--buffer-m", "wide"], ["--buffer-m", "cloud=60", "--buffer-m", "20"],
        ["--buffer-m", "trees=60"], ["--fill-holes-m2", "-1"], ["--threads", "-1"], ["--engine", "spark"],
    ],
)  # fmt: skip
def test_wrong_words_end_with_2(kappamask, scenes: list[Path], tmp_path: Path, words: list[str]) -> None:
    assert kappamask("mask", scenes[0], "-o", tmp_path / "m.tif", *words).code == 2


def test_files_written_with_a_mask(kappamask, scenes: list[Path], tmp_path: Path, brightness: ModelCard) -> None:
    pytest.importorskip("pystac")
    pytest.importorskip("jinja2")
    words = ["mask", scenes[0], "-o", tmp_path / "m.tif", "--model", brightness.folder]
    extras = ["--scores", "--quicklook", "--style", "--stac", "--report"]
    done = kappamask(*words, *extras, "--json")
    assert done.code == 0, done.err
    names = [Path(path).name for path in json.loads(done.out)["files"]]
    assert names == ["m.tif", "m_scores.tif", "m.png", "m.html", "m.qml", "m.json"]
    assert all((tmp_path / name).stat().st_size for name in names)
    assert set(json.loads((tmp_path / "m.json").read_text())["assets"]) == {
        "mask",
        "scores",
        "quicklook",
        "page",
        "style",
    }
    (tmp_path / "m.png").unlink()
    again = json.loads(kappamask(*words, *extras, "--json").out)
    assert again["skipped"] is True and (tmp_path / "m.png").is_file()
    clash = geotiff(tmp_path / "m.json")
    assert kappamask("mask", clash, "-o", tmp_path / "m.tif", "--stac").code == 2, "its item would replace the scene"


def test_a_cube_of_dates_becomes_a_netcdf_of_dates(kappamask, tmp_path: Path, brightness: ModelCard) -> None:
    single = per_band(level="L1C")
    dates = np.array(["2021-05-01", "2021-05-11"], "datetime64[ns]")
    both = single.expand_dims(t=dates).copy(deep=True)
    both["B02"][1] //= 4
    both.to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    words = ["mask", tmp_path / "s.nc", "--level", "L1C", "--model", brightness.folder, "--radiometry", "dn_harmonized"]
    done = kappamask(*words, "-o", tmp_path / "m.nc", "--scores")
    assert done.code == 0, done.err
    expected = cloud_mask(
        open_scene(tmp_path / "s.nc", level="L1C").compute(), model=brightness, radiometry="dn_harmonized"
    )
    found = read_mask(tmp_path / "m.nc")
    np.testing.assert_array_equal(found.transpose("t", "y", "x").values, expected.values)
    assert kappamask(*words, "-o", tmp_path / "m.tif").code == 1


def test_words_are_completed(tmp_path: Path) -> None:
    asked = {"_KAPPAMASK_COMPLETE": "complete_bash", "COMP_CWORD": "1"}

    def complete(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
        command = [sys.executable, "-c", "import sys; sys.argv = ['kappamask']; from kappamask.cli import main; main()"]
        ended = subprocess.run(
            command, env={**os.environ, **asked, **words}, check=False, capture_output=True, text=True
        )
        return ended.stdout.split()

    assert complete("kappamask ma") == ["mask"]
    assert complete("kappamask mask --res") == ["--resampling", "--resolution"]
    assert complete("kappamask models con") == ["convert"]
