"""The UDF as openEO runs it: the uploaded text through `openeo.udf.run_udf_code`, rule by rule.

Numbers in the names are those of docs/udf-contract.md.
"""

import ast
import json
import logging
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from networks import write_model
from openeo.udf.run_code import load_module_from_string
from udf_chunks import BANDS, CODE_TAIL, CONTEXT, SCRIPT, chunk_cube, in_new_process, run

from kappamask.models import CubeError, JobError, KappaMaskError, load_card
from kappamask.models.package import compute_package_hash, list_package_files
from kappamask.openeo_process import make_udf
from kappamask.openeo_process.archive import FOLDER, build, run_smoke_test
from kappamask.udf import chunk, clean, cloud_mask, inference, to_scheme


def test_01_one_entry_is_found_and_chosen():
    space = load_module_from_string(SCRIPT)
    entries = [name for name, value in space.items() if name.startswith("apply_") and callable(value)]
    assert entries == ["apply_datacube"]
    for source in (SCRIPT, Path(chunk.__file__).read_text(), Path(chunk.__file__).with_name("legacy.py").read_text()):
        assert not any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in ast.walk(ast.parse(source)))
    assert run(chunk_cube()).shape == (1, 96, 96)


def test_02_runs_without_file_or_name_and_with_a_tail():
    space = load_module_from_string(SCRIPT + CODE_TAIL)
    assert "__file__" not in space
    assert run(chunk_cube()).dims == ("bands", "y", "x")


def test_03_top_level_imports_only_what_every_worker_has():
    imported = set()
    for node in ast.parse(SCRIPT).body:
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported <= set(sys.stdlib_module_names) | {"numpy", "xarray"}


def test_04_the_word_that_back_ends_search_for_is_absent():
    assert "apply_metadata" not in SCRIPT


def test_05_without_archive_the_error_says_what_to_give(tmp_path):
    body = """
        import importlib.abc
        class Hidden(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name == "onnxruntime":
                    raise ModuleNotFoundError("No module named 'onnxruntime'")
        sys.meta_path.insert(0, Hidden())
        run(chunk_cube())
    """
    done = in_new_process(body, tmp_path)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "kappamask_deps" in last
    assert f"Python {sys.version.split()[0]}" in last
    assert f"numpy {np.__version__}" in last
    assert "udf-dependency-archives" in last


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return build(tmp_path_factory.mktemp("archive"))


def test_05_archive_holds_nothing_that_the_worker_has(archive):
    with zipfile.ZipFile(archive) as content:
        tops = {name.split("/")[0] for name in content.namelist()}
    assert tops == {"kappamask", "onnxruntime"}


def test_05_package_in_an_unpacked_archive_found_from_the_current_directory(archive, tmp_path):
    run_smoke_test(archive)
    with zipfile.ZipFile(archive) as content:
        content.extractall(tmp_path / FOLDER)
    body = f"""
        run(chunk_cube())
        assert str(sys.path[-1]) == {str(tmp_path / FOLDER)!r}, "appended, not prepended"
        run(chunk_cube(seed=2))
        assert sys.path.count(sys.path[-1]) == 1
    """
    done = in_new_process(body, tmp_path)
    assert done.returncode == 0, done.stderr


