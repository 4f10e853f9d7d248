"""A pixel without data is missing, by a file's mask and by an asset's item.

It is so at every entry point.
"""

import json

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from kappamask.models import SceneError
from kappamask.scenes import open_scene
from kappamask.scenes.readers.stac import open_stac
from kappamask.udf import cloud_mask

BANDS = ["B02", "B03", "B04"]
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
EMPTY = np.s_[:10, :]
"""Rows without data."""


def numbers(dtype="uint16"):
    return np.random.default_rng(4).integers(300, 4000, (3, 32, 32)).astype(dtype)


def write_bands(path, values, names=(None,), pixel=10, **options):
    shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
    place = {"crs": "EPSG:32631", "transform": from_origin(5e5, 5e6, pixel, pixel)}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place, **options) as file:
        file.write(values)
        file.descriptions = tuple(names)
    return path


def hide(path, *, inside):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, "r+") as file:
        shown = np.full(file.shape, 255, "uint8")
        shown[: file.height * 10 // 32] = 0
        file.write_mask(shown)
    return path


def item(folder, name, assets, version="1.0.0", **more):
    facts = {"datetime": "2024-06-01T10:00:00Z", **more}
    raw = {"type": "Feature", "stac_version": version, "stac_extensions": [], "id": name, "geometry": None}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**raw, "properties": facts, "links": [], "assets": assets}))
    return path


def check(cube, brightness):
    mask = cloud_mask(cube, model=brightness, level="L1C", radiometry="dn_harmonized").values
    assert (mask[EMPTY] == 5).all()
    assert (mask[10:] != 5).all()


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("nodata", [None, 7])
@pytest.mark.parametrize("inside", [True, False])
def test_a_mask_in_a_geotiff_or_next_to_it(tmp_path, brightness, dtype, nodata, inside):
    path = hide(write_bands(tmp_path / "a.tif", numbers(dtype), BANDS, nodata=nodata), inside=inside)
    cube = open_scene(path)
    check(cube, brightness)
    assert (cube.values[:, 10:] == numbers(dtype)[:, 10:]).all()


def test_an_alpha_band_is_a_mask_and_no_layer_to_name(tmp_path, brightness):
    shown = np.full((1, 32, 32), 65535, "uint16")
    shown[0][EMPTY] = 0
    values = np.concatenate([numbers(), shown])
    for names in ([*BANDS, None], [None] * 4):
        path = write_bands(tmp_path / "a.tif", values, names, photometric="RGB", alpha="YES")
        cube = open_scene(path, bands=BANDS)
        assert cube.bands.values.tolist() == BANDS
        check(cube, brightness)


@pytest.mark.parametrize(
    ("name", "marked"), [("alpha", True), (None, True), ("Alpha", False), ("dataMask", False), ("valid", False)]
)
@pytest.mark.parametrize("count", [2, 3, 5, 6])
def test_an_alpha_band_counts_among_any_number_of_bands(tmp_path, count, name, marked):
    """GDAL itself takes it for a mask among two or four bands only."""
    labels = ["B02", "B03", "B04", "B08", "B11", "B12"][:count]
    shown = np.full((1, 32, 32), 255, "uint16")
    shown[0][EMPTY] = 0
    layers = np.concatenate([np.resize(numbers(), (count, 32, 32)), shown])
    path = write_bands(tmp_path / "a.tif", layers, [*labels, name])
    with rasterio.open(path, "r+" if marked else "r") as file:
        if marked:
            file.colorinterp = [ColorInterp.gray, *[ColorInterp.undefined] * (count - 1), ColorInterp.alpha]
    cube = open_scene(path)
    assert cube.bands.values.tolist() == labels
    assert (cube.values[(slice(None), *EMPTY)] == 0).all()


def test_a_described_band_that_is_marked_as_alpha_is_data(tmp_path):
    layers = np.concatenate([numbers(), numbers()[:1] + 5])
    path = write_bands(tmp_path / "a.tif", layers, [*BANDS, "B08"], photometric="RGB", alpha="YES")
    cube = open_scene(path)
    assert cube.bands.values.tolist() == [*BANDS, "B08"]
    np.testing.assert_array_equal(cube.sel(bands="B08"), layers[3])


