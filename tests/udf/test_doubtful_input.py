"""Inputs that could be masked wrongly in silence.

Dates without metadata, one band without data, chunks of unknown size.
"""

import dask.array
import numpy as np
import pytest
import xarray as xr

from kappamask.models import RadiometryError
from kappamask.udf import cloud_mask

BANDS = ["B02", "B03", "B04", "B11"]


def numbers(low: float, high: float, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, (4, 40, 40)).astype(np.uint16)


def series(*dates: np.ndarray) -> xr.DataArray:
    return xr.DataArray(np.stack(dates), dims=("t", "bands", "y", "x"), coords={"bands": BANDS}, attrs={"level": "L1C"})


CLEAR, UNDER_CLOUD, HAZE = numbers(100, 4000), numbers(5000, 9000), numbers(850, 4000)
"""Numbers that cannot hold the offset, that may, and that may not although their dark end does not prove it."""


def masked(cube: xr.DataArray, brightness, **options) -> xr.DataArray:
    return cloud_mask(cube, model=brightness, **options)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_date_that_may_hold_the_offset_does_not_follow_the_others(brightness, lazy) -> None:
    cube = series(CLEAR, UNDER_CLOUD, CLEAR)
    cube = cube.chunk(t=1) if lazy else cube
    with pytest.raises(RadiometryError, match=r"Dates 2 of 3 .*radiometry='dn_harmonized'"):
        masked(cube, brightness)
    assert masked(cube, brightness, radiometry="dn_harmonized").attrs["radiometry"] == "dn_harmonized"
    assert masked(cube.isel(t=[0, 2]), brightness).attrs["radiometry"] == "dn_harmonized"


def test_a_date_that_cannot_hold_the_offset_follows(brightness) -> None:
    assert masked(series(CLEAR, HAZE), brightness).attrs["radiometry"] == "dn_harmonized"


def test_a_date_without_data_asks_nothing(brightness) -> None:
    mask = masked(series(CLEAR, np.zeros_like(CLEAR)), brightness)
    assert mask.attrs["radiometry"] == "dn_harmonized" and (mask[1] == 5).all()


def without_red(share: float = 0.5) -> xr.DataArray:
    cube = series(CLEAR)[0].copy()
    cube.loc[{"bands": "B04"}][: int(40 * share)] = 0
    return cube.assign_attrs(nodata=0, radiometry="dn_harmonized")


@pytest.mark.parametrize("lazy", [False, True])
def test_a_required_band_of_declared_nodata_is_asked_about(rgb, lazy) -> None:
    cube = without_red()
    given = cube.chunk(y=20) if lazy else cube
    with pytest.raises(RadiometryError, match=r"0 is declared .*B04 \(50% .*radiometry='dn_harmonized'"):
        masked(given, rgb).compute()
    expected = masked(cube, rgb, radiometry="dn_harmonized")
    assert (masked(given, rgb, radiometry="dn_harmonized").compute() == expected).all()
    missing = cube.astype("float32").where(cube != 0)
    assert (masked(missing, rgb)[:20] == 5).all()


def test_a_dark_pixel_or_a_value_that_nobody_declares_is_no_doubt(rgb) -> None:
    assert (masked(without_red(0.1), rgb) != 5).all()
    undeclared = without_red()
    del undeclared.attrs["nodata"]
    assert (masked(undeclared, rgb) != 5).all()


def test_with_the_offset_such_pixels_are_missing(rgb) -> None:
    cube = (without_red() + 1000).assign_attrs(nodata=0, radiometry="dn_offset", level="L1C")
    cube.loc[{"bands": "B04"}][:20] = 0
    assert (masked(cube, rgb)[:20] == 5).all() and (masked(cube, rgb)[20:] != 5).all()


@pytest.fixture(scope="module")
def rgb(tmp_path_factory):
    from networks import write_model

    return write_model(tmp_path_factory.mktemp("rgb"), **{"kappamask:required_bands": ["B02", "B03", "B04"]})


def test_dask_chunks_of_unknown_size_are_counted(brightness) -> None:
    values = series(CLEAR)[0].assign_attrs(radiometry="dn_harmonized")
    rows = dask.array.from_array(values.values, chunks=(4, 10, 40))
    whole = rows.transpose(1, 0, 2)
    unknown = whole[dask.array.ones(40, chunks=10, dtype=bool)].transpose(1, 0, 2)
    assert np.isnan(unknown.shape[1])
    cube = xr.DataArray(unknown, dims=("bands", "y", "x"), coords={"bands": BANDS}, attrs=values.attrs)
    xr.testing.assert_identical(masked(cube, brightness).compute(), masked(values, brightness))


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("fill", [1, -1, -999, -9999])
def test_the_fill_of_a_band_that_is_not_required_tells_nothing_of_the_offset(fill, declared) -> None:
    noise = np.random.default_rng(3).uniform(-60, 60, (4, 120, 120))
    ground = np.array([1450, 1700, 1500, 2900])[:, None, None]
    for rows in (2, 40):
        held = (ground + noise).astype(np.int16)
        held[3, :rows] = fill
        cube = xr.DataArray(held, dims=("bands", "y", "x"), coords={"bands": BANDS}, attrs={"level": "L1C"})
        cube.attrs |= {"_FillValue": fill} if declared else {}
        with pytest.raises(RadiometryError, match="may be dn_harmonized or dn_offset"):
            cloud_mask(cube)
        with pytest.raises(RadiometryError, match="but may be dn_offset: no band is darker"):
            cloud_mask(cube.assign_attrs(processing_baseline="03.01"))
        assert cloud_mask(cube, radiometry="dn_offset").attrs["radiometry"] == "dn_offset"