def test_06_a_model_that_is_not_its_cards_is_refused(tmp_path):
    card = load_card("compact")
    broken = tmp_path / "compact.onnx"
    whole = bytearray((card.folder / card.file).read_bytes())
    whole[len(whole) // 2] ^= 1
    broken.write_bytes(whole)
    (tmp_path / "compact.json").write_bytes((card.folder / "compact.json").read_bytes())
    with pytest.raises(KappaMaskError, match="is not the network of its card"):
        cloud_mask(chunk_cube(), level="L1C", model=tmp_path / "compact.json", radiometry="dn_harmonized")


def test_07_runtime_and_version_are_explicit():
    made = make_udf()
    assert (made._runtime, made.version) == ("Python", "3.11")


@pytest.mark.parametrize("dates", [None, 0, 1, 3])
def test_08_both_layouts_any_number_of_dates(dates):
    cube = chunk_cube(dates=dates)
    result = run(cube)
    assert result.dims == cube.dims
    assert result.shape == tuple(1 if d == "bands" else n for d, n in cube.sizes.items())


def test_08_any_order_of_dims_and_no_coordinates():
    cube = chunk_cube(dates=2)
    expected = run(cube)
    np.testing.assert_array_equal(run(cube.transpose("x", "t", "y", "bands")), expected)
    np.testing.assert_array_equal(run(cube.drop_vars(["t", "x", "y"])), expected)


def test_08_a_date_is_masked_as_if_alone():
    cube = chunk_cube(dates=3)
    np.testing.assert_array_equal(run(cube)[1], run(cube.isel(t=1, drop=True)))


def test_09_bands_by_label():
    cube = chunk_cube()
    more = xr.concat([cube, cube.isel(bands=[0]).assign_coords(bands=["sunZenithAngles"])], "bands")
    np.testing.assert_array_equal(run(more.isel(bands=[8, 3, 1, 0, 7, 2, 6, 4, 5])), run(cube))


def test_09_a_missing_band_is_named():
    with pytest.raises(CubeError, match=r"B03; compact needs B02, B03, B04 .* B02, B04"):
        run(chunk_cube(bands=[b for b in BANDS if b != "B03"]))


def test_09_order_from_the_context_where_labels_are_absent():
    cube = chunk_cube()
    np.testing.assert_array_equal(run(cube.drop_vars("bands"), {**CONTEXT, "bands": BANDS}), run(cube))
    with pytest.raises(CubeError, match="no labels"):
        run(cube.drop_vars("bands"))


@pytest.mark.parametrize("dtype", ["float64", "int16", "uint16", "int32"])
def test_10_other_types_give_the_same_and_the_input_stays(dtype):
    cube = chunk_cube()
    expected = run(cube)
    given = cube.astype(dtype)
    before = given.copy(deep=True)
    np.testing.assert_array_equal(run(given), expected)
    xr.testing.assert_identical(given, before)


def test_11_nan_in_a_required_band_is_nodata_and_nowhere_else():
    cube = chunk_cube()
    cube[BANDS.index("B03"), 10, 20] = np.nan
    cube[BANDS.index("B10"), 30, 40] = np.nan
    cube[BANDS.index("B02"), 50, 60] = np.inf
    where = np.argwhere(np.isnan(run(cube).values[0])).tolist()
    assert where == [[10, 20], [50, 60]]


def test_11_a_chunk_without_data_opens_no_session(monkeypatch):
    monkeypatch.setattr(inference, "open_session", lambda *_: pytest.fail("a session was opened"))
    assert np.isnan(run(chunk_cube() * np.nan).values).all()


def test_11_no_nan_reaches_the_network(monkeypatch):
    seen = []
    real = inference.run_network

    def spy(card, images, threads, device):
        seen.append(images)
        return real(card, images, threads, device)

    monkeypatch.setattr(inference, "run_network", spy)
    cube = chunk_cube()
    cube[:, ::7, ::5] = np.nan
    cube[4, 3:9] = -np.inf
    run(cube)
    assert seen
    assert all(np.isfinite(image).all() for image in seen)


def test_11_nan_border_leaves_the_inside_as_it_was():
    cube = chunk_cube()
    padded = cube.pad(y=(16, 32), x=(32, 16), constant_values=np.nan)
    np.testing.assert_array_equal(run(padded)[0, 16:-32, 32:-16], run(cube)[0])


def test_12_negative_and_bright_numbers_are_legal_and_no_second_offset():
    cube = chunk_cube()
    cube[:, 5:9, 5:9] = -40
    cube[:, 40:50, 40:50] = 16_500
    assert not np.isnan(run(cube).values).any()
    unharmonised = run(cube + 1000, {**CONTEXT, "radiometry": "dn_offset"})
    np.testing.assert_array_equal(unharmonised, run(cube))


def looks_offset():
    """A chunk whose numbers look as if the offset were in them."""
    cube = chunk_cube()
    cube[:] = np.maximum(cube, 1000)
    cube[BANDS.index("B10")] = 1015
    return cube


def test_12_doubt_about_the_offset_is_one_warning(caplog):
    chunk._given_warnings.cache_clear()
    cube = looks_offset()
    with caplog.at_level(logging.WARNING, logger="kappamask.udf"):
        run(cube)
        run(cube)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "dn_offset" in record.getMessage()
    assert "dn_harmonized" in record.getMessage()


def test_12_one_warning_does_not_hide_another_kind(caplog, tmp_path):
    chunk._given_warnings.cache_clear()
    write_model(tmp_path, **{"kappamask:resampling": "sinc"})
    with caplog.at_level(logging.WARNING, logger="kappamask.udf"):
        for _ in range(2):
            run(looks_offset(), {**CONTEXT, "model": str(tmp_path)})
    resampling, radiometry = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "no proof that pixels are repeated" in resampling
    assert "look like dn_offset" in radiometry


def test_12_reflectances_in_place_of_digital_numbers_are_an_error():
    with pytest.raises(KappaMaskError, match="look like reflectance"):
        run(chunk_cube() / 10_000)


def test_13_a_chunk_that_is_larger_than_the_window_is_masked_window_by_window(monkeypatch, tmp_path):
    """Memory follows the card's window; a user's own machine may take a larger one."""
    write_model(tmp_path, **{"kappamask:local_window": 128})
    sides, run_network = [], inference.run_network
    monkeypatch.setattr(
        inference,
        "run_network",
        lambda card, images, *how: sides.append(images.shape[1:]) or run_network(card, images, *how),
    )
    run(chunk_cube((96, 96)), {**CONTEXT, "model": str(tmp_path)})
    assert {max(shape[1:]) for shape in sides} == {64}
    cloud_mask(chunk_cube((96, 96)), model=tmp_path, level="L1C", radiometry="dn_harmonized")
    assert sides[-1][1:] == (96, 96)


@pytest.mark.parametrize("shape", [(4, 4), (5, 7), (96, 33), (17, 130), (512, 512)])
def test_13_any_size_from_4_px(shape):
    result = run(chunk_cube((240, 240)).isel(y=slice(shape[0]), x=slice(shape[1])) if max(shape) < 240 else big(shape))
    assert result.shape == (1, *shape)
    assert np.isin(result.values, [1, 2, 3, 4]).all()


def big(shape):
    cube = chunk_cube((240, 240))
    return xr.DataArray(
        np.pad(cube.values, [(0, 0), (0, shape[0] - 240), (0, shape[1] - 240)], mode="reflect"),
        dims=cube.dims,
        coords={"bands": BANDS},
    )


def test_13_less_than_4_px_is_refused():
    with pytest.raises(CubeError, match="at least 4 x 4"):
        run(chunk_cube((3, 8)))


def test_14_coordinates_are_not_used():
    cube = chunk_cube()
    moved = cube.assign_coords(x=cube.x * 0.0001, y=cube.y * 0 + 7)
    np.testing.assert_array_equal(run(moved), run(cube))


@pytest.mark.parametrize("dates", [None, 2])
def test_15_labels_sizes_and_memory_layout(dates):
    cube = chunk_cube(dates=dates)
    result = run(cube)
    assert result.bands.values.tolist() == load_card("compact").result_bands()
    assert result.values.flags.c_contiguous
    for name in ("x", "y", *(["t"] if dates else [])):
        np.testing.assert_array_equal(result[name], cube[name])


def test_16_codes_are_exact_float32_and_nodata_is_nan():
    cube = chunk_cube()
    cube[:, :3] = np.nan
    result = run(cube)
    assert result.dtype == np.float32
    assert np.isnan(result.values[0, :3]).all()
    assert np.isin(result.values[0, 3:], [1, 2, 3, 4]).all()


def test_22_a_package_that_is_another_than_the_senders_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    right = compute_package_hash(list_package_files(load_card("compact")))
    assert run(chunk_cube(), {**CONTEXT, "package": right}).equals(run(chunk_cube()))
    with pytest.raises(JobError, match=r"0{12}….*kappamask archive"):
        run(chunk_cube(), {**CONTEXT, "package": "0" * 64})


def test_22_a_cleaning_beyond_the_overlap_is_refused():
    """compact's network needs 64 of the 80 px; 16 px, 160 m, are left."""
    given = {**CONTEXT, "overlap": 80}
    assert run(chunk_cube(), {**given, "buffer_m": 160}).equals(run(chunk_cube(), {**CONTEXT, "buffer_m": 160}))
    with pytest.raises(CubeError, match=r"17 px.* 80 px .*buffer .* 160 m"):
        run(chunk_cube(), {**given, "buffer_m": 170})


@pytest.mark.parametrize(("key", "value"), [("package", 7), ("overlap", "80"), ("overlap", True), ("overlap", 8.5)])
def test_22_keys_of_another_type_are_refused(key, value):
    with pytest.raises(CubeError, match=f"Context key '{key}' is"):
        run(chunk_cube(), {**CONTEXT, key: value})


def test_22_thresholds_come_with_the_context():
    plain, eager = run(chunk_cube(), CONTEXT).values, run(chunk_cube(), {**CONTEXT, "thresholds": {"clear": 0.001}})
    assert (eager.values == 1).sum() > (plain == 1).sum()


@pytest.mark.parametrize("name", ["SCL", "CMIX", "Fmask", "MAJA", "CloudSEN12", "bits"])
@pytest.mark.parametrize("dates", [None, 2])
def test_16_any_scheme_and_nodata_stays_nan(name, dates):
    cube = chunk_cube(dates=dates)
    cube[..., :3] = np.nan
    plain, made = run(cube), run(cube, {**CONTEXT, "scheme": name})
    assert made.dtype == np.float32
    assert np.isnan(made.values[..., :3]).all()
    inside = plain[..., 3:].astype(np.uint8)
    np.testing.assert_array_equal(made[..., 3:], to_scheme(inside, name))
    assert made.values[..., 3:].max() < 250


def test_16_a_cleaned_mask_is_the_local_one_and_scores_stay():
    options = {"buffer_m": {"cloud": 40}, "min_object_m2": 900, "fill_holes_m2": 900, "shadow_length_m": 700}
    cube = chunk_cube(dates=2)
    cube[:, :, 50:60, 50:60] = np.nan
    plain, made = run(cube, {**CONTEXT, "scores": True}), run(cube, {**CONTEXT, "scores": True, **options})
    mask = plain.sel(bands="mask").fillna(5)
    expected = clean(mask, pixel_m=10, **options)
    assert (expected != mask).any()
    np.testing.assert_array_equal(made.sel(bands="mask").fillna(5), expected)
    np.testing.assert_array_equal(made.isel(bands=slice(1, None)), plain.isel(bands=slice(1, None)))


def test_16_scores_are_whole_percents():
    result = run(chunk_cube(), {**CONTEXT, "scores": True})
    names = ["mask", "score_clear", "score_cloud_shadow", "score_semi_transparent_cloud", "score_cloud"]
    assert result.bands.values.tolist() == names == load_card("compact").result_bands(scores=True)
    scores = result.values[1:]
    assert (scores == np.rint(scores)).all()
    assert scores.min() >= 0
    assert np.abs(scores.sum(axis=0) - 100).max() <= 2


def test_17_deterministic_and_independent_of_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = chunk_cube(seed=1), chunk_cube(seed=2)
    a, b = run(first), run(second)
    np.testing.assert_array_equal(run(second), b)
    np.testing.assert_array_equal(run(first), a)
    assert list(tmp_path.iterdir()) == []


def test_17_no_network_is_needed(tmp_path):
    body = """
        import socket
        def refuse(*_, **__):
            raise AssertionError("the network was used")
        socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
        run(chunk_cube())
    """
    done = in_new_process(body, tmp_path)
    assert done.returncode == 0, done.stderr


def test_19_one_session_with_one_thread(monkeypatch):
    import onnxruntime

    inference.open_session.cache_clear()
    opened = []
    real = onnxruntime.InferenceSession

    def spy(data, options, **kwargs):
        opened.append((options.intra_op_num_threads, options.inter_op_num_threads))
        return real(data, options, **kwargs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    for seed in range(3):
        run(chunk_cube(seed=seed))
    assert opened == [(1, 1)]


def test_19_works_within_a_limit_of_address_space(tmp_path):
    """A full chunk of 13 bands and four dates fits RLIMIT_AS of 3 GB.

    `python-memory` sets it so.
    """
    body = """
        every = ["B01","B02","B03","B04","B05","B06","B07","B08","B8A","B09","B10","B11","B12"]
        small = chunk_cube((128, 128), dates=4, bands=every)
        cube = xr.DataArray(np.tile(small.values, (1, 1, 4, 4)), dims=small.dims, coords={"bands": every})
        assert run(cube).shape == (4, 1, 512, 512)
        print(peak_kb())
    """
    done = in_new_process(body, tmp_path, address_space=3_000_000_000)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 900_000, "resident kB, of which the test's own libraries are a third"


def test_20_memory_does_not_grow_with_dates(tmp_path):
    """Beyond arrays that go in and out, eight dates need no more than one."""
    body = """
        def peak(dates):
            run(chunk_cube((240, 240), dates=dates))
            return peak_kb()
        one = peak(1)
        print(json.dumps([one, peak(8), 8 * 9 * 240 * 240 * 4 // 1000]))
    """
    done = in_new_process(body, tmp_path)
    assert done.returncode == 0, done.stderr
    one, eight, arrays = json.loads(done.stdout)
    assert eight - one < 4 * arrays + 20_000


def test_20_a_hundred_dates_are_not_copied():
    cube = chunk_cube((96, 96), dates=100, bands=BANDS[:3])
    chunk.apply_datacube(cube[:2], CONTEXT)
    tracemalloc.start()
    try:
        made = chunk.apply_datacube(cube, CONTEXT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < made.nbytes + cube.nbytes / 2


def test_21_one_message_per_process(caplog):
    chunk._log_model.cache_clear()
    with caplog.at_level(logging.INFO):
        for seed in range(3):
            run(chunk_cube(seed=seed))
    ours = [r for r in caplog.records if r.name.startswith("kappamask")]
    assert len(ours) == 1
    assert load_card("compact").sha256[:12] in ours[0].getMessage()


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ({"levle": "L1C"}, "Unknown key in the UDF's context: levle; known are schema, level"),
        ({"schema": 2}, "reads schema 1"),
        ({"scores": "yes"}, "needed is bool"),
        ({"thresholds": 0.5}, "needed is Mapping"),
        ({"thresholds": {"cloud": 2}}, "above 0 and up to 1"),
        ({"schema": True}, "needed is int"),
        ({"level": "L3"}, 'say "level": "L1C"'),
        ({"model": "kappamask-9000"}, "known ids are"),
        ({"radiometry": "dn"}, "known are auto"),
        ({"scheme": "Sen2Cor"}, "No class scheme 'Sen2Cor': known are KappaMask, SCL"),
        ({"scheme": 5}, "needed is str"),
        ({"buffer_m": "60"}, "buffer_m is '60'"),
        ({"buffer_m": {"clouds": 60}}, "No buffer can be given to 'clouds'"),
        ({"min_object_m2": True}, "min_object_m2 is True"),
        ({"fill_holes_m2": -1}, "fill_holes_m2 is -1"),
        ({"sun": [40]}, "The sun is given as"),
        ({"cleaning": {}}, "Unknown key in the UDF's context: cleaning"),
    ],
)
def test_22_context_is_checked(context, says):
    with pytest.raises(KappaMaskError, match=says):
        run(chunk_cube(), {**CONTEXT, **context})


@pytest.mark.parametrize("context", ["abc", [1], 5, True])
def test_22_a_context_that_is_no_object(context):
    with pytest.raises(CubeError, match="needed is an object"):
        chunk.apply_datacube(chunk_cube(), context)


@pytest.mark.parametrize("context", [None, {}])
def test_22_defaults_are_complete(context):
    np.testing.assert_array_equal(run(chunk_cube(), context), run(chunk_cube()))


def test_from_another_working_directory(tmp_path, monkeypatch):
    expected = run(chunk_cube())
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(run(chunk_cube()), expected)
    assert list(tmp_path.iterdir()) == []


def test_the_udf_and_cloud_mask_agree_to_the_pixel():
    cube = chunk_cube()
    cube[:, :7] = np.nan
    mask = cloud_mask(cube, level="L1C", radiometry="dn_harmonized")
    result = run(cube).values[0]
    np.testing.assert_array_equal(np.where(np.isnan(result), 5, result), mask)
