import json
from pathlib import Path

import numpy as np
import pytest
from files import geotiff
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kappamask.datasets.arrays import read
from kappamask.evaluation import compute_rates, compute_scores, count_confusion
from kappamask.evaluation.files import evaluate_files, judge_labelled
from kappamask.evaluation.metrics import CLASSES
from kappamask.models import CubeError, ModelCard, SceneError
from kappamask.scenes import read_mask, write_mask
from kappamask.udf import to_scheme

CODES = st.sampled_from([0, 1, 2, 3, 4, 5, 255])
PAIRS = (
    st.integers(1, 40)
    .flatmap(lambda n: st.tuples(arrays(np.uint8, n, elements=CODES), arrays(np.uint8, n, elements=CODES)))
    .filter(lambda pair: np.isin(pair[0], [1, 2, 3, 4]).any())
)


def test_scores_of_a_case_worked_by_hand() -> None:
    truth = np.array([[1, 1, 1, 1, 2, 2, 4, 4, 0, 5, 255]])
    mask = np.array([[1, 1, 1, 2, 2, 4, 4, 5, 1, 4, 3]])
    found = compute_scores(truth, mask)
    assert found["pixels"] == {"clear": 4, "shadow": 2, "semi_transparent": 0, "cloud": 2, "all": 8}
    assert found["dice"] == pytest.approx(
        {"clear": 6 / 7, "shadow": 1 / 2, "semi_transparent": None, "cloud": 1 / 2, "all": (6 / 7 + 1) / 3}
    )
    assert found["precision"] == pytest.approx(
        {"clear": 1.0, "shadow": 1 / 2, "semi_transparent": None, "cloud": 1 / 2, "all": 2 / 3}
    )
    assert found["recall"] == pytest.approx(
        {"clear": 3 / 4, "shadow": 1 / 2, "semi_transparent": None, "cloud": 1 / 2, "all": 7 / 12}
    )
    assert found["overall_accuracy"] == pytest.approx(
        {"clear": 7 / 8, "shadow": 6 / 8, "semi_transparent": None, "cloud": 6 / 8, "all": 19 / 24}
    )


@given(PAIRS)
def test_scores_follow_their_definitions(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, mask = pair
    found = compute_scores(truth, mask)
    kept = [(int(t), int(m)) for t, m in zip(truth, mask, strict=True) if t in (1, 2, 3, 4)]
    for name, code in CLASSES.items():
        hits = sum(t == m == code for t, m in kept)
        true, said = sum(t == code for t, _ in kept), sum(m == code for _, m in kept)
        right = sum((t == code) == (m == code) for t, m in kept)
        assert found["dice"][name] == (pytest.approx(2 * hits / (true + said)) if true + said else None)
        assert found["precision"][name] == (pytest.approx(hits / said) if said else None)
        assert found["recall"][name] == (pytest.approx(hits / true) if true else None)
        assert found["overall_accuracy"][name] == (pytest.approx(right / len(kept)) if true + said else None)


@given(PAIRS, PAIRS)
def test_counts_of_parts_add_up(one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray]) -> None:
    whole = [np.concatenate(parts) for parts in zip(one, two, strict=True)]
    np.testing.assert_array_equal(count_confusion(*whole), count_confusion(*one) + count_confusion(*two))
    assert compute_rates(count_confusion(*one) + count_confusion(*two)) == compute_scores(*whole)


@given(PAIRS)
def test_merging_thin_is_scoring_with_thin_relabelled(pair: tuple[np.ndarray, np.ndarray]) -> None:
    relabelled = [np.where(codes == 3, 4, codes) for codes in pair]
    merged = compute_scores(*pair, merge_thin=True)
    assert merged == compute_scores(*relabelled)
    assert merged["dice"]["semi_transparent"] is None
    assert merged["pixels"]["semi_transparent"] == 0


def test_a_perfect_mask_has_perfect_scores() -> None:
    truth = np.array([1, 2, 3, 4, 0])
    found = compute_scores(truth, truth)
    assert all(set(found[key].values()) == {1.0} for key in ("dice", "precision", "recall", "overall_accuracy"))


@pytest.mark.parametrize(
    ("truth", "mask", "message"),
    [
        ([1, 1], [1], "shape"),
        ([0, 5, 255], [1, 1, 1], "labels no pixel"),
        ([1, 9], [1, 1], r"\[9\] are no"),
        ([1], [7], r"\[7\]"),
    ],
)
def test_what_cannot_be_scored_is_refused(truth: list[int], mask: list[int], message: str) -> None:
    with pytest.raises(CubeError, match=message):
        compute_scores(np.array(truth), np.array(mask))


# files


