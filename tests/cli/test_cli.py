import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import SLOW, one_sentence
from files import digits, geotiff, per_band
from networks import write_model
from rasterio.transform import from_origin

from kappamask.cli.doctor import EXTRAS
from kappamask.cli.options import Radiometry
from kappamask.models import ModelCard, catalog
from kappamask.scenes import open_scene, read_mask
from kappamask.udf import cloud_mask
from kappamask.udf.radiometry import MODES


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return geotiff(tmp_path / "S2_L1C_20210527.tif", digits(4, 150, 140))


# mask


@pytest.mark.parametrize("suffix", ["tif", "nc"])
def test_mask_writes_what_the_function_gives(kappamask, scene: Path, brightness: ModelCard, suffix: str) -> None:
    out = scene.parent / f"m.{suffix}"
    done = kappamask("mask", scene, "-o", out, "--model", brightness.folder, "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    expected = cloud_mask(open_scene(scene), model=brightness.folder)
    np.testing.assert_array_equal(read_mask(out).values, expected.values)
    assert summary["files"] == [str(out)]
    facts = {"model_id": "brightness", "model_sha256": brightness.sha256, "radiometry": "dn_harmonized", "level": "L1C"}
    assert facts.items() <= summary.items()
    assert summary["classes"]["cloud"] == pytest.approx(float((expected == 4).mean()))
    assert sum(summary["classes"].values()) == pytest.approx(1)
    assert read_mask(out).attrs["model_sha256"] == brightness.sha256


def test_a_zarr_is_one_scene_not_a_folder_of_its_variables(kappamask, tmp_path: Path, brightness: ModelCard) -> None:
    per_band(level="L1C").to_zarr(tmp_path / "s.zarr")
    done = kappamask("mask", tmp_path / "s.zarr", "-o", tmp_path / "m.tif", "--model", brightness.folder)
    assert done.code == 0, done.err


def test_a_mask_of_another_scene_is_not_taken_for_this_one_s(kappamask, scene: Path, brightness: ModelCard) -> None:
    other = geotiff(scene.parent / "S2_L1C_20210528.tif", digits(4, 80, 90))
    os.utime(other, (1, 1))  # older than the mask, as downloads are
    for source, made in ((scene, (150, 140)), (other, (80, 90))):
        done = kappamask("mask", source, "-o", scene.parent / "m.tif", "--model", brightness.folder)
        assert done.code == 0, done.err
        assert read_mask(scene.parent / "m.tif").shape == made


def test_mask_takes_all_its_options(kappamask, scene: Path, brightness: ModelCard) -> None:
    bare = geotiff(scene.parent / "bare.tif", digits(3, 64, 64), (None, None, None))
    out = scene.parent / "m.tif"
    options = ["--level", "L2A", "--radiometry", "dn_harmonized", "--bands", "B2,B03, B04", "--scores"]
    options += ["--threshold", "cloud=0.3", "--threshold", "clear=0.9"]
    done = kappamask("mask", bare, "-o", out, "--model", brightness.folder, *options)
    assert done.code == 0, done.err
    assert "L2A, brightness, dn_harmonized (given by the caller)" in done.out
    assert (scene.parent / "m_scores.tif").is_file()
    assert read_mask(out).attrs["thresholds"] == "clear 0.9, cloud 0.3"
    assert kappamask("mask", bare, "-o", out, "--threshold", "cloud").code == 2


def test_progress_is_plain_lines_on_stderr_when_nobody_watches(kappamask, scene: Path, brightness: ModelCard) -> None:
    done = kappamask("mask", scene, "-o", scene.parent / "m.tif", "--model", brightness.folder)
    assert "mask: 100 %\n" in done.err
    assert "\x1b" not in done.err + done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "m.png"], "must end in .tif or .tiff or .nc"),
        (["-o", "m.tif", "--level", "L3"], "Invalid value for '--level': 'L3'"),
        (["-o", "m.tif", "--radiometry", "dn"], "'dn'"),
        (["-o", "m.tif", "--bands", "B02,B99"], "No band B99"),
        (["-o", "m.tif", "--frobnicate"], "--frobnicate"),
        ([], "--output"),
    ],
)
def test_wrong_use_ends_with_2(kappamask, scene: Path, monkeypatch, words: list[str], message: str) -> None:
    monkeypatch.chdir(scene.parent)
    monkeypatch.setenv("COLUMNS", "200")
    done = kappamask("mask", scene, *words)
    assert done.code == 2
    assert message in done.err
    assert not done.out
    assert [path.name for path in scene.parent.iterdir()] == [scene.name]


