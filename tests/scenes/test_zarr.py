import json
import os
import pickle
from contextlib import suppress
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from command import one_sentence
from files import CRS, NORTH, WEST, cube, digits, per_band
from zarrs import (
    L1C,
    L2A,
    NAME,
    PACKED,
    FormatOfZarr,
    edit_json,
    eopf,
    find_chunk,
    find_metadata,
    pixels,
    zarr_cube,
)

from kappamask.models import ModelCard, SceneError
from kappamask.scenes import find_scenes, open_scene
from kappamask.scenes.readers.eopf import read_classification
from kappamask.scenes.readers.zarr import open_group
from kappamask.udf import cloud_mask

DATES = np.array(["2021-05-27T10:20:21", "2021-06-06T10:20:21"], "datetime64[ns]")


@pytest.fixture(params=[2, 3], ids=["format2", "format3"])
def form(request: pytest.FixtureRequest) -> FormatOfZarr:
    """Of the folders that are read."""
    return request.param


def series() -> xr.DataArray:
    """Two dates, the second darker."""
    return xr.concat([cube(), cube(digits() // np.uint16(2))], xr.Variable("t", DATES)).rename("dn")


# cubes


@pytest.mark.parametrize("stacked", [True, False])
def test_a_zarr_cube_comes_as_it_is_stored(tmp_path: Path, form: FormatOfZarr, stacked: bool) -> None:
    dataset = cube(level="L1C").rename("dn").to_dataset() if stacked else per_band().assign_attrs(level="L1C")
    scene = open_scene(zarr_cube(tmp_path / "s.zarr", dataset, form), bands=["B04", "B02"])
    assert isinstance(scene.data, da.Array)
    assert (scene.dims, scene.dtype, scene.rio.crs) == (("bands", "y", "x"), np.uint16, CRS)
    np.testing.assert_array_equal(scene.values, digits()[[2, 0]])
    np.testing.assert_array_equal(scene["x"].values[:2], [WEST + 5, WEST + 15])
    assert scene.attrs == {"level": "L1C"}


def test_a_packed_zarr_stays_packed_and_keeps_its_nodata(tmp_path: Path, form: FormatOfZarr) -> None:
    reflectance = per_band(dtype="float64") * 1e-4 - 0.1
    path = zarr_cube(tmp_path / "s.zarr", reflectance.rio.write_crs(CRS), form, dtype="uint16", _FillValue=0, **PACKED)
    scene = open_scene(path)
    reason = "dn_offset: scale and offset"
    assert scene.attrs == {"radiometry": "dn_offset", "radiometry_reason": reason, "_FillValue": 0}
    np.testing.assert_array_equal(scene.values, digits())


def test_a_zarr_is_read_in_whole_chunks_of_the_file(tmp_path: Path, form: FormatOfZarr) -> None:
    values = digits(2, 1300, 1500)
    dataset = cube(values, ("B02", "B03")).rename("dn").to_dataset()
    scene = open_scene(zarr_cube(tmp_path / "s.zarr", dataset, form, chunks=(1, 300, 400)))
    assert scene.chunks[1:] == ((1200, 100), (1200, 300))
    np.testing.assert_array_equal(scene.values, values)


@pytest.mark.parametrize("kind", ["zarr", "nc"])
@pytest.mark.parametrize("stacked", [True, False])
def test_several_dates_make_a_cube_with_times(
    tmp_path: Path, form: FormatOfZarr, kind: str, stacked: bool, brightness: ModelCard
) -> None:
    path, dataset = tmp_path / f"s_20200101.{kind}", series().to_dataset() if stacked else series().to_dataset("bands")
    dataset.to_zarr(path, zarr_format=form) if kind == "zarr" else dataset.to_netcdf(path, engine="h5netcdf")
    scene = open_scene(path)
    assert scene.dims == ("t", "bands", "y", "x")
    assert "datetime" not in scene.attrs
    np.testing.assert_array_equal(scene["t"].values, DATES)
    np.testing.assert_array_equal(scene.values, [digits(), digits() // 2])
    mask = cloud_mask(scene, level="L1C", model=brightness, radiometry="dn_harmonized")
    alone = cloud_mask(scene.isel(t=1), level="L1C", model=brightness, radiometry="dn_harmonized")
    assert mask.dims == ("t", "y", "x")
    np.testing.assert_array_equal(mask.isel(t=1).values, alone.values)


def test_one_date_is_a_scene_with_a_date(tmp_path: Path, form: FormatOfZarr) -> None:
    scene = open_scene(zarr_cube(tmp_path / "s.zarr", series().isel(t=[0]).to_dataset("bands"), form))
    assert (scene.dims, scene.attrs) == (("bands", "y", "x"), {"datetime": "2021-05-27T10:20:21Z"})


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (series().assign_coords(t=[0, 1]).to_dataset(), "holds 2 dates, and its dimension t has no times"),
        (series().to_dataset("bands").assign(B08=per_band()["B08"]), "B08 have no dimension t, other bands have"),
        (cube().drop_vars("bands").rename("dn").to_dataset(), "no Sentinel-2 band names"),
        (xr.Dataset({"temperature": ("y", np.zeros(3))}), "no bands: .* it has temperature"),
        (per_band(scale_factor=2e-5), "declares scale 2e-05"),
        (per_band().assign_coords(x=np.full(80, WEST)), "coordinate x is not evenly spaced"),
    ],
)
def test_doubtful_zarrs_are_refused(tmp_path: Path, form: FormatOfZarr, dataset: xr.Dataset, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        open_scene(zarr_cube(tmp_path / "s.zarr", dataset, form))


# EOPF products


def test_an_eopf_product_comes_on_the_grid_of_10_m(tmp_path: Path, form: FormatOfZarr) -> None:
    scene = open_scene(eopf(tmp_path, form=form))
    names = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12", "AOT", "WVP"]
    assert list(scene["bands"].values) == names
    assert (scene.shape, scene.dtype, scene.rio.crs) == ((14, 120, 120), np.uint16, CRS)
    facts = {"level": "L2A", "datetime": "2025-04-15T09:40:41.024000Z", "processing_baseline": "05.11"}
    product = {"product": NAME, "platform": "Sentinel-2A", "tile": "35VLC", "orbit": 36}
    reason = scene.attrs.pop("radiometry_reason")
    assert "scale and offset" in reason and "05.11" in reason
    assert scene.attrs == facts | product | {"radiometry": "dn_offset", "_FillValue": 0}
    fine = pixels("", 10, L2A["measurements/reflectance", 10], 120)
    np.testing.assert_array_equal(scene.sel(bands=["B02", "B03", "B04", "B08"]).values, fine)
    np.testing.assert_array_equal(scene["x"].values[[0, -1]], [WEST + 5, WEST + 1195])
    np.testing.assert_array_equal(scene["y"].values[[0, -1]], [NORTH - 5, NORTH - 1195])


def test_a_level_1c_product_has_its_cirrus_band(tmp_path: Path, form: FormatOfZarr) -> None:
    scene = open_scene(eopf(tmp_path, L1C, NAME.replace("L2A", "L1C"), form=form), bands=["B10", "B02"])
    assert (list(scene["bands"].values), scene.attrs["level"]) == (["B10", "B02"], "L1C")


def test_coarse_bands_are_interpolated_and_nodata_does_not_bleed(tmp_path: Path, form: FormatOfZarr) -> None:
    path = eopf(tmp_path, form=form)
    ramp = np.add.outer(np.arange(60) * 20, np.arange(60) * 40).astype(np.uint16) + 2000
    ramp[:, :10] = 0
    stored = zarr.open_array(str(path / "measurements/reflectance/r20m/b05"), mode="r+")
    stored[:] = ramp
    band = open_scene(path, bands=["B05"])[0].values.astype(int)
    assert (band[:, :20] == 0).all()
    assert (band[:, 20:] >= 2000).all(), "no number is mixed with nodata"
    fine = np.add.outer((np.arange(120) + 0.5) * 10 - 10, (np.arange(120) + 0.5) * 20 - 20) + 2000
    np.testing.assert_allclose(band[2:-2, 22:-2], fine[2:-2, 22:-2], atol=0.51)


@pytest.mark.parametrize("layout", [L2A, L1C], ids=["L2A", "L1C"])
def test_at_20_m_bands_are_the_products_own_or_means_of_four(tmp_path: Path, form: FormatOfZarr, layout: dict) -> None:
    path = eopf(tmp_path, layout, NAME if layout is L2A else NAME.replace("L2A", "L1C"), form=form)
    scene = open_scene(path, resolution=20)
    assert scene.shape[1:] == (60, 60)
    np.testing.assert_array_equal(scene["x"].values[:2], [WEST + 10, WEST + 30])
    fine, coarse = (pixels("", m, layout["measurements/reflectance", m], 1200 // m) for m in (10, 20))
    half = fine.reshape(4, 60, 2, 60, 2).mean(axis=(2, 4)).round()
    own = dict(zip(layout["measurements/reflectance", 20], coarse, strict=True))
    for name, mean in zip(("b02", "b03", "b04", "b08"), half, strict=True):
        np.testing.assert_array_equal(scene.sel(bands=name.upper()).values, own.get(name, mean))
    np.testing.assert_array_equal(scene.sel(bands="B11").values, own["b11"])


@pytest.mark.parametrize("fill", [np.nan, 0.0, None])
def test_decoded_products_are_reflectance(tmp_path: Path, form: FormatOfZarr, fill: float | None) -> None:
    path = eopf(tmp_path, form=form)
    for group in [str(folder.relative_to(path)) for folder in path.glob("measurements/reflectance/r*")]:
        with xr.set_options(keep_attrs=False):
            decoded = (open_group(path, group).load() * 1e-4 - 0.1).astype(np.float32)
        options: dict = {"encoding": {name: {"_FillValue": fill} for name in decoded}, "zarr_format": form}
        decoded.to_zarr(path, group=group, mode="w", consolidated=False, **options)
    scene = open_scene(path, bands=["B02", "B05"])
    assert (scene.attrs["radiometry"], scene.dtype) == ("reflectance", np.float32)
    expected = pixels("", 10, ("b02",), 120)[0] * 1e-4 - 0.1
    np.testing.assert_allclose(scene[0].values, expected, rtol=1e-5)
    np.testing.assert_equal(scene.attrs["_FillValue"], np.nan if fill is None else fill)
    assert np.isfinite(scene[1].values).all()


@pytest.mark.parametrize("metres", [10, 20])
def test_the_classification_lies_on_the_cubes_grid(tmp_path: Path, form: FormatOfZarr, metres: int) -> None:
    path = eopf(tmp_path, form=form)
    like = open_scene(path, bands=["B02"])[0, :: metres // 10, :: metres // 10]
    classes = read_classification(path, like)
    assert classes is not None
    assert (classes.dtype, classes.sizes) == (np.uint8, like.sizes)
    assert isinstance(classes.data, da.Array)
    codes = pixels("", 20, ("scl",), 60)[0]
    expected = codes.repeat(2, axis=0).repeat(2, axis=1)[:: metres // 10, :: metres // 10]
    np.testing.assert_array_equal(classes.values, expected)
    assert read_classification(eopf(tmp_path, L1C, NAME.replace("L2A", "L1C"), form=form), like) is None
    with pytest.raises(SceneError, match="does not cover the cube"):
        read_classification(path, like.assign_coords(x=like["x"] + 600))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"packing": {"scale_factor": 1e-4}}, "dn_harmonized by its scale and offset, dn_offset by its .* 05.11"),
        ({"other_metadata": {"horizontal_CRS_code": "EPSG:32636"}}, "several coordinate reference systems"),
        ({"other_metadata": {"horizontal_CRS_code": "/etc/passwd"}}, "reference system that is none"),
        ({"layout": {("measurements/reflectance", 10): ("b02",), ("measurements/reflectance", 60): ("b01",)},
          "size": 100, "name": "x"}, "b01 covers"),
        ({"layout": {place: names[:-1] for place, names in L2A.items()}}, "lacks B08, B8A, WVP; get it again"),
        ({"layout": {("measurements/reflectance", 10): ("tci",)}}, "no bands"),
    ],
)  # fmt: skip
def test_contradictory_products_are_refused(tmp_path: Path, form: FormatOfZarr, change: dict, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        open_scene(eopf(tmp_path, form=form, **change))


def test_a_contradiction_can_be_resolved_in_the_root_attributes(tmp_path: Path, form: FormatOfZarr) -> None:
    path = eopf(tmp_path, packing={"scale_factor": 1e-4}, radiometry="dn_offset", form=form)
    assert open_scene(path).attrs["radiometry"] == "dn_offset"


def test_old_products_have_no_offset(tmp_path: Path, form: FormatOfZarr) -> None:
    path = eopf(tmp_path, name=NAME.replace("N0511", "N0214"), packing={"scale_factor": 1e-4}, form=form)
    assert open_scene(path).attrs["radiometry"] == "dn_harmonized"


def test_a_lacking_band_is_named(tmp_path: Path, form: FormatOfZarr) -> None:
    with pytest.raises(SceneError, match="lacks B10; it has B01, B02"):
        open_scene(eopf(tmp_path, form=form), bands=["B10"])


def test_products_are_scenes_of_a_folder(tmp_path: Path, form: FormatOfZarr) -> None:
    path = eopf(tmp_path, form=form)
    assert find_scenes(tmp_path) == [path]


# damage and untrusted folders


@pytest.mark.parametrize("product", [True, False])
def test_a_cut_chunk_gives_an_error_and_no_zeros(tmp_path: Path, form: FormatOfZarr, product: bool, kappamask) -> None:
    path = eopf(tmp_path, form=form) if product else zarr_cube(tmp_path / "s.zarr", per_band(), form)
    band = path / ("measurements/reflectance/r10m/b03" if product else "B03")
    chunk = find_chunk(band, form, *((1, 1) if product else (0, 0)))
    chunk.write_bytes(chunk.read_bytes()[:-40])
    with pytest.raises(SceneError, match=r"zarr is damaged: [bB]03 cannot be read"):
        open_scene(path).compute()
    done = kappamask("mask", path, "-o", tmp_path / "m.tif", "--level", "L2A", "--radiometry", "dn_offset")
    assert done.code == 1 and one_sentence(done.err.splitlines(keepends=True)[-1]), done.err
    assert not (tmp_path / "m.tif").exists()


class Bomb:
    """Runs code where it is unpickled."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.flag),)


def add_pickle(path: Path, flag: Path) -> Path:
    (zarr_cube(path, per_band(), 2) / ".zmetadata").unlink()
    filters = [{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 5}]  # zarr 3 refuses arrays by the first alone
    edit_json(path / "x" / ".zarray", dtype="|O", filters=filters, compressor=None, fill_value="")
    (path / "x" / "0").write_bytes(pickle.dumps(Bomb(flag)))
    return path


def test_code_in_a_zarr_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)  # as older releases are
    flag = tmp_path / "ran"
    path = add_pickle(tmp_path / "s.zarr", flag)
    with suppress(Exception):
        xr.open_dataset(path, engine="zarr", consolidated=False)
    assert flag.exists(), "a library alone would run it"
    flag.rmdir()
    with pytest.raises(SceneError, match="x needs pickle"):
        open_scene(path)
    assert not flag.exists()


def add_link(path: Path, form: FormatOfZarr, outside: Path) -> None:
    chunk = find_chunk(path / "B03", form, 0, 0)
    chunk.rename(outside)
    chunk.symlink_to(outside)


def linked_folder(path: Path, _: FormatOfZarr, outside: Path) -> None:
    (path / "B03").rename(outside)
    (path / "B03").symlink_to(outside, target_is_directory=True)


def add_pipe(path: Path, form: FormatOfZarr, _: Path) -> None:
    find_chunk(path / "B03", form, 0, 0).unlink()
    os.mkfifo(find_chunk(path / "B03", form, 0, 0))


def change_metadata(**change: object):
    """Change what formats 2 and 3 call by one name."""
    return lambda path, form, _: edit_json(find_metadata(path / "B03", form), **change)


def change_chunks(sides: object):
    def make(path: Path, form: FormatOfZarr, _: Path) -> None:
        grid = {"name": "regular", "configuration": {"chunk_shape": sides}}
        edit_json(find_metadata(path / "B03", form), **({"chunks": sides} if form == 2 else {"chunk_grid": grid}))

    return make


def change_codec(compressor: object):
    """Change the codec after the one that makes bytes of numbers."""

    def make(path: Path, form: FormatOfZarr, _: Path) -> None:
        named = {"name": compressor["id"]} if isinstance(compressor, dict) and "id" in compressor else compressor
        codecs = {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, named]}
        edit_json(find_metadata(path / "B03", form), **({"compressor": compressor} if form == 2 else codecs))

    return make


def change_dtype(old: object, new: object):
    def make(path: Path, form: FormatOfZarr, _: Path) -> None:
        edit_json(find_metadata(path / "B03", form), **({"dtype": old} if form == 2 else {"data_type": new}))

    return make


def hide_sizes(path: Path, form: FormatOfZarr, _: Path) -> None:
    """Name sizes that the other format reads, and a type that has two."""
    huge = text_of(2**40) | {"must_understand": False}
    huge["configuration"]["fields"] = []
    named = {"name": "u1", "must_understand": False}
    old = {"dtype": "<U268435456", "data_type": "u1"}
    edit_json(find_metadata(path / "B03", form), **(old if form == 2 else {"data_type": huge, "dtype": named}))


def garble(path: Path, form: FormatOfZarr, _: Path) -> None:
    find_metadata(path / "B03", form).write_text("{")


def shard_with(**harmful: object):
    """Write an array of format 3 whose shards, or their index, need `harmful` codecs."""
    plain = {"chunk_shape": [8, 8], "codecs": [{"name": "bytes"}], "index_codecs": [{"name": "crc32c"}]}

    def make(path: Path, _: FormatOfZarr, __: Path) -> None:
        meta = {
            "zarr_format": 3, "node_type": "array", "shape": [96, 80], "data_type": "uint16", "fill_value": 0,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [96, 80]}},
            "codecs": [{"name": "sharding_indexed", "configuration": plain | harmful}],
        }  # fmt: skip
        (path / "B03" / "zarr.json").write_text(json.dumps(meta))

    return make


def shard_in_shard(path: Path, form: FormatOfZarr, outside: Path) -> None:
    inner = {"chunk_shape": [4, 4], "codecs": ["numcodecs.pickle"], "index_codecs": ["crc32c"]}
    shard_with(codecs=[{"name": "sharding_indexed", "configuration": inner}])(path, form, outside)


def text_of(length: int) -> dict:
    return {"name": "fixed_length_utf32", "configuration": {"length_bytes": length}}


LARGE = {"name": "structured", "configuration": {"fields": [["a", "uint16"], ["b", text_of(2**24)]]}}
HUGE_TEXT = r"a chunk of B03 takes \d{5,} MiB"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (add_link, "holds 0.*, which is a link"),
        (linked_folder, "holds B03, which is a link"),
        (add_pipe, "holds 0.*, which is a link or no file"),
        (change_chunks([100_000, 100_000]), "a chunk of B03 takes 19073 MiB"),
        (change_chunks("many"), r"B03/(\.zarray|zarr\.json) is malformed"),
        (change_chunks([-96, 80]), r"B03/(\.zarray|zarr\.json) is malformed"),
        (change_chunks([96.5, 80]), r"B03/(\.zarray|zarr\.json) is malformed"),
        (change_metadata(chunk_grid={"name": "rectilinear"}, chunks=[[90, 6], [80]]), "is malformed"),
        (change_metadata(chunk_grid="regular", chunks="regular"), "is malformed"),
        (change_metadata(chunk_grid=None, chunks=None), "is malformed"),
        (change_codec({"id": "blosc2000"}), "B03 needs blosc2000"),
        (change_codec({"id": "numcodecs.pickle"}), "B03 needs pickle"),
        (change_codec("pickle"), "B03 needs pickle"),
        (change_codec({"level": 1}), "B03 needs a codec without a name"),
        (change_codec(3), "is malformed"),
        (change_metadata(filters=[{"level": 1}]), "B03 needs a codec without a name"),
        (change_metadata(filters=[3]), "is malformed"),
        (change_metadata(storage_transformers=[{"name": "other"}]), "B03 needs other"),
        (change_dtype("<U1000000", text_of(4_000_000)), HUGE_TEXT),
        (change_dtype("|S1000000", {"name": "null_terminated_bytes", "configuration": {"length_bytes": 10**6}}), "MiB"),
        (change_dtype("|V1000000", "r8000000"), "MiB"),
        (change_dtype([["a", "<u2"], ["b", [["c", "<U9000000"]]]], LARGE), HUGE_TEXT),
        (change_dtype([["a", "<u2", [10**7]]], LARGE), "MiB"),
        (hide_sizes, HUGE_TEXT),
        (change_dtype([["a"]], {"name": "structured", "configuration": {"fields": [["a"]]}}), "is malformed"),
        (change_dtype(None, None), "is malformed"),
        (change_dtype({"x": 1}, {"configuration": {}}), "is malformed"),
        (change_dtype(3, {"name": "fixed_length_utf32", "configuration": {"length_bytes": -4}}), "is malformed"),
        (change_dtype("<u7", "uint7"), "cannot be read as Zarr"),
        (shard_with(codecs=[{"name": "numcodecs.pickle"}]), "B03 needs pickle"),
        (shard_with(index_codecs=[{"name": "numcodecs.pickle"}]), "B03 needs pickle"),
        (shard_with(index_codecs=[{"id": "bytes", "name": "numcodecs.pickle"}]), "B03 needs pickle"),
        (shard_in_shard, "B03 needs pickle"),
        (change_metadata(shape=[96, 80, 3]), "cannot be read as Zarr"),
        (garble, r"cannot be read as Zarr: B03/(\.zarray|zarr\.json)"),
    ],
)
def test_unsafe_zarrs_are_refused(tmp_path: Path, form: FormatOfZarr, spoil, message: str) -> None:
    path = zarr_cube(tmp_path / "s.zarr", per_band(), form)
    spoil(path, form, tmp_path / "outside")
    with pytest.raises(SceneError, match=message):
        open_scene(path)


def test_paths_out_of_the_folder_in_consolidated_metadata_lead_nowhere(tmp_path: Path, form: FormatOfZarr) -> None:
    zarr_cube(tmp_path / "secret.zarr", per_band(), form)
    path = zarr_cube(tmp_path / "s.zarr", per_band()[["B02"]], form)
    file = path / (".zmetadata" if form == 2 else "zarr.json")
    listed = json.loads(file.read_text())
    entries = listed["metadata"] if form == 2 else listed["consolidated_metadata"]["metadata"]
    for key in ("/.zarray", "/.zattrs") if form == 2 else ("",):
        entries[f"../secret.zarr/B03{key}"] = entries[f"B03{key}"] = entries[f"B02{key}"]
    file.write_text(json.dumps(listed))
    assert list(open_scene(path)["bands"].values) == ["B02"]


def test_a_folder_with_a_name_that_means_something_to_fsspec_is_a_folder(tmp_path: Path, form: FormatOfZarr) -> None:
    path = zarr_cube(tmp_path / "a.zarr", per_band(), form).rename(tmp_path / "memory::b.zarr")
    np.testing.assert_array_equal(open_scene(path).values, digits())


@pytest.mark.parametrize("inside", ["nothing", "file"])
def test_what_is_no_zarr_is_refused(tmp_path: Path, inside: str) -> None:
    path = tmp_path / "s.zarr"
    path.mkdir() if inside == "nothing" else path.write_text("x")
    with pytest.raises(SceneError, match=r"s\.zarr (cannot be read as Zarr|is no)"):
        open_scene(path)
