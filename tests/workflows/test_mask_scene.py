"""One road for Python and the command: masks, options and results are the same."""

import json
import warnings

import numpy as np
import pytest
from files import BANDS, geotiff

import kappamask
from kappamask.models import SceneError
from kappamask.reports.class_shares import count_shares
from kappamask.scenes import read_mask
from kappamask.workflows import RunOptions, SceneOptions, ScenesFailedError, mask_many, mask_scene, no_progress


@pytest.fixture
def scene(tmp_path):
    return geotiff(tmp_path / "scene_L1C.tif")


def test_python_and_the_command_write_the_same(kappamask, scene, tmp_path, brightness, capsys):
    one, other = tmp_path / "one.tif", tmp_path / "other.tif"
    found = mask_scene(scene, one, model=str(brightness.folder), scores=True, buffer_m=20)
    done = kappamask("mask", scene, "-o", other, "--model", brightness.folder, "--scores", "--buffer-m", "20", "--json")
    summary = json.loads(done.out)
    assert found["classes"] == summary["classes"] and found["model_sha256"] == summary["model_sha256"]
    assert found["files"] == [str(one), str(one.with_name("one_scores.tif"))]
    np.testing.assert_array_equal(read_mask(one).values, read_mask(other).values)
    assert read_mask(one).attrs["options"] == read_mask(other).attrs["options"]


def test_the_command_prints_the_percentages_of_the_report(kappamask, tmp_path, brightness):
    """They are of the pixels with data, in the command as in pictures and pages."""
    numbers = np.full((len(BANDS), 40, 40), 1500, np.uint16)
    numbers[:, :10], numbers[:, 10:16] = 0, 6000
    scene = geotiff(tmp_path / "scene_L1C.tif", numbers, nodata=0)
    done = kappamask(
        "mask", scene, "-o", tmp_path / "m.tif", "--model", brightness.folder, "--radiometry", "dn_harmonized"
    )
    assert done.code == 0, done.err
    percentages = count_shares(read_mask(tmp_path / "m.tif")).percentages
    assert percentages["missing"] == pytest.approx(25) and percentages["cloud"]
    for name in ("clear", "cloud", "missing"):
        assert f"{name} {percentages[name]:.1f} %" in done.out


def test_a_link_that_leads_nowhere_fails_its_own_folder_only(scene, tmp_path, brightness):
    other = tmp_path / "other"
    other.mkdir()
    geotiff(other / "scene_L1C.tif")
    (other / "lock").symlink_to(tmp_path / "nowhere")
    (other / "T_B02.jp2").symlink_to(tmp_path / "nowhere.jp2")
    out = tmp_path / "masks"
    out.mkdir()
    with pytest.raises(ScenesFailedError, match=r"1 of 2 scenes failed: other"):
        mask_many([str(tmp_path)], str(out), SceneOptions(model=str(brightness.folder)))
    assert [file.name for file in out.glob("*.tif")] == ["scene_L1C_mask.tif"]


def test_a_mask_that_is_there_is_not_made_again(scene, tmp_path, brightness):
    options = SceneOptions(model=str(brightness.folder))
    assert "skipped" not in mask_scene(scene, tmp_path / "m.tif", options)
    assert mask_scene(scene, tmp_path / "m.tif", options)["skipped"]
    assert "skipped" not in mask_scene(scene, tmp_path / "m.tif", options, overwrite=True)
    assert "skipped" not in mask_scene(scene, tmp_path / "m.tif", options, scheme="SCL"), "other options, another mask"


def test_progress_is_printed_unless_it_is_turned_off(scene, tmp_path, brightness, capsys):
    mask_scene(scene, tmp_path / "m.tif", model=str(brightness.folder), progress=no_progress)
    assert capsys.readouterr().err == ""
    mask_scene(scene, tmp_path / "m.tif", model=str(brightness.folder), overwrite=True)
    assert "mask: 100 %" in capsys.readouterr().err


def test_unknown_options_are_named_with_those_there_are(scene, tmp_path):
    with pytest.raises(SceneError, match=r"colour.*resolution.*buffer_m"):
        mask_scene(scene, tmp_path / "m.tif", colour="red")
    with pytest.raises(SceneError, match=r"painting.*quicklook"):
        mask_scene(scene, tmp_path / "m.tif", extras=["painting"])


def test_scenes_in_doubt_end_with_what_to_type(kappamask, tmp_path, brightness):
    folder = tmp_path / "scenes"
    folder.mkdir()
    for number in range(2):
        geotiff(folder / f"{number}_L1C.tif", np.full((len(BANDS), 40, 40), 6000, np.uint16))
    done = kappamask("mask", folder, "-o", tmp_path / "masks", "--model", brightness.folder)
    assert done.code == 1 and "--radiometry" in done.err.splitlines()[-1]


def test_a_folder_without_scenes_is_named(kappamask, tmp_path):
    (tmp_path / "empty").mkdir()
    done = kappamask("mask", tmp_path / "empty", "-o", tmp_path / "masks")
    assert done.code == 2 and "holds no scene" in " ".join(done.err.replace("\u2502", "").split())


def test_the_scene_is_never_replaced(scene):
    before = scene.read_bytes()
    with pytest.raises(SceneError, match="replace the scene"):
        mask_scene(scene, scene)
    assert scene.read_bytes() == before


def test_one_failure_stops_no_other(scene, tmp_path, brightness):
    bad = tmp_path / "bad_L1C.tif"
    bad.write_bytes(b"no image")
    said = []
    run = RunOptions(notify=said.append)
    with pytest.raises(ScenesFailedError, match=r"1 of 2 .*bad_L1C\.tif") as caught:
        mask_many([bad, scene], tmp_path / "out", model=str(brightness.folder), run=run)
    good, failed = caught.value.results
    assert good["scene"] == str(scene) and failed["scene"] == str(bad) and failed["error"] in said[0]
    assert (tmp_path / "out" / "scene_L1C_mask.tif").is_file()


def test_a_folder_of_scenes_is_for_mask_many(scene, tmp_path, brightness):
    folder = tmp_path / "scenes"
    folder.mkdir()
    for name in ("a_L1C.tif", "b_L1C.tif"):
        (folder / name).write_bytes(scene.read_bytes())
    (tmp_path / "out").mkdir()
    with pytest.raises(SceneError, match=r"2 scenes.*mask_many"):
        mask_scene(folder, tmp_path / "out", model=str(brightness.folder))
    found = mask_many([folder], tmp_path / "out", model=str(brightness.folder), run=RunOptions(dry_run=True))
    assert [one["skipped"] for one in found] == [False, False]
    assert not [*(tmp_path / "out").iterdir()]


def test_the_name_at_the_top_is_this_function(scene, tmp_path, brightness):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kappamask.mask_scene(scene, tmp_path / "m.nc", model=str(brightness.folder))
    assert kappamask.mask_scene is mask_scene
    assert (tmp_path / "m.nc").is_file()
