"""An offset that was taken away twice is found, also where numbers were clipped."""

import numpy as np
import pytest
import xarray as xr

from kappamask.models import RadiometryError
from kappamask.udf import cloud_mask

BANDS = ["B02", "B03", "B04", "B08", "B11", "B12"]
LAND = (0.06, 0.08, 0.07, 0.32, 0.25, 0.15)
HAZY = (0.098, 0.12, 0.11, 0.30, 0.25, 0.15)
CLOUD = (0.40, 0.41, 0.42, 0.50, 0.38, 0.30)


def stripes(*surfaces: tuple[float, ...], bands: list[str] = BANDS) -> xr.DataArray:
    """Reflectances of stripes of surfaces, each of 32 rows, with 5 % of noise."""
    rows = np.repeat(np.array(surfaces), 32, axis=0).T[:, :, None]
    noise = 1 + 0.05 * np.random.default_rng(1).standard_normal((6, rows.shape[1], 96))
    return xr.DataArray(rows * noise, dims=("bands", "y", "x"), coords={"bands": BANDS}).sel(bands=bands)


def masked(cube, brightness, level, **options):
    return cloud_mask(cube, model=brightness, level=level, **options)


@pytest.mark.parametrize("bands", [BANDS, BANDS[:4]])
@pytest.mark.parametrize(("scale", "floor"), [(1, 0.0), (1, 1e-4), (1e4, 0), (1e4, 1)])
@pytest.mark.parametrize("lazy", [False, True])
def test_clipped_numbers_are_asked_about(brightness, bands, scale, floor, lazy):
    mode = "reflectance" if scale == 1 else "dn_harmonized"
    twice = ((stripes(LAND, CLOUD, bands=bands) - 0.1) * scale).clip(floor).assign_attrs(radiometry=mode)
    twice = twice if scale == 1 else twice.round().astype("uint16")
    twice = twice.chunk(y=32) if lazy else twice
    with pytest.raises(RadiometryError, match=rf"B02 holds .* of the pixels.*clipped at 0.*say radiometry='{mode}'"):
        masked(twice, brightness, "L2A").compute()
    assert masked(twice, brightness, "L2A", radiometry=mode).compute().attrs["radiometry"] == mode
    for level in ("L1C", "L2A"):
        with pytest.raises(RadiometryError):
            masked(twice.drop_attrs(), brightness, level).compute()


def test_numbers_that_are_right_raise_no_doubt(brightness):
    for level in ("L1C", "L2A"):
        assert masked(stripes(LAND, CLOUD), brightness, level).attrs["radiometry"] == "reflectance"


def test_dark_water_that_is_clipped_in_red_is_no_doubt(brightness):
    lake = stripes(LAND, CLOUD)
    lake.loc[{"bands": ["B04", "B08", "B11", "B12"]}][:, :32] = 0
    assert masked(lake, brightness, "L2A").attrs["radiometry"] == "reflectance"


@pytest.mark.parametrize("mode", ["reflectance", "dn_harmonized", "dn_offset"])
def test_blue_of_level_1c_is_never_as_dark_as_no_air(brightness, mode):
    right = stripes(HAZY, CLOUD, bands=BANDS[:3])
    twice = {"reflectance": right - 0.1, "dn_harmonized": (right - 0.1) * 1e4, "dn_offset": right * 1e4}[mode]
    looks_like = "dn_harmonized" if mode == "dn_offset" else "taken away twice"
    twice = twice if mode == "reflectance" else twice.round().astype("int16")
    with pytest.raises(RadiometryError, match=rf"{looks_like}: 1 % of the pixels of B02 are below .*air alone"):
        masked(twice, brightness, "L1C", radiometry=mode)


@pytest.mark.parametrize("given", ["auto", "reflectance"])
def test_pictures_as_fractions_are_no_reflectance(brightness, given):
    picture = np.round(stripes(LAND, CLOUD) * 255) / 255
    for dtype in ("float32", "float64"):
        with pytest.raises(RadiometryError, match=r"255ths.*pictures, stretched for the eye"):
            masked(picture.astype(dtype), brightness, "L2A", radiometry=given)


@pytest.mark.parametrize("bands", [BANDS, BANDS[:4], BANDS[:3]])
def test_ground_of_some_brightness_with_the_offset_is_asked_about(brightness, bands):
    right = stripes((0.09, 0.10, 0.11, 0.30, 0.25, 0.15), CLOUD, bands=bands)
    assert masked(right, brightness, "L2A").attrs["radiometry"] == "reflectance"
    with pytest.raises(RadiometryError, match=r"0\.1 left in"):
        masked(right + 0.1, brightness, "L2A")


@pytest.mark.parametrize("fill", [5000, 9999, 12345, 16383])
def test_a_bright_number_in_all_bands_is_cloud_only_where_programs_clip(brightness, fill):
    numbers = (stripes(LAND, CLOUD) * 1e4).round().astype("uint16")
    numbers[:, :, :30] = fill
    with pytest.raises(RadiometryError, match=rf"31% of the pixels hold {fill} in all bands"):
        masked(numbers, brightness, "L2A")
    numbers[:, :, :30] = 10_000
    assert (masked(numbers, brightness, "L2A")[:, :30] != 5).all()
