"""Labels by rules, on scenes that are painted so that the answer is known."""

from pathlib import Path

import numpy as np
import pytest

from kappamask.datasets import arrays, class_sets, labelling
from kappamask.datasets.labelling import Limits
from kappamask.datasets.planes import BANDS
from kappamask.datasets.real_scenes import label_scene, read_rows, read_scene
from kappamask.evaluation.scene_kinds import Figure, score_scenes, show_bands, summarise_figures
from kappamask.models import SceneError

B02, B08, B8A, B10, B11 = (BANDS.index(band) for band in ("B02", "B08", "B8A", "B10", "B11"))
SIDE = 96


def clear_land() -> np.ndarray:
    scene = np.full((13, SIDE, SIDE), 0.1, np.float32)
    scene[[B08, B8A]], scene[B11], scene[B10] = 0.3, 0.2, 0.001
    return scene


def paint_scene() -> tuple[np.ndarray, np.ndarray]:
    """Paint a cumulus with its shadow, a distant thin cloud, and the codes of both."""
    scene, codes = clear_land(), np.ones((SIDE, SIDE), np.uint8)
    scene[:, 10:30, 10:30], codes[10:30, 10:30] = 0.6, 4
    scene[B10, 10:30, 10:30] = 0.002
    scene[B02, 70:90, 70:90] += 0.07
    codes[70:90, 70:90] = 4
    scene[[B08, B8A], 40:60, 10:30], scene[B11, 40:60, 10:30], codes[40:60, 10:30] = 0.12, 0.06, 2
    return scene, codes


def test_teachers_are_believed_where_they_agree_and_away_from_borders() -> None:
    scene, codes = paint_scene()
    other = codes.copy()
    other[70:74] = 1
    sets = labelling.label_by_teacher(scene, (codes, other))
    assert (sets[12:28, 12:28] == class_sets.CLOUD).all()
    assert (sets[78:86, 74:86] == class_sets.SEMI_TRANSPARENT).all()
    assert (sets[45:55, 15:25] == class_sets.SHADOW).all()
    assert (sets[5:8, 60:90] == class_sets.CLEAR).all()
    assert (sets[70:74, 70:90] == class_sets.NOT_JUDGED).all() and (sets[31:34, 10:30] == class_sets.NOT_JUDGED).all()


def test_a_lake_in_the_sun_is_clear_though_networks_call_it_shadow() -> None:
    scene, codes = paint_scene()
    lake, shaded = np.s_[60:90, 5:45], np.s_[60:66, 5:45]
    scene[:, *lake], codes[lake] = 0.02, 2
    scene[BANDS.index("B03")][lake], scene[BANDS.index("B03")][shaded] = 0.06, 0.04
    sets = labelling.label_by_teacher(scene, (codes, codes))
    assert (sets[68:88, 7:43] == class_sets.CLEAR).all()
    assert not (sets[shaded] == class_sets.CLEAR).any(), "water below a cloud may be in its shadow"
    assert (sets[45:53, 15:25] == class_sets.SHADOW).all()


def test_limits_leave_out_what_a_teacher_is_not_to_be_believed() -> None:
    scene, codes = paint_scene()
    limits = Limits(shadow=False, least_blue=0.3, exclude=(10, 20, 10, 20))
    sets = labelling.label_by_teacher(scene, (codes, codes), limits)
    assert not (sets == class_sets.SHADOW).any() and not (sets == class_sets.SEMI_TRANSPARENT).any()
    assert (sets[10:20, 10:20] == class_sets.NOT_JUDGED).all() and (sets[22:28, 22:28] == class_sets.CLOUD).all()


def test_outlines_are_believed_where_the_teachers_agree() -> None:
    scene, codes = paint_scene()
    drawn = np.where(codes == 4, 4, 1).astype(np.uint8)
    drawn[10:20, 10:30] = 1
    sets = labelling.label_by_outline(scene, drawn, (codes, codes), Limits())
    assert (sets[10:20, 10:30] == class_sets.NOT_JUDGED).all() and (sets[23:28, 12:28] == class_sets.CLOUD).all()
    assert (sets[45:55, 15:25] == class_sets.SHADOW).all()