def test_files_are_scored_on_one_grid_only(tmp_path: Path) -> None:
    codes = np.arange(24, dtype=np.uint8).reshape(1, 4, 6) % 5
    truth = geotiff(tmp_path / "truth.tif", codes, (None,))
    mask = geotiff(tmp_path / "mask.tif", np.flip(codes, axis=2), (None,))
    assert evaluate_files(truth, mask) == compute_scores(codes[0], np.flip(codes, axis=2)[0])
    elsewhere = geotiff(tmp_path / "else.tif", codes, (None,), crs="EPSG:32636")
    with pytest.raises(SceneError, match="EPSG:32636"):
        evaluate_files(truth, elsewhere)
    with pytest.raises(SceneError, match="warp one"):
        evaluate_files(truth, geotiff(tmp_path / "small.tif", codes[:, :3], (None,)))


@pytest.mark.parametrize("scheme", ["CMIX", "FMSC", "Fmask"])
def test_files_in_another_scheme_are_translated(tmp_path: Path, scheme: str) -> None:
    codes = np.repeat([1, 2, 4], 8)[:, None] * np.ones(24, np.uint8)
    truth = geotiff(tmp_path / "truth.tif", codes[None].astype(np.uint8), (None,))
    write_mask(to_scheme(read_mask(truth), scheme), tmp_path / "mask.tif")
    assert evaluate_files(truth, tmp_path / "mask.tif")["dice"]["all"] == 1


# labelled images


def chip(path: Path, **arrays: np.ndarray) -> Path:
    dn = np.full((48, 48, 4), 1500, np.uint16)
    dn[:16], dn[16:32] = 200, 6000
    truth = np.ones((48, 48), np.uint8)
    truth[:16], truth[16:32] = 2, 4
    np.savez(path, **{"dn": dn, "bands": np.array(["B02", "B03", "B04", "B08"]), "gt_kappa": truth, **arrays})
    return path


def test_a_labelled_image_is_masked_and_scored(tmp_path: Path, brightness: ModelCard) -> None:
    judged = judge_labelled(chip(tmp_path / "labelled_l1c_x.npz"), model=str(brightness.folder))
    found = judged.scores
    assert judged.merges_thin
    assert found["dice"]["cloud"] > 0.9
    assert found["dice"]["shadow"] > 0.9
    assert found["dice"]["semi_transparent"] is None
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "level"), [("x_l2a", "L2A"), ("S_L2A_1", "L2A"), ("labelled_l1c_x", "L1C"), ("x", "L1C"), ("xl2a", "L1C")]
)
def test_the_level_is_a_word_of_the_name(tmp_path: Path, name: str, level: str) -> None:
    assert read(chip(tmp_path / f"{name}.npz")).level == level


@pytest.mark.parametrize("thin", [True, False])
def test_thin_cloud_is_judged_where_it_is_labelled(tmp_path: Path, brightness: ModelCard, thin: bool) -> None:
    truth = np.ones((48, 48), np.uint8)
    truth[16:32] = 3 if thin else 4
    path = chip(tmp_path / "labelled_l1c_x.npz", gt_kappa=truth)
    model = str(brightness.folder)
    assert judge_labelled(path, model=model).merges_thin is not thin
    assert judge_labelled(path, model=model, merge_thin=True).merges_thin
    assert not judge_labelled(path, model=model, merge_thin=False).merges_thin


@pytest.mark.parametrize(
    "arrays",
    [
        {"dn": np.zeros((2, 48, 48, 4), np.uint16)},
        {"gt_kappa": np.zeros((9, 9))},
        {"bands": np.array(["B02"])},
        {"dn": np.array(None)},
    ],
)
def test_other_images_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(SceneError, match=r"x\.npz"):
        read(chip(tmp_path / "x.npz", **arrays))


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", dn=np.zeros(3))
    (tmp_path / "y.npz").write_text("text")
    (tmp_path / "z.npz").write_bytes(chip(tmp_path / "whole.npz").read_bytes()[:700])
    with pytest.raises(SceneError, match=r"No file .*missing\.npz; needed is a \.npz with dn, bands and one of"):
        read(tmp_path / "missing.npz")
    for name in ("x", "y", "z"):
        with pytest.raises(
            SceneError, match=rf"{name}\.npz .*needed is a \.npz with dn, bands and one of gt_kappa, sets"
        ):
            read(tmp_path / f"{name}.npz")


@pytest.mark.shared_data
def test_real_labels_are_read(shared_data: Path) -> None:
    found = read(shared_data / "labelled_l1c_cumulus_6band.npz")
    assert found.reflectance.shape == (6, 512, 512)
    assert set(np.unique(found.truth)) == {1, 2, 4}
    assert found.merges_thin