def test_a_mask_never_replaces_its_scene(kappamask, scene: Path) -> None:
    before = scene.read_bytes()
    assert kappamask("mask", scene, "-o", scene).code == 2
    assert scene.read_bytes() == before


def test_scores_never_replace_the_scene(kappamask, tmp_path: Path, brightness: ModelCard, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    scene = geotiff(tmp_path / "m_scores.tif", tags={"level": "L1C"})
    before = scene.read_bytes()
    words = ["mask", scene, "-o", tmp_path / "m.tif", "--model", brightness.folder]
    done = kappamask(*words, "--scores")
    assert done.code == 2
    assert "must not replace the scene" in done.err
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]
    assert kappamask(*words).code == 0, "without scores nothing is in the way"


def test_a_netcdf_may_have_its_suffix_in_capitals(kappamask, scene: Path, brightness: ModelCard) -> None:
    out = scene.parent / "m.NC"
    done = kappamask("mask", scene, "-o", out, "--model", brightness.folder)
    assert done.code == 0, done.err
    assert out.read_bytes()[:4] == b"\x89HDF"
    assert sorted(scene.parent.iterdir()) == [scene, out]


def test_a_scene_without_coordinates_is_masked(kappamask, tmp_path: Path, brightness: ModelCard) -> None:
    per_band(level="L1C").drop_vars(["x", "y", "spatial_ref"]).to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    for out in ("m.nc", "m.tif"):
        words = ["mask", tmp_path / "s.nc", "-o", tmp_path / out, "--model", brightness.folder, "--level", "L1C"]
        done = kappamask(*words)
        assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("profile", "fact"),
    [
        ({"transform": from_origin(500_000, 6_500_000, 60, 60)}, "60 x 60 m;"),
        ({"transform": from_origin(500_000, 6_500_000, 10, 20)}, "10 x 20 m;"),
        ({"transform": from_origin(10, 50, 1e-4, 1e-4), "crs": "EPSG:4326"}, "0.0001 x 0.0001 degree;"),
        ({"transform": from_origin(0, 0, 60, 60), "crs": None}, "60 x 60 (no CRS says the unit);"),
        ({}, None),
    ],
)
def test_pixels_of_another_size_are_warned_of(
    kappamask, tmp_path: Path, brightness: ModelCard, profile: dict, fact: str | None
) -> None:
    scene = geotiff(tmp_path / "s_L1C.tif", **profile)
    done = kappamask("mask", scene, "-o", tmp_path / "m.tif", "--model", brightness.folder)
    assert done.code == 0, done.err
    warned = [line for line in done.err.splitlines() if "warning: pixels are" in line]
    assert len(warned) == (fact is not None)
    assert fact is None or f"pixels are {fact} networks are made for 10 m" in warned[0]
    assert ("--pixel-m 10" in done.err) == (fact is not None and "no CRS" in fact)


