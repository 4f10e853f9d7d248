"""Sentinel-2 products in ESA's SAFE format, whole ones."""

import os
import shutil
from pathlib import Path

import files
import numpy as np
import pytest
import xarray as xr
from files import digits, geotiff
from product_pixels import METRES, coarse
from product_xml import BAND_IDS
from products import CORNER, safe

from kappamask.backend.load import Request, load
from kappamask.backend.scene_index import index
from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.scenes import find_scenes, open_scene
from kappamask.scenes.readers.open import read_scl
from kappamask.scenes.readers.safe_metadata import BAND_IDS as READ_IDS
from kappamask.udf import cloud_mask

L1C, L2A = SENTINEL2_BANDS[:13], tuple(band for band in SENTINEL2_BANDS if band != "B10")
PRODUCT = "S2A_MSIL1C_20210527T102021_N0511_R065_T32TQM_20210527T123456"


def paint(side: int = 108) -> np.ndarray:
    """Paint reflectance (13, side, side) from 0.03 to 0.83 that differs everywhere."""
    return digits(13, side, side) / 10_000


def test_a_level_1c_product_says_what_it_is(tmp_path: Path) -> None:
    scene = open_scene(safe(tmp_path))
    assert tuple(scene["bands"].values) == L1C
    assert (scene.shape, scene.dtype, str(scene.rio.crs)) == ((13, 108, 108), np.uint16, "EPSG:32632")
    assert (scene["x"].values[0], scene["y"].values[0]) == (CORNER[0] + 5, CORNER[1] - 5)
    assert "05.11" in scene.attrs.pop("radiometry_reason")
    assert scene.attrs == {
        "level": "L1C", "datetime": "2021-05-27T10:20:21.024000Z", "radiometry": "dn_offset",
        "processing_baseline": "05.11", "product": PRODUCT, "platform": "Sentinel-2A", "tile": "32TQM", "orbit": 65,
        "_FillValue": 0,
    }  # fmt: skip


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("zipped", [False, True])
def test_pixels_are_those_of_the_finest_images(tmp_path: Path, level: str, zipped: bool) -> None:
    values = paint()
    scene = open_scene(safe(tmp_path, level=level, values=values, zipped=zipped), resampling="nearest")
    assert tuple(scene["bands"].values) == (L1C if level == "L1C" else L2A)
    for band in BAND_IDS:
        if band in scene["bands"].values:
            metres = 20 if (level, band) == ("L2A", "B01") else METRES.get(band, 20)
            means = np.rint(coarse(values[BAND_IDS.index(band)], metres // 10) * 10_000 + 1000)
            expected = np.kron(means, np.ones((metres // 10, metres // 10)))
            assert np.abs(scene.sel(bands=band).values - expected).max() <= 1, band
    if level == "L2A":
        assert (scene.sel(bands="AOT") == 120).all() and (scene.sel(bands="WVP") == 1400).all()


@pytest.mark.parametrize(
    ("baseline", "level", "reading"),
    [
        ("02.07", "L1C", "dn_harmonized"), ("03.01", "L2A", "dn_harmonized"), ("02.06", "L2A", "dn_harmonized"),
        ("04.00", "L1C", "dn_offset"), ("05.11", "L2A", "dn_offset"), ("99.99", "L2A", "dn_harmonized"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("platform", ["S2B", "S2C"])
def test_every_baseline_and_platform_is_read(
    tmp_path: Path, baseline: str, level: str, reading: str, platform: str
) -> None:
    values = paint()
    scene = open_scene(safe(tmp_path, baseline=baseline, level=level, platform=platform, values=values))
    facts = {"radiometry": reading, "processing_baseline": baseline, "level": level}
    assert facts.items() <= scene.attrs.items()
    assert scene.attrs["platform"] == f"Sentinel-{platform[1:]}"
    offset = 1000 if reading == "dn_offset" else 0
    assert np.abs((scene.sel(bands="B02").values - offset) / 10_000 - values[1]).max() < 1e-4


@pytest.mark.parametrize(("offset", "reading"), [(0, "dn_harmonized"), (-1000, "dn_offset")])
def test_of_baseline_99_99_the_list_counts(tmp_path: Path, offset: float, reading: str) -> None:
    path = safe(tmp_path, level="L2A", baseline="99.99", offsets=dict.fromkeys(BAND_IDS, offset))
    assert open_scene(path).attrs["radiometry"] == reading


def test_band_ids_are_those_of_the_products_specification() -> None:
    assert READ_IDS == BAND_IDS


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("zipped", [False, True])
def test_products_from_before_december_2016_are_read(tmp_path: Path, level: str, zipped: bool) -> None:
    scene = open_scene(safe(tmp_path, layout="long", baseline="02.04", level=level, zipped=zipped))
    assert tuple(scene["bands"].values) == (L1C if level == "L1C" else L2A)
    assert {"radiometry": "dn_harmonized", "level": level, "tile": "32TQM"}.items() <= scene.attrs.items()


def test_of_several_tiles_one_is_chosen_by_its_granule(tmp_path: Path) -> None:
    path = safe(tmp_path, layout="long", baseline="02.01", tile="T32TQM,T33TUG")
    with pytest.raises(SceneError, match=r"32TQM, 33TUG.*\.SAFE/GRANULE/"):
        open_scene(path)
    scene = open_scene(next(path.glob("GRANULE/*T33TUG*")))
    assert (scene.attrs["tile"], str(scene.rio.crs)) == ("33TUG", "EPSG:32633")
    zipped = safe(tmp_path / "z", layout="long", baseline="02.01", tile="T32TQM,T33TUG", zipped=True)
    with pytest.raises(SceneError, match=r"2 tiles.*32TQM.*33TUG.*unzip"):
        open_scene(zipped)


def test_every_part_of_a_product_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = safe(tmp_path)
    granule = next((path / "GRANULE").iterdir())
    for part in (path, path / "MTD_MSIL1C.xml", granule):
        assert open_scene(part).attrs["product"] == PRODUCT
    monkeypatch.chdir(granule)
    assert open_scene(".").attrs["tile"] == "32TQM"
    monkeypatch.chdir(path.parent)
    assert open_scene(path.name).equals(open_scene(path))


def test_products_with_other_names_and_southern_ones_are_read(tmp_path: Path) -> None:
    path = safe(tmp_path, tile="T19HCC").rename(tmp_path / "harvest {1}")
    scene = open_scene(path)
    assert (scene.attrs["product"], scene.attrs["tile"], str(scene.rio.crs)) == ("harvest {1}", "19HCC", "EPSG:32719")


@pytest.mark.parametrize("name", ["a.zip", "b.SAFE.ZIP", "c d},{e'.zip", "ü.zip/x.zip"])
@pytest.mark.parametrize("deflated", [False, True])
def test_archives_of_any_name_are_read_in_place(tmp_path: Path, name: str, deflated: bool) -> None:
    values = paint()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    path = safe(tmp_path, values=values, zipped=True, deflated=deflated).rename(tmp_path / name)
    scene = open_scene(path)
    assert np.abs((scene.sel(bands="B03").values - 1000.0) / 10_000 - values[2]).max() < 1e-4
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_a_product_may_lie_in_a_folder_of_the_archive(tmp_path: Path) -> None:
    folder = safe(tmp_path)
    shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path, folder.name)
    deeper = tmp_path / "deeper"
    deeper.mkdir()
    folder.rename(deeper / folder.name)
    shutil.make_archive(str(tmp_path / "y"), "zip", tmp_path, "deeper")
    shutil.make_archive(str(tmp_path / "flat"), "zip", deeper / folder.name)
    scenes = [open_scene(tmp_path / f"{name}.zip") for name in ("x", "y", "flat")]
    assert all(scene.equals(scenes[0]) for scene in scenes)


def test_bands_are_chosen_and_a_lacking_one_matters_only_then(tmp_path: Path) -> None:
    path = safe(tmp_path, missing=("B05",))
    assert list(open_scene(path, bands=["b3", "B02"])["bands"].values) == ["B03", "B02"]
    with pytest.raises(SceneError, match=r"lacks B05.*bands="):
        open_scene(path)
    with pytest.raises(SceneError, match="lacks B05; it has B01"):
        open_scene(path, bands=["B02", "B05"])


@pytest.mark.parametrize("zipped", [False, True])
def test_the_mask_of_a_product_is_that_of_its_reflectance(tmp_path: Path, zipped: bool, brightness: object) -> None:
    values = paint()
    values[:, :30] = np.nan
    offset = open_scene(safe(tmp_path, values=values, zipped=zipped))
    plain = open_scene(safe(tmp_path / "old", values=values, baseline="02.07"))
    masks = [cloud_mask(scene, model=brightness).compute() for scene in (offset, plain)]
    np.testing.assert_array_equal(*masks)
    assert (masks[0][:30] == 5).all() and (masks[0][30:] != 5).all()
    assert masks[0].attrs["radiometry"] == "dn_offset"


def reason_of(scene: xr.DataArray, model: object) -> str:
    """Return the reason that a mask of `scene` gives for its radiometry."""
    return str(cloud_mask(scene, model=model).attrs["radiometry_reason"])


def test_a_mask_says_by_what_metadata_a_product_was_read(tmp_path: Path, brightness: object) -> None:
    scene = open_scene(safe(tmp_path, values=paint()))
    assert "list of offsets" in (reason := reason_of(scene, brightness)) and "baseline 05.11" in reason
    joined = xr.concat([scene, scene], "t", combine_attrs="drop_conflicts")
    assert "baseline 05.11" in reason_of(joined, brightness)
    assert "baseline 05.11" in reason_of(joined.isel(t=1), brightness)
    old = open_scene(safe(tmp_path / "old", values=paint(), baseline="02.07"))
    assert "lack of offsets" in (reason := reason_of(old, brightness)) and "baseline 02.07" in reason


def test_a_reason_does_not_outlive_the_radiometry_that_it_is_for(tmp_path: Path, brightness: object) -> None:
    scene = open_scene(safe(tmp_path, values=paint())).drop_vars("scene_facts").astype(np.float32) / 10_000 - 0.1
    scene.attrs |= {"radiometry": "reflectance", "_FillValue": -9.0}
    reason = reason_of(scene, brightness)
    assert "05.11" not in reason and "'radiometry'" in reason


# scene classification


@pytest.mark.parametrize("zipped", [False, True])
def test_the_classification_comes_on_the_cubes_grid(tmp_path: Path, zipped: bool) -> None:
    classes = (np.arange(54 * 54) % 12).astype(np.uint8).reshape(54, 54)
    path = safe(tmp_path, level="L2A", scl=classes, zipped=zipped)
    scene = open_scene(path)
    found = read_scl(path, scene)
    assert found is not None and found.chunks is not None
    assert (found.dims, found.dtype, found.attrs["scheme"]) == (("y", "x"), np.uint8, "SCL")
    assert found.attrs["flag_meanings"].split()[9] == "cloud_high_probability"
    np.testing.assert_array_equal(found, np.kron(classes, np.ones((2, 2), np.uint8)))
    np.testing.assert_array_equal(found["x"], scene["x"])
    part = read_scl(path, scene.isel(y=slice(31, 60), x=slice(7, 8)))
    np.testing.assert_array_equal(part, found[31:60, 7:8])
    np.testing.assert_array_equal(read_scl(path, open_scene(path, resolution=20)), classes)


def test_only_level_2a_products_have_a_classification(tmp_path: Path) -> None:
    path = safe(tmp_path)
    scene = open_scene(path)
    assert read_scl(path, scene) is None
    assert read_scl(geotiff(tmp_path / "s.tif"), scene) is None
    assert read_scl("https://example.org/item.json", scene) is None
    other = safe(tmp_path, level="L2A", tile="T33TUG")
    with pytest.raises(SceneError, match="does not cover the cube"):
        read_scl(other, scene)
    mine = safe(tmp_path, level="L2A")
    with pytest.raises(SceneError, match="does not cover the cube"):
        read_scl(mine, scene.assign_coords(x=scene["x"] + 5000))


# folders of products


def test_scan_finds_products_among_other_things(tmp_path: Path) -> None:
    folder, archive = safe(tmp_path), safe(tmp_path, platform="S2B", zipped=True)
    broken = tmp_path / "S2C_MSIL1C_20210527T102021_N0511_R065_T32TQM_20210527T123456.zip"
    broken.write_bytes(b"PK and no more")
    (tmp_path / "other.zip").write_bytes(b"PK and no more")
    shutil.make_archive(str(tmp_path / "texts"), "zip", Path(files.__file__).parent, "files.py")
    assert find_scenes(tmp_path) == [folder, archive, broken]
    assert find_scenes(folder) == [folder]
    with pytest.raises(SceneError, match="is no whole zip archive"):
        open_scene(broken)


def test_the_embedded_back_end_serves_products(tmp_path: Path) -> None:
    values = paint()
    safe(tmp_path, values=values), safe(tmp_path, values=values, level="L2A", zipped=True)
    for collection, bands in (("SENTINEL2_L1C", L1C), ("SENTINEL2_L2A", L2A)):
        (record,) = index(tmp_path, collection)
        assert (record.bands, record.epsg, str(record.day.date())) == (bands, 32632, "2021-05-27")
        cube, _ = load([record], Request(bands=["B02", "B11"]))
        served = cube.sel(bands="B02").values[0]
        assert np.abs(served / 10_000 - values[1]).max() < 1e-4, "without the offset"
        assert cube.sizes == {"t": 1, "bands": 2, "y": 108, "x": 108}


def test_a_cube_outlives_the_folder_it_was_opened_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = safe(tmp_path, zipped=True)
    monkeypatch.chdir(tmp_path)
    scene = open_scene(path.name)
    monkeypatch.chdir(os.sep)
    assert scene.compute().shape == (13, 108, 108)