def test_a_date_is_labelled_by_its_difference_to_clear_ground() -> None:
    scene, _ = paint_scene()
    sets = labelling.label_by_difference(scene, clear_land())
    assert (sets[12:28, 12:28] == class_sets.CLOUD).all() and (sets[74:86, 74:86] == class_sets.SEMI_TRANSPARENT).all()
    assert (sets[45:55, 15:25] == class_sets.SHADOW).all() and (sets[:3] == class_sets.CLEAR).all()
    bare = labelling.label_by_difference(scene, clear_land(), shadow=False)
    assert not (bare == class_sets.SHADOW).any()


def test_cirrus_is_labelled_for_those_who_see_b10() -> None:
    scene = clear_land()
    scene[B10, :32], scene[B10, 32:64] = 0.02, 0.006
    found = labelling.label_cirrus(scene, np.full((SIDE, SIDE), class_sets.CLEAR, np.uint8))
    assert (found.with_b10[:32] == class_sets.SEMI_TRANSPARENT).all() and (found.with_b10[64:] == 1).all()
    assert (found.without_b10[:64] == class_sets.CLEAR_OR_SEMI_TRANSPARENT).all() and (
        found.without_b10[64:] == 1
    ).all()
    assert (found.with_b10[32:64] == class_sets.CLEAR_OR_SEMI_TRANSPARENT).all()


def test_cirrus_as_bright_as_haze_is_thin_cloud_without_b10_too() -> None:
    scene = clear_land()
    scene[B10, :32] = 0.035
    found = labelling.label_cirrus(scene, np.full((SIDE, SIDE), class_sets.CLEAR, np.uint8))
    assert (found.without_b10[:32] == class_sets.SEMI_TRANSPARENT).all()
    assert (found.without_b10[32:] == class_sets.CLEAR).all()


def test_snow_under_dry_air_is_no_cirrus() -> None:
    scene = clear_land()
    scene[:10], scene[B11], scene[B10] = 0.7, 0.05, 0.03
    found = labelling.label_cirrus(scene, np.full((SIDE, SIDE), class_sets.CLEAR, np.uint8))
    assert (found.with_b10 == class_sets.CLEAR).all()


def test_hand_labels_leave_a_doubt_where_nobody_looked() -> None:
    scene, codes = paint_scene()
    drawn = np.where(codes == 2, 1, codes).astype(np.uint8)
    drawn[70:90, 70:90] = 3
    found = labelling.label_by_hand(scene, drawn, shadow="absent").without_b10
    assert (found[42:58, 12:28] == class_sets.CLEAR_OR_SHADOW).all() and (found[:5] == class_sets.CLEAR).all()
    assert (found[74:86, 74:86] == class_sets.SEMI_TRANSPARENT).all() and (found[9:11, 12:28] == 0).all()
    assert (labelling.label_by_hand(scene, drawn, shadow="drawn").without_b10[42:58, 12:28] == 1).all()


def test_shadow_drawn_elsewhere_is_where_the_ground_near_a_cloud_is_dark() -> None:
    scene, codes = paint_scene()
    elsewhere = np.roll(np.where(codes == 2, 2, 0), 30, axis=0)
    drawn = np.where(elsewhere == 2, 2, np.where(codes == 2, 1, codes)).astype(np.uint8)
    far = np.zeros_like(codes, bool)
    far[:6, 80:] = True
    scene[:, far] *= 0.4
    scene[B02, 2:6, 60:64] += 0.2
    found = labelling.label_by_hand(scene, drawn, shadow="misplaced").without_b10
    assert (found[46:54, 12:28] == class_sets.SHADOW).all() and (codes[46:54, 12:28] == 2).all()
    assert not (found[elsewhere == 2] == class_sets.SHADOW).any() and not (found[elsewhere == 2] == 1).any()
    assert (found[far] == class_sets.CLEAR_OR_SHADOW).all()
    assert (found[2:6, 60:64] == class_sets.NOT_JUDGED).all() and (found[40:60, 60:] == class_sets.CLEAR).all()


def test_ground_is_clear_or_shadow_where_not_all_shadows_were_drawn() -> None:
    scene, codes = paint_scene()
    found = labelling.label_by_hand(scene, codes, shadow="incomplete").without_b10
    assert not (found == class_sets.CLEAR).any() and (found[:5] == class_sets.CLEAR_OR_SHADOW).all()
    scene[B10, :5] = 0.01
    veiled = labelling.label_by_hand(scene, codes, shadow="incomplete").with_b10
    assert (veiled[:5] == class_sets.CLEAR_OR_SHADOW | class_sets.SEMI_TRANSPARENT).all()
    assert (found[46:54, 12:28] == class_sets.SHADOW).all()


