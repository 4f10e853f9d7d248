"""Masks in other class schemes: to them, from them, as yes or no, as bits."""

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from files import CRS, NORTH, WEST
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kappamask.models import CubeError, load_card
from kappamask.models.schemes import CLASSES, KAPPAMASK, SCHEMES, list_losses, list_schemes
from kappamask.scenes import read_mask, write_mask
from kappamask.scenes.encoding import read_legend
from kappamask.udf import from_scheme, to_bits, to_scheme, unusable_pixels

OUTSIDE = 255
CODES = [0, 1, 2, 3, 4, 5, OUTSIDE]
TO = {
    "SCL": [7, 4, 3, 10, 9, 0, OUTSIDE],
    "CMIX": [0, 1, 4, 3, 2, 255, OUTSIDE],
    "Fmask": [255, 0, 2, 4, 4, 255, OUTSIDE],
    "S2cloudless": [255, 0, 0, 1, 1, 255, OUTSIDE],
    "FMSC": [255, 0, 2, 1, 1, 255, OUTSIDE],
    "MAJA": [255, 0, 33, 16, 3, 255, OUTSIDE],
    "DL_L8S2_UV": [0, 1, 1, 2, 2, 0, OUTSIDE],
    "CloudSEN12": [99, 0, 3, 2, 1, 99, OUTSIDE],
    "bits": [128, 64, 16, 4, 8, 1, OUTSIDE],
}
FROM = {
    "SCL": {0: 5, 1: 5, 2: 1, 3: 2, 4: 1, 5: 1, 6: 1, 7: 0, 8: 4, 9: 4, 10: 3, 11: 1, 255: 255},
    "CMIX": {0: 0, 1: 1, 2: 4, 3: 3, 4: 2, 255: 5},
    "Fmask": {0: 1, 1: 1, 2: 2, 3: 1, 4: 4, 255: 5},
    "S2cloudless": {0: 1, 1: 4, 255: 5},
    "FMSC": {0: 1, 1: 4, 2: 2, 255: 5},
    "DL_L8S2_UV": {0: 5, 1: 1, 2: 4, 255: 255},
    "CloudSEN12": {0: 1, 1: 4, 2: 3, 3: 2, 99: 5, 255: 255},
}
masks = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from(CODES))
names = st.sampled_from(list(SCHEMES))


def mask_of(values, **attrs):
    return xr.DataArray(np.asarray(values), dims=("y", "x"), name="mask", attrs=attrs)


@pytest.mark.parametrize("name", list(TO))
def test_every_class_has_its_code(name):
    assert set(TO) == set(SCHEMES)
    made = to_scheme(mask_of([CODES], model_id="m"), name)
    assert made.dtype == np.uint8
    assert made.values[0].tolist() == TO[name]
    assert (made.attrs["scheme"], made.attrs["model_id"]) == (name, "m")


@pytest.mark.parametrize("name", list(FROM))
def test_every_code_has_its_class_and_others_are_refused(name):
    table = FROM[name]
    assert from_scheme(mask_of([list(table)]), name).values[0].tolist() == list(table.values())
    for code in set(range(256)) - set(table):
        with pytest.raises(CubeError, match=f"holds {code}, which {name} does not have; known are"):
            from_scheme(mask_of(np.array([[code]], np.uint8)), name)


@pytest.mark.shared_data
def test_a_real_scene_classification_is_read(shared_data: Path) -> None:
    with np.load(shared_data / "real" / "look_l2a_exeter_2024-08-01_4band.npz") as file:
        scl, blue = file["scl"], file["dn"][..., 0]
    codes = np.asarray(from_scheme(xr.DataArray(scl, dims=("y", "x")), "SCL"))
    assert set(np.unique(codes)) <= {0, 1, 2, 3, 4, 5} and (codes[blue == 0] == 5).mean() > 0.99
    seen = {code: blue[codes == code].mean() for code in (1, 2, 4)}
    assert seen[2] < seen[1] < seen[4], "shadow is darker than clear ground, and cloud brighter"


