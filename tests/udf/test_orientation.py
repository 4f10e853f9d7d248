"""Cubes with turned rows or columns are masked north-up and returned as they came."""

import numpy as np
import pytest
import xarray as xr

from kappamask.models import ModelCard
from kappamask.models.mask_options import MaskOptions
from kappamask.udf import cloud_mask
from kappamask.udf.chunk import apply_datacube
from kappamask.udf.stream import prepare_stream

BANDS = ["B02", "B03", "B04"]
HEIGHT, WIDTH = 150, 90
WAYS = {"south_up": {"y": True}, "east_first": {"x": False}, "both": {"y": True, "x": False}}
ways = pytest.mark.parametrize("way", WAYS)


def cube(dates: int = 0) -> xr.DataArray:
    shape = ((dates,) if dates else ()) + (3, HEIGHT, WIDTH)
    values = np.random.default_rng(4).uniform(0.01, 0.7, shape).astype(np.float32)
    values[..., :20, 50:] = np.nan
    coords = {"bands": BANDS, "y": 6.5e6 - 10.0 * np.arange(HEIGHT), "x": 5e5 + 10.0 * np.arange(WIDTH)}
    return xr.DataArray(values, dims=("t", "bands", "y", "x")[-len(shape) :], coords=coords, attrs={"level": "L1C"})


def turn(array: xr.DataArray, way: str) -> xr.DataArray:
    for axis, ascending in WAYS[way].items():
        array = array.sortby(axis, ascending=ascending)
    return array


@ways
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("dates", [0, 2])
def test_the_mask_is_that_of_the_north_up_cube_in_the_callers_order(way: str, lazy: bool, dates: int) -> None:
    expected = cloud_mask(cube(dates), radiometry="reflectance", scores=True)
    given = turn(cube(dates), way)
    found = cloud_mask(given.chunk(y=40) if lazy else given, radiometry="reflectance", scores=True)
    assert (found.chunks != {}) is lazy
    xr.testing.assert_identical(found.compute(), turn(expected, way))
    np.testing.assert_array_equal(found.y, given.y)
    assert found.mask.values.flags.c_contiguous
    with pytest.raises(AssertionError):  # the network sees a difference, or this test would prove nothing
        xr.testing.assert_equal(
            cloud_mask(given.drop_vars(["y", "x"]), radiometry="reflectance"), found.mask.drop_vars(["y", "x"])
        )


@ways
def test_a_chunk_of_a_back_end_comes_back_as_it_went_in(way: str) -> None:
    context = {"level": "L1C", "radiometry": "reflectance", "scores": True, "sun": [40, 150]}
    expected, found = (apply_datacube(one, context) for one in (cube(), turn(cube(), way)))
    xr.testing.assert_identical(found, turn(expected, way))


def test_numbers_of_pixels_are_no_map(brightness: ModelCard) -> None:
    """Rows that are counted from 0 run downwards, as in an image."""
    options = {"radiometry": "reflectance", "scores": True}
    expected = cloud_mask(cube(), **options)
    counted = cube().assign_coords(y=np.arange(HEIGHT), x=np.arange(WIDTH))
    np.testing.assert_array_equal(cloud_mask(counted, **options).score, expected.score)
    for first, step in ((1, 2), (0.5, 2), (1.5, 3)):  # centres of 2 x 2, and means of pixels that are counted
        means = cube().assign_coords(y=first + step * np.arange(HEIGHT), x=np.arange(WIDTH))
        np.testing.assert_array_equal(cloud_mask(means, **options).score, expected.score)
    metres = cube().assign_coords(y=5.0 + 10 * np.arange(HEIGHT), x=np.arange(WIDTH))
    assert not np.array_equal(cloud_mask(metres, **options).score, expected.score)


def test_a_stream_is_north_up(brightness: ModelCard) -> None:
    options = MaskOptions(model=brightness, radiometry="reflectance")
    made = prepare_stream(turn(cube(), "south_up").chunk(y=40), options)
    mask = made.make_template()["mask"].compute().copy()
    made.run(lambda piece: mask.values.__setitem__((piece.y, piece.x), piece.mask), lambda _done, _all: None)
    xr.testing.assert_identical(mask, cloud_mask(cube(), model=brightness, radiometry="reflectance"))
