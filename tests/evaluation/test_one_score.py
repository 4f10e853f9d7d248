"""One mask has one score, whichever command gives it."""

import json
from pathlib import Path

import numpy as np
import pytest
from files import BANDS, digits, geotiff

from kappamask.evaluation.files import evaluate_files

CLASSES = ("clear", "shadow", "semi_transparent", "cloud", "all")


def codes(*, thin: bool) -> np.ndarray:
    made = np.ones((96, 80), np.uint8)
    made[10:40, 10:40], made[50:60, 5:30] = 4, 2
    if thin:
        made[30:45, 30:50] = 3
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a truth without thin cloud, twice, and a mask with some."""
    geotiff(tmp_path / "truth.tif", codes(thin=False)[None], (None,))
    geotiff(tmp_path / "labelled_scene_KappaMask.tif", codes(thin=True)[None], (None,))
    labelled = {"dn": digits().transpose(1, 2, 0), "bands": np.array(BANDS), "gt_kappa": codes(thin=False)}
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "labelled_scene.npz", **labelled)
    return tmp_path


def dice_of(outcome) -> dict[str, float | None]:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)["dice"]


def test_thin_cloud_is_cloud_where_the_truth_holds_none(folder: Path, kappamask) -> None:
    files = ("--truth", folder / "truth.tif", "--mask", folder / "labelled_scene_KappaMask.tif")
    alone = dice_of(kappamask("evaluate", *files, "--json"))
    both = np.where(codes(thin=True) == 3, 4, codes(thin=True)) == 4
    true = codes(thin=False) == 4
    assert alone["cloud"] == pytest.approx(2 * (both & true).sum() / (both.sum() + true.sum()))
    assert alone["semi_transparent"] is None
    dice = dice_of(kappamask("evaluate", *files, "--json", "-o", folder / "page"))
    merged = dice_of(kappamask("evaluate", *files, "--json", "--merge-thin"))
    peer = f"KappaMask={folder}"
    words = ("--data", folder / "data", "--peers", peer, "-o", folder / "compared", "--json")
    outcome = kappamask("compare", *words)
    assert outcome.code == 0, outcome.err
    compared = json.loads(outcome.out)
    found = next(one for one in compared["sets"] if one["peers"])["peers"][0]["views"]["merged"]["dice"]
    for name in ("clear", "shadow", "cloud", "all"):
        assert alone[name] == pytest.approx(dice[name]) == pytest.approx(merged[name]) == pytest.approx(found[name])


def test_it_is_said_and_can_be_undone(folder: Path, kappamask) -> None:
    files = ("--truth", folder / "truth.tif", "--mask", folder / "labelled_scene_KappaMask.tif")
    assert "the truth does not tell them apart" in kappamask("evaluate", *files).out
    apart = kappamask("evaluate", *files, "--no-merge-thin")
    assert "counted as cloud" not in apart.out
    found = evaluate_files(files[1], files[3], merge_thin=False)["dice"]
    assert found["semi_transparent"] == 0.0
    assert evaluate_files(files[1], files[3])["dice"]["semi_transparent"] is None


def test_a_truth_that_tells_thin_cloud_is_judged_by_it(folder: Path, kappamask) -> None:
    files = ("--truth", folder / "labelled_scene_KappaMask.tif", "--mask", folder / "truth.tif")
    scores = json.loads(kappamask("evaluate", *files, "--json").out)
    assert scores["merge_thin"] is False
    assert scores["dice"]["semi_transparent"] == 0.0
