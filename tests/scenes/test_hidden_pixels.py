"""Masks, alpha bands and axes in files of any kind, and what their readers keep."""

import json
from pathlib import Path

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
from files import digits, hole, jp2, masked_file
from stacs import cogs, raw_item, with_scale, write_item
from zarrs import eopf

from kappamask.models import SceneError
from kappamask.scenes import compute_class_statistics, open_scene
from kappamask.scenes.readers.stac import open_stac


@pytest.mark.parametrize("how", ["alpha", "sidecar"])
def test_a_folder_of_jp2_hides_what_masks_hide(tmp_path: Path, how: str) -> None:
    values = digits(1)[0]
    masked_file(tmp_path / "T35VLC_20210527T102021_B02.jp2", values, how, "JP2OpenJPEG")
    scene = open_scene(tmp_path)
    np.testing.assert_array_equal(scene.values[0], np.where(hole() == 0, 0, values))
    coarse = open_scene(tmp_path, resolution=20).values[0]
    assert (coarse[:10, :15] == 0).all()
    assert (coarse[10:] > 0).all()


def test_an_internal_mask_counts_with_an_alpha_band(tmp_path: Path) -> None:
    path, values = tmp_path / "both_L1C.tif", digits(3)
    alpha = np.full((1, *values.shape[1:]), 65_535, np.uint16)
    alpha[:, :, :10] = 0
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", count=4, height=values.shape[1], width=values.shape[2], dtype="uint16",
                      crs="EPSG:32635", transform=rasterio.transform.from_origin(5e5, 65e5, 10, 10)) as file,
    ):  # fmt: skip
        file.write(np.concatenate([values, alpha]))
        file.descriptions = ("B02", "B03", "B04", "alpha")
        file.write_mask(hole())
    hidden = (hole() == 0) | (alpha[0] == 0)
    np.testing.assert_array_equal(open_scene(path).values, np.where(hidden, 0, values))


def test_coarse_bands_are_resampled_without_what_is_hidden(tmp_path: Path) -> None:
    masked_file(tmp_path / "T35VLC_20210527T102021_B02.jp2", digits(1)[0], "sidecar", "JP2OpenJPEG")
    jp2(tmp_path / "T35VLC_20210527T102021_B11.jp2", np.full((48, 40), 900, np.uint16), 20.0)
    with rasterio.open(tmp_path / "T35VLC_20210527T102021_B11.jp2.msk", "w", driver="GTiff", count=1, height=48,
                       width=40, dtype="uint8") as mask:  # fmt: skip
        mask.write(hole()[::2, ::2], 1)
    made = open_scene(tmp_path).sel(bands="B11").values
    assert (made[:20, :30] == 0).all()
    assert (made[20:] == 900).all()


def test_files_that_are_only_numbered_are_no_bands(tmp_path: Path) -> None:
    for number, values in enumerate(digits(3), 1):
        jp2(tmp_path / f"b{number}.jp2", values, 10.0)
    with pytest.raises(SceneError, match=r"b1\.jp2.*name all 3 in order with bands="):
        open_scene(tmp_path)
    named = open_scene(tmp_path, bands=["B02", "B03", "B04"])
    assert list(named.bands.values) == ["B02", "B03", "B04"]
    np.testing.assert_array_equal(named.values, digits(3))


def test_an_eopf_product_with_rows_northwards_is_turned(tmp_path: Path) -> None:
    path = eopf(tmp_path)
    expected = open_scene(path, bands=["B02", "B05"]).compute()
    for group in sorted({file.parent.relative_to(path) for file in path.rglob("y") if file.is_dir()}):
        with xr.open_dataset(path, group=str(group), engine="zarr", consolidated=False, mask_and_scale=False) as one:
            turned = one.isel(y=slice(None, None, -1)).load()
        for variable in turned.variables.values():
            variable.encoding = {}
        turned.to_zarr(path, group=str(group), mode="w", consolidated=False, zarr_format=2)
    found = open_scene(path, bands=["B02", "B05"])
    assert float(found.y[0]) > float(found.y[-1])
    xr.testing.assert_equal(found.compute(), expected)


def test_items_keep_the_facts_of_each_date(tmp_path: Path) -> None:
    assets = with_scale(cogs(tmp_path), -0.1)
    items = []
    for baseline in ("04.00", "05.11"):
        raw = raw_item(assets, name=f"of_{baseline}", **{"s2:processing_baseline": baseline})
        items.append(write_item(tmp_path, raw, f"{baseline}.json"))
    facts_ = [json.loads(text) for text in open_stac(items).scene_facts.values.tolist()]
    assert [facts["processing_baseline"] for facts in facts_] == ["04.00", "05.11"]
    assert json.loads(open_stac(items[0]).scene_facts.item()) == facts_[0]


def test_counts_of_a_lazy_mask_have_item() -> None:
    codes = np.where(hole() == 0, 4, 1).astype(np.uint8)
    mask = xr.DataArray(codes, dims=("y", "x")).chunk(y=50)
    with dask.config.set(scheduler=_refuse):
        found = compute_class_statistics(mask)
    assert found.pixels.chunks is not None
    assert found.pixels.item() == 96 * 80
    assert found.valid_share.item() == 1


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("computed")
