"""One mask has one score, whichever command gives it."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from files import BANDS, digits, geotiff

from kappamask.evaluation.files import evaluate_files, judge_files
from kappamask.models import SceneError
from kappamask.scenes import write_mask
from kappamask.udf import to_scheme

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


NAMES = ("clear", "shadow", "semi_transparent", "cloud")


def write_in_scheme(path: Path, found: np.ndarray, scheme: str) -> Path:
    place = {"y": 5e6 - 5 - 10.0 * np.arange(96), "x": 5e5 + 5 + 10.0 * np.arange(80)}
    mask = xr.DataArray(found, dims=("y", "x"), coords=place).rio.write_crs(32631)
    return write_mask(to_scheme(mask, scheme), path)[0]


@pytest.mark.parametrize("thin", [True, False])
@pytest.mark.parametrize("scheme", ["S2cloudless", "Fmask", "SCL", "CloudSEN12"])
def test_a_mask_is_scored_in_the_classes_of_its_scheme(tmp_path: Path, kappamask, scheme: str, thin: bool) -> None:
    """A class that it cannot have is not scored with 0, as `compare` does not."""
    (tmp_path / "data").mkdir()
    labelled = {"dn": digits().transpose(1, 2, 0), "bands": np.array(BANDS), "gt_kappa": codes(thin=thin)}
    np.savez(tmp_path / "data" / "labelled_scene.npz", **labelled)
    mask = write_in_scheme(tmp_path / f"labelled_scene_{scheme}.tif", np.roll(codes(thin=True), 3, axis=0), scheme)
    truth = write_in_scheme(tmp_path / "truth.tif", codes(thin=thin), "CMIX")
    outcome = kappamask("evaluate", "--truth", truth, "--mask", mask, "--json")
    alone = dice_of(outcome)
    assert alone == dice_of(kappamask("evaluate", "--truth", truth, "--mask", mask, "--json", "-o", tmp_path / "page"))
    words = ("--data", tmp_path / "data", "--peers", f"{scheme}={tmp_path}", "-o", tmp_path / "compared", "--json")
    (peer,) = json.loads(kappamask("compare", *words).out)["sets"][0]["peers"]
    assert alone == pytest.approx(peer["views"]["classes"]["dice"], nan_ok=True)
    lacking = [name for name in NAMES if name not in peer["tells"]]
    assert json.loads(outcome.out)["not_scored"] == lacking
    assert all(alone[name] is None for name in lacking)
    said = kappamask("evaluate", "--truth", truth, "--mask", mask).out
    assert ("no such class: " + ", ".join(lacking) in said) == bool(lacking)


def test_shadow_is_clear_where_the_scheme_of_the_truth_has_none(tmp_path: Path, kappamask) -> None:
    truth = write_in_scheme(tmp_path / "truth.tif", codes(thin=True), "S2cloudless")
    mask = write_in_scheme(tmp_path / "mask.tif", codes(thin=True), "CMIX")
    said = kappamask("evaluate", "--truth", truth, "--mask", mask)
    assert "shadow counted as clear" in said.out
    assert evaluate_files(truth, mask)["dice"]["all"] == 1
    assert judge_files(truth, mask).scores["dice"]["all"] == 1


def test_codes_without_a_scheme_are_said_to_be_taken_for_ours(tmp_path: Path, kappamask) -> None:
    named = write_in_scheme(tmp_path / "named.tif", codes(thin=True), "Fmask")
    with rasterio.open(named) as file:
        place = {"crs": file.crs, "transform": file.transform}
    geotiff(tmp_path / "truth.tif", codes(thin=False)[None], (None,), **place)
    said = kappamask("evaluate", "--truth", tmp_path / "truth.tif", "--mask", named).out
    assert "no scheme is named in: truth.tif" in said
    assert "named.tif" not in said


@pytest.mark.parametrize("wrong", ["truth.tif", "labelled_scene_KappaMask.tif"])
def test_the_file_with_unknown_codes_is_named(folder: Path, wrong: str) -> None:
    geotiff(folder / wrong, codes(thin=False)[None] + np.uint8(20), (None,))
    with pytest.raises(SceneError, match=f"{wrong}: .*21, 22"):
        evaluate_files(folder / "truth.tif", folder / "labelled_scene_KappaMask.tif")


def test_a_mask_of_yes_and_no_is_asked_about(tmp_path: Path, kappamask) -> None:
    """1 is cloud in most masks of two classes, and clear in KappaMask's."""
    geotiff(tmp_path / "truth.tif", codes(thin=False)[None], (None,))
    cloud = (codes(thin=False) == 4).astype(np.uint8)
    words = ("evaluate", "--truth", tmp_path / "truth.tif", "--mask", tmp_path / "m.tif", "--json")
    for more in ((), ("-o", tmp_path / "page")):
        geotiff(tmp_path / "m.tif", cloud[None], (None,))
        refused = kappamask(*words, *more)
        assert refused.code == 1
        assert "m.tif names no scheme and holds only 0 and 1" in refused.err
        assert "gdal_edit.py -mo scheme=S2cloudless m.tif" in refused.err
        geotiff(tmp_path / "m.tif", cloud[None], (None,), tags={"scheme": "S2cloudless"})
        assert dice_of(kappamask(*words, *more))["cloud"] == 1.0
    geotiff(tmp_path / "m.tif", cloud[None], (None,), tags={"scheme": "KappaMask"})
    assert dice_of(kappamask(*words))["cloud"] < 1.0
    geotiff(tmp_path / "truth.tif", np.where(codes(thin=False) == 1, 1, 0).astype(np.uint8)[None], (None,))
    geotiff(tmp_path / "m.tif", cloud[None], (None,))
    assert kappamask(*words).code == 0  # nothing but clear ground is labelled


def test_a_mask_without_a_place_is_scored_by_rows_and_it_is_said(tmp_path: Path, kappamask) -> None:
    geotiff(tmp_path / "truth.tif", codes(thin=True)[None], (None,))
    geotiff(tmp_path / "m.tif", codes(thin=True)[None], (None,), crs=None, transform=rasterio.Affine.identity())
    words = ("evaluate", "--truth", tmp_path / "truth.tif", "--mask")
    note = "rows taken to run from north to south, for there is no georeference in: m.tif"
    assert note in kappamask(*words, tmp_path / "m.tif").out
    for more in ((), ("-o", tmp_path / "page")):
        found = json.loads(kappamask(*words, tmp_path / "m.tif", "--json", *more).out)
        assert (found["without_scheme"], found["without_georeference"]) == (["truth", "mask"], ["mask"])
    assert "georeference" not in kappamask(*words, tmp_path / "truth.tif").out


def test_the_band_that_is_called_mask_is_the_one_to_take(tmp_path: Path) -> None:
    both = np.stack([codes(thin=True) * 20, codes(thin=True)])
    path = geotiff(tmp_path / "m.tif", both, ("probability", "mask"))
    with pytest.raises(SceneError, match=r"gdal_translate -b 2 -ot Byte m\.tif mask\.tif makes it of band 2"):
        evaluate_files(path, path)
