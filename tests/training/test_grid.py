"""`kappamask train --grid`: the paper's table of architectures, end to end on small simulated sets."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import one_sentence
from ground import field, write_data
from labelled import cloudsen12

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kappamask-openeo[train]')")

# ruff: noqa: E402

from kappamask.evaluation.paper import read_paper
from kappamask.training import architecture_table
from kappamask.training.simulator.paint import paint_clouds

CODES = np.array([99, 0, 3, 2, 1], np.uint8)
"""CloudSEN12's codes of ours."""
TINY = "unet-5-2,unetpp-5-2,compact"


@pytest.fixture(scope="module")
def simulated_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Painted clouds over clear land, in the format of CloudSEN12, with all parts."""
    folder, patches = tmp_path_factory.mktemp("set"), {}
    for seed, split in enumerate(("train", "train", "validation", "test", "test")):
        scene, truth = paint_clouds(field(64, seed), seed, coverage=0.5)
        numbers = (scene * 10_000).round().astype(np.uint16)
        patches[f"p{seed}"] = (numbers, CODES[truth], {"tortilla:data_split": split})
    cloudsen12(folder / "small.taco", patches)
    return folder


def words(data: object, out: Path, steps: int = 1, names: str = TINY) -> list[object]:
    given = ["train", "--grid", names, "--data", data, "--out", out, "--steps", steps]
    return [*given, "--batch", 1, "--threads", 1]


def test_the_grid_is_the_papers_table() -> None:
    printed = [(one["architecture"], one["depth"], one["filters"]) for one in read_paper()["architectures"]]
    kinds = {"unet": "U-Net", "unetpp": "U-Net++"}
    ours = [name.split("-") for name in architecture_table.parse_architectures("paper")]
    assert [(kinds[kind], int(depth), int(filters)) for kind, depth, filters in ours] == printed


@pytest.mark.parametrize("named", ["", " , ", "compact,compact", "papers", "unet-4-64", "unet-5-0", "unet-5-64x"])
def test_what_is_no_grid_is_refused(named: str) -> None:
    with pytest.raises(ValueError, match=r"A grid is one of paper|No architecture"):
        architecture_table.parse_architectures(named)


def test_architectures_are_trained_and_judged_on_a_set(kappamask, simulated_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid"
    done = kappamask(*words(f"cloudsen12={simulated_set}", out))
    assert done.code == 0, done.err
    assert done.out == (out / "grid.md").read_text(encoding="utf-8")
    head, _, unet, nested, compact = done.out.splitlines()
    assert head.startswith("| Architecture | Depth | Filters | Parameters | Clear | Cloud shadow | Semi-transparent |")
    assert unet.startswith("| U-Net | 5 | 2 | ") and nested.startswith("| U-Net++ | 5 | 2 | ")
    assert compact.startswith("| compact | – | – | ")
    found = json.loads((out / "grid.json").read_text())
    assert found["plan"]["datasets"] == [["cloudsen12", str(simulated_set)]]
    for row in found["rows"]:
        classes = [value for name, value in row["test"].items() if name != "all" and value is not None]
        assert row["test"]["all"] == pytest.approx(np.mean(classes))
        assert row["steps"] == 1 and row["patches"] == 2 and 0 <= row["validation"] <= 1
        assert (out / row["architecture"] / "best.pt").is_file()

    marks = {path: path.stat().st_mtime_ns for path in out.glob("*/best.pt")}
    again = kappamask(*words(f"cloudsen12={simulated_set}", out))
    assert again.out == done.out and marks == {path: path.stat().st_mtime_ns for path in out.glob("*/best.pt")}


def test_a_grid_goes_on_where_it_was_cut_off(kappamask, simulated_set: Path, tmp_path: Path) -> None:
    data, cut, whole = f"cloudsen12={simulated_set}", tmp_path / "cut", tmp_path / "whole"
    assert kappamask(*words(data, whole, 2)).code == 0
    assert kappamask(*words(data, cut, 1, "unet-5-2")).code == 0
    done = kappamask(*words(data, cut, 2))
    assert done.code == 0, done.err
    rows = [json.loads((out / "grid.json").read_text())["rows"] for out in (whole, cut)]
    assert [row["test"] for row in rows[0]] == [row["test"] for row in rows[1]]
    assert [row["steps"] for row in rows[1]] == [2] * 3
    other = kappamask(*words(data, cut, 2), "--seed", 7)
    assert other.code == 1 and one_sentence(other.err.splitlines(keepends=True)[-1])
    assert "holds a grid of {'seed': 1}" in other.err


def test_without_a_set_simulated_tiles_are_judged_that_are_not_trained_on(
    kappamask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(architecture_table, "TILES", 1)
    monkeypatch.setattr(architecture_table, "SIDE", 64)
    data, out = write_data(tmp_path / "data"), tmp_path / "grid"
    done = kappamask(*words(data, out, 1, "unet-5-2"), "--tile-count", 1)
    assert done.code == 0, done.err
    (row,) = json.loads((out / "grid.json").read_text())["rows"]
    assert row["patches"] == 1 and row["test"]["all"] is not None
    assert [path.name for path in (out / "tiles").iterdir()] == ["0000000.npy"]
    assert "| U-Net | 5 | 2 |" in done.out


@pytest.mark.parametrize("more", [["--start", "x.pt", "--steps", 1], []])
def test_what_a_grid_does_not_take_is_wrong_use(kappamask, tmp_path: Path, more: list[object]) -> None:
    done = kappamask("train", "--grid", "paper", "--data", tmp_path, "--out", tmp_path / "out", *more)
    assert done.code == 2 and not (tmp_path / "out").exists()


def test_a_set_without_a_part_is_refused(kappamask, tmp_path: Path) -> None:
    one = (np.full((13, 32, 32), 1500, np.uint16), np.zeros((32, 32), np.uint8), {"tortilla:data_split": "train"})
    cloudsen12(tmp_path / "x.taco", {"a": one})
    done = kappamask(*words(f"cloudsen12={tmp_path}", tmp_path / "out"))
    assert done.code == 1 and "no patch of its validation part" in done.err and one_sentence(done.err)
    assert not (tmp_path / "out").exists()