def test_maja_by_bits_in_the_stated_order():
    def strongest(value):
        ranks = [(2 | 4 | 8, "cloud"), (16 | 128, "semi_transparent_cloud"), (32 | 64, "cloud_shadow")]
        found = [name for bits, name in ranks if value & bits]
        return CLASSES.index(found[0] if found else "undefined" if value & 1 else "clear")

    values = np.arange(255, dtype=np.uint8).reshape(5, 51)
    expected = [[strongest(int(v)) for v in row] for row in values]
    np.testing.assert_array_equal(from_scheme(mask_of(values), "MAJA"), expected)


@given(values=masks, name=names)
def test_there_and_back_loses_nothing_more_the_second_time(values, name):
    mask = mask_of(values)
    once = from_scheme(to_scheme(mask, name), name)
    np.testing.assert_array_equal(to_scheme(once, name), to_scheme(mask, name))
    np.testing.assert_array_equal(from_scheme(to_scheme(once, name), name), once)


@given(values=masks, name=names)
def test_a_class_that_does_not_come_back_is_named_among_the_losses(values, name):
    mask = mask_of(values)
    back = from_scheme(to_scheme(mask, name), name)
    losses = " ".join(text for text in list_losses(name) if text.startswith(f"{KAPPAMASK} to {name}"))
    for code in np.unique(values[(back != mask).values & (values != OUTSIDE)]):
        assert CLASSES[code] in losses
    if name in ("SCL", "CMIX", "bits"):
        np.testing.assert_array_equal(back.where(mask != OUTSIDE, 0), mask.where(mask != OUTSIDE, 0))


@given(values=masks, name=names, chunk=st.integers(1, 5))
def test_dask_is_equal_and_stays_lazy(values, name, chunk):
    mask = mask_of(values)
    lazy = to_scheme(mask.chunk(y=chunk, x=chunk), name)
    assert isinstance(lazy.data, da.Array)
    xr.testing.assert_identical(lazy.compute(), to_scheme(mask, name))
    back = from_scheme(lazy, name)
    assert isinstance(back.data, da.Array)
    xr.testing.assert_identical(back.compute(), from_scheme(to_scheme(mask, name), name))


def test_an_unknown_code_in_a_lazy_mask_is_found_when_computed():
    lazy = to_scheme(mask_of(np.array([[1, 77]], np.uint8)).chunk(), "SCL")
    with pytest.raises(CubeError, match=r"\b77\b.*KappaMask.* 0, 1, 2, 3, 4, 5, 255"):
        lazy.compute()


@given(st.sampled_from(["int8", "int64", "uint16", "float32", "float64"]), names)
def test_numbers_of_any_type_and_nan_is_nodata(dtype, name):
    values = np.array([CODES[:6]]).astype(dtype)
    made = to_scheme(mask_of(values), name)
    assert made.values[0].tolist() == TO[name][:6]
    if dtype.startswith("float"):
        assert to_scheme(mask_of(np.full((1, 2), np.nan, dtype)), name).values.tolist() == [[255, 255]]


def test_dims_and_coordinates_are_kept():
    mask = xr.DataArray(np.ones((2, 3, 4), np.uint8), dims=("t", "x", "y"), coords={"t": [7, 8]})
    made = from_scheme(to_scheme(mask, "fmask"), "FMASK")
    assert made.dims == mask.dims
    np.testing.assert_array_equal(made.t, mask.t)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda m: to_scheme(m, "Sen2Cor"), "No class scheme 'Sen2Cor': known are KappaMask, SCL, CMIX"),
        (lambda m: from_scheme(m, 5), "No class scheme 5"),
        (lambda m: to_scheme(to_scheme(m, "SCL"), "CMIX"), "in SCL already: first turn it back with from_scheme"),
        (lambda m: from_scheme(to_scheme(m, "SCL"), "CMIX"), "its scheme is SCL, not CMIX"),
        (lambda m: from_scheme(to_scheme(m, "SCL"), "KappaMask"), "its scheme is SCL, not KappaMask"),
        (lambda m: to_scheme(m.values, "SCL"), "must be an xarray.DataArray"),
        (lambda m: from_scheme(m.values, "SCL"), "must be an xarray.DataArray"),
        (lambda m: to_scheme(m * 0.5, "SCL"), "holds 0.5"),
        (lambda m: to_scheme(m.astype(np.int16) - 300, "SCL"), "holds -299"),
        (lambda m: to_scheme(m == 1, "SCL"), "holds bool; needed are class codes"),
        (lambda m: unusable_pixels(m, ["clouds"]), "No class 'clouds': known are undefined, clear, cloud_shadow"),
        (lambda m: from_scheme(m + 1, "bits"), "holds 2, which bits does not have"),
    ],
)
def test_what_is_in_doubt_is_an_error(make, says):
    with pytest.raises(CubeError, match=says):
        make(mask_of(np.ones((2, 3), np.uint8)))


