"""`cloud_mask`: any cube in, right codes out, nothing hidden."""

from dataclasses import replace

import dask.array as da
import numpy as np
import onnx
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from networks import BANDS, brightness_network, serialise, write_model
from onnx import helper

from kappamask.datasets.real_scenes import read_rows, read_scene
from kappamask.models import SENTINEL2_BANDS, CardError, CubeError, ModelCard, RadiometryError, WeightsError, load_card
from kappamask.udf import cloud_mask
from kappamask.udf.preprocess import InputSpec, find_valid, to_tensor


def reflectance(shape=(len(BANDS), 40, 50), seed=0, bands=BANDS):
    values = np.random.default_rng(seed).uniform(0.01, 0.7, shape).astype(np.float32)
    dims = ("t", "bands", "y", "x")[-len(shape) :]
    return xr.DataArray(values, dims=dims, coords={"bands": list(bands)})


def mask_of(cube, card, **options):
    return cloud_mask(cube, model=card, level="L2A" if "B10" not in cube.bands.values else "L1C", **options)


def test_codes_follow_the_brightness(brightness):
    cube = reflectance()
    for value, code in [(0.15, 1), (0.02, 2), (0.3, 3), (0.6, 4)]:
        cube[:] = value
        assert (mask_of(cube, brightness) == code).all()


def test_result_is_labelled_uint8_with_flags(brightness):
    cube = reflectance().assign_coords(x=np.arange(50.0), y=np.arange(40.0)[::-1])
    mask = mask_of(cube, brightness)
    assert mask.dtype == np.uint8
    assert mask.dims == ("y", "x")
    np.testing.assert_array_equal(mask.x, cube.x)
    assert mask.attrs["flag_values"].tolist() == [0, 1, 2, 3, 4, 5]
    assert mask.attrs["flag_meanings"].split()[4] == "cloud"
    assert (mask.attrs["model_id"], mask.attrs["model_sha256"]) == (brightness.id, brightness.sha256)
    assert mask.attrs["radiometry"] == "reflectance"


def test_bands_are_found_by_label_whatever_order_and_surplus(brightness):
    cube = reflectance()
    extra = xr.concat([cube, cube.isel(bands=[0]).assign_coords(bands=["CLD"])], "bands")
    shuffled = extra.isel(bands=[3, 5, 0, 4, 2, 1]).transpose("x", "bands", "y")
    np.testing.assert_array_equal(mask_of(shuffled, brightness), mask_of(cube, brightness))


@pytest.mark.parametrize("to_array", [np.asarray, da.asarray])
def test_an_array_without_names_needs_the_bands(brightness, to_array):
    cube = reflectance()
    found = cloud_mask(to_array(cube.values), bands=BANDS, level="L1C", model=brightness)
    np.testing.assert_array_equal(found, mask_of(cube, brightness))
    with pytest.raises(CubeError, match="bands="):
        cloud_mask(to_array(cube.values), level="L1C", model=brightness)


def test_descriptions_of_a_file_name_layers_that_are_only_numbered(brightness):
    cube = reflectance()
    read = cube.assign_coords(bands=np.arange(len(BANDS)) + 1).assign_attrs(long_name=tuple(BANDS))
    np.testing.assert_array_equal(cloud_mask(read, model=brightness, level="L1C"), mask_of(cube, brightness))
    with pytest.raises(CubeError, match="numbered"):
        cloud_mask(
            read.assign_attrs(long_name=tuple(f"b{n + 1}" for n in range(len(BANDS)))), model=brightness, level="L1C"
        )


def test_what_is_no_cube_is_refused(brightness):
    cube = reflectance()
    for what, fact in ((cube.values[0], "3"), ("x.tif", "str")):
        with pytest.raises(CubeError, match=fact):
            cloud_mask(what, bands=BANDS, level="L1C", model=brightness)


def test_other_names_of_dims(brightness):
    cube = reflectance()
    np.testing.assert_array_equal(
        mask_of(cube.rename(bands="band").rename(band="bands"), brightness), mask_of(cube, brightness)
    )
    renamed = cube.rename(bands="band")
    np.testing.assert_array_equal(cloud_mask(renamed, model=brightness, level="L1C"), mask_of(cube, brightness))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32", "float64"])
