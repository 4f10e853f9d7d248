import threading
import time
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from files import BANDS, CRS, NORTH, WEST, cube, digits, geotiff, jp2, per_band
from hypothesis import given
from hypothesis import strategies as st

from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.models.band_names import find_band
from kappamask.scenes import find_scenes, open_scene, read_mask, write_mask, write_quicklook
from kappamask.scenes.resample import KERNELS
from kappamask.udf import cloud_mask
from kappamask.workflows.scene_options import is_finished


def mask_of(height: int = 96, width: int = 80, **attrs: object) -> xr.DataArray:
    codes = (np.arange(height * width) // 7 % 5 + 1).astype(np.uint8).reshape(height, width)
    codes[0, :9] = 255
    like = cube(digits(1, height, width), ("B02",)).isel(bands=0, drop=True)
    return like.copy(data=codes).assign_attrs(model_id="compact", model_sha256="ab12", radiometry="dn_offset", **attrs)


# names


@given(
    st.sampled_from(SENTINEL2_BANDS), st.booleans(), st.booleans(), st.sampled_from(["{}", "T32TQM_{}_10m", "{} (x)"])
)
def test_band_names_are_read_in_every_spelling(band: str, short: bool, low: bool, form: str) -> None:
    text = band.replace("B0", "B") if short else band
    assert find_band(form.format(text.lower() if low else text)) == band


@pytest.mark.parametrize(
    "text", [None, "", "SCL", "B13", "B00", "B0", "TCI", "B8B", "AB02", "B02B03", "B02_B03", "B2x"]
)
def test_other_words_name_no_band(text: str | None) -> None:
    assert find_band(text) is None


# GeoTIFF


def test_geotiff_comes_as_it_is_stored(tmp_path: Path) -> None:
    values = digits()
    path = geotiff(
        tmp_path / "s.tif", values, ("B2", "b03", "Band B04 (red)", "B08"), tiled=True, blockxsize=32, blockysize=32
    )
    scene = open_scene(path)
    assert scene.dims == ("bands", "y", "x")
    assert list(scene.coords["bands"].values) == list(BANDS)
    assert isinstance(scene.data, da.Array)
    assert scene.dtype == np.uint16
    assert scene.rio.crs == CRS
    np.testing.assert_array_equal(scene.values, values)
    np.testing.assert_array_equal(scene["x"].values[:2], [WEST + 5, WEST + 15])
    np.testing.assert_array_equal(scene["y"].values[:2], [NORTH - 5, NORTH - 15])
    assert scene["x"].dtype == scene["y"].dtype == np.float64
    assert not scene.attrs


@pytest.mark.parametrize(
    "profile", [{}, {"interleave": "pixel"}, {"tiled": True, "blockxsize": 256, "blockysize": 256}]
)
def test_large_files_are_read_in_chunks_that_add_up(tmp_path: Path, profile: dict[str, object]) -> None:
    values = digits(2, 1500, 1300)
    scene = open_scene(geotiff(tmp_path / "s.tif", values, ("B02", "B03"), **profile))
    assert scene.data.numblocks[1] > 1
    np.testing.assert_array_equal(scene.values, values)


def test_bands_are_chosen_by_name_and_in_order(tmp_path: Path) -> None:
    values = digits()
    scene = open_scene(geotiff(tmp_path / "s.tif", values), bands=["b8", "B02"])
    assert list(scene["bands"].values) == ["B08", "B02"]
    np.testing.assert_array_equal(scene.values, values[[3, 0]])


def test_layers_that_are_no_band_are_left_out(tmp_path: Path) -> None:
    scene = open_scene(geotiff(tmp_path / "s.tif", names=("B02", "SCL", None, "AOT")))
    assert list(scene["bands"].values) == ["B02", "AOT"]


def test_facts_come_from_tags(tmp_path: Path) -> None:
    tags = {
        "level": "l2a",
        "DATETIME": "2021-05-27T12:20:21+02:00",
        "radiometry": "dn_harmonized",
        "collection": "SENTINEL2_L2A",
    }
    scene = open_scene(geotiff(tmp_path / "x_20200101.tif", tags=tags, nodata=0))
    expected = {"level": "L2A", "datetime": "2021-05-27T10:20:21Z", "radiometry": "dn_harmonized"}
    assert scene.attrs == {**expected, "collection": "SENTINEL2_L2A", "_FillValue": 0}


@pytest.mark.parametrize(
    ("name", "level", "when"),
    [
        ("S2A_MSIL1C_20210527T102021_N0300_R065_T32TQM_20210527T123456.tif", "L1C", "2021-05-27T10:20:21Z"),
        ("S2C_MSIL2A_20250301T101010_N0511.tif", "L2A", "2025-03-01T10:10:10Z"),
        ("scene_l2a_2021-05-27.tif", "L2A", "2021-05-27T00:00:00Z"),
        ("20219927_XL1CX.tif", None, None),
    ],
)
def test_facts_come_from_the_name(tmp_path: Path, name: str, level: str | None, when: str | None) -> None:
    attrs = open_scene(geotiff(tmp_path / name)).attrs
    assert (attrs.get("level"), attrs.get("datetime")) == (level, when)


def test_time_of_writing_counts_only_where_nothing_else_is_known(tmp_path: Path) -> None:
    tags = {"TIFFTAG_DATETIME": "2022:01:02 03:04:05"}
    assert open_scene(geotiff(tmp_path / "a.tif", tags=tags)).attrs["datetime"] == "2022-01-02T03:04:05Z"
    assert open_scene(geotiff(tmp_path / "20210527.tif", tags=tags)).attrs["datetime"] == "2021-05-27T00:00:00Z"


@pytest.mark.parametrize(("offset", "reading"), [(-0.1, "dn_offset"), (0.0, "dn_harmonized")])
def test_scale_and_offset_say_what_the_numbers_mean(tmp_path: Path, offset: float, reading: str) -> None:
    assert open_scene(geotiff(tmp_path / "s.tif", scale=(1e-4, offset))).attrs["radiometry"] == reading


def test_scene_without_georeference_has_pixel_coordinates(tmp_path: Path) -> None:
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        scene = open_scene(geotiff(tmp_path / "s.tif", crs=None, transform=None))
    assert scene.rio.crs is None
    np.testing.assert_array_equal(scene["x"].values[:2], [0.5, 1.5])


@pytest.mark.parametrize(
    ("options", "names", "more", "message"),
    [
        ({}, (None, None, None), {}, "no Sentinel-2 band names"),
        ({"bands": ["B02", "B03"]}, (None, None, None), {}, "no Sentinel-2 band names"),
        ({"bands": ["B10"]}, BANDS, {}, "lacks B10; it has B02, B03, B04, B08"),
        ({"bands": ["B99"]}, BANDS, {}, "No band B99"),
        ({"bands": []}, BANDS, {}, "No band given"),
        ({}, ("B02", "B2", "B03"), {}, "names B02 more than once"),
        ({"level": "L3"}, BANDS, {}, "No level 'L3'"),
        ({"level": "L1C"}, BANDS, {"tags": {"level": "L2A"}}, "says that it is L2A, not L1C"),
        ({}, BANDS, {"tags": {"level": "2A"}}, "level tag '2A'"),
        ({}, BANDS, {"tags": {"datetime": "yesterday"}}, "datetime tag 'yesterday'"),
        ({}, BANDS, {"scale": (2e-5, 0.0)}, "declares scale 2e-05"),
        (
            {},
            BANDS,
            {"scale": (1e-4, 0.0), "tags": {"radiometry": "dn_offset"}},
            "its scale and offset say dn_harmonized",
        ),
        ({}, BANDS, {"transform": rasterio.Affine(10, 1, 0, 1, -10, 0)}, "not north-up"),
        ({}, BANDS, {"transform": rasterio.Affine(float("nan"), 0, 0, 0, -10, 0)}, "no usable geotransform"),
        ({}, BANDS, {"values": digits().astype(np.complex64)}, "holds complex64"),
        ({}, BANDS, {"values": digits().astype(np.complex64), "dtype": "complex_int16"}, "holds complex_int16"),
    ],
)
def test_doubtful_geotiffs_are_refused(tmp_path: Path, options: dict, names: tuple, more: dict, message: str) -> None:
    path = geotiff(tmp_path / "s.tif", names=names, **more)
    with pytest.raises(SceneError, match=message):
        open_scene(path, **options)


def test_bands_without_names_can_be_named_in_order(tmp_path: Path) -> None:
    scene = open_scene(geotiff(tmp_path / "s.tif", digits(3), (None, None, None)), bands=["B02", "B03", "B04"])
    assert list(scene["bands"].values) == ["B02", "B03", "B04"]
    np.testing.assert_array_equal(scene.values, digits(3))


# netCDF


def test_netcdf_with_a_band_dimension(tmp_path: Path) -> None:
    cube(level="L1C", _FillValue=0).rename("dn").to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    scene = open_scene(tmp_path / "s.nc", bands=["B04", "B02"])
    np.testing.assert_array_equal(scene.values, digits()[[2, 0]])
    assert (scene.dtype, scene.rio.crs, scene.dims) == (np.uint16, CRS, ("bands", "y", "x"))
    assert scene.attrs == {"level": "L1C", "_FillValue": 0}


def test_netcdf_with_a_variable_for_each_band_and_one_date(tmp_path: Path) -> None:
    dataset = cube().to_dataset("bands").expand_dims(t=[np.datetime64("2021-05-27T10:20:21", "ns")])
    dataset["crs"] = 0
    dataset.to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    scene = open_scene(tmp_path / "s.nc")
    assert scene.attrs["datetime"] == "2021-05-27T10:20:21Z"
    assert isinstance(scene.data, da.Array)
    np.testing.assert_array_equal(scene.values, digits())


def test_packed_netcdf_stays_packed(tmp_path: Path) -> None:
    reflectance = cube(digits().astype(np.float64) * 1e-4 - 0.1).rename("refl")
    encoding = {"refl": {"dtype": "uint16", "scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0}}
    reflectance.to_netcdf(tmp_path / "s.nc", encoding=encoding, engine="h5netcdf")
    scene = open_scene(tmp_path / "s.nc")
    assert scene.attrs["radiometry"] == "dn_offset"
    np.testing.assert_array_equal(scene.values, digits())


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (cube().to_dataset("bands").expand_dims(t=[0, 1]), "holds 2 dates"),
        (cube().drop_vars("bands").rename("dn").to_dataset(), "no Sentinel-2 band names"),
        (xr.Dataset({"temperature": ("y", np.zeros(3))}), "no bands: .* it has temperature"),
        (per_band(scale_factor="abc"), "scale_factor of B02 is 'abc'; needed is a number"),
        (per_band(add_offset=np.array([])), "add_offset of B02 is .*; needed is a number"),
        (per_band(missing_value="none"), "missing_value of B02 is 'none'"),
        (per_band().assign(B03=per_band(missing_value=1).B03, B04=per_band(missing_value=2).B04), "several nodata val"),
        (per_band().assign_coords(spatial_ref=((), 0, {"crs_wkt": "nonsense"})), "reference system that is none"),
        (per_band().assign_coords(x=np.full(80, np.nan)), "coordinate x is not evenly spaced"),
        (per_band().assign_coords(x=[str(column) for column in range(80)]), "coordinate x is not evenly spaced"),
        (per_band().assign_coords(x=np.full(80, WEST)), "coordinate x is not evenly spaced"),
        (per_band().isel(y=[*range(40), *range(41, 96)]), "coordinate y is not evenly spaced"),
    ],
)
def test_doubtful_netcdfs_are_refused(tmp_path: Path, dataset: xr.Dataset, message: str) -> None:
    dataset.to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    with pytest.raises(SceneError, match=message):
        open_scene(tmp_path / "s.nc")


@pytest.mark.parametrize(
    ("declared", "fill"),
    [
        ({"missing_value": -9999}, -9999),
        ({"_FillValue": np.float32(-1), "missing_value": np.float32(-9999)}, -1),
        ({"_FillValue": np.float32("nan"), "missing_value": np.float32([-9999, -1])}, np.nan),
    ],
)
@pytest.mark.parametrize("stacked", [True, False])
def test_every_nodata_value_of_a_netcdf_reaches_the_cube(
    tmp_path: Path, declared: dict, fill: float, stacked: bool, brightness: object
) -> None:
    dataset = per_band(dtype="float32")
    for variable in dataset.values():
        variable.values[:3], variable.values[3:5] = -9999, fill
    dataset = dataset.to_dataarray("bands").to_dataset(name="dn") if stacked else dataset
    no_default = {} if "_FillValue" in declared else {key: {"_FillValue": None} for key in dataset}
    dataset.assign({key: layer.assign_attrs(declared) for key, layer in dataset.items()}).to_netcdf(
        tmp_path / "s.nc", encoding=no_default, engine="h5netcdf"
    )
    scene = open_scene(tmp_path / "s.nc")
    np.testing.assert_equal(scene.attrs, {"_FillValue": fill})
    assert scene.dtype == np.float32
    np.testing.assert_array_equal(scene.values[:, :5], np.float32(fill))
    np.testing.assert_array_equal(scene.values[:, 5:], digits()[:, 5:])
    mask = cloud_mask(scene, level="L1C", model=brightness, radiometry="dn_harmonized").values
    assert (mask[:5] == 5).all()
    assert (mask[5:] != 5).all()


def test_nodata_that_no_pixel_can_have_is_left_out(tmp_path: Path) -> None:
    per_band(missing_value=-9999, _FillValue=np.uint16(7)).to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    scene = open_scene(tmp_path / "s.nc")
    assert scene.attrs == {"_FillValue": 7}
    np.testing.assert_array_equal(scene.values, digits())


def test_floats_as_xarray_writes_them_are_read(tmp_path: Path) -> None:
    per_band(dtype="float32").to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "s.nc", mask_and_scale=False) as stored:
        assert all(np.isnan(variable.attrs["_FillValue"]) for variable in stored.values())
    scene = open_scene(tmp_path / "s.nc")
    np.testing.assert_array_equal(scene.values, digits())
    np.testing.assert_equal(scene.attrs, {"_FillValue": np.nan})


