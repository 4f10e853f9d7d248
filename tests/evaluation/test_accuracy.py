"""Floors for the packaged network's accuracy on real imagery.

They are no targets: models/CHANGELOG.md has the figures.
"""

import numpy as np
import pytest
import xarray as xr

from kappamask.evaluation.files import judge_labelled
from kappamask.udf import cloud_mask

pytestmark = pytest.mark.shared_data


def test_labelled_cumulus_scene(shared_data):
    """The validation scene, which no network was trained on.

    Semi-transparent counts as cloud: its labels do not part them.
    """
    dice = judge_labelled(shared_data / "labelled_l1c_cumulus_6band.npz", merge_thin=True).scores["dice"]
    assert dice["cloud"] >= 0.80
    assert dice["shadow"] >= 0.60


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("background_l1c_germany_20170527", "L1C"),
        ("background_l1c_saltlake_20171022", "L1C"),
        ("background_l2a_wales_20210527", "L2A"),
        ("background_l2a_canberra_20160101", "L2A"),
    ],
)
def test_clear_scenes_stay_clear(shared_data, name, level):
    with np.load(shared_data / f"{name}.npz") as file:
        bands, numbers = file["bands"].tolist(), file["dn"].transpose(2, 0, 1)
    cube = xr.DataArray(numbers, dims=("bands", "y", "x"), coords={"bands": bands})
    mask = cloud_mask(cube, level=level, radiometry="dn_harmonized")
    assert float((mask == 1).mean()) > 0.95