def test_numbers_of_any_type_give_the_same_mask(brightness, dtype):
    numbers = (reflectance() * 10000).round()
    expected = mask_of(numbers, brightness, radiometry="dn_harmonized")
    np.testing.assert_array_equal(mask_of(numbers.astype(dtype), brightness, radiometry="dn_harmonized"), expected)


def test_all_ways_to_write_numbers_give_the_same_mask(brightness):
    cube = (reflectance() * 10000).round()
    expected = mask_of(cube / 10000, brightness, radiometry="reflectance")
    np.testing.assert_array_equal(mask_of(cube, brightness, radiometry="dn_harmonized"), expected)
    np.testing.assert_array_equal(mask_of(cube + 1000, brightness, radiometry="dn_offset"), expected)


def test_the_input_is_never_changed(brightness):
    cube = reflectance()
    cube[:, 3:6, 7:9] = np.nan
    before, attributes = cube.copy(deep=True), dict(cube.attrs)
    cube.values.setflags(write=False)
    mask_of(cube, brightness, scores=True)
    xr.testing.assert_identical(cube, before)
    assert cube.attrs == attributes


def test_missing_comes_from_validity_of_required_bands(brightness):
    cube = reflectance()
    cube[0, 5, 5] = np.nan  # B02, required
    cube[1, 6, 6] = np.inf  # B03, required
    cube[4, 7, 7] = np.nan  # B10, not required
    cube[:, 8, 8] = 0  # nodata as stored
    cube[4, 9, 9] = 0  # a clear B10
    missing = np.argwhere(mask_of(cube, brightness).values == 5).tolist()
    assert missing == [[5, 5], [6, 6], [8, 8]]


def test_declared_nodata_and_raw_zero(brightness):
    numbers = (reflectance() * 10000).round().astype("int16") + 1000
    numbers[:, 0, 0] = -9999
    numbers[1, 1, 1] = 0
    numbers.attrs["_FillValue"] = -9999
    missing = np.argwhere(mask_of(numbers, brightness, radiometry="dn_offset").values == 5).tolist()
    assert missing == [[0, 0], [1, 1]]


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
@pytest.mark.parametrize(("mode", "absent"), [("dn_offset", [True, True, False]), ("dn_harmonized", [False] * 3)])
def test_a_raw_zero_of_any_band_but_aot_and_wvp_is_given_as_absent(tmp_path, dtype, mode, absent):
    bands = ["B02", "B03", "B04", "B08", "B11", "AOT"]
    inputs = [{"bands": bands, "value_scaling": [{"type": "scale", "value": 1.0}] * len(bands)}]
    spec = InputSpec(write_model(tmp_path, **{"mlm:input": inputs}), tuple(bands), "L2A", mode, (0.0,), 1)
    values = np.full((len(bands), 16, 16), 2000, dtype)
    values[3:, 4, 5] = 0
    fed = to_tensor(values, find_valid(values, spec), spec)
    assert (fed[3:6, 4, 5] == spec.card.fill).tolist() == absent
    assert (fed[:, 4, 6] != spec.card.fill).all()


def test_nothing_valid_is_all_missing_and_opens_no_session(tmp_path):
    card = write_model(tmp_path)
    (tmp_path / "model.onnx").unlink()
    empty = reflectance() * np.nan
    assert (mask_of(empty, card) == 5).all()
    assert (mask_of(empty, card, radiometry="dn_harmonized") == 5).all()


def test_a_border_of_nodata_changes_nothing_inside(brightness):
    cube = reflectance()
    padded = cube.pad(y=(5, 9), x=(7, 2), constant_values=np.nan)
    inner = mask_of(padded, brightness)[5:-9, 7:-2]
    np.testing.assert_array_equal(inner, mask_of(cube, brightness))