@pytest.mark.parametrize("name", list_schemes())
def test_a_file_has_the_schemes_codes_names_and_colours(tmp_path, name):
    y, x = NORTH - 10 * (np.arange(2) + 0.5), WEST + 10 * (np.arange(3) + 0.5)
    mask = mask_of(np.arange(6, dtype=np.uint8).reshape(2, 3)).assign_coords(y=y, x=x).rio.write_crs(CRS)
    made = to_scheme(mask, name)
    write_mask(made, tmp_path / "mask.tif")
    read = read_mask(tmp_path / "mask.tif").load()
    np.testing.assert_array_equal(read, made)
    assert read_legend(read) == read_legend(made)
    written = {code for code in np.unique(made) if code != OUTSIDE}
    assert written <= {c.value for c in read_legend(read)}
    np.testing.assert_array_equal(from_scheme(read, name), from_scheme(made, name))
    np.testing.assert_array_equal(unusable_pixels(read), unusable_pixels(made))


def test_legends_of_the_same_classes_have_the_cards_colours():
    card = {c.name: c.color_hint for c in load_card("compact").classes}
    ours = {row.name: row.color for row in SCHEMES["bits"].rows}
    assert ours == card
    assert tuple(c.name for c in load_card("compact").classes) == CLASSES


@given(
    values=masks, name=st.sampled_from(["KappaMask", "SCL", "CMIX", "bits"]), chosen=st.sets(st.sampled_from(CLASSES))
)
def test_unusable_is_true_where_a_class_is_chosen_or_there_is_no_data(values, name, chosen):
    values[values == OUTSIDE] = 5
    mask = to_scheme(mask_of(values), name)
    made = unusable_pixels(mask, chosen)
    assert made.dtype == bool
    expected = np.isin(values, [CLASSES.index(c) for c in chosen])
    np.testing.assert_array_equal(made, expected | (mask == OUTSIDE))
    np.testing.assert_array_equal(unusable_pixels(mask_of(np.full((1, 1), OUTSIDE, np.uint8)), chosen), [[True]])


def test_unusable_leaves_out_what_most_leave_out():
    mask = mask_of(np.array([CODES], np.uint8))
    assert unusable_pixels(mask).values[0].tolist() == [False, False, True, True, True, True, True]
    assert unusable_pixels(mask.astype("float32") * np.nan).all()
    assert unusable_pixels(mask, "cloud").values[0].tolist() == [False, False, False, False, True, False, True]
    assert isinstance(unusable_pixels(mask.chunk()).data, da.Array)
    assert "flag_values" not in unusable_pixels(mask).attrs


def test_bits_tell_what_cleaning_added():
    before = mask_of(np.array([[1, 1, 2, 4, 5, 255]], np.uint8))
    after = mask_of(np.array([[1, 4, 2, 4, 5, 255]], np.uint8))
    packed = to_bits(after, before)
    assert packed.values.tolist() == [[64, 8 + 2, 16, 8, 1, 255]]
    assert packed.dtype == np.uint8
    assert packed.attrs["flag_masks"].tolist() == packed.attrs["flag_values"].tolist() == [1, 4, 8, 16, 64, 128]
    np.testing.assert_array_equal(from_scheme(packed, "bits"), after)
    np.testing.assert_array_equal(to_bits(to_scheme(after, "SCL")), to_bits(after))


def test_losses_say_nothing_where_nothing_is_lost():
    assert list_losses("kappamask") == list_losses("bits")[:0] == []
    assert "KappaMask to S2cloudless: clear and cloud_shadow become 0 clear." in list_losses("S2cloudless")
    assert any("2 dark_area_pixels, 4 vegetation" in text for text in list_losses("SCL"))
