"""The mask that a batch fetches is the mask of the scene."""

from pathlib import Path

import numpy as np
import pytest
from remote import DATES, INSIDE, back_end

from kappamask.scenes import read_mask
from kappamask.workflows import BatchOptions, SceneOptions, mask_scene, submit_batch


@pytest.mark.parametrize("scheme", ["KappaMask", "SCL"])
def test_a_batch_is_the_mask_of_the_scene_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("OPENEO_AUTH_METHOD", "basic")
    (tmp_path / "scenes").mkdir()
    with back_end(tmp_path / "scenes") as server:
        monkeypatch.setenv("KAPPAMASK_USER", server.user)
        monkeypatch.setenv("KAPPAMASK_PASSWORD", server.password)
        options = BatchOptions(
            server.url, "SENTINEL2_L1C", level="L1C", scheme=scheme, archive="none", journal=tmp_path / "jobs.sqlite"
        )
        done = submit_batch(INSIDE, DATES, tmp_path / "out", options)
    (path,) = [Path(file) for file in done.files if str(file).endswith(".tif")]
    scene, whole = tmp_path / "scenes" / "scene_L1C_20180202.tif", tmp_path / "whole.tif"
    mask_scene(scene, whole, SceneOptions(level="L1C", radiometry="dn_harmonized", scheme=scheme))
    batch = read_mask(path)
    expected = read_mask(whole).sel(x=batch.x, y=batch.y)
    assert batch.sizes["x"] > 50 and len(np.unique(batch)) > 1
    np.testing.assert_array_equal(batch.values, expected.values)