def test_coordinates_that_were_rounded_are_regular(tmp_path: Path) -> None:
    dataset = per_band()
    dataset.assign_coords(x=dataset.x.astype(np.float32), y=dataset.y.astype(np.float32)).to_netcdf(
        tmp_path / "s.nc", engine="h5netcdf"
    )
    np.testing.assert_array_equal(open_scene(tmp_path / "s.nc").values, digits())


# folders of JPEG 2000


def test_folder_of_jp2s_comes_on_the_finest_grid(tmp_path: Path) -> None:
    folder = tmp_path / "MSIL1C_20210527T102021"
    folder.mkdir()
    ramp = np.add.outer(np.arange(120) * 10, np.arange(120) * 20).astype(np.uint16) + 1000
    jp2(folder / "T35_B02_10m.jp2", ramp, 10)
    jp2(folder / "T35_B02_20m.jp2", ramp[::2, ::2], 20)
    coarse = ramp.reshape(20, 6, 20, 6).mean(axis=(1, 3)).astype(np.uint16)
    jp2(folder / "T35_B09_60m.jp2", coarse, 60)
    jp2(folder / "T35_TCI_10m.jp2", ramp, 10)
    scene = open_scene(folder)
    assert list(scene["bands"].values) == ["B02", "B09"]
    assert scene.attrs == {"level": "L1C", "datetime": "2021-05-27T10:20:21Z", "_FillValue": 0}
    np.testing.assert_array_equal(scene[0].values, ramp)
    inner = np.s_[6:-6, 6:-6]
    assert np.abs(scene[1].values[inner].astype(int) - ramp[inner]).max() <= 1, "bilinear interpolation keeps a ramp"