def test_snow_that_is_bright_in_b10_is_judged_without_it_only() -> None:
    scene = clear_land()
    scene[:10], scene[B11], scene[B10] = 0.8, 0.2, 0.19
    found = labelling.label_by_hand(scene, np.ones((SIDE, SIDE), np.uint8), shadow="absent")
    assert (found.with_b10 == class_sets.NOT_JUDGED).all() and (found.without_b10 == class_sets.CLEAR).all()


def test_places_are_in_one_part_and_grounds_are_trained_on() -> None:
    rows = read_rows()
    parts = {place: {row.split for row in rows if row.place == place} for place in {row.place for row in rows}}
    assert all(len(part) == 1 for part in parts.values())
    assert len({row.name for row in rows}) == len(rows) > 250
    assert all(row.split == "train" for row in rows if row.ground)
    kinds = {kind for row in rows if row.split == "validation" for kind in row.kinds}
    assert {"closed", "cirrus", "cumulus", "thin", "thick", "snow", "sand", "city", "water", "wetland"} <= kinds


def test_a_scene_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"neither look_.*\.npz nor real/"):
        read_scene(read_rows()[0], tmp_path)


@pytest.mark.shared_data
def test_closed_cloud_and_clear_water_are_labelled_as_such(shared_data: Path) -> None:
    rows = {row.place: row for row in read_rows()}
    closed, water = (
        label_scene(rows[place], shared_data, lambda *_: pytest.fail("no teacher is needed"))
        for place in ("gen-2266", "sen12-148")
    )
    assert (closed.with_b10 == class_sets.CLOUD).mean() > 0.99
    assert (water.without_b10 == class_sets.CLEAR).mean() > 0.99


def labelled_patch(tmp_path: Path, kinds: tuple[str, ...]) -> arrays.Patch:
    scene, codes = paint_scene()
    sets = class_sets.from_codes(codes)
    path = tmp_path / "labelled_x.npz"
    numbers = (scene * 1e4).astype(np.uint16).transpose(1, 2, 0)
    np.savez(
        path, dn=numbers, bands=np.array(BANDS), sets=sets, level="L2A", place="hill", split="validation", kinds=kinds
    )
    return arrays.read(path)


def test_archives_say_place_level_part_and_kinds(tmp_path: Path) -> None:
    patch = labelled_patch(tmp_path, ("cumulus", "shadow"))
    assert (patch.group, patch.split, patch.level, patch.kinds) == ("hill", "validation", "L2A", ("cumulus", "shadow"))
    assert arrays.split(tmp_path / "labelled_x.npz") == "validation"
    assert set(np.unique(patch.truth)) == {1, 2, 4}


def test_scores_tell_what_a_mask_gets_wrong(tmp_path: Path) -> None:
    patch = labelled_patch(tmp_path, ("cumulus",))
    right = {f.measure: f for f in score_scenes(lambda p: p.truth, [patch]) if f.subset == "3"}
    assert right["cumulus"].value == right["cloud dice"].value == 1.0
    assert right["cumulus"] == Figure("cumulus", "hill", "3", 1.0, 800)
    thin = {f.measure: f.value for f in score_scenes(lambda p: np.where(p.truth == 4, 3, p.truth), [patch])}
    assert thin["cumulus"] == 0.0 and thin["cloud dice"] == 1.0
    none = {f.measure: f.value for f in score_scenes(lambda p: np.ones_like(p.truth), [patch])}
    assert none["cloud dice"] == 0.0


def test_bands_are_shown_only_where_a_scene_has_them(tmp_path: Path) -> None:
    patch = labelled_patch(tmp_path, ("cumulus",))
    six = show_bands(patch, "6")
    assert six is not None and six.bands == ("B02", "B03", "B04", "B08", "B11", "B12")
    few = show_bands(six, "4")
    assert few is not None and few.bands == ("B02", "B03", "B04", "B08") and show_bands(few, "13") is None


def test_the_worst_place_is_given_with_the_mean() -> None:
    figures = [Figure("closed", place, "3", value, 10) for place, value in (("a", 1.0), ("b", 0.2))]
    assert summarise_figures(figures)["closed"] == {"3": (pytest.approx(0.6), pytest.approx(0.2))}