@given(height=st.integers(4, 150), width=st.integers(4, 150), seed=st.integers(0, 9))
def test_any_size_equals_the_pixel_rule(brightness, height, width, seed):
    """Windows and their blending are invisible.

    Beyond the reach of one pixel the answer is that of the whole image.
    """
    cube = reflectance((len(BANDS), height, width), seed)
    padded = np.pad(cube.values[0], 1, mode="edge")
    mean = sum(padded[i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9
    scores = -50 * (mean - np.array([0.15, 0.02, 0.3, 0.6])[:, None, None]) ** 2
    expected, ranked = scores.argmax(0) + 1, np.sort(scores, axis=0)
    sure = ranked[-1] - ranked[-2] > 1e-3
    sure[[0, -1]] = sure[:, [0, -1]] = False
    found = mask_of(cube, brightness).values
    np.testing.assert_array_equal(found[sure], expected[sure])


@given(height=st.integers(4, 400), width=st.integers(4, 300), chunk=st.integers(16, 200))
def test_dask_equals_numpy_bit_for_bit(brightness, height, width, chunk):
    cube = reflectance((len(BANDS), height, width))
    cube[:, : height // 3, : width // 4] = np.nan
    lazy = mask_of(cube.chunk(y=chunk, x=chunk), brightness, radiometry="reflectance", scores=True)
    assert isinstance(lazy["mask"].data, da.Array)
    eager = mask_of(cube, brightness, radiometry="reflectance", scores=True)
    xr.testing.assert_identical(lazy.compute(), eager)


def test_a_lazy_cube_is_not_computed_before_it_must(brightness):
    def burst(block):
        raise AssertionError("computed too early")

    lazy = reflectance((2, len(BANDS), 600, 600)).chunk(y=200, x=200)
    lazy.data = lazy.data.map_blocks(burst, dtype=np.float32, meta=np.empty((0, 0, 0, 0), np.float32))
    mask = mask_of(lazy, brightness, radiometry="reflectance")
    assert mask.shape == (2, 600, 600)
    with pytest.raises(AssertionError, match="too early"):
        mask.compute()


def test_dates_are_masked_one_by_one(brightness):
    cube = reflectance((3, len(BANDS), 30, 20)).assign_coords(
        t=np.array(["2024-01-01", "2024-01-03", "2024-02-01"], "M8[ns]")
    )
    cube[1] = np.nan
    mask = mask_of(cube, brightness, scores=True)
    assert mask["mask"].dims == ("t", "y", "x")
    assert mask["score"].dims == ("t", "class", "y", "x")
    np.testing.assert_array_equal(mask.t, cube.t)
    np.testing.assert_array_equal(mask["mask"][2], mask_of(cube[2], brightness))
    assert (mask["mask"][1] == 5).all()
    assert mask["score"][1].isnull().all()


def test_no_date_at_all(brightness):
    mask = mask_of(reflectance((0, len(BANDS), 30, 20)), brightness)
    assert mask.shape == (0, 30, 20)


def test_scores_are_the_networks(brightness):
    made = mask_of(reflectance(), brightness, scores=True)
    assert made["class"].values.tolist() == ["clear", "cloud_shadow", "semi_transparent_cloud", "cloud"]
    np.testing.assert_allclose(made["score"].sum("class"), 1, atol=1e-5)
    np.testing.assert_array_equal(made["score"].argmax("class") + 1, made["mask"])


@given(limits=st.dictionaries(st.sampled_from(["clear", "cloud_shadow", "cloud"]), st.floats(0.01, 1)))
def test_a_class_with_a_threshold_is_taken_where_its_score_reaches_it(brightness, limits):
    made = mask_of(reflectance(), brightness, scores=True, thresholds=limits)
    score, names = made["score"], made["class"].values.tolist()
    reached = {name: (score.sel({"class": name}) >= np.float32(limit)).values for name, limit in limits.items()}
    for code, name in enumerate(names, 1):
        taken = (made["mask"] == code).values
        others = np.any([hit for other, hit in reached.items() if other != name], axis=0) if reached else False
        if name in limits:
            assert not (taken & ~reached[name]).any()
            assert (taken | others)[reached[name]].all()
        else:
            assert not (taken & np.any(list(reached.values()), axis=0)).any()
    assert made.attrs.get("thresholds", "") == ", ".join(f"{n} {limits[n]:g}" for n in names if n in limits)


def test_thresholds_are_the_same_on_dask(brightness):
    cube, limits = reflectance((len(BANDS), 150, 170)), {"cloud": 0.1, "cloud_shadow": 0.9}
    eager = mask_of(cube, brightness, radiometry="reflectance", thresholds=limits)
    lazy = mask_of(cube.chunk(y=64, x=50), brightness, radiometry="reflectance", thresholds=limits)
    np.testing.assert_array_equal(eager, lazy)
    assert (eager == 4).sum() > (mask_of(cube, brightness, radiometry="reflectance") == 4).sum()


def test_no_pixel_is_without_a_class_where_all_have_thresholds(brightness):
    names = ["clear", "cloud_shadow", "semi_transparent_cloud", "cloud"]
    mask = mask_of(reflectance(), brightness, thresholds=dict.fromkeys(names, 1.0))
    np.testing.assert_array_equal(mask, mask_of(reflectance(), brightness))


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"clouds": 0.5}, "No threshold can be set for clouds: .* scores clear, cloud_shadow"),
        ({"missing": 0.5}, "No threshold can be set for missing"),
        ({"cloud": 0}, "above 0 and up to 1"),
        ({"cloud": 30}, "above 0 and up to 1"),
        ({"cloud": "0.5"}, "above 0 and up to 1"),
        ({"cloud": True}, "above 0 and up to 1"),
        ({"cloud": float("nan")}, "above 0 and up to 1"),
    ],
)
def test_thresholds_that_mean_nothing_are_refused(brightness, limits, says):
    with pytest.raises(CubeError, match=says):
        mask_of(reflectance(), brightness, thresholds=limits)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.isel(bands=[0, 1, 3, 4]), "lacks bands B04"),
        (lambda c: c.drop_vars("bands"), "no labels"),
        (lambda c: c.assign_coords(bands=["B02", "B02", "B04", "B08", "B10"]), "several bands named B02"),
        (lambda c: c.isel(x=slice(3)), "at least 4 x 4"),
        (lambda c: c.rename(x="lon"), "needed are"),
        (lambda c: c.expand_dims("z"), "needed are"),
        (lambda c: c.values, "which bands"),
    ],
)
def test_a_cube_that_does_not_fit_is_refused(brightness, change, says):
    with pytest.raises(CubeError, match=says):
        cloud_mask(change(reflectance()), model=brightness, level="L1C")


