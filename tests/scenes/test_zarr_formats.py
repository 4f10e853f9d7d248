import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from files import cube, digits, per_band
from zarrs import FormatOfZarr, edit_json, eopf, find_metadata, pixels, zarr_cube

from kappamask.models import KappaMaskError, ModelCard, SceneError
from kappamask.scenes import open_scene
from kappamask.scenes.readers.zarr import open_group
from kappamask.scenes.readers.zarr_metadata import check_store, read_attributes
from kappamask.udf import cloud_mask

LABELS = ["B02", "B03", "B04", "B08"]
DATES = np.array(["2021-05-27T10:20:21", "2021-06-06T10:20:21"], "datetime64[s]")


@pytest.fixture(params=[2, 3], ids=["format2", "format3"])
def form(request: pytest.FixtureRequest) -> FormatOfZarr:
    """Of the folders that are read."""
    return request.param


def add_array(group: zarr.Group, name: str, values: np.ndarray, dims: list[str], dtype: Any, **options: Any) -> None:
    """Write an array as libraries do that are not xarray."""
    is_new = group.metadata.zarr_format == 3
    named = options | ({"dimension_names": dims} if is_new else {})
    made = group.create_array(name, shape=values.shape, dtype=dtype, **named)
    made[...] = values
    if not is_new:
        made.attrs["_ARRAY_DIMENSIONS"] = dims