def test_edges_that_not_all_bands_cover_are_cut(tmp_path: Path) -> None:
    values = digits(1, 60, 60)[0]
    jp2(tmp_path / "B02.jp2", values, 10)
    jp2(tmp_path / "B05.jp2", values[:30, :29], 20, west=WEST + 20)
    scene = open_scene(tmp_path, bands=["B02"])
    assert scene.shape == (1, 60, 58)
    np.testing.assert_array_equal(scene[0].values, values[:, 2:])
    assert scene["x"].values[0] == WEST + 25


def test_nodata_does_not_bleed_into_resampled_bands(tmp_path: Path) -> None:
    jp2(tmp_path / "B02.jp2", np.full((60, 60), 2000, np.uint16), 10)
    coarse = np.full((30, 30), 2000, np.uint16)
    coarse[:, :10] = 0
    jp2(tmp_path / "B05.jp2", coarse, 20)
    assert set(np.unique(open_scene(tmp_path, bands=["B05"]).values)) == {0, 2000}


@pytest.mark.parametrize(
    ("size", "west", "crs", "message"),
    [
        (10, WEST, "EPSG:32636", "B03 is in EPSG:32636"),
        (10, WEST + 60, CRS, "B03 covers"),
        (60, WEST, CRS, "B03 covers"),
    ],
)
def test_bands_of_different_scenes_are_refused(
    tmp_path: Path, size: float, west: float, crs: str, message: str
) -> None:
    jp2(tmp_path / "B02.jp2", digits(1)[0], 10)
    jp2(tmp_path / "B03.jp2", digits(1)[0], size, west, crs)
    with pytest.raises(SceneError, match=message):
        open_scene(tmp_path)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ("T32TQM_20210606T102021", r"several dates: 2021-05-27T10:20:21Z .*, 2021-06-06T10:20:21Z .*_B04_10m\.jp2"),
        ("T33UXP_20210527T102021", r"several tiles: 32TQM .*, 33UXP"),
    ],
)
@pytest.mark.parametrize("band", ["B04", "B03"])
def test_bands_whose_names_tell_of_different_scenes_are_refused(
    tmp_path: Path, others: str, message: str, band: str
) -> None:
    for name in ("B02", "B03"):
        jp2(tmp_path / f"T32TQM_20210527T102021_{name}_10m.jp2", digits(1)[0], 10)
    assert open_scene(tmp_path).attrs["datetime"] == "2021-05-27T10:20:21Z"
    jp2(tmp_path / f"{others}_{band}_10m.jp2", digits(1)[0], 10)
    with pytest.raises(SceneError, match=message.replace("B04", band)):
        open_scene(tmp_path)


