"""Cleaned masks: against SciPy's distances and labels, on dask, and on a back-end's chunks."""

from math import cos, radians, sin, tan

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import BANDS, write_model
from scipy import ndimage

from kappamask.backend.chunks import apply_neighborhood
from kappamask.models import CubeError
from kappamask.models.cleaning import read_cleaning
from kappamask.openeo_process import make_udf
from kappamask.openeo_process.chunks import make_chunk_arguments
from kappamask.udf import clean, cloud_mask, to_scheme

CLEAR, SHADOW, THIN, CLOUD, MISSING = range(1, 6)
EVERYTHING = {
    "buffer_m": {"cloud": 32.0, "cloud_shadow": 20.0, "semi_transparent_cloud": 15.0},
    "min_object_m2": 400,
    "fill_holes_m2": 500,
    "shadow_length_m": 60,
}


def codes(height, width, seed, clouds=0.5):
    """Clear land with blobs of all classes, specks and holes, and some missing and nodata."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal((height, width)), 2.5, mode="wrap") * 6
    field += rng.standard_normal((height, width)) * 0.5
    made = np.full((height, width), CLEAR, np.uint8)
    made[field > clouds], made[field > clouds + 0.4], made[field < -1.5] = THIN, CLOUD, SHADOW
    made[rng.random((height, width)) < 0.01] = rng.choice([0, MISSING, 255])
    made[: height // 5, : width // 4] = MISSING
    return made


def mask_of(values, pixel=10.0):
    coords = {"y": 5e6 - pixel * np.arange(values.shape[-2]), "x": 4e5 + pixel * np.arange(values.shape[-1])}
    return xr.DataArray(values, dims=("t", "y", "x")[-values.ndim :], coords=coords, name="mask")


def clean_codes(values, **options):
    return clean(mask_of(np.asarray(values, np.uint8)), **options).values


sizes = st.integers(4, 70)


@given(
    height=sizes, width=sizes, seed=st.integers(0, 99), metres=st.floats(0, 130), pixel=st.sampled_from([10.0, 20.0])
)
def test_buffers_are_discs_of_metres_and_the_strongest_class_wins(height, width, seed, metres, pixel):
    before = codes(height, width, seed)
    buffers = {"cloud": metres, "semi_transparent_cloud": metres / 2, "cloud_shadow": 130 - metres}
    made = clean(mask_of(before, pixel), buffer_m=buffers).values
    expected = before.copy()
    movable = (before >= CLEAR) & (before <= CLOUD)
    for code, name in [(SHADOW, "cloud_shadow"), (THIN, "semi_transparent_cloud"), (CLOUD, "cloud")]:
        there = before == code
        away = ndimage.distance_transform_edt(~there, sampling=pixel) if there.any() else np.inf
        expected[(away <= buffers[name] + 1e-4) & movable & (expected < code)] = code
    np.testing.assert_array_equal(made, expected)


def test_a_buffer_is_as_wide_as_its_metres():
    one = np.full((41, 41), CLEAR, np.uint8)
    one[20, 20] = CLOUD
    made = clean_codes(one, buffer_m=60)
    assert np.flatnonzero(made[20] == CLOUD).tolist() == list(range(14, 27))
    assert (made == CLOUD).sum() == 113, "pixels within 6 of the middle"
    assert (made[15, 16], made[14, 16]) == (CLEAR, CLEAR)
    assert (clean_codes(np.where(one == CLOUD, SHADOW, one), buffer_m={"cloud": 60}) == CLOUD).sum() == 0


@given(height=sizes, width=sizes, seed=st.integers(0, 99), least=st.integers(0, 40))
def test_objects_of_fewer_pixels_become_clear(height, width, seed, least):
    before = codes(height, width, seed)
    labels, _ = ndimage.label((before >= SHADOW) & (before <= CLOUD), np.ones((3, 3)))
    small = np.bincount(labels.ravel())[labels] < least
    expected = np.where(small & (labels > 0), CLEAR, before)
    np.testing.assert_array_equal(clean_codes(before, min_object_m2=least * 100), expected)


@given(height=sizes, width=sizes, seed=st.integers(0, 99), least=st.integers(0, 40))
def test_holes_of_fewer_pixels_take_the_strongest_class_around(height, width, seed, least):
    before = codes(height, width, seed, clouds=-0.4)
    labels, count = ndimage.label(before == CLEAR)
    framed, expected = np.pad(before, 1, constant_values=MISSING), before.copy()
    for hole in range(1, count + 1):
        inside = np.pad(labels == hole, 1)
        around = framed[ndimage.binary_dilation(inside) & ~inside]
        if inside.sum() < least and np.isin(around, [SHADOW, THIN, CLOUD]).all():
            expected[labels == hole] = around.max()
    np.testing.assert_array_equal(clean_codes(before, fill_holes_m2=least * 100), expected)


def test_the_area_asked_for_is_large_enough():
    nine = np.full((12, 12), CLEAR, np.uint8)
    nine[4:7, 4:7] = CLOUD
    assert (clean_codes(nine, min_object_m2=900) == CLOUD).sum() == 9
    assert (clean_codes(nine, min_object_m2=901) == CLOUD).sum() == 0
    hole = np.where(nine == CLOUD, CLEAR, CLOUD)
    assert (clean_codes(hole, fill_holes_m2=900) == CLEAR).sum() == 9
    assert (clean_codes(hole, fill_holes_m2=901) == CLEAR).sum() == 0


@given(height=sizes, width=sizes, seed=st.integers(0, 99), metres=st.floats(10, 300))
def test_shadow_far_from_any_cloud_becomes_clear(height, width, seed, metres):
    before = codes(height, width, seed, clouds=1.5)
    caster = np.pad((before != CLEAR) & (before != SHADOW), 1, constant_values=True)
    away = ndimage.distance_transform_edt(~caster, sampling=10)[1:-1, 1:-1]
    expected = np.where((before == SHADOW) & (away > metres), CLEAR, before)
    near = np.abs(away - metres) < 1e-3
    np.testing.assert_array_equal(clean_codes(before, shadow_length_m=metres)[~near], expected[~near])


@pytest.mark.parametrize("azimuth", [0, 37, 90, 135, 180, 222.5, 270, 315, 360])
def test_shadow_lies_away_from_the_sun(azimuth):
    """Of shadow around a small cloud, a wedge away from the sun is kept."""
    before = np.full((601, 601), SHADOW, np.uint8)
    before[298:303, 298:303] = CLOUD
    made = clean_codes(before, sun=(45, azimuth), shadow_length_m=1000)
    middle = made[160:441, 160:441]  # beyond, what lies outside may cast a shadow
    down, right = (axis - 140 for axis in np.nonzero(middle == SHADOW))
    north, east = cos(radians(azimuth)), sin(radians(azimuth))
    along, across = down * north - right * east, down * east + right * north
    slack = 2.9 + 5 + 8  # the cloud, the margin, rounding
    assert along.min() > -slack
    assert 100 <= along.max() < 100 * (1 + tan(radians(12))) + slack
    assert (np.abs(across) < np.maximum(along, 0) * tan(radians(12)) + slack).all()
    line = [made[round(300 + d * north), round(300 - d * east)] for d in range(5, 100)]
    assert line == [SHADOW] * 95


def test_the_sun_says_how_long_shadows_are():
    assert read_cleaning({"sun": (45, 180)}).shadow_length_m == pytest.approx(12_000)
    assert read_cleaning({"sun": (60, 180)}).shadow_length_m == pytest.approx(20_785, abs=1)
    assert read_cleaning({"sun": (60, 180), "shadow_length_m": 900}).shadow_length_m == 900


@given(height=sizes, width=sizes, seed=st.integers(0, 99))
def test_what_has_no_class_never_changes_and_never_grows(height, width, seed):
    before = codes(height, width, seed)
    made = clean_codes(before, **EVERYTHING)
    without = (before == 0) | (before > CLOUD)
    np.testing.assert_array_equal(made[without], before[without])
    assert np.isin(made[~without], [CLEAR, SHADOW, THIN, CLOUD]).all()


def test_steps_follow_one_another():
    """A single shadow far from clouds is gone before it could make a speck grow."""
    before = np.full((30, 60), CLEAR, np.uint8)
    before[15, 10], before[15, 40:44] = SHADOW, CLOUD
    made = clean_codes(before, shadow_length_m=50, min_object_m2=400, buffer_m=10)
    assert (made[:, :30] == CLEAR).all()
    assert (made[15, 39:45] == CLOUD).all()
    assert (made == CLOUD).sum() == 4 + 4 * 2 + 2


@settings(max_examples=20)
@given(
    height=st.integers(30, 160),
    width=st.integers(30, 160),
    chunk=st.integers(5, 90),
    seed=st.integers(0, 99),
    sun=st.sampled_from([None, (30, 150), (50, 15.5), (40, 271)]),
)
def test_dask_is_equal_whatever_its_chunks(height, width, chunk, seed, sun):
    mask = mask_of(codes(height, width, seed))
    options = {**EVERYTHING, "sun": sun}
    lazy = clean(mask.chunk(y=chunk, x=chunk + 3), **options)
    assert isinstance(lazy.data, da.Array)
    xr.testing.assert_identical(lazy.compute(), clean(mask, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"buffer_m": {"cloud": 50}},
        {"min_object_m2": 1200},
        {"fill_holes_m2": 1200},
        {"shadow_length_m": 60},
        {"min_object_m2": 1200, "buffer_m": {"cloud": 50}},
    ],
)
def test_a_pixel_is_decided_by_the_farthest_that_has_a_say(options):
    """Thin shapes of the largest extent need the whole overlap, wherever a chunk ends."""
    before = np.full((60, 60), CLEAR, np.uint8)
    before[5, 24:36] = CLOUD  # 12 px: large enough, and grows
    before[20:41, 14:46] = THIN
    before[30, 24:35] = CLEAR  # 11 px: a hole
    before[50, 30], before[50, [24, 36, 40]] = CLOUD, SHADOW
    whole = clean_codes(before, **options)
    assert (whole != before).any()
    with dask.config.set(scheduler="synchronous"):
        for split in range(17, 44):
            parts = (split, 60 - split)
            np.testing.assert_array_equal(clean(mask_of(before).chunk(x=parts), **options), whole)
            if split % 5 == 0:
                np.testing.assert_array_equal(clean(mask_of(before.T).chunk(y=parts), **options).values.T, whole)


def test_a_lazy_mask_is_not_computed_before_it_must():
    def burst(block):
        raise AssertionError("computed too early")

    lazy = mask_of(codes(200, 200, 1)).chunk(y=50, x=50)
    lazy.data = lazy.data.map_blocks(burst, dtype=np.uint8, meta=np.empty((0, 0), np.uint8))
    made = clean(lazy, **EVERYTHING)
    with pytest.raises(AssertionError, match="too early"):
        made.compute()


def test_dates_are_cleaned_one_by_one_in_any_order_of_dims():
    dates = np.stack([codes(60, 50, 1), codes(60, 50, 2)])
    made = clean(mask_of(dates), **EVERYTHING)
    for date in range(2):
        np.testing.assert_array_equal(made[date], clean_codes(dates[date], **EVERYTHING))
    turned = clean(mask_of(dates).transpose("x", "t", "y"), **EVERYTHING)
    assert turned.dims == ("x", "t", "y")
    np.testing.assert_array_equal(turned.transpose("t", "y", "x"), made)
    assert "buffer cloud 32 m" in made.attrs["cleaning"]
    assert "objects below 400 m2" in made.attrs["cleaning"]


def test_nothing_asked_for_changes_nothing_and_other_schemes_are_read():
    mask = mask_of(codes(40, 40, 3))
    xr.testing.assert_identical(clean(mask), mask)
    np.testing.assert_array_equal(clean(to_scheme(mask, "SCL"), buffer_m=30), clean(mask, buffer_m=30))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"buffer_m": -1}, "buffer_m is -1; needed is a number, 0 or more"),
        ({"buffer_m": 1e9}, "buffer_m is 1e\\+09; 109800 at most"),
        ({"buffer_m": float("nan")}, "buffer_m is nan"),
        ({"buffer_m": True}, "buffer_m is True"),
        ({"buffer_m": {"clear": 10}}, "No buffer can be given to 'clear': only to cloud_shadow"),
        ({"buffer_m": {"cloud": "60"}}, "buffer_m is '60'"),
        ({"min_object_m2": "9"}, "min_object_m2 is '9'"),
        ({"fill_holes_m2": float("inf")}, "fill_holes_m2 is inf"),
        ({"shadow_length_m": -5}, "shadow_length_m is -5"),
        ({"sun": 40}, "The sun is given as 40; needed are its zenith"),
        ({"sun": (0, 10)}, "zenith, above 0 and up to 85 degrees"),
        ({"sun": (40, 400)}, "azimuth, 0 to 360 degrees"),
        ({"sun": ("a", "b")}, "The sun is given as"),
        ({"buffer_m": 5, "pixel_m": 0}, "pixel_m is 0"),
        ({"buffer_m": 5, "pixel_m": "10"}, "pixel_m is '10'"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, says):
    with pytest.raises(CubeError, match=says):
        clean(mask_of(codes(20, 20, 0)), **options)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.drop_vars("x"), "no coordinates along x to tell a pixel's size: say pixel_m=10"),
        (lambda m: m.assign_coords(x=m.x * 1e-5, y=m.y * 1e-5), "not squares in metres"),
        (lambda m: m.assign_coords(x=m.x * 2), "Pixels are 20 x 10, not squares"),
        (lambda m: m.rename(x="lon"), "dims"),
        (lambda m: m.values, "must be an xarray.DataArray"),
        (lambda m: m + np.uint8(60), "which KappaMask does not have"),
    ],
)
def test_masks_that_do_not_fit_are_refused(change, says):
    mask = mask_of(codes(20, 20, 0))
    with pytest.raises(CubeError, match=says):
        clean(change(mask), buffer_m=30)


def test_pixels_size_may_be_said_and_rows_must_go_south_for_the_sun():
    mask = mask_of(codes(30, 30, 4))
    np.testing.assert_array_equal(clean(mask.drop_vars(["x", "y"]), buffer_m=40, pixel_m=10), clean(mask, buffer_m=40))
    with pytest.raises(CubeError, match="rows from north to south"):
        clean(mask[::-1], sun=(40, 150))


@pytest.fixture(scope="module")
def brightness_256(tmp_path_factory):
    """The brightness network with chunks that leave room for some cleaning."""
    return write_model(tmp_path_factory.mktemp("wide"), **{"kappamask:window": 256})


@pytest.mark.parametrize(
    "options",
    [
        {"buffer_m": 60},
        {"min_object_m2": 3000},
        {"fill_holes_m2": 3000},
        {"shadow_length_m": 80},
        {"shadow_length_m": 80, "sun": [40, 150]},
        {**EVERYTHING, "min_object_m2": 2000, "sun": [60, 200]},
    ],
)
def test_chunks_of_a_back_end_are_cleaned_as_the_whole(brightness_256, options):
    """Chunks with the overlap that the graph asks for give the whole mask.

    The network sees 3 x 3 px, and every class is sure of itself.
    """
    values = np.choose(codes(52, 44, 5) % 5, [0.151, 0.151, 0.017, 0.31, 0.63]) * 10_000
    values[20:24, 10:12], values[26:40, 14:36] = np.nan, 170
    numbers = np.kron(np.stack([values + i for i in range(len(BANDS))]), np.ones((4, 4)))
    cube = xr.DataArray(numbers.astype(np.float32), dims=("bands", "y", "x"), coords={"bands": BANDS})
    whole = cloud_mask(cube, level="L1C", model=brightness_256, radiometry="dn_harmonized")
    overlap = make_chunk_arguments(brightness_256, 96, None, read_cleaning(options))["overlap"][0]["value"]

    def clean_chunks(**more):
        context = {"level": "L1C", "model": str(brightness_256.folder), **more}
        return np.nan_to_num(apply_neighborhood(cube, make_udf().code, 96, overlap, context).values[0], nan=MISSING)

    np.testing.assert_array_equal(clean_chunks(), whole, "the same classes before cleaning")
    expected = clean(whole, pixel_m=10, **options)
    assert (expected != whole).sum() > 50
    np.testing.assert_array_equal(clean_chunks(**options), expected)
