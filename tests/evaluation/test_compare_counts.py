"""What `kappamask compare` counts: against scikit-learn, searches by brute force, and cases worked by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn

from kappamask.evaluation import compute_rates, count_confusion
from kappamask.evaluation.boundary import compute_boundary_f1, count_edge_pixels, find_edges, remove_edge_band
from kappamask.evaluation.class_groups import VIEWS
from kappamask.evaluation.confidence import bootstrap, bootstrap_difference, compute_dice, compute_percentile_interval
from kappamask.evaluation.counts import (
    BINS,
    ConfusionCounts,
    MergedClasses,
    compute_calibration_error,
    count_blocks,
    count_reliability,
)
from kappamask.evaluation.metrics import CLASSES
from kappamask.evaluation.strata import classify_by_cloud, score_strata
from kappamask.evaluation.summary import score_distribution, share_of_patches
from kappamask.models import CubeError

JUDGED = st.sampled_from([1, 2, 3, 4])
PAIRS = st.integers(4, 60).flatmap(
    lambda n: st.tuples(arrays(np.uint8, n, elements=JUDGED), arrays(np.uint8, n, elements=JUDGED))
)
SMALL = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 4, 255]))
)


def is_equal(value: float | None, expected: float) -> bool:
    return value == pytest.approx(expected, abs=1e-12)


# scores


@given(PAIRS)
def test_scores_are_those_of_scikit_learn(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, mask = pair
    found = compute_rates(count_confusion(truth, mask))
    for name, code in CLASSES.items():
        true, said = truth == code, mask == code
        if not (true.any() and said.any()):
            continue
        assert is_equal(found["dice"][name], sklearn.f1_score(true, said))
        assert is_equal(found["precision"][name], sklearn.precision_score(true, said))
        assert is_equal(found["recall"][name], sklearn.recall_score(true, said))
        assert is_equal(found["overall_accuracy"][name], sklearn.accuracy_score(true, said))
        assert is_equal(found["iou"][name], sklearn.jaccard_score(true, said))
        if not true.all():
            assert is_equal(found["balanced_accuracy"][name], sklearn.balanced_accuracy_score(true, said))


@given(PAIRS)
def test_the_mean_over_all_classes_is_the_macro_average(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, mask = pair
    present = np.union1d(truth, mask)
    assert is_equal(
        compute_rates(count_confusion(truth, mask))["dice"]["all"],
        sklearn.f1_score(*pair, labels=present, average="macro"),
    )


# views


@given(PAIRS)
def test_views_are_scores_of_masks_that_were_merged_before(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, mask = pair
    matrix = count_confusion(truth, mask)
    assert VIEWS["classes"].scores(matrix) == compute_rates(matrix)
    for view in VIEWS.values():
        assert sorted(code for group in view.groups.values() for code in group) == [1, 2, 3, 4]
        found = view.scores(matrix)
        for name, group in view.groups.items():
            true, said = np.isin(truth, group), np.isin(mask, group)
            if true.any() and said.any():
                assert is_equal(found["dice"][name], sklearn.f1_score(true, said))


def test_missing_pixels_of_a_mask_stay_wrong_in_every_view() -> None:
    matrix = count_confusion([1, 2, 3, 4], [5, 5, 5, 5])
    for view in VIEWS.values():
        assert set(view.scores(matrix)["recall"].values()) == {0.0}


@pytest.mark.parametrize(
    ("view", "predicts", "judged"),
    [
        ("classes", (1, 4), ("clear", "cloud")),
        ("classes", (1, 2, 4), ("clear", "shadow", "cloud")),
        ("merged", (1, 4), ("clear", "cloud")),
        ("cloud", (1, 4), ("no_cloud", "cloud")),
        ("valid", (1, 4), ()),
        ("valid", (1, 2, 4), ("valid", "invalid")),
        ("shadow", (1, 4), ()),
    ],
)
def test_a_mask_is_judged_by_the_classes_that_it_has(view: str, predicts: tuple, judged: tuple) -> None:
    assert VIEWS[view].scored_groups(predicts) == judged
    found = VIEWS[view].scores(count_confusion([1, 2, 3, 4], [1, 1, 4, 4]), predicts)
    assert tuple(name for name, value in found["recall"].items() if value is not None and name != "all") == judged


def test_a_mask_without_shadow_and_thin_cloud_has_the_paper_s_mean_of_two() -> None:
    found = VIEWS["classes"].scores(count_confusion([1, 1, 2, 3, 4], [1, 4, 1, 4, 4]), (1, 4))
    assert found["precision"]["clear"] == 1 / 2
    assert found["precision"]["cloud"] == pytest.approx(1 / 3), "thin cloud in the truth counts against it"
    assert found["precision"]["all"] == pytest.approx(5 / 12)


# edges


@given(SMALL)
def test_edges_are_where_judged_neighbours_differ(codes: np.ndarray) -> None:
    expected = np.zeros(codes.shape, bool)
    for line, out in ((codes, expected), (codes.T, expected.T)):
        for y, (one, other) in enumerate(pairwise(line)):
            for x in range(line.shape[1]):
                if {one[x], other[x]} <= {1, 2, 4} and one[x] != other[x]:
                    out[y : y + 2, x] = True
    np.testing.assert_array_equal(find_edges(codes), expected)


@given(SMALL, st.sampled_from([1, 2, 5]))
def test_bands_reach_so_many_pixels_on_either_side(codes: np.ndarray, width: int) -> None:
    ys, xs = np.nonzero(find_edges(codes))
    found = remove_edge_band(codes, width)
    for y, x in np.ndindex(codes.shape):
        near = len(ys) and np.hypot(ys - y, xs - x).min() <= width - 1
        assert found[y, x] == (0 if near else codes[y, x])


def test_a_straight_edge_loses_a_band_on_both_sides() -> None:
    truth = np.repeat([[1] * 8 + [4] * 8], 5, axis=0).astype(np.uint8)
    for width in (1, 2, 5):
        assert (remove_edge_band(truth, width) == 0).sum(axis=1).tolist() == [2 * width] * 5
    np.testing.assert_array_equal(remove_edge_band(truth, 0), truth)


def test_an_edge_is_found_two_pixels_off_and_lost_at_four() -> None:
    truth = np.repeat([[1] * 20 + [4] * 20], 12, axis=0).astype(np.uint8)
    for off, expected in ((0, 1.0), (2, 1.0), (4, 0.0)):
        mask = np.repeat([[1] * (20 + off) + [4] * (20 - off)], 12, axis=0).astype(np.uint8)
        assert compute_boundary_f1(count_edge_pixels(truth, mask))["cloud"] == expected
    assert compute_boundary_f1(count_edge_pixels(truth, truth)) == {
        "clear": 1.0, "shadow": None, "semi_transparent": None, "cloud": 1.0, "all": 1.0
    }  # fmt: skip


def test_edges_worked_by_hand() -> None:
    truth, mask = np.array([[1, 1, 1, 1, 1, 1, 1, 4, 4]], np.uint8), np.array([[4, 1, 1, 1, 1, 1, 4, 4, 4]], np.uint8)
    counts = count_edge_pixels(truth, mask)
    assert counts[3].tolist() == [1, 2, 1, 1], "of two edges of cloud in the mask one is near that of the truth"
    assert compute_boundary_f1(counts)["cloud"] == pytest.approx(2 * 0.5 * 1 / 1.5)


# spread


def test_patches_are_low_middling_and_high() -> None:
    found = score_distribution([0.0, 0.05, 0.1, 0.5, 0.9, None, 1.0, 0.95])
    assert found == {"median": 0.5, "low": 2 / 7, "middle": 2 / 7, "high": 3 / 7, "patches": 7}
    assert score_distribution([None])["patches"] == 0


def test_shares_of_patches_are_of_the_questions_that_a_mask_answers() -> None:
    patches = [count_confusion([1, 1, 4, 4], mask) for mask in ([1, 1, 4, 4], [1, 1, 1, 1], [1, 1, 1, 4])]
    found = share_of_patches(patches, (1, 4))
    assert found["cloud"]["recall"] == pytest.approx(
        {"median": 0.5, "low": 1 / 3, "middle": 1 / 3, "high": 1 / 3, "patches": 3}
    )
    assert found["cloud"]["precision"]["patches"] == 2
    assert found["invalid"]["recall"]["patches"] == 0


# strata


def test_scenes_are_sorted_by_the_cloud_of_their_truth() -> None:
    truths = {"all_clear": [1, 1], "all_cloud": [3, 4], "thin_cloud_only": [1, 3], "mixed": [1, 4]}
    for name, truth in truths.items():
        assert classify_by_cloud(count_confusion(truth, [1, 4])) == {name}
    assert classify_by_cloud(count_confusion([3, 3], [1, 4])) == {"all_cloud", "thin_cloud_only"}
    assert classify_by_cloud(count_confusion([1, 2], [1, 1])) == {"mixed"}, "shadow without its cloud is not all clear"


def test_false_alarms_over_clear_ground_are_counted_by_land_cover() -> None:
    scenes = [
        count_confusion([1] * 8, [1] * 6 + [3, 5]),
        count_confusion([1] * 8, [1] * 8),
        count_confusion([1, 1, 4, 4], [4, 2, 4, 1]),
    ]
    named = dict(zip("abc", scenes, strict=True))
    found = score_strata(named, groups={"a": "one", "b": "one", "c": "two"})
    assert [*found] == ["all_clear", "mixed"]
    assert found["all_clear"] | {"dice": {}} == {"scenes": 2, "groups": 1, "false": 1 / 16, "missed": None, "dice": {}}
    assert found["all_clear"]["dice"]["clear"] == pytest.approx(2 * 14 / (16 + 14))
    assert (found["mixed"]["false"], found["mixed"]["missed"]) == (1 / 2, 1 / 2)
    binary = score_strata(named, (1, 2))["mixed"]
    assert (binary["false"], binary["missed"], binary["dice"]["cloud"]) == (None, None, None)


def test_a_scene_is_of_one_stratum_by_cloud_and_of_any_number_by_ground() -> None:
    scenes = {
        "a": count_confusion([1, 1], [1, 4]),
        "b": count_confusion([1, 4], [1, 4]),
        "c": count_confusion([4, 4], [1, 4]),
    }
    found = score_strata(scenes, grounds={"a": {"snow", "low_sun"}, "b": {"snow", "thin_cloud_only"}})
    assert {name: one["scenes"] for name, one in found.items()} == {
        "all_clear": 1, "all_cloud": 1, "thin_cloud_only": 1, "mixed": 1, "snow": 2, "low_sun": 1,
    }  # fmt: skip
    assert found["snow"]["false"] == pytest.approx(1 / 3) and found["snow"]["missed"] == 0


# scores of the network


def test_calibration_error_worked_by_hand() -> None:
    scores = np.zeros((4, 1, 10))
    scores[0], scores[3] = 0.8, 0.2
    truth = np.array([[1] * 6 + [4] * 4], np.uint8)
    bins = count_reliability(scores, truth)
    assert bins.sum(axis=0) == pytest.approx([10, 8, 6])
    assert compute_calibration_error(bins) == pytest.approx(0.2)
    assert compute_calibration_error(bins + count_reliability(scores, np.array([[1] * 10], np.uint8))) == pytest.approx(
        0.0
    )
    assert compute_calibration_error(np.zeros((BINS, 3))) is None


def test_merged_clouds_add_their_scores_and_pixels_without_data_do_not_count() -> None:
    scores = np.array([0.4, 0.0, 0.3, 0.3])[:, None, None] * np.ones((4, 1, 3))
    scores[:, 0, 2] = np.nan
    bins = count_reliability(scores, np.array([[4, 3, 4]], np.uint8), merge_thin=True)
    assert bins.sum(axis=0) == pytest.approx([2, 1.2, 2])
    assert compute_calibration_error(bins) == pytest.approx(0.4)


# intervals


def dice(matrix: np.ndarray) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in compute_rates(matrix)["dice"].values()])


def stacked_dice(matrices: np.ndarray) -> np.ndarray:
    return np.stack([dice(matrix) for matrix in matrices])


def test_equal_scenes_have_no_spread_and_differing_ones_enclose_the_pooled_score() -> None:
    same_scene = count_confusion([1, 1, 4, 4], [1, 4, 4, 4])
    low, high = compute_percentile_interval(bootstrap([same_scene] * 5, stacked_dice, 50))
    np.testing.assert_allclose(low, dice(same_scene))
    np.testing.assert_allclose(high, dice(same_scene))
    scenes = [count_confusion([1, 1, 4, 4], mask) for mask in ([1, 1, 4, 4], [4, 4, 4, 4], [1, 1, 1, 4], [1, 1, 4, 4])]
    low, high = compute_percentile_interval(bootstrap(scenes, stacked_dice, 400))
    pooled = dice(sum(scenes))
    defined = np.isfinite(pooled)
    assert (low[defined] < pooled[defined]).all() and (pooled[defined] < high[defined]).all()
    assert np.isnan(low[~defined]).all()
    np.testing.assert_array_equal(bootstrap(scenes, stacked_dice, 20), bootstrap(scenes, stacked_dice, 20))


def test_the_spread_of_a_share_is_the_binomial_s() -> None:
    scenes = [count_confusion([1], [1])] * 60 + [count_confusion([1], [4])] * 40
    draws = bootstrap(
        scenes, lambda all_of: np.array([compute_rates(matrix)["recall"]["clear"] for matrix in all_of]), 1000
    )
    assert draws.std() == pytest.approx(np.sqrt(0.6 * 0.4 / 100), rel=0.1)


def test_pairing_takes_the_same_scenes_for_both() -> None:
    hard, easy = count_confusion([1, 4], [4, 4]), count_confusion([1, 4], [1, 4])
    ours = [hard, easy, easy, hard, easy]
    difference = bootstrap_difference(ours, ours, stacked_dice, 100)
    assert (difference[np.isfinite(difference)] == 0).all()


def test_statistics_of_stacked_counts_are_those_of_each() -> None:
    """What the bootstrap computes for all draws at once is what `rates` says of one."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 50, (6, 4, 5))
    counts[0, 1], counts[1] = 0, 0
    for view in VIEWS.values():
        for predicts in ((1, 2, 3, 4), (1, 4)):
            judged = view.scored_groups(predicts)
            found = compute_dice(view, judged)(counts)
            for one, values in zip(counts, found, strict=True):
                expected = compute_rates(view.merge_counts(one), view.groups, judged)["dice"].values()
                np.testing.assert_allclose(values, [np.nan if v is None else v for v in expected])


