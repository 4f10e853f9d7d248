"""Reflectances of a product keep its baseline, and percents are named as what they are."""

import numpy as np
import pytest
import xarray as xr
from doors import scene_with_clouds

from kappamask.models import RadiometryError
from kappamask.udf import cloud_mask

BASELINES = pytest.mark.parametrize("baseline", ["02.05", "05.09", "N0511"])
LAZY = pytest.mark.parametrize("is_lazy", [False, True])


@pytest.fixture(scope="module")
def reflectance() -> xr.DataArray:
    """Real ground under painted clouds, (bands, y, x)."""
    cube = scene_with_clouds(192).isel(y=slice(60, 156), x=slice(80, 176))
    return cube.astype(np.float32).copy(data=(cube.values / 10_000).astype(np.float32)).drop_attrs()


def state(cube: xr.DataArray, baseline: str, is_lazy: bool) -> xr.DataArray:
    made = cube.assign_attrs(level="L1C", processing_baseline=baseline)
    return made.chunk(y=50, x=50) if is_lazy else made


@BASELINES
@LAZY
def test_reflectances_that_somebody_made_are_read_as_such(reflectance, baseline, is_lazy):
    expected = cloud_mask(reflectance, level="L1C", radiometry="reflectance")
    found = cloud_mask(state(reflectance, baseline, is_lazy))
    np.testing.assert_array_equal(found, expected)
    assert found.attrs["radiometry"] == "reflectance" and "pixels" in found.attrs["radiometry_reason"]


@BASELINES
@LAZY
@pytest.mark.parametrize(("step", "says"), [(0.1, "offset of 0.1 left in"), (-0.1, "offset was taken away twice")])
def test_the_offset_in_them_is_held_against_the_pixels(reflectance, baseline, is_lazy, step, says):
    with pytest.raises(RadiometryError, match=says):
        cloud_mask(state(reflectance + step, baseline, is_lazy)).compute()


@BASELINES
@LAZY
def test_digital_numbers_still_go_by_the_baseline(reflectance, baseline, is_lazy):
    offset = 0.0 if baseline == "02.05" else 1000.0
    found = cloud_mask(state(reflectance * 10_000 + offset, baseline, is_lazy))
    assert found.attrs["radiometry"] == ("dn_offset" if offset else "dn_harmonized")
    with pytest.raises(RadiometryError, match="dn_harmonized"):  # the other numbers of the same baseline
        cloud_mask(state(reflectance * 10_000 + (1000.0 - offset), baseline, is_lazy)).compute()


def test_dates_with_and_without_the_offset_are_refused(reflectance):
    dates = xr.concat([state(reflectance + step, "05.09", is_lazy=False) for step in (0.0, 0.1)], "t")
    with pytest.raises(RadiometryError, match=r"offset of 0\.1 left in"):
        cloud_mask(dates)


@pytest.mark.parametrize("radiometry", ["auto", "reflectance", "dn_harmonized", "dn_offset"])
@pytest.mark.parametrize("units", ["%", "percent", None])
def test_percents_are_named_with_what_to_type(reflectance, radiometry, units):
    percents = (reflectance * 100).assign_attrs({"units": units} if units else {})
    with pytest.raises(RadiometryError, match=r"numbers of another scale.*percents: cube / 100.*'reflectance'"):
        cloud_mask(percents, level="L1C", radiometry=radiometry)