def test_a_scene_without_georeference_is_warned_of_once_in_our_words(tmp_path: Path, brightness: ModelCard) -> None:
    scene = geotiff(tmp_path / "s_L1C.tif", transform=None, crs=None)
    command = [sys.executable, "-m", "kappamask", "mask", str(scene), "-o", str(tmp_path / "m.tif")]
    done = subprocess.run([*command, "--model", str(brightness.folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert said.count("arning") == 1 and "no CRS says the unit" in said and "--pixel-m 10" in said


@pytest.mark.parametrize(
    ("scene_name", "out_name", "message"),
    [
        ("loop.tif", "m.tif", "No file or folder"),
        ("S2_L1C_20210527.tif", "loop.tif", "Cannot write"),
        ("\udcff_L1C.tif", "m.tif", "is not UTF-8"),
        ("S2_L1C_20210527.tif", "\udcff.tif", "is not UTF-8"),
    ],
)
def test_odd_names_end_with_1_and_a_sentence(
    kappamask, scene: Path, brightness: ModelCard, scene_name: str, out_name: str, message: str
) -> None:
    folder = scene.parent
    (folder / "loop.tif").symlink_to(folder / "loop.tif")
    before = sorted(folder.iterdir())
    words = [folder / scene_name, "-o", folder / out_name, "--model", brightness.folder]
    done = kappamask("mask", *words)
    assert done.code == 1
    assert message in done.err
    assert one_sentence(done.err)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_behind(scene: Path, brightness: ModelCard, number: int) -> None:
    words = ["mask", str(scene), "-o", str(scene.parent / "m.tif"), "--model", str(brightness.folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SLOW, *words], **pipes) as process:
        assert process.stdout.readline() == "half-way\n"
        assert len([*scene.parent.iterdir()]) == 3, "what is made, and the draft, are next to the target"
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == (143 if number == signal.SIGTERM else 130)
    assert "Traceback" not in errors
    assert [*scene.parent.iterdir()] == [scene]


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("missing.tif", [], "No file or folder"),
        ("text.tif", [], "neither a GeoTIFF nor a JPEG 2000"),
        ("short_L1C.tif", [], "cannot be read as a whole"),
        ("bare.tif", [], "no Sentinel-2 band names"),
        ("two.tif", ["--level", "L1C"], "lacks bands B04"),
        ("folder", [], "holds no band files"),
        ("S2_L1C_20210527.tif", ["--bands", "B12"], "lacks B12"),
        ("S2_L1C_20210527.tif", ["--model", "nonsense"], "No model 'nonsense'"),
        ("S2_L1C_20210527.tif", ["--level", "L1C", "--radiometry", "dn_offset"], "look like dn_harmonized"),
    ],
)
def test_failures_end_with_1_and_a_sentence_and_no_file(
    kappamask, scene: Path, name: str, words: list[str], message: str
) -> None:
    folder = scene.parent
    (folder / "text.tif").write_text("not an image")
    (folder / "short_L1C.tif").write_bytes(scene.read_bytes()[:-5000])
    (folder / "folder").mkdir()
    geotiff(folder / "bare.tif", digits(2), (None, None))
    geotiff(folder / "two.tif", digits(2), ("B02", "B03"))
    before = sorted(folder.rglob("*"))
    done = kappamask("mask", folder / name, "-o", folder / "m.tif", *words)
    assert done.code == 1
    assert message in done.err
    assert one_sentence(done.err)
    assert not done.out
    assert sorted(folder.rglob("*")) == before


def test_an_output_folder_that_is_not_there_is_named(kappamask, scene: Path, brightness: ModelCard) -> None:
    done = kappamask("mask", scene, "-o", scene.parent / "no" / "m.tif", "--model", brightness.folder)
    assert done.code == 1
    assert "there is no folder" in done.err


# models, doctor, evaluate


def test_models_are_listed_shown_and_verified(kappamask) -> None:
    listed = json.loads(kappamask("models", "list", "--json").out)
    assert "compact" in [card["id"] for card in listed]
    shown = json.loads(kappamask("models", "show", "compact", "--json").out)
    assert shown["required"] == ["B02", "B03", "B04"]
    judged, learnt = shown["training"]["validation"], shown["training"]["data"]
    assert "labelled_l1c_cumulus_6band.npz" in judged and not {*judged} & {*learnt}, "it was not trained on these"
    assert shown in listed
    assert "compact: verified" in kappamask("models", "verify").out
    assert "classes     0 undefined, 1 clear" in kappamask("models", "show").out


def test_bad_scenes_are_named_after_good_ones_are_masked(kappamask, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(catalog, "CACHE", tmp_path)
    (write_model(tmp_path / "far").folder / "model.onnx").unlink()
    listed = kappamask("models", "list")
    assert listed.code == 0 and "brightness" in listed.out
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "card.json").write_text("{}")
    listed, verified = kappamask("models", "list"), kappamask("models", "verify")
    assert listed.code == verified.code == 1
    assert "brightness" in listed.out and "compact: verified" in verified.out
    assert "bad/card.json is not a valid model card" in listed.err
    assert "bad/card.json" in verified.err and "brightness: No weights" in verified.err


def test_a_spoilt_network_does_not_pass(kappamask, tmp_path: Path, brightness: ModelCard) -> None:
    for name in ("card.json", "model.onnx"):
        (tmp_path / name).write_bytes((brightness.folder / name).read_bytes())
    assert kappamask("models", "verify", tmp_path).code == 0
    with (tmp_path / "model.onnx").open("ab") as file:
        file.write(b"\0")
    fresh = [sys.executable, "-m", "kappamask.cli", "models", "verify", str(tmp_path)]
    ended = subprocess.run(fresh, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "is not the network of its card" in ended.stderr
    assert one_sentence(ended.stderr)


def test_doctor_tells_what_is_there(kappamask) -> None:
    done = kappamask("doctor", "--json")
    assert done.code == 0
    summary = json.loads(done.out)
    assert summary["model"]["works"] is True
    assert summary["model"]["seconds"] > 0
    assert summary["packages"]["numpy"] == np.__version__
    assert set(summary["extras"]) == set(EXTRAS)
    assert "model compact: verified" in kappamask("doctor").out


def test_doctor_counts_what_an_extra_is_made_of(kappamask, monkeypatch) -> None:
    """`demo` itself names a scene only; its back-end comes from `backend`."""
    monkeypatch.setattr("kappamask.cli.doctor._find_version", lambda name: None if name == "openeo-driver" else "1")
    extras = json.loads(kappamask("doctor", "--json").out)["extras"]
    assert {name for name, found in extras.items() if "openeo-driver" in found["missing"]} == {"backend", "demo"}
    assert [one for one in extras["demo"]["missing"] if "is installed" not in one] == ["openeo-driver"]


@pytest.mark.parametrize(("version", "missing"), [("2.18.7", ["zarr>=3.1 (2.18.7 is installed)"]), ("3.1.0", [])])
def test_doctor_tells_versions_that_are_too_old(kappamask, monkeypatch, version: str, missing: list[str]) -> None:
    monkeypatch.setattr("kappamask.cli.doctor.requires", lambda _: ['zarr>=3.1; extra == "zarr"'])
    monkeypatch.setattr("kappamask.cli.doctor._find_version", lambda _: version)
    assert json.loads(kappamask("doctor", "--json").out)["extras"]["zarr"]["missing"] == missing


def test_doctor_fails_where_the_network_does_not_run(kappamask) -> None:
    done = kappamask("doctor", "--model", "nonsense")
    assert done.code == 1
    assert "No model 'nonsense'" in done.out


def test_evaluate_scores_files(kappamask, tmp_path: Path) -> None:
    truth = geotiff(tmp_path / "truth.tif", np.array([[[1, 1, 4, 4, 0]]], np.uint8), (None,))
    mask = geotiff(tmp_path / "mask.tif", np.array([[[1, 4, 4, 3, 2]]], np.uint8), (None,))
    words = ("--truth", truth, "--mask", mask)
    scores = json.loads(kappamask("evaluate", *words, "--no-merge-thin", "--json").out)
    assert set(scores) >= {"dice", "precision", "recall", "overall_accuracy"}
    assert set(scores["dice"]) == {"clear", "shadow", "semi_transparent", "cloud", "all"}
    assert (scores["dice"]["clear"], scores["dice"]["cloud"], scores["dice"]["shadow"]) == (
        pytest.approx(2 / 3),
        0.5,
        None,
    )
    merged = json.loads(kappamask("evaluate", "--truth", truth, "--mask", mask, "--merge-thin", "--json").out)
    assert merged["dice"]["cloud"] == pytest.approx(0.8)
    assert "0.800" in kappamask("evaluate", "--truth", truth, "--mask", mask, "--merge-thin").out


def test_evaluate_wants_files_or_an_image(kappamask, tmp_path: Path) -> None:
    assert kappamask("evaluate").code == 2
    assert kappamask("evaluate", "--truth", "t.tif").code == 2
    assert kappamask("evaluate", "--truth", "t.tif", "--mask", "m.tif", "--labelled", "x.npz").code == 2
    done = kappamask("evaluate", "--truth", tmp_path / "t.tif", "--mask", tmp_path / "m.tif")
    assert done.code == 1
    assert one_sentence(done.err)


@pytest.mark.shared_data
def test_the_network_is_scored_on_real_labels(kappamask, shared_data: Path) -> None:
    done = kappamask(
        "evaluate", "--labelled", shared_data / "labelled_l1c_cumulus_6band.npz", "--model", "compact", "--json"
    )
    summary = json.loads(done.out)
    assert summary["merge_thin"] is True
    assert summary["pixels"]["all"] == 512 * 512
    assert summary["dice"]["cloud"] > 0.5


# serve, archive, help


def test_serve_refuses_a_folder_without_scenes(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "kappamask.cli", "serve", "--scenes", str(tmp_path / "missing")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert one_sentence(ended.stderr)


def test_archive_is_built_where_it_is_wanted(kappamask, tmp_path: Path) -> None:
    summary = json.loads(kappamask("archive", "-o", tmp_path, "--json").out)
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [summary["bytes"]]
    assert Path(summary["archive"]).suffix == ".zip"


COMMANDS = [
    ["mask"],
    ["serve"],
    ["simulate"],
    ["train"],
    ["models", "export"],
    ["archive"],
    ["evaluate"],
    ["compare"],
    ["doctor"],
    ["models", "list"],
    ["models", "show"],
    ["models", "verify"],
]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_explains_itself_with_an_example(kappamask, words: list[str]) -> None:
    done = kappamask(*words, "--help")
    assert done.code == 0
    assert f"Example: kappamask {' '.join(words)}" in " ".join(done.out.split())


@pytest.mark.parametrize("words", COMMANDS)
def test_an_example_can_be_copied_from_a_terminal_of_80_characters(kappamask, monkeypatch, words: list[str]) -> None:
    """A line that goes on without a backslash would be two commands."""
    monkeypatch.setenv("COLUMNS", "80")
    example = kappamask(*words, "--help").out.partition("Example:")[2].strip()
    lines = [line.lstrip() for line in example.splitlines()]
    assert lines[0].startswith("kappamask ") and not lines[-1].endswith("\\")
    assert all(line.endswith(" \\") and len(line) < 78 for line in lines[:-1])


@pytest.mark.parametrize("words", [["mask"], ["submit"], ["models", "fetch"], ["models", "export"]])
def test_sentences_of_help_fill_the_terminal(kappamask, monkeypatch, words: list[str]) -> None:
    """Docstrings break their lines for 120 columns.

    A terminal of 80 would show every second line short.
    """
    monkeypatch.setenv("COLUMNS", "400")
    head = [line for line in kappamask(*words, "--help").out.partition("╭")[0].splitlines() if line.strip()]
    assert all(line.rstrip().endswith((".", "]", "}")) for line in head), head


def test_unknown_commands_are_wrong_use(kappamask) -> None:
    assert kappamask("frobnicate").code == 2


def test_the_choices_are_those_of_the_algorithm() -> None:
    assert {mode.value for mode in Radiometry} == {"auto", *MODES}


def test_help_loads_nothing_heavy() -> None:
    call = "import sys; sys.argv = ['kappamask', '--help']; from kappamask.cli import main"
    code = f"{call}\ntry: main()\nfinally: print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    loaded = set(ended.stdout.split())
    assert "kappamask.cli.mask" in loaded
    assert not loaded & {"numpy", "xarray", "rasterio", "dask", "onnxruntime", "openeo", "matplotlib"}


def test_a_missing_library_is_named_with_its_extra(scene: Path) -> None:
    words = ["mask", str(scene), "-o", str(scene.parent / "m.tif")]
    call = f"sys.argv = ['kappamask', *{words!r}]; from kappamask.cli import main; main()"
    code = f"import sys; sys.modules['rasterio'] = None; {call}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "[scenes]'" in ended.stderr and "pip install" in ended.stderr
    assert one_sentence(ended.stderr)


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_an_item_without_a_date_is_refused_before_the_mask_is_made(kappamask, tmp_path, brightness, more):
    scene, output = geotiff(tmp_path / "scene_L1C.tif"), tmp_path / "mask.tif"
    done = kappamask("mask", scene, "-o", output, "--model", brightness.folder, "--stac", *more)
    assert done.code == 1 and "no date" in done.err and one_sentence(done.err)
    assert not output.exists()