# squares of a scene


@given(arrays(np.uint8, (23, 17), elements=st.sampled_from([0, 1, 2, 3, 4, 255])), st.integers(0, 9))
def test_squares_are_the_confusion_of_each_part(truth: np.ndarray, seed: int) -> None:
    mask = np.random.default_rng(seed).choice(np.array([0, 1, 2, 3, 4, 5, 255], np.uint8), truth.shape)
    found, parts = count_blocks(truth, mask, 8), []
    for y in range(0, 23, 8):
        for x in range(0, 17, 8):
            try:
                parts.append(count_confusion(truth[y : y + 8, x : x + 8], mask[y : y + 8, x : x + 8]))
            except CubeError:  # no judged pixel there
                continue
    np.testing.assert_array_equal(found, parts if parts else np.empty((0, 4, 5)))


def test_products_are_drawn_and_of_one_alone_its_squares() -> None:
    tally, truth = ConfusionCounts(), np.ones((200, 300), np.uint8)
    tally.add("a", truth, truth, group="p")
    assert tally.resampling_units().as_json() == {"of": "blocks", "number": 6}
    tally.add("b", truth, truth, group="q")
    assert tally.resampling_units().as_json() == {"of": "groups", "number": 2}
    assert tally.resampling_units(["b"]).as_json() == {"of": "blocks", "number": 6}
    np.testing.assert_array_equal(sum(tally.resampling_units(["b"]).counts), tally.scenes["b"])


