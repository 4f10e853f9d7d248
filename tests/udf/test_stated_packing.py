"""Scales, baselines and levels of others are understood, or refused with what to type."""

import numpy as np
import pytest
import xarray as xr

from kappamask.models import CubeError, RadiometryError, parse_level
from kappamask.udf import cloud_mask
from kappamask.udf.chunk import apply_datacube

BANDS = ["B02", "B03", "B04", "B08"]


def numbers(offset: int = 0, **attrs) -> xr.DataArray:
    """Bright digital numbers, which alone do not tell whether they hold the offset."""
    values = np.random.default_rng(1).integers(1500, 6000, (4, 64, 64)) + offset
    return xr.DataArray(values.astype("uint16"), dims=("bands", "y", "x"), coords={"bands": BANDS}, attrs=attrs)


@pytest.mark.parametrize(
    "attrs",
    [
        {"scale_factor": 2e-4}, {"scale_factor": 1e-3, "add_offset": 0}, {"scale_factor": 2.75e-5, "add_offset": -0.2},
        {"scale_factor": 1e-4, "add_offset": -1000}, {"add_offset": -1000}, {"scale_factor": (1e-4, 1e-4, 1e-4, 1e-3)},
        {"scales": (2e-4,) * 4, "offsets": (0.0,) * 4}, {"scale_factor": "one"},
        {"scale_factor": 2e-4, "processing_baseline": "02.09"},
    ],
)  # fmt: skip
def test_a_scale_that_is_not_known_is_refused_with_what_to_type(brightness, attrs):
    dark = numbers(**attrs)
    dark[:, :32] = np.random.default_rng(2).integers(100, 600, (4, 32, 64))
    with pytest.raises(RadiometryError, match=r"attributes say .*say radiometry='reflectance'.*radiometry='dn_offset'"):
        cloud_mask(dark, model=brightness, level="L2A")
    mask = cloud_mask(dark, model=brightness, level="L2A", radiometry="dn_harmonized")
    assert mask.attrs["radiometry"] == "dn_harmonized"


@pytest.mark.parametrize("attrs", [{"scale_factor": 1.0, "add_offset": 0.0}, {"scales": (1.0,) * 4}])
def test_a_scale_of_1_says_nothing(brightness, attrs):
    dark = numbers(**attrs)
    dark[:, :32] = np.random.default_rng(2).integers(100, 600, (4, 32, 64))
    assert cloud_mask(dark, model=brightness, level="L2A").attrs["radiometry"] == "dn_harmonized"


@pytest.mark.parametrize(
    ("attrs", "mode"),
    [
        ({"scales": (1e-4,) * 4, "offsets": (-0.1,) * 4}, "dn_offset"), ({"scales": (1e-4,) * 4}, "dn_harmonized"),
        ({"processing_baseline": "N0511"}, "dn_offset"), ({"processing_baseline": "0300"}, "dn_harmonized"),
        ({"processing_baseline": 511}, "dn_offset"), ({"processing_baseline": 300}, "dn_harmonized"),
        ({"s2:processing_baseline": "N0209"}, "dn_harmonized"), ({"processing_baseline": 2.09}, "dn_harmonized"),
    ],
)  # fmt: skip
def test_scales_and_baselines_as_others_write_them(brightness, attrs, mode):
    dark = numbers(1000 if mode == "dn_offset" else 0, **attrs)
    dark[:, :32] = np.random.default_rng(2).integers(100, 600, (4, 32, 64)) + (1000 if mode == "dn_offset" else 0)
    assert cloud_mask(dark, model=brightness, level="L2A").attrs["radiometry"] == mode


@pytest.mark.parametrize("level", ["l2a", "L2A", "Level-2A", "level 2a", "S2MSI2A"])
def test_a_level_is_understood_as_it_is_written(brightness, level):
    assert parse_level(level) == "L2A"
    cube = numbers(radiometry="dn_harmonized")
    expected = cloud_mask(cube, model=brightness, level="L2A")
    assert cloud_mask(cube, model=brightness, level=level).identical(expected)
    assert (cloud_mask(cube.assign_attrs(level=level), model=brightness) == expected).all()


@pytest.mark.parametrize("level", ["L3A", "", "2A", 2, "L2B"])
def test_a_level_that_is_none_is_refused(brightness, level):
    with pytest.raises(CubeError, match=r"level is .*level='L1C' or level='L2A'"):
        cloud_mask(numbers(radiometry="dn_harmonized"), model=brightness, level=level)


def test_the_context_of_a_udf_has_the_words_of_a_published_process():
    with pytest.raises(CubeError, match=r"'level' is 'l2a': say \"level\": \"L1C\" or \"level\": \"L2A\""):
        apply_datacube(numbers().astype("float32"), {"level": "l2a"})
