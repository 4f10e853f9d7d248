"""Dask chunks of unknown size are counted at every door.

A selection by a lazy condition leaves such.
"""

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from files import BANDS, cube, digits

from kappamask.models import ModelCard
from kappamask.scenes import compute_class_statistics, make_composite, read_mask, write_mask
from kappamask.udf import clean, cloud_mask

TIMES = np.array(["2024-06-01", "2024-06-11"], "M8[ns]")


def forget_rows(known: xr.DataArray) -> xr.DataArray:
    """The same pixels, of which dask does not know how many rows there are."""
    axis = known.get_axis_num("y")
    rows = da.from_array(known.values, chunks=32)
    condition = da.from_array(np.ones(known.sizes["y"], bool), chunks=32)
    made = rows[(slice(None),) * axis + (condition,)]
    assert np.isnan(made.shape[axis])
    coords = {name: one for name, one in known.coords.items() if name not in ("y", "x")}
    return xr.DataArray(made, dims=known.dims, coords=coords, attrs=known.attrs)


@pytest.fixture(name="known")
def make_cube() -> xr.DataArray:
    return cube(level="L2A").drop_vars(["y", "x"])


@pytest.fixture(name="mask")
def make_mask(known: xr.DataArray, brightness: ModelCard) -> xr.DataArray:
    return cloud_mask(known, model=brightness, radiometry="dn_harmonized")


def test_a_cube_is_masked(known: xr.DataArray, mask: xr.DataArray, brightness: ModelCard) -> None:
    options = {"model": brightness, "radiometry": "dn_harmonized"}
    np.testing.assert_array_equal(cloud_mask(forget_rows(known), **options), mask)
    np.testing.assert_array_equal(forget_rows(known).kappamask.mask(**options), mask)


def test_a_mask_is_cleaned_counted_and_written(mask: xr.DataArray, tmp_path: Path) -> None:
    unknown = forget_rows(mask)
    options = {"buffer_m": 30, "pixel_m": 10}
    np.testing.assert_array_equal(clean(unknown, **options), clean(mask, **options))
    assert int(compute_class_statistics(unknown).pixels) == mask.size
    for name in ("m.tif", "m.nc"):
        write_mask(unknown, tmp_path / name)
        np.testing.assert_array_equal(read_mask(tmp_path / name), mask)


def test_pixels_are_cleared_by_a_mask(known: xr.DataArray, mask: xr.DataArray) -> None:
    expected = known.kappamask.clear(mask=mask)
    for pixels in (known, forget_rows(known)):
        for codes in (mask, forget_rows(mask)):
            np.testing.assert_array_equal(pixels.kappamask.clear(mask=codes), expected)


def test_dates_are_composed(known: xr.DataArray, mask: xr.DataArray) -> None:
    dates = xr.concat([known, known + np.uint16(1)], xr.Variable("t", TIMES))
    codes = xr.concat([mask, mask], xr.Variable("t", TIMES))
    expected = make_composite(dates, codes).composite
    assert expected.shape == (len(BANDS), *digits().shape[1:])
    np.testing.assert_array_equal(make_composite(forget_rows(dates), codes).composite, expected)
    np.testing.assert_array_equal(forget_rows(dates).kappamask.composite(mask=forget_rows(codes)).composite, expected)