@pytest.mark.parametrize(
    ("bands", "level", "says"),
    [
        (BANDS, "L2A", "which only L1C has"),
        (["B02", "B03", "B04", "B08", "AOT"], "L1C", "which only L2A has"),
        (BANDS[:4], None, "say level="),
        (BANDS, "L3", "say level="),
    ],
)
def test_level_in_doubt_or_contradicted(brightness, bands, level, says):
    cube = reflectance((len(bands), 40, 50), bands=bands)
    with pytest.raises(CubeError, match=says):
        cloud_mask(cube, model=brightness, level=level)


def test_level_from_bands_attribute_and_card(brightness, tmp_path):
    assert cloud_mask(reflectance(), model=brightness).attrs["level"] == "L1C"
    plain = reflectance().isel(bands=slice(4)).assign_attrs(level="L2A")
    assert cloud_mask(plain, model=brightness).attrs["level"] == "L2A"
    only: ModelCard = write_model(tmp_path, **{"kappamask:levels": ["L2A"]})
    assert cloud_mask(plain.assign_attrs({}), model=only).attrs["level"] == "L2A"
    with pytest.raises(CubeError, match="not for L1C"):
        cloud_mask(reflectance(), model=only)


def test_a_lazy_cube_is_held_against_its_radiometry_when_computed(brightness):
    lazy = (reflectance() * 10000).chunk(y=20)
    with pytest.raises(RadiometryError, match="digital numbers"):
        mask_of(lazy, brightness, radiometry="reflectance").compute()


@pytest.mark.parametrize(
    "attributes",
    [
        {"_FillValue": [-9999.0] * 5},
        {"_FillValue": float("nan"), "nodata": -9999},
        {"nodatavals": (-9999.0,)},
        {"missing_value": -9999},
    ],
)
def test_nodata_however_it_is_declared(brightness, attributes):
    cube = (reflectance() * 10000).round()
    cube[:, :3] = -9999
    mask = mask_of(cube.assign_attrs(attributes), brightness, radiometry="dn_harmonized")
    assert (mask[:3] == 5).all()
    assert (mask[3:] != 5).all()