# damage and foreign files


def cut(path: Path, keep: float) -> Path:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * keep)])
    return path


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_a_truncated_geotiff_gives_an_error_and_no_zeros(tmp_path: Path, driver: str, keep: float) -> None:
    path = cut(geotiff(tmp_path / "s.tif", digits(4, 600, 600), driver=driver), keep)
    with pytest.raises(SceneError, match=r"s\.tif cannot be read as a whole"):
        open_scene(path).compute()


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_truncated_jp2_gives_an_error_and_no_zeros(tmp_path: Path, keep: float) -> None:
    cut(jp2(tmp_path / "B02.jp2", digits(1, 300, 300)[0], 10), keep)
    with pytest.raises(SceneError, match=r"B02\.jp2 cannot be read as a whole"):
        open_scene(tmp_path).compute()


def test_a_truncated_coarse_jp2_gives_an_error_and_no_zeros(tmp_path: Path) -> None:
    jp2(tmp_path / "B02.jp2", digits(1, 300, 300)[0], 10)
    cut(jp2(tmp_path / "B05.jp2", digits(1, 150, 150)[0], 20), 0.9)
    with pytest.raises(SceneError, match=r"B05\.jp2 cannot be read as a whole"):
        open_scene(tmp_path).compute()


def test_a_damaged_netcdf_gives_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s.nc"
    cube(digits(4, 300, 300)).rename("dn").to_netcdf(path, encoding={"dn": {"zlib": True}}, engine="h5netcdf")
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 2000] = bytes(2000)
    path.write_bytes(raw)
    with pytest.raises(SceneError, match=r"s\.nc is damaged: dn cannot be read"):
        open_scene(path).compute()
    (tmp_path / "short.nc").write_bytes(raw)
    with pytest.raises(SceneError, match=r"short\.nc cannot be read as netCDF"):
        open_scene(cut(tmp_path / "short.nc", 0.5))