def write_plain(path: Path, form: FormatOfZarr, dtype: Any = str, unit: str = "s", **options: Any) -> Path:
    """Write two dates of four bands with labels of `dtype` and NumPy's times."""
    values, group = cube(), zarr.open_group(str(path), mode="w", zarr_format=form)
    pixels = np.stack([digits(), digits() // np.uint16(2)])
    add_array(group, "dn", pixels, ["t", "bands", "y", "x"], "uint16", **options)
    add_array(group, "bands", np.array(LABELS, None if dtype is str else dtype), ["bands"], dtype)
    add_array(group, "t", DATES.astype(f"M8[{unit}]"), ["t"], f"M8[{unit}]")
    for axis in ("y", "x"):
        add_array(group, axis, values[axis].values, [axis], "float64")
    return path


@pytest.mark.parametrize("dtype", [str, "U3", "S3"], ids=["any length", "utf32", "bytes"])
@pytest.mark.parametrize("unit", ["s", "ns"])
def test_text_and_times_of_all_types_are_read(tmp_path: Path, form: FormatOfZarr, dtype: Any, unit: str) -> None:
    scene = open_scene(write_plain(tmp_path / "s.zarr", form, dtype, unit))
    assert scene["bands"].values.tolist() == LABELS
    np.testing.assert_array_equal(scene["t"].values, DATES)
    np.testing.assert_array_equal(scene.values, [digits(), digits() // 2])


def test_shards_are_read(tmp_path: Path) -> None:
    path = write_plain(tmp_path / "s.zarr", 3, chunks=(1, 1, 8, 8), shards=(1, 4, 96, 80))
    assert "sharding_indexed" in (path / "dn" / "zarr.json").read_text()
    np.testing.assert_array_equal(open_scene(path).values, [digits(), digits() // 2])


@pytest.mark.parametrize("known", [None, 0])
def test_a_cube_in_a_zarr_has_the_mask_that_it_has_in_memory(
    tmp_path: Path, form: FormatOfZarr, known: int | None, brightness: ModelCard
) -> None:
    pixels = digits()
    pixels[:, :20, :30] = 0
    scene = cube(pixels, level="L1C").rename("dn")
    scene.attrs |= {} if known is None else {"_FillValue": known}
    opened = open_scene(zarr_cube(tmp_path / "s.zarr", scene.to_dataset(), form))
    assert opened.attrs.get("_FillValue") == known
    expected, found = (cloud_mask(one, model=brightness, radiometry="dn_harmonized") for one in (scene, opened))
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize("fill", [None, 0, 300, 65535])
def test_a_fill_value_is_nodata_in_format_2_alone(tmp_path: Path, form: FormatOfZarr, fill: int | None) -> None:
    path = zarr_cube(tmp_path / "s.zarr", per_band(), form)
    for band in LABELS:
        edit_json(find_metadata(path / band, form), fill_value=fill if form == 2 else fill or 0)
    assert open_scene(path).attrs.get("_FillValue") == (fill if form == 2 else None)


def declare(path: Path, form: FormatOfZarr, **attrs: Any) -> None:
    for band in LABELS:
        file = path / band / (".zattrs" if form == 2 else "zarr.json")
        known = json.loads(file.read_text())
        file.write_text(json.dumps(known | attrs if form == 2 else known | {"attributes": known["attributes"] | attrs}))


@pytest.mark.parametrize(
    ("dtype", "declared", "nodata"),
    [
        ("uint16", 300, 300),
        ("uint16", [300], 300),
        ("uint16", "300", 300),
        ("float32", -9999, -9999),
        ("float32", "NaN", np.nan),
        ("float32", "AAAAAACIw8A=", -10000),
    ],
)
def test_a_declared_nodata_value_is_nodata(
    tmp_path: Path, form: FormatOfZarr, dtype: str, declared: object, nodata: float
) -> None:
    path = zarr_cube(tmp_path / "s.zarr", per_band(dtype=dtype).drop_encoding(), form)
    for band in LABELS if form == 2 else ():
        edit_json(find_metadata(path / band, form), fill_value=None)
    declare(path, form, _FillValue=declared)
    if form == 2 and isinstance(declared, str) and declared.endswith("="):
        with pytest.raises(SceneError, match=r"_FillValue of B02 is 'AAAA.*needed is a number"):
            open_scene(path)
        return
    np.testing.assert_equal(open_scene(path).attrs["_FillValue"], nodata)


@pytest.mark.parametrize("declared", ["none", [], "AAAA"])
def test_a_nodata_value_that_is_no_number_is_refused(tmp_path: Path, form: FormatOfZarr, declared: object) -> None:
    path = zarr_cube(tmp_path / "s.zarr", per_band(), form)
    declare(path, form, _FillValue=declared)
    with pytest.raises(SceneError, match=r"_FillValue of B02 is .*needed is a number"):
        open_scene(path)


def test_two_nodata_values_of_format_2_are_refused(tmp_path: Path) -> None:
    path = zarr_cube(tmp_path / "s.zarr", per_band(), 2, _FillValue=0)
    declare(path, 2, _FillValue=0)
    assert open_scene(path).attrs["_FillValue"] == 0
    declare(path, 2, _FillValue=65535)
    with pytest.raises(SceneError, match=r"fill_value 0 in .zarray and the _FillValue 65535 in .zattrs.*null"):
        open_scene(path)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """A product in both formats, with zeros in format 2."""
    path, old = eopf(tmp_path, form=3), eopf(tmp_path / "old", form=2)
    for file in old.rglob(".z*"):
        (path / file.relative_to(old)).write_bytes(file.read_bytes())
    return path


@pytest.mark.filterwarnings("error:.*metadata objects exist")
def test_of_a_folder_in_both_formats_the_newer_is_read(both: Path) -> None:
    for file in both.rglob(".zattrs"):
        known = json.loads((file.parent / "zarr.json").read_text())["attributes"]
        file.write_text(json.dumps(known | {"_ARRAY_DIMENSIONS": ["y", "x"]}))
    assert read_attributes(check_store(both)) == open_group(both).attrs
    scene = open_scene(both, bands=["B02"])
    np.testing.assert_array_equal(scene[0].values, pixels("", 10, ("b02",), 120)[0])


@pytest.mark.parametrize("place", ["", "measurements/reflectance/r20m/b05"])
def test_a_folder_in_both_formats_with_other_attributes_is_refused(both: Path, place: str) -> None:
    for file in both.rglob(".zattrs"):
        file.write_text(json.dumps(json.loads((file.parent / "zarr.json").read_text())["attributes"]))
    edit_json(both / place / ".zattrs", other=1)
    with pytest.raises(SceneError, match=rf"two formats, with other attributes in {place}/?\.zattrs.*delete"):
        open_scene(both)


def test_without_zarr_3_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zarr_cube(tmp_path / "s.zarr", per_band())
    monkeypatch.delattr("zarr.storage.LocalStore")
    with pytest.raises(KappaMaskError, match=r"pip install .*\[zarr\]"):
        open_scene(path)


def test_bands_come_in_one_order_however_a_folder_is_listed(tmp_path: Path, form: FormatOfZarr) -> None:
    path = zarr_cube(tmp_path / "s.zarr", per_band()[["B08", "B04", "B03", "B02"]], form)
    dataset: xr.Dataset = open_group(path)
    assert [*dataset.data_vars] == LABELS
