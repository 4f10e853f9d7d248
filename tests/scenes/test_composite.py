"""Composites take every pixel from the date that a slow search finds too.

All bands of a pixel are of that one date.
"""

import sys

import numpy as np
import pytest
import xarray as xr
from files import CRS, NORTH, WEST, cube
from hypothesis import given, settings
from hypothesis import strategies as st

from kappamask.models import CubeError
from kappamask.scenes import make_composite

DATES = 4
HEIGHT, WIDTH = 9, 12
TIMES = np.array(["2024-05-01", "2024-03-01", "2024-06-01", "2024-07-11"], "M8[ns]")
UNCLEAR = (2, 3, 4)


def stack(values):
    """A cube (t, bands, y, x) located as `files.cube`."""
    return xr.concat([cube(one, ("B02", "B03")) for one in values], xr.Variable("t", TIMES[: len(values)]))


def pair(seed, cloudiness=0.3, height=HEIGHT, width=WIDTH):
    """Make a cube that differs between pixels and dates, and a mask with all codes."""
    rng = np.random.default_rng(seed)
    weights = np.array([cloudiness / 20, 1 - cloudiness, *[cloudiness / 4] * 3, cloudiness / 10, cloudiness / 10])
    codes = rng.choice([0, 1, 2, 3, 4, 5, 255], (DATES, height, width), p=weights / weights.sum()).astype(np.uint8)
    data = stack(rng.permutation(DATES * 2 * height * width).reshape(DATES, 2, height, width).astype(np.uint16) + 1)
    return data, data.isel(bands=0, drop=True).copy(data=codes)


def by_hand(mask, order, reach, size=10.0):
    """The number of the best date of each pixel, -1 where there is none."""
    found = np.full((HEIGHT, WIDTH), -1)
    for y, x in np.ndindex(HEIGHT, WIDTH):
        ranks = {}
        for place, date in enumerate(order):
            if mask[date, y, x] != 1:
                continue
            clouds = np.argwhere(np.isin(mask[date], UNCLEAR))
            away = min((float(np.hypot(*(cloud - (y, x)))) * size for cloud in clouds), default=np.inf)
            ranks[date] = (-round(min(away, reach), 6), place)
        found[y, x] = min(ranks, key=ranks.get) if ranks else -1
    return found


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), cloudiness=st.floats(0.02, 0.95), reach=st.sampled_from([0, 25, 40, 1500]))
def test_best_is_what_a_search_by_hand_finds(seed, cloudiness, reach):
    data, mask = pair(seed, cloudiness)
    target = np.datetime64("2024-05-20", "ns")
    order = np.argsort(np.abs(TIMES - target), kind="stable")
    number = by_hand(mask.values, order, reach)
    for chunks in ({}, {"t": 1, "y": 4, "x": 5}):
        made = make_composite(data.chunk(chunks) if chunks else data, mask, target=target, reach_m=reach).compute()
        expected = np.take_along_axis(data.values, np.maximum(number, 0)[None, None], 0)[0].astype(np.float32)
        np.testing.assert_array_equal(made.composite, np.where(number < 0, np.nan, expected))
        np.testing.assert_array_equal(made.date, np.where(number < 0, np.datetime64("NaT"), TIMES[number]))
        np.testing.assert_array_equal(made.clear_dates, (mask == 1).sum("t"))


@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), chunk=st.integers(3, 12))
def test_lazy_masks_give_the_same_bit_for_bit(seed, chunk):
    data, mask = pair(seed)
    for method in ("best", "newest", "median"):
        eager = make_composite(data, mask, method=method, reach_m=30)
        lazy = make_composite(data.chunk(t=1, y=chunk), mask.chunk(t=2, y=chunk, x=5), method=method, reach_m=30)
        assert all(variable.chunks for variable in lazy.data_vars.values())
        xr.testing.assert_identical(lazy.compute(), eager)


def test_blocks_of_a_lazy_mask_see_clouds_beyond_their_edges(monkeypatch):
    monkeypatch.setattr(sys.modules["kappamask.scenes.composite"], "CHUNK", 16)
    data, mask = pair(3, 0.02, 60, 70)
    eager = make_composite(data, mask, reach_m=200)
    xr.testing.assert_identical(make_composite(data, mask.chunk(y=8, x=8), reach_m=200).compute(), eager)


def test_newest_goes_by_time_not_by_place():
    data, mask = pair(1)
    made = make_composite(data, mask, method="newest")
    clear = (mask == 1).values
    expected = np.where(clear, TIMES[:, None, None], np.datetime64("NaT")).max(
        axis=0, initial=np.datetime64(0, "ns"), where=clear
    )
    np.testing.assert_array_equal(made.date, np.where(clear.any(0), expected, np.datetime64("NaT")))


def test_median_is_of_the_clear_dates():
    data, mask = pair(2, 0.5)
    made = make_composite(data, mask, method="median")
    np.testing.assert_array_equal(made.composite, data.where(mask == 1).median("t"))
    assert "date" not in made