@pytest.mark.parametrize("nodata", ["none", {}, 1j])
def test_nodata_that_is_no_number_is_refused(brightness, nodata):
    with pytest.raises(CubeError, match="needed is a number"):
        mask_of(reflectance().assign_attrs(nodata=nodata), brightness)


@pytest.mark.parametrize("value", [9.97e36, -3.4e38, -32768.0, 1e36])
def test_what_no_reflectance_can_be_is_missing_and_spoils_no_neighbour(brightness, value):
    cube = (reflectance() * 10000).round()
    holed = cube.copy(deep=True)
    holed[:, 10:14, 20:24] = np.nan
    cube[:, 10:14, 20:24] = value
    mask = mask_of(cube, brightness, radiometry="dn_harmonized")
    assert (mask[10:14, 20:24] == 5).all()
    np.testing.assert_array_equal(mask, mask_of(holed, brightness, radiometry="dn_harmonized"))


def test_masked_dask_arrays_keep_their_mask(brightness):
    cube = reflectance()
    hidden = np.ma.masked_array(cube.values, mask=False)
    hidden[:, :10] = np.ma.masked
    lazy = cube.copy(data=da.from_array(hidden, chunks=(5, 20, 25)))
    mask = mask_of(lazy, brightness, radiometry="reflectance")
    assert (mask[:10] == 5).all()
    assert (mask[10:] != 5).all()


def test_lazy_accepts_what_eager_accepts(brightness):
    numbers = (reflectance((len(BANDS), 200, 200)) * 10000 + 1000).round()
    numbers[:, :20, :20] = 780
    eager = mask_of(numbers, brightness, radiometry="dn_offset")
    np.testing.assert_array_equal(mask_of(numbers.chunk(y=50), brightness, radiometry="dn_offset"), eager)


@pytest.mark.parametrize("dtype", ["complex64", "bool", "M8[ns]", "object", "U4"])
def test_what_are_no_numbers_is_refused(brightness, dtype):
    with pytest.raises(CubeError, match="needed are whole or real numbers"):
        mask_of(reflectance().astype("int64").astype(dtype), brightness)


@pytest.mark.parametrize("level", [5, ["L1C"], np.array(["L1C", "L2A"])])
def test_a_level_of_a_wrong_type(brightness, level):
    with pytest.raises(CubeError, match="say level="):
        cloud_mask(reflectance(), model=brightness, level=level)


def broken_network(make):
    """A network with the brightness network's input whose answer is wrong in one way."""
    model = onnx.load_from_string(brightness_network())
    make(model.graph)
    return serialise(model)


def _nan(graph):
    graph.node[-1].output[0] = "before"
    graph.node.append(helper.make_node("Sub", ["before", "before"], ["zero"]))
    graph.node.append(helper.make_node("Div", ["zero", "zero"], ["score"]))


def _too_many(graph):
    graph.node[-1].output[0] = "before"
    graph.node.append(helper.make_node("Concat", ["before", "before"], ["score"], axis=1))
    graph.output[0].type.tensor_type.shape.dim[1].dim_value = 8


def _two_of_a_batch(graph):
    graph.node[-1].output[0] = "before"
    graph.node.append(helper.make_node("Concat", ["before", "before"], ["score"], axis=0))


@pytest.mark.parametrize(
    ("make", "says"), [(_nan, "no numbers"), (_too_many, "promises"), (_two_of_a_batch, "promises")]
)
def test_a_network_that_answers_nonsense_is_an_error_and_never_clear(tmp_path, make, says):
    card = write_model(tmp_path, broken_network(make))
    with pytest.raises(WeightsError, match=says):
        mask_of(reflectance(), card)


@pytest.mark.parametrize(("height", "width"), [(4, 5), (5, 90), (20, 33)])
def test_an_image_below_the_least_side_is_reflected_up_to_it(brightness, height, width):
    cube = reflectance((len(BANDS), height, width))
    small = replace(brightness, least_side=40)
    xr.testing.assert_identical(mask_of(cube, small), mask_of(cube, brightness))