# a tally


@given(st.lists(st.tuples(PAIRS, st.sampled_from("ab")), min_size=1, max_size=5))
def test_a_tally_pools_scenes_and_groups(scenes: list) -> None:
    tally = ConfusionCounts()
    for i, ((truth, mask), group) in enumerate(scenes):
        tally.add(str(i), truth[None], mask[None], group=group)
    whole = [np.concatenate([pair[k] for pair, _ in scenes]) for k in (0, 1)]
    np.testing.assert_array_equal(tally.confusion_matrix, count_confusion(*whole))
    np.testing.assert_array_equal(sum(tally.by_group()), tally.confusion_matrix)
    assert len(tally.by_group()) == len({group for _, group in scenes})
    np.testing.assert_array_equal(sum(tally.by_group(["0"])), count_confusion(*scenes[0][0]))
    assert len(tally.scenes) == len(scenes)
    assert all((counts.sum() <= tally.confusion_matrix.sum()) for counts in tally.bands.values())


def test_a_scene_that_cannot_be_counted_leaves_no_trace() -> None:
    tally = ConfusionCounts()
    with pytest.raises(CubeError, match="labels no pixel"):
        tally.add("x", np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8))
    assert not tally.scenes and not tally.confusion_matrix.any() and not tally.edges.any()


def test_merged_truth_sees_no_edge_between_clouds() -> None:
    tally, truth = ConfusionCounts(), np.array([[4, 4, 4, 4, 4, 4]], np.uint8)
    tally.add("x", truth, np.array([[3, 3, 3, 4, 4, 4]], np.uint8), merge=MergedClasses(thin=True))
    assert tally.confusion_matrix[3, 3] == tally.bands[5][3, 3] == 6
    assert not tally.edges.any()