def test_classic_netcdf_is_read_with_its_unsigned_numbers(tmp_path: Path) -> None:
    bright = digits() + np.uint16(40_000)
    stored = cube(bright).rename("dn").astype(np.int16).assign_attrs(_Unsigned="true")
    stored.to_netcdf(tmp_path / "s.nc", engine="scipy")
    scene = open_scene(tmp_path / "s.nc")
    assert scene.dtype == np.uint16
    np.testing.assert_array_equal(scene.values, bright)


@pytest.mark.parametrize("keep", [0.001, 0.01, 0.5, 0.99])
def test_a_truncated_classic_netcdf_gives_an_error(tmp_path: Path, keep: float) -> None:
    cube().rename("dn").to_netcdf(tmp_path / "s.nc", engine="scipy")
    with pytest.raises(SceneError, match=r"s\.nc (cannot be read as netCDF|is damaged)"):
        open_scene(cut(tmp_path / "s.nc", keep)).compute()


@pytest.mark.parametrize("suffix", ["tif", "nc", "txt"])
def test_a_text_file_is_no_scene(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"s.{suffix}"
    path.write_text("not an image")
    with pytest.raises(SceneError, match=r"s\.\w+ (is|cannot)"):
        open_scene(path)


def test_a_vrt_in_disguise_is_not_opened(tmp_path: Path) -> None:
    geotiff(tmp_path / "real.tif")
    vrt = (
        '<VRTDataset rasterXSize="80" rasterYSize="96"><VRTRasterBand dataType="UInt16" band="1">'
        f"<Description>B02</Description><SimpleSource><SourceFilename>{tmp_path}/real.tif</SourceFilename>"
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    (tmp_path / "s.tif").write_text(vrt)
    with rasterio.open(tmp_path / "s.tif") as dataset:
        assert dataset.driver == "VRT", "GDAL alone would follow it"
    with pytest.raises(SceneError, match="neither a GeoTIFF nor a JPEG 2000"):
        open_scene(tmp_path / "s.tif")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/vsicurl/http://127.0.0.1:9/s.tif", "No file or folder"),
        ("http://127.0.0.1:9/s.tif", "is no HTTPS address"),
        ("missing.tif", "No file or folder"),
        ("missing", "No file or folder"),
    ],
)
def test_only_local_files_and_items_at_https_addresses_are_opened(path: str, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        open_scene(path)


# find_scenes


def test_scan_finds_every_kind(tmp_path: Path) -> None:
    geotiff(tmp_path / "a.tif")
    cube().rename("dn").to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    (tmp_path / "c").mkdir()
    jp2(tmp_path / "c" / "B02.jp2", digits(1)[0], 10)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".hidden.tif").write_text("")
    found = find_scenes(tmp_path)
    assert found == [tmp_path / "a.tif", tmp_path / "b.nc", tmp_path / "c"]
    assert all(open_scene(path).size for path in found)
    assert find_scenes(tmp_path / "c") == [tmp_path / "c"]


@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_scan_leaves_masks_out_but_no_scene_that_cannot_be_read(
    tmp_path: Path, suffix: str, brightness: object
) -> None:
    made = cloud_mask(cube(), level="L1C", model=brightness, radiometry="dn_harmonized", scores=True)
    write_mask(made["mask"], tmp_path / f"m{suffix}", scores=made["score"])
    geotiff(tmp_path / "a mask.tif", digits(1), ("mask",))
    with pytest.raises(SceneError, match="holds no scene"):
        find_scenes(tmp_path)
    wrong = [
        geotiff(tmp_path / "misspelt.tif", digits(2), ("Band 1", "Band 2")),
        geotiff(tmp_path / "nameless.tif", digits(2), (None, None)),
        geotiff(tmp_path / "some_names.tif", digits(2), ("cloud", None)),
        tmp_path / "text.tif",
    ]
    wrong[-1].write_text("not an image")
    (tmp_path / "to_nowhere.tif").symlink_to(tmp_path / "nowhere.tif")
    wrong.append(tmp_path / "to_nowhere.tif")
    assert find_scenes(tmp_path) == wrong
    for path in wrong:
        with pytest.raises(SceneError):
            open_scene(path)


