"""Radiometry comes from metadata, then from pixels.

Where the two disagree or both are silent, there is an error.
"""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from kappamask.models import CubeError, RadiometryError
from kappamask.udf import cloud_mask
from kappamask.udf.radiometry_metadata import find_scale_and_offset

BANDS = ["B02", "B03", "B04", "B08", "B10"]


def scene(*, floor=0.02, cirrus=0.001, seed=3):
    """Reflectances of a scene whose darkest pixels have `floor`, with a B10 around `cirrus`."""
    values = np.random.default_rng(seed).uniform(floor, 0.5, (len(BANDS), 64, 64)).astype(np.float64)
    values[4] = cirrus * np.random.default_rng(seed).uniform(0.5, 1.5, (64, 64))
    return xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": BANDS})


WRITERS = {
    "reflectance": lambda c: c,
    "dn_harmonized": lambda c: (c * 10_000).round().astype("int32"),
    "dn_offset": lambda c: ((c + 0.1) * 10_000).round().astype("uint16"),
}


def decide(cube, brightness, mode="auto"):
    return cloud_mask(cube, model=brightness, level="L1C", radiometry=mode).attrs["radiometry"]


@pytest.mark.parametrize("mode", WRITERS)
def test_auto_reads_what_the_pixels_leave_no_doubt_about(brightness, mode):
    assert decide(WRITERS[mode](scene()), brightness) == mode


@given(mode=st.sampled_from(list(WRITERS)), floor=st.floats(0.001, 0.07), cirrus=st.floats(0.0005, 0.005))
def test_auto_is_never_wrong(brightness, mode, floor, cirrus):
    assert decide(WRITERS[mode](scene(floor=floor, cirrus=cirrus)), brightness) == mode


@pytest.mark.parametrize("mode", ["dn_harmonized", "dn_offset"])
def test_without_b10_a_bright_scene_is_in_doubt_unless_said(brightness, mode):
    bright = WRITERS[mode](scene(floor=0.15)).isel(bands=slice(4))
    with pytest.raises(RadiometryError, match=r"dn_harmonized or dn_offset.*radiometry='dn_harmonized'"):
        decide(bright, brightness)
    assert decide(bright, brightness, mode) == mode


METADATA = [
    ({"radiometry": "dn_offset"}, "dn_offset"),
    ({"radiometry": "dn_harmonized"}, "dn_harmonized"),
    ({"scale_factor": 0.0001, "add_offset": -0.1}, "dn_offset"),
    ({"scale_factor": 0.0001, "add_offset": 0.0}, "dn_harmonized"),
    ({"scale_factor": [0.0001] * 5, "add_offset": [-0.1] * 5}, "dn_offset"),
    ({"collection": "SENTINEL2_L2A"}, "dn_harmonized"),
    ({"collection": "sentinel-2-c1-l2a"}, "dn_offset"),
    ({"processing_baseline": "05.11"}, "dn_offset"),
    ({"s2:processing_baseline": "02.09"}, "dn_harmonized"),
]


@pytest.mark.parametrize(("attributes", "mode"), METADATA)
def test_metadata_decides_where_pixels_cannot(brightness, attributes, mode):
    bright = WRITERS[mode](scene(floor=0.25)).isel(bands=slice(4)).assign_attrs(attributes)
    assert decide(bright, brightness) == mode


@pytest.mark.parametrize("baseline", ["99.99", "nan", np.nan, "inf", "unknown"])
def test_a_baseline_of_cloudferro_or_none_decides_nothing(brightness, baseline):
    bright = WRITERS["dn_offset"](scene(floor=0.15)).isel(bands=slice(4))
    with pytest.raises(RadiometryError, match="no metadata says"):
        decide(bright.assign_attrs(processing_baseline=baseline), brightness)


def test_a_decoded_file_holds_reflectance(brightness):
    cube = scene()
    cube.encoding["scale_factor"] = 0.0001
    assert decide(cube, brightness) == "reflectance"


CONTRADICTIONS = [
    ("dn_harmonized", "reflectance", "digital numbers"),
    ("dn_offset", "reflectance", "digital numbers"),
    ("reflectance", "dn_harmonized", "reflectance"),
    ("reflectance", "dn_offset", "reflectance"),
    ("dn_harmonized", "dn_offset", "dn_harmonized"),
    ("dn_offset", "dn_harmonized", "dn_offset"),
]


@pytest.mark.parametrize(("is_in_truth", "claimed", "reading"), CONTRADICTIONS)
def test_a_contradiction_names_both_readings(brightness, is_in_truth, claimed, reading):
    cube = WRITERS[is_in_truth](scene())
    for given_so in (lambda: decide(cube, brightness, claimed),
                     lambda: decide(cube.assign_attrs(radiometry=claimed), brightness)):  # fmt: skip
        with pytest.raises(RadiometryError, match=rf"read as {claimed} .*look like {reading}"):
            given_so()


