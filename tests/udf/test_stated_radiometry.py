"""Metadata that deny the offset are held against the dark end of the pixels."""

import numpy as np
import pytest
import xarray as xr

from kappamask.models import RadiometryError
from kappamask.udf import chunk, cloud_mask

BANDS = ["B02", "B03", "B04", "B08", "B11", "B12"]
WOOD, FIELD = (0.08, 0.05, 0.03, 0.25, 0.12, 0.05), (0.09, 0.08, 0.06, 0.32, 0.20, 0.12)
SNOW, CLOUD = (0.80, 0.80, 0.78, 0.70, 0.35, 0.31), (0.40, 0.41, 0.42, 0.50, 0.38, 0.30)
SAND = (0.16, 0.24, 0.33, 0.42, 0.55, 0.50)
STATEMENTS = [
    {"processing_baseline": "02.05"},
    {"s2:processing_baseline": "03.01"},
    {"collection": "SENTINEL2_L2A"},
    {"scale_factor": 0.0001, "add_offset": 0.0},
]


def numbers(*surfaces, offset=0, side=96, bands=BANDS):
    """Digital numbers (bands, y, x) of stripes of surfaces with 5 % of noise."""
    rows = np.array(surfaces)[np.arange(side) * len(surfaces) // side].T[:, :, None]
    noise = 1 + 0.05 * np.random.default_rng(5).standard_normal((len(BANDS), side, side))
    values = np.rint(rows * noise * 10_000 + offset).astype("int32")
    return xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": BANDS}).sel(bands=bands)


def masked(cube, brightness, **options):
    return cloud_mask(cube, model=brightness, level="L2A", **options).compute()


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("bands", [BANDS, BANDS[:3]])
@pytest.mark.parametrize("stated", STATEMENTS)
def test_an_offset_that_metadata_deny_is_asked_about(brightness, stated, bands, lazy):
    cube = numbers(WOOD, FIELD, CLOUD, offset=1000, bands=bands).assign_attrs(stated)
    cube = cube.chunk(y=50) if lazy else cube
    with pytest.raises(RadiometryError) as found:
        masked(cube, brightness)
    for fact in ("said to be dn_harmonized", "radiometry='dn_offset'", "radiometry='dn_harmonized'", "1000"):
        assert fact in str(found.value)
    for mode in ("dn_offset", "dn_harmonized"):
        assert masked(cube, brightness, radiometry=mode).attrs["radiometry"] == mode


@pytest.mark.parametrize("stated", STATEMENTS)
@pytest.mark.parametrize("surfaces", [(WOOD, FIELD, CLOUD), (SAND,), (SNOW,), (CLOUD,), (SAND, CLOUD)])
def test_true_metadata_are_believed(brightness, stated, surfaces):
    cube = numbers(*surfaces).assign_attrs(stated)
    assert masked(cube, brightness).attrs["radiometry"] == "dn_harmonized"


@pytest.mark.parametrize("surfaces", [(SAND,), (SNOW,), (CLOUD,)])
def test_where_nothing_is_dark_metadata_stand(brightness, surfaces):
    cube = numbers(*surfaces, offset=1000).assign_attrs(STATEMENTS[0])
    assert masked(cube, brightness).attrs["radiometry"] == "dn_harmonized"


def test_the_dark_b10_of_harmonised_numbers_rules_the_offset_out(brightness):
    bright = numbers((0.12,) * 6).assign_attrs(STATEMENTS[0])
    with pytest.raises(RadiometryError):
        masked(bright, brightness)
    cirrus = xr.full_like(bright.isel(bands=[0]), 20).assign_coords(bands=["B10"])
    both = xr.concat([bright, cirrus], "bands")
    assert cloud_mask(both, model=brightness, level="L1C").attrs["radiometry"] == "dn_harmonized"


def test_air_over_dark_ground_is_no_offset_in_level_1c(brightness):
    """With the offset left in, B02 would be at 0.15 or more, not at 0.13."""
    hazy = numbers((0.14, 0.12, 0.10, 0.11, 0.1, 0.1), bands=BANDS[:4]).assign_attrs(STATEMENTS[0])
    assert cloud_mask(hazy, model=brightness, level="L1C").attrs["radiometry"] == "dn_harmonized"


def test_a_small_piece_is_no_evidence_against_metadata(brightness):
    small = numbers(WOOD, FIELD, offset=1000, side=32).assign_attrs(STATEMENTS[0])
    assert masked(small, brightness).attrs["radiometry"] == "dn_harmonized"


def test_the_attributes_of_the_first_date_do_not_vouch_for_a_series(brightness):
    early = numbers(WOOD, FIELD, CLOUD).assign_attrs(radiometry="dn_harmonized")
    late = numbers(WOOD, FIELD, CLOUD, offset=1000).assign_attrs(radiometry="dn_offset")
    series = xr.concat([early, late], "t", combine_attrs="override")
    assert masked(series.isel(t=0), brightness).attrs["radiometry"] == "dn_harmonized"
    with pytest.raises(RadiometryError, match=r"Date 2 of 2: .*radiometry='dn_offset'"):
        masked(series, brightness)


def test_a_hazy_date_of_a_series_is_no_doubt_where_an_attribute_says_how_to_read(brightness):
    haze = numbers((0.17, 0.15, 0.14, 0.30, 0.14, 0.06), (0.19, 0.18, 0.16, 0.35, 0.22, 0.14))
    series = xr.concat([numbers(WOOD, FIELD), haze], "t").assign_attrs(radiometry="dn_harmonized")
    assert masked(series, brightness).attrs["radiometry"] == "dn_harmonized"


@pytest.mark.parametrize("surfaces", [(WOOD, FIELD, CLOUD), (SAND,), (SNOW,), (CLOUD,)])
def test_a_udf_warns_of_an_offset_that_nobody_named(caplog, surfaces):
    """What back-ends serve is taken unsaid; a doubt fails no job, and is logged."""
    for offset in (0, 1000):
        chunk._given_warnings.cache_clear()
        caplog.clear()
        chunk.apply_datacube(numbers(*surfaces, offset=offset).astype(np.float32), {"level": "L2A"})
        found = [record.getMessage() for record in caplog.records if "may be dn_offset" in record.getMessage()]
        assert len(found) == (offset == 1000 and surfaces == (WOOD, FIELD, CLOUD))
        assert all('Say "radiometry": "dn_offset"' in text for text in found)


def test_one_number_in_all_bands_is_asked_about_though_the_radiometry_is_given(brightness, caplog):
    """What says how numbers are scaled does not say that 65535 was measured."""
    cube = numbers(WOOD, FIELD, CLOUD)
    cube[:, :, :30] = 65_535
    with pytest.raises(RadiometryError, match=r"hold 65535 in all bands.*cube.attrs\['nodata'\] = 65535"):
        masked(cube, brightness, radiometry="dn_harmonized")
    chunk._given_warnings.cache_clear()
    chunk.apply_datacube(cube.astype(np.float32), {"level": "L2A"})
    assert "hold 65535 in all bands" in caplog.text
