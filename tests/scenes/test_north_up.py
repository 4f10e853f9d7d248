"""Rows from the south and columns from the east are turned at every input."""

import json
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from command import runner
from files import BANDS, CRS, NORTH, WEST, cube, digits, geotiff
from rasterio.transform import from_origin
from stacs import raw_item, write_item

from kappamask.evaluation.files import evaluate_files
from kappamask.models import ModelCard
from kappamask.reports import write_page
from kappamask.reports.footprint import trace_footprint
from kappamask.reports.page import read_scores
from kappamask.scenes import open_scene, read_mask, stack_masks, write_mask, write_quicklook
from kappamask.scenes.grid import sort_north_up
from kappamask.scenes.mosaic import join_masks
from kappamask.scenes.readers.stac import open_stac

HEIGHT, WIDTH = 96, 80
WAYS = {
    "south_up": (np.s_[..., ::-1, :], Affine(10, 0, WEST, 0, 10, NORTH - 10 * HEIGHT)),
    "east_first": (np.s_[..., ::-1], Affine(-10, 0, WEST + 10 * WIDTH, 0, -10, NORTH)),
    "both": (np.s_[..., ::-1, ::-1], Affine(-10, 0, WEST + 10 * WIDTH, 0, 10, NORTH - 10 * HEIGHT)),
}
ways = pytest.mark.parametrize("way", WAYS)


def turned_tif(path: Path, values: np.ndarray, way: str, names: tuple[str | None, ...] = BANDS, **profile) -> Path:
    part, transform = WAYS[way]
    return geotiff(path, values[part], names, transform=transform, **profile)


def codes() -> np.ndarray:
    made = np.ones((HEIGHT, WIDTH), np.uint8)
    made[5:30, 10:40], made[50:60, 3:20] = 4, 2
    return made


def mask() -> xr.DataArray:
    like = cube()[0].drop_vars("bands")
    return like.copy(data=codes()).rename("mask")


@ways
@pytest.mark.parametrize("options", [{}, {"resolution": 20}])
def test_a_geotiff(tmp_path: Path, way: str, options: dict) -> None:
    straight = open_scene(geotiff(tmp_path / "a_L1C.tif"), **options)
    turned = open_scene(turned_tif(tmp_path / "b_L1C.tif", digits(), way), **options)
    xr.testing.assert_identical(turned.compute(), straight.compute())
    assert turned.rio.transform() == straight.rio.transform()


