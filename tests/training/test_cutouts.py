"""Clouds and shadows cut out of one scene look right over another ground."""

import numpy as np
import pytest

from kappamask.datasets import Patch, class_sets
from kappamask.training.cutouts import RIM_PX, CutOut, CutOuts, cut_out
from kappamask.training.simulator.spectra import B02, B11, BANDS

SIDE = 64
CLOUD, VEIL, SHADE = np.s_[5:25, 5:25], np.s_[5:25, 40:60], np.s_[40:60, 5:25]
PASSED, LEFT = 0.5, 0.6


def make_patch(ground, sets, *, place="here", level="L1C"):
    return Patch(
        place, place, "train", level, None, BANDS, ground, class_sets.to_codes(sets), merges_thin=False, sets=sets
    )


@pytest.fixture
def cloud_patch():
    """Paint ground of 0.1, opaque cloud of 0.7, a thin cloud and a shadow.

    Half of the light passes the thin cloud.
    """
    scene = np.full((13, SIDE, SIDE), 0.1, np.float32)
    sets = np.full((SIDE, SIDE), class_sets.CLEAR, np.uint8)
    scene[:, *CLOUD], sets[CLOUD] = 0.7, class_sets.CLOUD
    scene[:, *VEIL], sets[VEIL] = 0.35 + PASSED * 0.1, class_sets.SEMI_TRANSPARENT
    scene[:, *SHADE], sets[SHADE] = LEFT * 0.1, class_sets.SHADOW
    return make_patch(scene, sets)


@pytest.fixture
def cutout(cloud_patch) -> CutOut:
    result = cut_out(cloud_patch)
    assert result is not None
    return result


def test_over_its_own_ground_the_scene_comes_back(cloud_patch, cutout):
    again = cutout.lay_over(np.full((13, SIDE, SIDE), 0.1, np.float32))
    rims = cutout.sets == class_sets.NOT_JUDGED
    np.testing.assert_allclose(again[:, ~rims], cloud_patch.reflectance[:, ~rims], atol=0.03)


def test_ground_is_seen_through_a_veil_but_not_through_cloud(cutout):
    dark, bright = (cutout.lay_over(np.full((13, SIDE, SIDE), value, np.float32))[B02] for value in (0.05, 0.45))
    assert bright[15, 15] == pytest.approx(dark[15, 15], abs=0.01)
    assert bright[15, 50] - dark[15, 50] == pytest.approx(PASSED * 0.4, abs=0.02)


def test_shadow_takes_the_same_share_of_another_ground(cutout):
    assert cutout.lay_over(np.full((13, SIDE, SIDE), 0.4, np.float32))[B11, 50, 15] == pytest.approx(
        LEFT * 0.4, abs=0.02
    )


def test_rims_are_not_judged_and_the_rest_is_untouched(cutout):
    ground = np.full((13, SIDE, SIDE), 0.3, np.float32)
    far = np.ones((SIDE, SIDE), bool)
    for where in (CLOUD, VEIL, SHADE):
        far[tuple(slice(part.start - RIM_PX, part.stop + RIM_PX) for part in where)] = False
    assert np.array_equal(cutout.lay_over(ground)[:, far], ground[:, far])
    assert cutout.sets[15, 25 + RIM_PX - 2] == class_sets.NOT_JUDGED
    assert (cutout.sets[far] == class_sets.CLEAR).all()


def test_nothing_is_cut_out_of_closed_cloud_or_clear_ground():
    scene = np.full((13, SIDE, SIDE), 0.5, np.float32)
    for one in (class_sets.CLOUD, class_sets.CLEAR):
        assert cut_out(make_patch(scene, np.full((SIDE, SIDE), one, np.uint8))) is None


def test_thick_cloud_without_a_labelled_shadow_is_left_where_it_is(cloud_patch):
    sets = np.where(cloud_patch.sets == class_sets.SHADOW, class_sets.NOT_JUDGED, cloud_patch.sets).astype(np.uint8)
    assert cut_out(make_patch(cloud_patch.reflectance, sets)) is None


def test_drawn_patches_keep_level_and_labels_of_what_shows(cloud_patch):
    black = make_patch(np.full((13, SIDE, SIDE), 0.01, np.float32), np.full((SIDE, SIDE), 1, np.uint8), place="lake")
    other = make_patch(np.full((13, SIDE, SIDE), 0.2, np.float32), np.full((SIDE, SIDE), 1, np.uint8), level="L2A")
    drawn = [CutOuts([cloud_patch, black, other]).draw(np.random.default_rng(seed)) for seed in range(5)]
    for patch in drawn:
        assert patch.level == "L1C" and patch.truth.shape == (SIDE, SIDE)
        codes, counts = np.unique(patch.truth, return_counts=True)
        assert set(codes) == {0, 1, 3, 4}, "on black water nobody sees the shadow, so it is not judged"
        assert counts[codes == 4] == 400


def test_without_clear_scenes_of_a_level_nothing_is_drawn(cloud_patch):
    assert len(CutOuts([cloud_patch])) == 0