def test_an_unknown_word_lists_the_known(brightness):
    with pytest.raises(RadiometryError, match="known are auto, reflectance, dn_harmonized, dn_offset"):
        decide(scene(), brightness, "toa")


def test_valid_pixels_that_a_thin_sample_misses_are_still_asked(brightness):
    """Radiometry is found from few valid pixels between those of a coarse grid."""
    empty = np.full((len(BANDS), 700, 700), np.nan)
    cube = xr.DataArray(empty, dims=("bands", "y", "x"), coords={"bands": BANDS})
    cube[:, 301:303, 401:403] = WRITERS["dn_harmonized"](scene()).values[:, :2, :2]
    assert decide(cube, brightness) == "dn_harmonized"


@pytest.mark.parametrize("band", ["AOT", "WVP"])
def test_auxiliary_layers_are_never_offset(band):
    for mode in WRITERS:
        assert find_scale_and_offset(band, mode) == (1e-4, 0.0)
    assert find_scale_and_offset("B02", "dn_offset") == (1e-4, -0.1)


def test_the_decision_and_its_ground_are_recorded(brightness):
    cube = WRITERS["dn_offset"](scene()).assign_attrs(processing_baseline="05.10")
    attributes = cloud_mask(cube, model=brightness, level="L1C").attrs
    assert attributes["radiometry"] == "dn_offset"
    assert attributes["radiometry_reason"] == "processing baseline 05.10"


def dark_tail(share):
    """Make baseline 04 or later without B10: most land at 0.12.

    A `share` of it is below zero, as in deep shade.
    """
    values = np.random.default_rng(0).normal(0.12, 0.01, (4, 128, 128))
    values.reshape(4, -1)[:, : int(share * 128 * 128)] = -0.02
    return WRITERS["dn_offset"](xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": BANDS[:4]}))


def test_a_few_numbers_below_the_offset_prove_nothing(brightness):
    with pytest.raises(RadiometryError, match="leave it open"):
        decide(dark_tail(0.003), brightness)
    assert decide(dark_tail(0.003), brightness, "dn_offset") == "dn_offset"
    assert decide(dark_tail(0.003).assign_attrs(processing_baseline="05.11"), brightness) == "dn_offset"


def test_a_band_of_padding_proves_nothing(brightness):
    cube = WRITERS["dn_offset"](scene(floor=0.1))
    cube[4] = 0
    with pytest.raises(RadiometryError, match="leave it open"):
        decide(cube, brightness)


def test_bright_cirrus_all_over_is_not_taken_for_the_offset(brightness):
    cube = WRITERS["dn_harmonized"](scene(floor=0.3, cirrus=0.1))
    assert decide(cube, brightness, "dn_harmonized") == "dn_harmonized"
    with pytest.raises(RadiometryError, match="leave it open"):
        decide(cube, brightness)


def test_glint_and_snow_are_reflectance(brightness):
    cube = scene()
    cube[:, :1] = 3.0
    cube[:, 1:40] = 1.7
    assert decide(cube, brightness) == "reflectance"
    assert decide(cube, brightness, "reflectance") == "reflectance"


@pytest.mark.parametrize("top", [100, 255])
def test_percents_and_pictures_are_no_digital_numbers(brightness, top):
    picture = (scene() * 2 * top).round().clip(1, top)
    with pytest.raises(RadiometryError, match=r"numbers of another scale.*percents: cube / 100"):
        decide(picture.astype("uint16"), brightness)
    with pytest.raises(CubeError, match=r"uint8.*radiometry='reflectance'"):
        decide(picture.astype("uint8"), brightness)


def test_dates_of_different_baselines_are_not_pooled(brightness):
    both = [WRITERS["dn_offset"](scene()).astype("int32"), WRITERS["dn_harmonized"](scene())]
    with pytest.raises(RadiometryError, match=r"dates differ: .*2 hold dn_harmonized .*1 hold dn_offset"):
        decide(xr.concat(both, "t"), brightness)


def test_a_date_under_cloud_follows_the_others(brightness):
    clear, cloudy = scene(), scene(floor=0.3, cirrus=0.1)
    assert decide(xr.concat([WRITERS["dn_harmonized"](c) for c in (clear, cloudy)], "t"), brightness) == "dn_harmonized"


@pytest.mark.parametrize("word", [["dn_offset"], None, 5])
def test_radiometry_of_a_wrong_type(brightness, word):
    with pytest.raises(RadiometryError, match="known are"):
        decide(scene(), brightness, word)