@ways
def test_a_tiled_geotiff_of_many_chunks(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kappamask.scenes.readers.raster.CHUNK", 32)
    path = turned_tif(tmp_path / "b_L1C.tif", digits(), way, tiled=True, blockxsize=16, blockysize=16)
    opened = open_scene(path)
    assert max(map(len, opened.chunks[1:])) > 1
    np.testing.assert_array_equal(opened, digits())


@pytest.mark.parametrize("form", ["netCDF", 2, 3])
@ways
def test_netcdf_and_zarr(tmp_path: Path, way: str, form: Any) -> None:
    turned = cube()[WAYS[way][0]].assign_attrs(level="L1C").rename("dn").to_dataset()
    path = tmp_path / ("scene.nc" if form == "netCDF" else "scene.zarr")
    turned.to_netcdf(path) if form == "netCDF" else turned.to_zarr(path, zarr_format=form)
    opened = open_scene(path)
    np.testing.assert_array_equal(opened, digits())
    np.testing.assert_array_equal(opened["y"], cube()["y"])
    np.testing.assert_array_equal(opened["x"], cube()["x"])


def test_numbers_of_pixels_and_files_without_a_place_keep_their_order(tmp_path: Path) -> None:
    plain = geotiff(tmp_path / "plain_L1C.tif", crs=None, transform=Affine.identity())
    np.testing.assert_array_equal(open_scene(plain), digits())
    for first, step in ((0, 1), (0.5, 1), (100, 1), (0, 10), (5, 10)):
        counted = xr.DataArray(digits(), dims=("bands", "y", "x"), coords={"y": first + step * np.arange(HEIGHT)})
        assert sort_north_up(counted) is counted


@ways
def test_assets_of_stac_items(tmp_path: Path, way: str) -> None:
    tif = "image/tiff; application=geotiff"
    for number, band in enumerate(BANDS):
        turned_tif(tmp_path / f"{band}.tif", digits()[[number]], way, (None,))
    item = write_item(tmp_path, raw_item({b: {"href": f"./{b}.tif", "type": tif} for b in BANDS}), "item.json")
    opened = open_stac(item)
    np.testing.assert_array_equal(opened, digits())
    np.testing.assert_array_equal(opened["y"], cube()["y"])


@ways
def test_masks_scores_and_what_is_made_of_them(tmp_path: Path, way: str) -> None:
    truth = geotiff(tmp_path / "truth_20240601.tif", codes()[None], (None,), nodata=255)
    other = turned_tif(tmp_path / "turned_20240601.tif", codes()[None], way, (None,), nodata=255)
    mask()[WAYS[way][0]].to_dataset().to_netcdf(tmp_path / "turned.nc")
    for path in (other, tmp_path / "turned.nc"):
        np.testing.assert_array_equal(read_mask(path), codes())
        assert evaluate_files(truth, path)["dice"]["all"] == 1.0
    np.testing.assert_array_equal(join_masks([truth, other]), codes())
    np.testing.assert_array_equal(stack_masks([other])[0], codes())
    scores = xr.concat([mask() / 8, 1 - mask() / 8], xr.Variable("class", ["clear", "cloud"])).astype("f4")
    part = WAYS[way][0]
    for name in ("m.tif", "m.nc"):
        written = write_mask(mask()[part], tmp_path / name, scores=scores[part])
        np.testing.assert_array_equal(read_mask(written[0]), codes())
        np.testing.assert_allclose(read_scores(written[-1]), scores, atol=0.006)
    assert trace_footprint(read_mask(other)) == trace_footprint(mask())


@ways
def test_pictures_and_pages_show_north_above(tmp_path: Path, way: str) -> None:
    part = WAYS[way][0]
    straight = write_quicklook(cube(), mask(), tmp_path / "a.png", title="scene")
    pairs = [(cube()[part], mask()), (cube(), mask()[part]), (cube()[part], mask()[part])]
    for number, (scene, found) in enumerate(pairs):
        turned = write_quicklook(scene, found, tmp_path / f"{number}.png", title="scene")
        np.testing.assert_array_equal(matplotlib.image.imread(turned), matplotlib.image.imread(straight))
    written = write_mask(mask(), tmp_path / "mask.tif")[0]
    pages = [write_page(tmp_path / f"{n}.html", written, scene=s) for n, s in enumerate((cube(), cube()[part]))]
    assert pages[0].read_text() == pages[1].read_text()


@ways
def test_the_command_and_the_accessor(
    tmp_path: Path, way: str, brightness: ModelCard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runner(monkeypatch, capsys)
    scenes = geotiff(tmp_path / "a_L1C.tif"), turned_tif(tmp_path / "b_L1C.tif", digits(), way)
    words = (
        "--model",
        brightness.folder / brightness.document,
        "--radiometry",
        "dn_harmonized",
        "--report",
        "--quicklook",
        "--scores",
    )
    for scene, name in zip(scenes, ("a.tif", "b.tif"), strict=True):
        assert run("mask", scene, "-o", tmp_path / name, *words).code == 0
    straight, turned = (read_mask(tmp_path / name) for name in ("a.tif", "b.tif"))
    np.testing.assert_array_equal(straight, turned)
    assert straight.rio.bounds() == turned.rio.bounds()
    data = cube()[WAYS[way][0]]  # of another library, which keeps its order
    cleared = data.kappamask.clear(mask=turned)
    np.testing.assert_array_equal(cleared["y"], data["y"])
    expected = cube().kappamask.clear(mask=straight)[WAYS[way][0]]
    np.testing.assert_array_equal(cleared, expected)


def test_items_in_degrees_are_read_on_their_own_grid(tmp_path: Path, brightness: ModelCard) -> None:
    place = {"crs": "EPSG:4326", "transform": from_origin(5, 51, 1e-4, 1e-4)}
    for number, band in enumerate(BANDS):
        geotiff(tmp_path / f"{band}.tif", digits()[[number]], (None,), **place)
    assets = {b: {"href": f"./{b}.tif", "type": "image/tiff"} for b in BANDS}
    item = write_item(tmp_path, raw_item(assets), "item.json")
    for options in ({}, {"resolution": 1e-4}, {"bbox": (4.9, 50.9, 5.1, 51.1)}):
        opened = open_stac(item, **options)
        assert (opened.dims, opened.rio.crs.to_epsg()) == (("bands", "y", "x"), 4326)
        np.testing.assert_array_equal(opened, digits())
    named = opened.rename(y="latitude", x="longitude")
    written = write_mask(named.kappamask.mask(model=brightness, radiometry="dn_harmonized"), tmp_path / "mask.tif")
    assert read_mask(written[0]).rio.crs.to_epsg() == 4326


@pytest.mark.parametrize(("crs", "metres"), [("EPSG:2263", 1200 / 3937), ("EPSG:4326", 111_320.0)])
def test_a_resolution_is_metres_in_feet_and_degrees(tmp_path: Path, crs: str, metres: float) -> None:
    side = 10 / metres
    north = 40.0 if crs == "EPSG:4326" else 200_000.0
    geotiff(tmp_path / "B02.tif", digits()[:1], (None,), crs=crs, transform=from_origin(1, north, side, side))
    item = write_item(tmp_path, raw_item({"B02": {"href": "./B02.tif", "type": "image/tiff"}}), "item.json")
    assert open_stac(item).shape == (1, HEIGHT, WIDTH)
    across = np.cos(np.radians(north)) if crs == "EPSG:4326" else 1.0
    _, height, width = open_stac(item, resolution=20).shape
    assert (height, width) == (HEIGHT // 2, np.ceil(WIDTH * across / 2))


def test_scenes_of_json_words(tmp_path: Path) -> None:
    """The transform that a turned file's STAC item states is north-up."""
    from kappamask.reports import write_stac

    path = turned_tif(tmp_path / "m_20240601.tif", codes()[None], "both", (None,), tags={"datetime": "2024-06-01"})
    found = json.loads(write_stac(path).read_text())["properties"]
    assert found["proj:transform"][:6] == [10, 0, WEST, 0, -10, NORTH]
    assert CRS == "EPSG:32635"
