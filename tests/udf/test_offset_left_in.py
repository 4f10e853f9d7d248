"""Reflectances are held against the offset, and fill values are neither measurements nor evidence."""

import numpy as np
import pytest
import xarray as xr

from kappamask.models import RadiometryError
from kappamask.udf import cloud_mask

BANDS = ["B02", "B03", "B04", "B08", "B11", "B12"]
WATER = (0.06, 0.05, 0.03, 0.02, 0.01, 0.01)
FIELD = (0.05, 0.08, 0.06, 0.32, 0.20, 0.12)
SAND = (0.16, 0.24, 0.33, 0.42, 0.55, 0.50)
SNOW = (0.80, 0.80, 0.78, 0.70, 0.12, 0.11)
CLOUD = (0.40, 0.41, 0.42, 0.50, 0.38, 0.30)


def land(*surfaces, bands=BANDS, seed=1):
    """Reflectances of stripes of surfaces, each 16 rows, with 5 % of noise."""
    rows = np.repeat(np.array(surfaces), 16, axis=0).T[:, :, None]
    noise = 1 + 0.05 * np.random.default_rng(seed).standard_normal((6, rows.shape[1], 64))
    cube = xr.DataArray(rows * noise, dims=("bands", "y", "x"), coords={"bands": BANDS})
    return cube.sel(bands=bands)


def masked(cube, brightness, **options):
    return cloud_mask(cube, model=brightness, level="L1C", **options)


@pytest.mark.parametrize("bands", [BANDS, BANDS[:3], BANDS[:4]])
def test_an_offset_that_was_left_in_is_asked_about(brightness, bands):
    cube = land(WATER, FIELD, CLOUD, bands=bands)
    assert masked(cube, brightness).attrs["radiometry"] == "reflectance"
    with pytest.raises(RadiometryError, match=r"0\.1 left in.*cube - 0\.1.*say radiometry='reflectance'"):
        masked(cube + 0.1, brightness)
    assert masked(cube + 0.1, brightness, radiometry="reflectance").attrs["radiometry"] == "reflectance"


def test_a_file_that_declares_a_scale_and_no_offset_is_asked_about(brightness):
    cube = land(WATER, FIELD, CLOUD) + 0.1
    cube.encoding = {"scale_factor": 1e-4}
    for one in (cube, cube.chunk(y=16)):
        one.encoding = dict(cube.encoding)
        with pytest.raises(RadiometryError, match="left in"):
            masked(one, brightness)
    cube.encoding = {"scale_factor": 1e-4, "add_offset": -0.1}
    assert masked(cube, brightness).attrs["radiometry"] == "reflectance"


@pytest.mark.parametrize("surfaces", [(SAND,), (SNOW,), (CLOUD,), (SAND, CLOUD), (SNOW, CLOUD)])
@pytest.mark.parametrize("bands", [BANDS, BANDS[:3]])
def test_bright_scenes_are_no_doubt(brightness, surfaces, bands):
    assert masked(land(*surfaces, bands=bands), brightness).attrs["radiometry"] == "reflectance"


def test_a_b10_with_the_offset_is_a_contradiction_even_of_what_is_said(brightness):
    cirrus = xr.full_like(land(WATER, FIELD).isel(bands=[0]), 0.001).assign_coords(bands=["B10"])
    cube = xr.concat([land(WATER, FIELD), cirrus], "bands") + 0.1
    with pytest.raises(RadiometryError, match=r"read as reflectance .*left in: B10 lies near 0\.101"):
        masked(cube, brightness, radiometry="reflectance")


@pytest.mark.parametrize(("scale", "mode", "step"), [(1, "reflectance", "0.1"), (10_000, "dn_harmonized", "1000")])
def test_an_offset_taken_away_twice_is_a_contradiction(brightness, scale, mode, step):
    cube = (land(WATER, FIELD, CLOUD) - 0.1) * scale
    cube = cube if scale == 1 else cube.round().astype("int16")
    for radiometry in ("auto", mode):
        with pytest.raises(RadiometryError, match=rf"taken away twice.*cube \+ {step}\)"):
            masked(cube, brightness, radiometry=radiometry)


def numbers(offset=0):
    return (land(WATER, FIELD, CLOUD) * 10_000).round().astype("int16") + np.int16(offset)


@pytest.mark.parametrize("fill", [-32768, -10000, -9999, -3000])
def test_what_no_surface_sends_is_missing(brightness, fill):
    cube = numbers()
    cube[:, :, :20] = fill
    mask = masked(cube, brightness)
    assert (mask[:, :20] == 5).all()
    assert (mask[:, 20:] == masked(numbers(), brightness)[:, 20:]).all()
    assert mask.attrs["radiometry"] == "dn_harmonized"


@pytest.mark.parametrize("fill", [-32768, -9999, -999])
def test_fill_values_are_no_evidence_that_the_offset_is_gone(brightness, fill):
    cube = numbers(1000)
    cube[:, :, :20] = fill
    with pytest.raises(RadiometryError, match="dn_harmonized or dn_offset"):
        masked(cube, brightness)


@pytest.mark.parametrize("fill", [-999, -1, 1, 255])
def test_one_number_in_all_bands_of_an_area_is_asked_about_and_can_be_declared(brightness, fill):
    cube = numbers()
    cube[:, :, :20] = fill
    with pytest.raises(RadiometryError, match=rf"31% of the pixels hold {fill} .*attrs\['nodata'\] = {fill};"):
        masked(cube, brightness)
    assert (masked(cube.assign_attrs(nodata=fill), brightness)[:, :20] == 5).all()


def test_clouds_that_are_clipped_are_measured(brightness):
    cube = land(WATER, FIELD, CLOUD)
    cube[:, :, :20] = 1.0
    assert (masked(cube, brightness)[:, :20] != 5).all()


@pytest.mark.parametrize("fill", [-9999, -999, -1])
def test_fill_values_among_reflectances_are_missing(brightness, fill):
    cube = land(WATER, FIELD, CLOUD)
    cube[:, :, :20] = fill
    mask = masked(cube, brightness)
    assert (mask[:, :20] == 5).all()
    assert (mask[:, 20:] != 5).all()