def test_one_class_may_be_named_by_itself():
    data, mask = pair(2)
    made = make_composite(data, mask, classes="cloud")
    np.testing.assert_array_equal(made.clear_dates, mask.isin([1, 2, 3]).sum("t"))
    assert made.attrs["unclear"] == "cloud"


def test_without_a_target_the_middle_of_the_series_is_nearest():
    data, mask = pair(4, 0)
    assert (make_composite(data, mask).date == TIMES[0]).all()  # 1 May, of 1 March to 11 July
    assert (make_composite(data, mask, target="2024-03-20T12:00:00+02:00").date == TIMES[1]).all()


def test_bands_of_a_pixel_are_of_one_date_even_where_one_has_no_data():
    data, mask = pair(5, 0)
    floats = data.astype(np.float32)
    floats[0, 1, 3, 3] = np.nan
    made = make_composite(floats, mask, target=TIMES[0])
    assert np.isnan(made.composite[1, 3, 3]) and made.composite[0, 3, 3] == data[0, 0, 3, 3]


def test_dates_without_times_are_counted():
    data, mask = pair(6)
    made = make_composite(data.drop_vars("t"), mask.drop_vars("t"), reach_m=0)
    assert made.date.dtype == np.int16
    np.testing.assert_array_equal(made.date, by_hand(mask.values, range(DATES), 0))
    for options in ({"method": "newest"}, {"target": "2024-05-01"}):
        with pytest.raises(CubeError, match="The dates have no times"):
            make_composite(data.drop_vars("t"), mask, **options)


def test_datasets_keep_their_variables_and_what_has_no_dates():
    data, mask = pair(7)
    flags = mask.assign_attrs(flag_values=[1], flag_meanings="clear")
    dataset = data.to_dataset("bands").assign(mask=flags, height=mask[0] * 2.5, sun=("t", np.arange(4.0)))
    dataset = dataset.assign_coords(item=("t", list("abcd"))).rename(t="time")
    made = make_composite(dataset, mask)
    assert set(made.data_vars) == {"B02", "B03", "height", "date", "clear_dates"}
    np.testing.assert_array_equal(made.B03, make_composite(data, mask).composite[1])
    xr.testing.assert_identical(made.height, dataset.height)
    assert made.rio.crs == CRS and not {"time", "item"} & set(made.coords)


def test_pixels_in_degrees_have_their_true_sides():
    """At 60° north, three columns in degrees are nearer than two rows.

    A pixel is half as wide as high there.
    """
    values = np.ones((2, 9, 9), np.uint8)
    values[0, 4, 7], values[1, 6, 4] = 4, 4
    data = stack(np.ones((2, 2, 9, 9), np.uint16)).assign_coords(y=60 - 1e-4 * np.arange(9), x=25 + 1e-4 * np.arange(9))
    data = data.rio.write_crs("EPSG:4326", inplace=False)
    mask = data.isel(bands=0, drop=True).copy(data=values)
    for order in (slice(None), slice(None, None, -1)):
        assert make_composite(data[order], mask[order]).date[4, 4] == TIMES[1]


def test_it_goes_to_a_file_as_it_is(tmp_path):
    data, mask = pair(8, 0.9)
    lazy = make_composite(data.chunk(y=4).assign_attrs(_FillValue=0), mask.chunk(y=4))
    lazy.to_netcdf(tmp_path / "composite.nc")
    with xr.open_dataset(tmp_path / "composite.nc", decode_coords="all") as stored:
        for name in lazy.data_vars:
            np.testing.assert_array_equal(stored[name], lazy[name])
        assert stored.composite.encoding["dtype"] == np.uint16
        assert stored.rio.crs == CRS and stored.attrs["method"] == "best"


@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        (
            lambda data, mask: (data, mask),
            {"method": "greenest"},
            "No method 'greenest': known are best, newest, median",
        ),
        (lambda data, mask: (data, mask), {"target": "soon"}, "The target 'soon' is no date"),
        (lambda data, mask: (data, mask), {"reach_m": -1}, "The reach is -1 m"),
        (lambda data, mask: (data, mask), {"classes": ["fog"]}, "No class 'fog'"),
        (lambda data, mask: (data[0], mask[0]), {}, "needs several dates"),
        (lambda data, mask: (data[:0], mask[:0]), {}, "needs several dates"),
        (lambda data, mask: (data, mask[0]), {}, "a mask of each date"),
        (lambda data, mask: (data, mask[1:]), {}, "needed is the mask of these data"),
        (lambda data, mask: (data, mask.assign_coords(t=TIMES[::-1])), {}, "or their t differ"),
        (lambda data, mask: (data.values, mask), {}, "not ndarray"),
    ],
)
def test_what_makes_no_composite(change, options, reason):
    data, mask = change(*pair(9))
    with pytest.raises(CubeError, match=reason):
        make_composite(data, mask, **options)


def test_places_are_those_of_the_data():
    made = make_composite(*pair(10))
    assert (float(made.x[0]), float(made.y[0])) == (WEST + 5, NORTH - 5)
