"""`simulate`, `train` and `models export`: from real scenes to a card, at tiny size."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import one_sentence
from ground import write_data

from kappamask.datasets.real_scenes import read_sources
from kappamask.models import SceneError, load_card, read_weights
from kappamask.training.simulator.materials import BACKGROUNDS, PIXELS, check_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def test_tiles_follow_from_their_seed(kappamask, data: Path, tmp_path: Path) -> None:
    done = kappamask("simulate", "--data", data, "-o", tmp_path / "a", "--count", 2, "--first", 7, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["count"] == 2
    assert "simulate: 100 %" in done.err
    files = sorted((tmp_path / "a").iterdir())
    assert [f.name for f in files] == ["0000007.npy", "0000008.npy"]
    assert kappamask("simulate", "--data", data, "-o", tmp_path / "b", "--count", 1, "--first", 8).code == 0
    again = np.load(tmp_path / "b" / "0000008.npy")
    np.testing.assert_array_equal(again, np.load(files[1]))
    assert again.shape == (14, 512, 512) and again.dtype == np.uint16
    assert set(np.unique(again[13])) <= {1, 2, 3, 4}


def test_material_that_is_not_here_is_named_with_where_its_sources_are(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"python benchmarks/real_scenes\.py sources .* names the source of"):
        check_data(tmp_path)
    assert {Path(name).stem for name in BACKGROUNDS} <= {*read_sources()}


def test_a_gallery_is_drawn_and_the_realism_checks_are_printed(kappamask, data: Path, tmp_path: Path) -> None:
    picture = tmp_path / "g.png"
    done = kappamask("simulate", "--data", data, "-o", tmp_path / "t", "--count", 2, "--gallery", picture, "--check")
    assert done.code == 0, done.err
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "mean of B02" in done.out and "shadow: B08 and B11" in done.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.png", "t"]


@pytest.mark.parametrize("command", ["simulate", "train"])
def test_what_the_data_lack_is_named(kappamask, tmp_path: Path, command: str) -> None:
    if command == "train":
        pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kappamask-openeo[train]')")
    done = kappamask(command, "--data", tmp_path, "-o" if command == "simulate" else "--out", tmp_path / "out")
    assert done.code == 1
    assert PIXELS in done.err.splitlines()[-1]
    assert one_sentence(done.err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--count", 0], ["--first", -1]])
def test_counts_that_mean_nothing_are_wrong_use(kappamask, data: Path, tmp_path: Path, words: list[object]) -> None:
    assert kappamask("simulate", "--data", data, "-o", tmp_path, *words).code == 2


def test_published_sets_are_trained_on(kappamask, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kappamask-openeo[train]')")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (pip install 'kappamask-openeo[datasets]')")
    import labelled

    dn, codes = np.full((13, 64, 64), 1500, np.uint16), np.ones((64, 64), np.uint8)
    for i in range(9):
        labelled.kappazeta(tmp_path / "kz" / "May" / f"T35VLF_2020052{i}T094041_tile_1_1.nc", dn, codes)
    labelled.cloudsen12(tmp_path / "a.taco", {"a": (dn, codes, {"tortilla:data_split": "train"})})
    words = ["train", "--data", data, "--out", tmp_path / "run", "--tile-count", 1, "--batch", 1, "--threads", 1]
    sets = ["--dataset", f"kappazeta-north={tmp_path / 'kz'}", "--dataset", f"cloudsen12={tmp_path}"]
    done = kappamask(*words, *sets, "--steps", 2, "--real-share", 1)
    assert done.code == 0, done.err
    assert "step 2 " in done.out
    assert kappamask(*words, "--dataset", "kappaset").code == 2
    done = kappamask(*words, "--dataset", f"kappaset={tmp_path / 'none'}")
    assert done.code == 1 and "needed is the folder of kappaset" in done.err and one_sentence(done.err)


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--dataset", "unknown=set", 1),
        ("--start", "torn.pt", 1),
        ("--start", "torn.onnx", 1),
        ("--start", "absent.pt", 2),
        ("--architecture", "unet-9-9", 2),
    ],
)
def test_what_a_run_cannot_begin_with_is_refused_before_tiles_are_made(
    kappamask, data: Path, tmp_path: Path, option: str, value: str, code: int
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    for name in ("torn.pt", "torn.onnx"):
        (tmp_path / name).write_bytes(b"half")
    given = tmp_path / value if option == "--start" else value
    done = kappamask("train", "--data", data, "--out", tmp_path / "run", option, given)
    assert done.code == code, done.err
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_that_is_not_there_is_named(kappamask, tmp_path: Path) -> None:
    words = ("--data", tmp_path, "--tiles", tmp_path, "-o", tmp_path)
    done = kappamask("models", "export", tmp_path / "best.pt", *words)
    assert done.code == 2 and "--name" in done.err, "the id of the package's own network is no default"
    done = kappamask("models", "export", tmp_path / "best.pt", *words, "--name", "mine")
    assert done.code == 1 and one_sentence(done.err)
    assert f"No file {tmp_path / 'best.pt'}; needed is" in " ".join(done.err.split())


def test_the_first_line_comes_before_pytorch_is_loaded(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    words = ["train", "--grid", "paper", "--data", str(tmp_path), "--output", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-m", "kappamask.cli", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("PyTorch is loaded, which takes some seconds\n")


def test_a_run_is_resumed_and_exported(kappamask, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kappamask-openeo[train]')")
    pytest.importorskip("onnx")
    run = tmp_path / "run"
    words = ["train", "--data", data, "--out", run, "--tile-count", 2, "--batch", 1, "--threads", 1]
    done = kappamask(*words, "--steps", 1)
    assert done.code == 0, done.err
    assert "step 1 " in done.out and "score" in done.out
    assert "kappamask models export" in done.err
    done = kappamask(*words, "--steps", 2)
    assert "step 2 " in done.out and "step 1 " not in done.out and "train goes on: compact on cpu" in done.err
    again = kappamask(*words, "--steps", 2)
    assert again.code == 0 and "holds a finished run (2 steps" in again.err
    assert kappamask(*words, "--steps", 3, "--architecture", "unet-5-32").code == 2
    assert kappamask(*words, "--steps", 3, "--architecture", "unet").code == 2

    out = tmp_path / "models"
    words = ["models", "export", run / "last.pt", "--data", data, "--tiles", run / "tiles", "-o", out]
    owner = ("--title", "Tiny clouds", "--author", "Ada", "--license", "CC-BY-4.0")
    done = kappamask(*words, "--name", "tiny", "--shadow-odds", 1.65, *owner, "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert (summary["architecture"], summary["simulated_tiles"], summary["runs"][0]["step"]) == ("compact", 2, 2)
    assert 0.25 <= summary["calibration"]["temperature"] <= 8
    assert summary["runs"][0]["origin"]["seed"] == 1
    assert summary["odds"] == {"shadow": 1.65, "cloud": 1.0}
    card = load_card(out / "tiny.json")
    assert (card.id, card.stride, card.title, card.licence) == ("tiny", 16, "Tiny clouds", "CC-BY-4.0")
    assert card.provenance.startswith("Weights of Ada, trained") and "not KappaZeta's" in card.provenance
    assert len(read_weights(card)) == summary["size_bytes"]
    assert sorted(p.name for p in out.iterdir()) == ["tiny.json", "tiny.onnx"]