def test_scan_refuses_folders_without_scenes(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="holds no scene"):
        find_scenes(tmp_path)
    with pytest.raises(SceneError, match="No folder"):
        find_scenes(tmp_path / "missing")
    with pytest.raises(SceneError, match="holds no band files"):
        open_scene(tmp_path)


# masks


@pytest.mark.parametrize("suffix", [".tif", ".nc"])
@pytest.mark.parametrize("lazy", [True, False])
def test_a_mask_comes_back_as_it_was_written(tmp_path: Path, suffix: str, lazy: bool) -> None:
    mask = mask_of(700, 600)
    assert write_mask(mask.chunk(y=256, x=512) if lazy else mask, tmp_path / f"m{suffix}") == [tmp_path / f"m{suffix}"]
    back = read_mask(tmp_path / f"m{suffix}")
    np.testing.assert_array_equal(back.values, mask.values)
    np.testing.assert_array_equal(back["x"], mask["x"])
    np.testing.assert_array_equal(back["y"], mask["y"])
    assert (back.dtype, back.rio.crs) == (np.uint8, CRS)
    provenance = {"model_id": "compact", "model_sha256": "ab12", "radiometry": "dn_offset"}
    assert provenance.items() <= back.attrs.items()


def test_a_geotiff_mask_explains_itself(tmp_path: Path) -> None:
    write_mask(mask_of(700, 600), tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (dataset.nodata, dataset.descriptions, dataset.dtypes) == (255, ("KappaMask class",), ("uint8",))
        assert dataset.colormap(1)[4] == (255, 255, 255, 255)
        assert dataset.overviews(1) == [2]
    names = (tmp_path / "m.tif.aux.xml").read_text()
    assert "<Category>cloud_shadow</Category>" in names


def test_colours_and_names_come_from_the_mask_itself(tmp_path: Path) -> None:
    flags = {
        "flag_values": np.array([1, 4], np.uint8),
        "flag_meanings": "free covered",
        "flag_colors": "#010203 #fefdfc",
    }
    write_mask(mask_of(**flags), tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert dataset.colormap(1)[1] == (1, 2, 3, 255)
        assert dataset.tags(1)["flag_meanings"] == "free covered"


def test_overviews_hold_classes_and_no_mixtures(tmp_path: Path) -> None:
    mask = mask_of(700, 600)
    mask.values[:] = np.where(np.arange(600) // 3 % 2, 1, 4)
    write_mask(mask, tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif", overview_level=0) as dataset:
        assert set(np.unique(dataset.read(1))) == {1, 4}


@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_scores_are_written_in_the_same_pass(tmp_path: Path, suffix: str, brightness: object) -> None:
    made = cloud_mask(cube().chunk(y=40), level="L1C", model=brightness, radiometry="dn_harmonized", scores=True)
    files = write_mask(made["mask"], tmp_path / f"m{suffix}", scores=made["score"])
    assert all(path.is_file() for path in files)
    np.testing.assert_array_equal(read_mask(files[0]).values, made["mask"].values)
    if suffix == ".nc":
        stored = xr.open_dataset(files[0])["score"].values
        raw = xr.open_dataset(files[0], mask_and_scale=False)["score"]
    else:
        with rasterio.open(tmp_path / "m_scores.tif") as dataset:
            raw = dataset.read()
            stored = np.where(raw == dataset.nodata, np.nan, raw * dataset.scales[0] + dataset.offsets[0])
            assert dataset.descriptions == ("clear", "cloud_shadow", "semi_transparent_cloud", "cloud")
            assert dataset.nodata == 255
    assert raw.dtype == np.uint8
    np.testing.assert_allclose(stored, made["score"].values, atol=0.005 + 1e-6)


def test_a_netcdf_with_spoilt_scores_is_no_finished_mask(tmp_path: Path) -> None:
    mask = mask_of(200, 300)
    noise = np.random.default_rng(0).integers(0, 101, (4, *mask.shape)).astype(np.uint8)
    scores = xr.DataArray(noise, dims=("class", *mask.dims), coords={"class": list("abcd"), **mask.coords})
    (path,) = write_mask(mask.assign_attrs(options="these"), tmp_path / "m.nc", scores=scores)
    assert is_finished("https://example.org/scene", [path], "these")
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(1000) + content[middle + 1000 :])
    np.testing.assert_array_equal(read_mask(path).values, mask.values, "the mask itself is whole")
    assert not is_finished("https://example.org/scene", [path], "these")
    assert is_finished("https://example.org/scene", [path], "these", verify_pixels=False)


def test_masks_that_run_northwards_are_turned(tmp_path: Path) -> None:
    mask = mask_of()
    write_mask(mask.isel(y=slice(None, None, -1)), tmp_path / "m.tif")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif").values, mask.values)


@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_suffixes_count_in_either_case(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"m{suffix.upper()}"
    write_mask(mask_of(), target)
    np.testing.assert_array_equal(read_mask(target).values, mask_of().values)
    head = target.read_bytes()[:4]
    assert (head == b"\x89HDF") == (suffix == ".nc")
    assert (target.with_name("m.TIF.aux.xml") in tmp_path.iterdir()) == (suffix == ".tif")


def test_a_mask_without_coordinates_is_written_as_netcdf(tmp_path: Path) -> None:
    bare = mask_of().drop_vars(["x", "y", "spatial_ref"])
    write_mask(bare, tmp_path / "m.nc")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.nc").values, bare.values)


def test_a_mask_on_an_irregular_grid_is_no_geotiff(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="coordinate x is not evenly spaced"):
        write_mask(mask_of().isel(x=[0, 1, 2, 9]), tmp_path / "m.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_names_that_libraries_cannot_spell_and_links_to_themselves_are_refused(tmp_path: Path, suffix: str) -> None:
    spoilt = tmp_path / f"\udcff_L1C{suffix}"
    for act in (open_scene, read_mask, lambda path: write_mask(mask_of(), path)):
        with pytest.raises(SceneError, match="is not UTF-8; rename"):
            act(spoilt)
    loop = tmp_path / f"loop{suffix}"
    loop.symlink_to(loop)
    with pytest.raises(SceneError, match="No file or folder"):
        open_scene(loop)
    with pytest.raises(SceneError, match="Cannot write"):
        write_mask(mask_of(), loop)
    assert list(tmp_path.iterdir()) == [loop]
    assert loop.is_symlink()


def failing(mask: xr.DataArray) -> tuple[xr.DataArray, threading.Event]:
    """Make a mask whose lower half fails while the upper half is being computed.

    Also returned: the event that is set when the upper half ends.
    """
    lower_half_fails, upper_half_ended = threading.Event(), threading.Event()

    def explode(block: np.ndarray) -> np.ndarray:
        lower_half_fails.set()
        raise SceneError("the second half of the scene is damaged")

    def dawdle(block: np.ndarray) -> np.ndarray:
        lower_half_fails.wait(5)
        time.sleep(0.2)
        upper_half_ended.set()
        return block

    lazy = mask.chunk(y=48).data
    meta = {"dtype": np.uint8, "meta": np.empty((0, 0), np.uint8)}
    halves = [lazy.blocks[0].map_blocks(dawdle, **meta), lazy.blocks[1].map_blocks(explode, **meta)]
    return mask.copy(data=da.concatenate(halves)), upper_half_ended


@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"m{suffix}"
    write_mask(mask_of(), target)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    mask, ended = failing(mask_of())
    with pytest.raises(SceneError, match="second half of the scene"):
        write_mask(mask, target)
    assert ended.is_set(), "no thread may go on writing into a file that is closed"
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SceneError, match=r"Cannot write .*there is no folder"):
        write_mask(mask_of(), tmp_path / "file" / f"m{suffix}")
    (tmp_path / f"m{suffix}").mkdir()
    with pytest.raises(SceneError, match="Cannot write"):
        write_mask(mask_of(), tmp_path / f"m{suffix}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", f"m{suffix}"]


@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    resource = pytest.importorskip("resource")
    import signal

    rng = np.random.default_rng(1)
    mask = mask_of(600, 600).copy(data=rng.integers(1, 6, (600, 600), dtype=np.uint8))
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))
        with pytest.raises(SceneError, match="Cannot write"):
            write_mask(mask, tmp_path / f"m{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_a_copy_that_gdal_cuts_short_in_silence_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = rasterio.shutil.copy

    def copy_short(source: Path, target: Path, **options: object) -> None:
        copy(source, target, **options)
        cut(target, 0.9)

    monkeypatch.setattr(rasterio.shutil, "copy", copy_short)
    with pytest.raises(SceneError, match=r"read back.*disk full"):
        write_mask(mask_of(700, 600), tmp_path / "m.tif")
    assert not list(tmp_path.iterdir())


def test_netcdf_is_read_and_written_at_once(tmp_path: Path, brightness: object) -> None:
    cube(digits(3, 1200, 2200), ("B02", "B03", "B04")).rename("dn").to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    mask = cloud_mask(open_scene(tmp_path / "s.nc"), level="L1C", model=brightness, radiometry="dn_harmonized")
    write_mask(mask, tmp_path / "m.nc")
    eager = cloud_mask(
        open_scene(tmp_path / "s.nc").compute(), level="L1C", model=brightness, radiometry="dn_harmonized"
    )
    with xr.open_dataset(tmp_path / "m.nc") as written:
        assert written["mask"].dtype == np.uint8
        np.testing.assert_array_equal(written["mask"].values, eager.values)


def test_what_is_no_mask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"\.tif or a \.nc"):
        write_mask(mask_of(), tmp_path / "m.png")
    with pytest.raises(SceneError, match="uint8"):
        write_mask(mask_of().astype(float), tmp_path / "m.tif")
    dates = xr.concat([mask_of(), mask_of()], "t")
    with pytest.raises(SceneError, match="holds one date, not 2"):
        write_mask(dates, tmp_path / "m.tif")
    with pytest.raises(SceneError, match="4 bands of uint16"):
        read_mask(geotiff(tmp_path / "s.tif"))
    cube().rename("dn").to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    with pytest.raises(SceneError, match="is no mask"):
        read_mask(tmp_path / "s.nc")
    assert {path.name for path in tmp_path.iterdir()} == {"s.tif", "s.nc"}


# quicklook


def test_a_quicklook_shows_the_classes_colours(tmp_path: Path) -> None:
    from matplotlib.image import imread

    mask = mask_of()
    mask.values[:] = 5
    write_quicklook(cube(), mask, tmp_path / "q.png", truth=mask)
    pixels = (imread(tmp_path / "q.png")[..., :3] * 255).round().astype(int).reshape(-1, 3)
    missing = (pixels == 0).all(axis=1)
    assert missing.mean() > 0.35, "two of four panels are of the colour of class 5, black"


def test_a_quicklook_needs_true_colour_and_one_grid(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="lacks B04"):
        write_quicklook(cube().drop_sel(bands="B04"), mask_of(), tmp_path / "q.png")
    with pytest.raises(SceneError, match="one grid"):
        write_quicklook(cube(), mask_of(50, 50), tmp_path / "q.png")
    assert not list(tmp_path.iterdir())


def folder_with_step(folder: Path, metres: int, side: int = 60) -> Path:
    """Write B02 at 10 m and a coarser band with a step in its middle.

    The coarser band is 1000 to the left and 8000 to the right.
    """
    folder.mkdir(exist_ok=True)
    ratio = metres // 10
    jp2(folder / "B02.jp2", np.full((side * ratio, side * ratio), 2000, np.uint16), 10)
    step = np.full((side, side), 1000, np.uint16)
    step[:, side // 2 :] = 8000
    jp2(folder / "B05.jp2", step, metres)
    return folder


@pytest.mark.parametrize(("metres", "overshoot"), [(20, 0.158), (60, 0.194)])
def test_sinc_rings_as_the_official_tool_does(tmp_path: Path, metres: int, overshoot: float) -> None:
    """Sinc overshoots a step as an emulation of cm_vsm's resampling does.

    Measured on it: 15.8 % at 20 m and 19.4 % at 60 m.
    """
    found = open_scene(folder_with_step(tmp_path, metres), bands=["B05"], resampling="sinc").values[0]
    assert (found.max() - 8000) / 7000 == pytest.approx(overshoot, abs=0.01)
    assert (found == found[0]).all()
    assert found.min() < 1000 and found[0, 4] == pytest.approx(1000, abs=80)


def test_every_kernel_keeps_what_is_flat_and_where_things_are(tmp_path: Path) -> None:
    folder = folder_with_step(tmp_path, 20)
    found = {k: open_scene(folder, bands=["B05"], resampling=k).values[0].astype(float) for k in KERNELS}
    for values in found.values():
        assert np.abs(values[:, 20:40] - 1000).max() < 250 and np.abs(values[:, 80:100] - 8000).max() < 250
        assert values[0, 59] < 4500 < values[0, 60]
    assert set(np.unique(found["nearest"])) == {1000, 8000}
    assert len({values.tobytes() for values in found.values()}) == 4


def test_sinc_leaves_nodata_out_and_chunks_agree(tmp_path: Path) -> None:
    ramp = (1000 + 20 * np.arange(700))[None].repeat(700, 0).astype(np.uint16)
    ramp[:, :100] = 0
    jp2(tmp_path / "B02.jp2", np.full((1400, 1400), 2000, np.uint16), 10)
    jp2(tmp_path / "B05.jp2", ramp, 20)
    found = open_scene(tmp_path, bands=["B05"], resampling="sinc")[0]
    assert len(found.chunks[1]) > 1
    row = found.values[700].astype(float)
    assert (row[:200] == 0).all() and (row[200:] > 0).all()
    expected = 1000 + 20 * ((np.arange(1400) + 0.5) / 2 - 0.5)
    assert np.abs(row - expected)[230:-30].max() < 25, "a ramp stays one, over the borders of chunks too"


def test_an_unknown_kernel_and_grids_that_sinc_cannot_join_are_refused(tmp_path: Path) -> None:
    folder = folder_with_step(tmp_path, 20)
    with pytest.raises(SceneError, match="known are nearest, bilinear, cubic, sinc"):
        open_scene(folder, resampling="lanczos")
    jp2(folder / "B05.jp2", np.full((60, 60), 900, np.uint16), 20, west=WEST + 5)
    with pytest.raises(SceneError, match="sinc needs"):
        open_scene(folder, bands=["B05"], resampling="sinc").compute()