def test_a_dataset_of_bands_is_masked_as_its_cube(brightness):
    cube = reflectance()
    dataset = cube.to_dataset("bands").assign_attrs(cube.attrs)
    expected = cloud_mask(cube, model=brightness, level="L1C")
    dataset["elevation"] = dataset["B02"]
    xr.testing.assert_equal(cloud_mask(dataset, model=brightness, level="L1C"), expected)
    named = dataset.rename(B02="blue", B03="green", B04="red")
    xr.testing.assert_equal(cloud_mask(named.chunk(x=16), model=brightness, level="L1C").compute(), expected)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.rename({name: f"b{i}" for i, name in enumerate(d, 1)}), "dataset.rename"),
        (lambda d: d.assign(B02=d["B02"].assign_attrs(scale_factor=1e-4)), "scale_factor"),
    ],
)
def test_a_dataset_that_does_not_say_how_it_is_read_is_refused(brightness, change, says):
    dataset = reflectance().to_dataset("bands")
    with pytest.raises(CubeError, match=says):
        cloud_mask(change(dataset), model=brightness, level="L1C")


def test_a_mask_carries_the_date_of_its_scene(brightness):
    """A folder of masks makes a series, whatever their files are called."""
    cube = reflectance().assign_attrs(datetime="2018-02-02T10:52:49Z")
    assert cloud_mask(cube, model=brightness, level="L1C").attrs["datetime"] == "2018-02-02T10:52:49Z"
    days = xr.Variable("t", np.array(["2018-02-02", "2018-02-12"], "datetime64[ns]"))
    series = xr.concat([cube, cube], days)
    assert "datetime" not in cloud_mask(series, model=brightness, level="L1C").attrs
    second = cloud_mask(series.isel(t=1), model=brightness, level="L1C")
    assert second.attrs["datetime"] == "2018-02-12T00:00:00Z"


def test_an_absent_b08_takes_the_values_of_b8a():
    """Products at 20 m have B8A and no B08."""
    infrared = reflectance((4, 40, 50), bands=["B02", "B03", "B04", "B8A"])
    both = xr.concat([infrared, infrared.sel(bands=["B8A"]).assign_coords(bands=["B08"])], "bands")
    alone, doubled, visible = (
        cloud_mask(cube, level="L2A", radiometry="reflectance", scores=True)["score"].values
        for cube in (infrared, both, infrared.sel(bands=["B02", "B03", "B04"]))
    )
    np.testing.assert_allclose(alone, doubled, atol=1e-6)
    assert abs(alone - visible).max() > 1e-3


@pytest.mark.parametrize("pair", [{"B08": "B02"}, {"B10": "B10"}, {"B08": "B11"}, {"B08": 3}])
def test_a_card_names_substitutes_among_its_optional_bands(tmp_path, pair):
    with pytest.raises(CardError, match=r"substitutes must name|a text is needed"):
        write_model(tmp_path, **{"kappamask:substitutes": pair})


def shadow_dice(one, other):
    return 2 * ((one == 2) & (other == 2)).sum() / ((one == 2).sum() + (other == 2).sum())


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["look_l1c_sen12mscr_13band:12", "look_l1c_sen12mscr_13band:48"])
def test_shadows_with_b8a_alone_are_those_with_b08(shared_data, name):
    scene = read_scene(next(row for row in read_rows() if row.name == name), shared_data)

    def find(card, *bands):
        planes = np.stack([scene.reflectance[SENTINEL2_BANDS.index(band)] for band in bands])
        cube = xr.DataArray(planes, dims=("bands", "y", "x"), coords={"bands": list(bands)})
        return cloud_mask(cube, model=card, level=scene.level, radiometry="reflectance").values

    card, visible = load_card("compact"), ("B02", "B03", "B04")
    wanted, found = find(card, *visible, "B08"), find(card, *visible, "B8A")
    assert shadow_dice(wanted, found) > 0.85
    assert shadow_dice(wanted, find(replace(card, substitutes=()), *visible, "B8A")) < 0.8