def test_a_mask_of_other_pixels_is_an_error(tmp_path):
    path = write_bands(tmp_path / "a.tif", numbers(), BANDS)
    write_bands(tmp_path / "a.tif.msk", np.full((1, 8, 8), 255, "uint8"))
    with pytest.raises(SceneError, match=r"a\.tif\.msk does not fit the pixels"):
        open_scene(path).compute()


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("pixel", [10, 20])
def test_masks_of_the_assets_of_an_item(tmp_path, brightness, inside, pixel):
    for band, plane in zip(BANDS, numbers(), strict=True):
        coarse = band == "B04" and pixel == 20
        plane = plane[::2, ::2] if coarse else plane
        hide(write_bands(tmp_path / f"{band}.tif", plane[None], pixel=20 if coarse else 10), inside=inside)
    path = item(tmp_path, "S2A_MSIL1C_a", {b: {"href": f"{b}.tif", "type": COG} for b in BANDS})
    check(open_stac(path), brightness)


STATED = {
    "raster:bands": ("1.0.0", {"raster:bands": [{"nodata": -999}]}),
    "STAC 1.1, asset": ("1.1.0", {"nodata": -999}),
    "STAC 1.1, bands": ("1.1.0", {"bands": [{"name": "x", "nodata": -999}]}),
}


@pytest.mark.parametrize("place", STATED)
def test_nodata_that_only_the_item_states(tmp_path, brightness, place):
    version, fields = STATED[place]
    for band, plane in zip(BANDS, numbers("int16"), strict=True):
        plane[EMPTY] = -999
        write_bands(tmp_path / f"{band}.tif", plane[None])
    assets = {b: {"href": f"{b}.tif", "type": COG, **fields} for b in BANDS}
    check(open_stac(item(tmp_path, "S2A_MSIL1C_a", assets, version)), brightness)


@pytest.mark.parametrize("fills", [(0, 65535), (65535, 0), (1, 2)])
def test_each_item_and_each_asset_has_its_own_nodata(tmp_path, brightness, fills):
    for fill in fills:
        for band, plane in zip(BANDS, numbers(), strict=True):
            plane[EMPTY] = fill
            write_bands(tmp_path / f"{band}_{fill}.tif", plane[None], nodata=fill)
    items = [
        item(tmp_path, f"S2A_MSIL1C_{i}", {b: {"href": f"{b}_{fill}.tif", "type": COG} for b in BANDS},
             datetime=f"2024-06-0{i + 1}T10:00:00Z")
        for i, fill in enumerate(fills)
    ]  # fmt: skip
    series = open_stac(items)
    for date in range(2):
        check(series.isel(t=date), brightness)
    mixed = {b: {"href": f"{b}_{fills[b == 'B02']}.tif", "type": COG} for b in BANDS}
    check(open_stac(item(tmp_path, "S2A_MSIL1C_m", mixed)), brightness)


def test_items_of_several_number_types_are_refused_with_what_to_do(tmp_path):
    for dtype, fill in (("uint16", 0), ("int16", -9999)):
        for band, plane in zip(BANDS, numbers(dtype), strict=True):
            write_bands(tmp_path / f"{band}_{dtype}.tif", plane[None], nodata=fill)
    items = [
        item(tmp_path, f"S2A_MSIL1C_{dtype}", {b: {"href": f"{b}_{dtype}.tif", "type": COG} for b in BANDS})
        for dtype in ("uint16", "int16")
    ]
    with pytest.raises(SceneError, match=r"several types \(int16, uint16\): open and mask them apart"):
        open_stac(items)


@pytest.mark.parametrize(
    "stated", [{"processing:level": "L2A"}, {"product:type": "S2MSI2A"}, {"s2:product_type": "S2MSI2A"}]
)
def test_the_level_that_an_item_states(tmp_path, stated):
    for band, plane in zip(BANDS, numbers(), strict=True):
        write_bands(tmp_path / f"{band}.tif", plane[None])
    assets = {b: {"href": f"{b}.tif", "type": COG} for b in BANDS}
    assert open_stac(item(tmp_path, "a", assets, **stated)).attrs["level"] == "L2A"
    with pytest.raises(SceneError, match="says that it is L2A, not L1C"):
        open_stac(item(tmp_path, "a", assets, **stated), level="L1C")
