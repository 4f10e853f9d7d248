"""Numbers of another scale, and series whose attributes are of one date, are errors."""

import numpy as np
import pytest
import xarray as xr

from kappamask.models import CubeError, RadiometryError
from kappamask.models.hints import Door, render_hints
from kappamask.udf import cloud_mask

BANDS = ["B02", "B03", "B04", "B08", "B11", "B12"]
WOOD, FIELD, CLOUD = (
    (0.08, 0.05, 0.03, 0.25, 0.12, 0.05), (0.09, 0.08, 0.06, 0.32, 0.20, 0.12), (0.40, 0.41, 0.42, 0.50, 0.38, 0.30),
)  # fmt: skip


def land(seed: int = 5) -> xr.DataArray:
    """Reflectance (bands, y, x) of stripes of three surfaces with 5 % of noise."""
    rows = np.array([WOOD, FIELD, CLOUD])[np.arange(96) // 32].T[:, :, None]
    values = rows * (1 + 0.05 * np.random.default_rng(seed).standard_normal((6, 96, 96)))
    return xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": BANDS})


def masked(cube, brightness, **options):
    return cloud_mask(cube, **{"model": brightness, "level": "L1C"} | options).compute()


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("stated", [{"processing_baseline": "02.05"}, {"radiometry": "dn_harmonized"}, None])
def test_percents_are_no_digital_numbers_even_if_said(brightness, stated, level, lazy):
    cube = (land() * 100).assign_attrs(stated or {})
    options = {"level": level} | ({} if stated else {"radiometry": "dn_harmonized"})
    with pytest.raises(RadiometryError) as found:
        masked(cube.chunk(y=48) if lazy else cube, brightness, **options)
    assert "cube / 100" in str(found.value) and "radiometry='reflectance'" in str(found.value)
    right = masked(cube.drop_attrs() / 100, brightness, level=level, radiometry="reflectance")
    xr.testing.assert_equal(right, masked(land(), brightness, level=level))


def test_numbers_up_to_1000_or_65535_are_asked_about(brightness):
    with pytest.raises(RadiometryError, match="radiometry='reflectance'"):
        masked((land() * 1000).round().astype("uint16"), brightness)
    with pytest.raises(RadiometryError, match="exceed"):
        masked((land() * 65_535).round().astype("uint16"), brightness, radiometry="dn_harmonized")


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("stated", ["processing_baseline", "collection"])
def test_1000_for_a_reflectance_of_1_is_asked_about_whatever_metadata_say(brightness, level, stated):
    facts = {stated: "02.05" if stated == "processing_baseline" else f"SENTINEL2_{level}"}
    cube = (land() * 1000).round().astype("uint16").assign_attrs(facts)
    with pytest.raises(RadiometryError, match="another scale") as found:
        masked(cube, brightness, level=level)
    assert "radiometry='reflectance'" in str(found.value)
    right = masked(cube.drop_attrs() / 1000, brightness, level=level, radiometry="reflectance")
    assert (right == masked(land(), brightness, level=level, radiometry="reflectance")).mean() > 0.9
    assert masked((land() * 10_000).round().assign_attrs(facts), brightness, level=level) is not None
    if level == "L2A":  # ground under deep shade, which the caller knows; air is never as dark
        assert "dn_harmonized" in str(found.value)
        assert masked(cube, brightness, level=level, radiometry="dn_harmonized") is not None


def test_the_air_of_level_1c_is_never_so_dark_even_if_said(brightness):
    with pytest.raises(RadiometryError, match="air alone sends 500"):
        masked((land() * 1000).round().astype("uint16"), brightness, radiometry="dn_harmonized")
    sea = (land() * 0 + 0.06 + 0.002 * land(7)).round(4) * 10_000
    cube = sea.round().astype("int16").assign_attrs(processing_baseline="02.05")
    assert masked(cube, brightness).attrs["radiometry"] == "dn_harmonized"


def test_dark_water_of_level_2a_is_believed(brightness):
    water = (land() * 0 + 0.01 + 0.002 * land(7)).round(4) * 10_000
    cube = water.round().astype("int16").assign_attrs(processing_baseline="02.05")
    assert masked(cube, brightness, level="L2A").attrs["radiometry"] == "dn_harmonized"


def test_a_command_names_a_program():
    with pytest.raises(CubeError) as found:
        cloud_mask(land().astype("uint8"))
    assert "gdal_calc.py" in render_hints(found.value.args[0], Door.COMMAND)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("shifted", [0, 1])
@pytest.mark.parametrize(("mode", "scale", "step"), [("dn_harmonized", 10_000, 1_000), ("reflectance", 1, 0.1)])
def test_an_attribute_of_the_first_date_does_not_vouch_for_a_lazy_series(brightness, mode, scale, step, shifted, lazy):
    dates = [land() * scale, land(6) * scale]
    right = xr.concat(dates, "t").assign_attrs(radiometry=mode)
    dates[shifted] = dates[shifted] + step
    wrong = xr.concat(dates, "t").assign_attrs(radiometry=mode)
    split = (lambda cube: cube.chunk(t=1, y=48)) if lazy else (lambda cube: cube)
    with pytest.raises(RadiometryError, match=f"Date {shifted + 1} of 2") as found:
        masked(split(wrong), brightness)
    assert f"radiometry='{mode}'" in str(found.value)
    assert masked(split(right), brightness).attrs["radiometry"] == mode
    assert masked(split(wrong), brightness, radiometry=mode).attrs["radiometry"] == mode


def test_columns_that_are_out_of_order_are_refused(brightness):
    cube = land().assign_coords(x=10.0 * np.arange(96), y=-10.0 * np.arange(96))
    moved = cube.isel(x=[*range(48, 96), *range(48)])
    with pytest.raises(CubeError, match=r"sortby\('x'\)"):
        masked(moved, brightness)
    xr.testing.assert_equal(masked(moved.sortby("x"), brightness), masked(cube, brightness))


@pytest.mark.parametrize("bands", ["B02,B03", ["B02", None, "B04", "B08", "B11", "B12"]])
def test_bands_must_be_a_list_of_names(brightness, bands):
    with pytest.raises(CubeError, match=r"bands=\['B02', 'B03'"):
        masked(land().values, brightness, bands=bands)
