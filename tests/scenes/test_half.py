"""`resolution=20`: reduced levels of JPEG 2000, means elsewhere, and no mixture of pixels with nodata."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from files import CRS, NORTH, WEST, cube, digits, geotiff, hole, jp2
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from product_pixels import coarse
from products import safe
from rasterio.transform import Affine

from kappamask.models import ModelCard, SceneError
from kappamask.scenes import open_scene
from kappamask.scenes.resample import halve_pixels
from kappamask.udf import cloud_mask
from kappamask.workflows import mask_scene

SMOOTH = 0.1 + 0.05 * np.sin(np.add.outer(np.arange(600), np.arange(600)) / 40)


def test_a_product_comes_on_the_grid_of_its_20_m_bands(tmp_path: Path) -> None:
    path = safe(tmp_path, side=600, values=np.repeat(SMOOTH[None], 13, 0))
    fine, scene = open_scene(path), open_scene(path, resolution=20)
    assert scene.shape == (13, 300, 300) and scene.attrs == fine.attrs
    assert scene.rio.bounds() == fine.rio.bounds()
    expected = np.rint(coarse(SMOOTH, 2) * 10_000 + 1000)
    for band, error in (("B02", 20), ("B05", 1), ("B09", 60)):
        assert np.abs(scene.sel(bands=band).values - expected).max() <= error, band
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(scene.sel(bands="B02"), expected)  # wavelets, no means
    assert cloud_mask(scene).shape == (300, 300)


def test_of_level_2a_the_20_m_images_are_read(tmp_path: Path) -> None:
    path = safe(tmp_path, level="L2A", values=digits(13, 108, 108) / 10_000)
    scene = open_scene(path, resolution=20)
    expected = np.rint(coarse(digits(13, 108, 108)[1] / 10_000, 2) * 10_000 + 1000)
    np.testing.assert_array_equal(scene.sel(bands="B02"), expected)


def test_small_images_without_levels_are_averaged(tmp_path: Path) -> None:
    values = digits(1, 60, 61)[0]
    jp2(tmp_path / "B02.jp2", values, 10)
    scene = open_scene(tmp_path, resolution=20)
    np.testing.assert_array_equal(scene[0], halve_pixels(values, 0))
    assert scene.shape == (1, 30, 30)
    assert (scene["x"].values[0], scene["y"].values[0]) == (WEST + 10, NORTH - 10)


@pytest.mark.parametrize("slope", [0.0, 0.6])
@pytest.mark.parametrize("kind", [{"reversible": True}, {"reversible": False, "quality": 30}])
def test_the_edge_of_the_swath_holds_no_mixtures(tmp_path: Path, slope: float, kind: dict) -> None:
    """Pixels that JPEG 2000 mixes with nodata at the edge are nodata, with either filter."""
    rows, columns = np.mgrid[:700, :700]
    values = np.where(columns + slope * rows > 300, 1500, 0).astype(np.uint16)
    values[650:, 650:] = 0
    profile = {"driver": "JP2OpenJPEG", "crs": CRS, "quality": 100, **kind}
    geotiff(tmp_path / "B02.jp2", values[None], (None,), blockxsize=256, blockysize=256, **profile)
    scene = open_scene(tmp_path, resolution=20).values[0]
    with_data = scene != 0
    assert np.abs(scene[with_data].astype(int) - 1500).max() <= 30
    true = halve_pixels(values, 0) != 0
    assert not (with_data & ~true).any()
    inner = np.pad(true, 6, mode="edge")
    kept = np.lib.stride_tricks.sliding_window_view(inner, (13, 13)).all(axis=(2, 3))
    assert with_data[kept].all(), "only pixels within 120 m of the edge are given up"


def test_dark_pixels_alone_are_no_edge(tmp_path: Path) -> None:
    values = np.full((400, 400), 300, np.uint16)
    values[100:102, 100:102] = 0
    jp2(tmp_path / "B02.jp2", values, 10)
    scene = open_scene(tmp_path, resolution=20).values[0]
    assert (scene == 0).sum() <= 1


@pytest.mark.parametrize("write", ["tif", "nc"])
def test_other_scenes_are_averaged(tmp_path: Path, write: str) -> None:
    values = digits(2, 97, 81)
    values[:, :3, :5] = 0
    path = tmp_path / f"s.{write}"
    if write == "nc":
        lines = cube(values, ("B02", "B03")).to_dataset("bands").map(lambda band: band.assign_attrs(_FillValue=0))
        lines.to_netcdf(path, engine="h5netcdf")
    else:
        geotiff(tmp_path / "s.tif", values, ("B02", "B03"), nodata=0)
    fine, scene = open_scene(path), open_scene(path, resolution=20)
    assert scene.chunks is not None and scene.attrs == fine.attrs and scene.dtype == fine.dtype
    np.testing.assert_array_equal(scene, np.stack([halve_pixels(band, 0) for band in values]))
    assert (scene["x"].values[0], scene["y"].values[0]) == (WEST + 10, NORTH - 10)
    assert scene.rio.resolution() == (20, -20) and str(scene.rio.crs) == CRS


@pytest.mark.parametrize("how", ["internal", "sidecar", "alpha"])
def test_means_hold_nothing_that_a_mask_hides(tmp_path: Path, how: str) -> None:
    """Hidden whole numbers have no nodata value; 0 in one band alone is a number."""
    values = digits(2)
    values[0, 40:44, 40:44] = 0
    inside = hole().astype(np.uint16) * 257
    inside[:21] = np.where(np.arange(80) < 31, 0, inside[:21])
    layers, path = np.concatenate([values, inside[None]]), tmp_path / "s.tif"
    geotiff(path, layers if how == "alpha" else values, ("B02", "B03", *(["alpha"] if how == "alpha" else [])))
    if how != "alpha":
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=how == "internal"), rasterio.open(path, "r+") as file:
            file.write_mask(inside > 0)
    hidden = (inside == 0).reshape(48, 2, 40, 2).any(axis=(1, 3))
    expected = np.rint(values.reshape(2, 48, 2, 40, 2).mean(axis=(2, 4)))
    np.testing.assert_array_equal(open_scene(path, resolution=20), np.where(hidden, 0, expected))


def test_images_without_a_place_keep_their_order(tmp_path: Path, brightness: ModelCard) -> None:
    """Rows of a file without georeference run downwards, also for the network."""
    path = geotiff(tmp_path / "plain_L1C.tif", crs=None, transform=Affine.identity())
    card, made = brightness.folder / brightness.document, tmp_path / "m.tif"
    mask_scene(path, made, model=str(card), radiometry="dn_harmonized", resolution=20, pixel_m=10)
    with rasterio.open(made) as file:
        found = file.read(1)
    fine = np.stack([halve_pixels(band, 0) for band in digits()])
    numbered = xr.DataArray(fine, dims=("bands", "y", "x"), coords={"bands": ["B02", "B03", "B04", "B08"]})
    expected = cloud_mask(numbered, level="L1C", model=brightness, radiometry="dn_harmonized")
    np.testing.assert_array_equal(found, expected)


def test_floats_and_nan_are_averaged(tmp_path: Path) -> None:
    values = (digits(1, 8, 8) / 10_000).astype(np.float32)
    values[0, 0, 0] = np.nan
    scene = open_scene(geotiff(tmp_path / "s.tif", values, ("B02",)), resolution=20)
    expected = values[0].reshape(4, 2, 4, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(scene[0], expected, rtol=1e-6)
    assert np.isnan(scene[0, 0, 0]) and scene.dtype == np.float32


@pytest.mark.parametrize("size", [20, 20.0001])
def test_pixels_that_are_of_20_m_stay(tmp_path: Path, size: float) -> None:
    from rasterio.transform import from_origin

    path = geotiff(tmp_path / "s.tif", transform=from_origin(WEST, NORTH, size, size))
    np.testing.assert_array_equal(open_scene(path, resolution=20), digits())


@pytest.mark.parametrize(
    ("size", "crs", "fact"),
    [(60, CRS, "60 x 60 m"), (1e-3, "EPSG:4326", "0.001 x 0.001 degree"), (10, None, r"10 x 10 \(without CRS\)")],
)
def test_pixels_of_other_sizes_are_refused(tmp_path: Path, size: float, crs: str | None, fact: str) -> None:
    from rasterio.transform import from_origin

    path = geotiff(tmp_path / "s.tif", crs=crs, transform=from_origin(10, 50, size, size))
    with pytest.raises(SceneError, match=rf"s\.tif: pixels are {fact}.*; for 20 m resample them first"):
        open_scene(path, resolution=20)


def test_a_web_map_s_pixels_of_16_m_ask_for_their_side_on_the_ground(tmp_path: Path, kappamask) -> None:
    """At 51 degrees north 16 m of EPSG:3857 are 10 m."""
    from rasterio.transform import from_origin

    path = geotiff(tmp_path / "s.tif", crs="EPSG:3857", transform=from_origin(1e6, 6.6e6, 16, 16))
    with pytest.raises(SceneError, match=r"16 x 16 m; for 20 m resample them first .* with pixel_m=10"):
        open_scene(path, resolution=20)
    made = kappamask("mask", path, "-o", tmp_path / "m.tif", "--level", "L1C", "--resolution", 20)
    assert made.code == 1
    assert "--pixel-m 10" in made.err
    assert open_scene(path, resolution=20, pixel_m=10).shape == (4, 48, 40)


def test_files_with_numbers_only_ask_in_the_words_of_the_door(tmp_path: Path, kappamask) -> None:
    folder = tmp_path / "scene"
    folder.mkdir()
    for number, values in enumerate(digits(), 1):
        jp2(folder / f"IMG_{number}.jp2", values, 10)
    with pytest.raises(SceneError, match=r"name all 4 in order with bands=\['B02', '…'\]\.$"):
        open_scene(folder)
    assert "in order with --bands B02,….\n" in kappamask("mask", folder, "-o", tmp_path / "m.tif").err


def test_folders_of_other_resolutions_are_refused(tmp_path: Path) -> None:
    jp2(tmp_path / "B02.jp2", digits(1)[0], 5)
    assert open_scene(tmp_path).shape == (1, 96, 80)
    with pytest.raises(SceneError, match=r"B02.* 5.*20 m"):
        open_scene(tmp_path, resolution=20)


@pytest.mark.parametrize("resolution", [0, 30, -20, float("nan")])
def test_other_resolutions_are_refused(tmp_path: Path, resolution: float) -> None:
    with pytest.raises(SceneError, match=r"No resolution .*: known are 10, 20 \(metres\)"):
        open_scene(geotiff(tmp_path / "s.tif"), resolution=resolution)


@given(hnp.arrays(np.uint16, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.integers(0, 65_535)))
def test_means_are_between_their_pixels_and_nodata_wins(values: np.ndarray) -> None:
    found = halve_pixels(values, 0)
    assert found.shape == tuple(side // 2 for side in values.shape) and found.dtype == np.uint16
    for y, x in np.ndindex(found.shape):
        four = values[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        assert found[y, x] == 0 if (four == 0).any() else four.min() <= found[y, x] <= four.max()


def test_several_dates_are_halved(tmp_path: Path) -> None:
    one = cube().rename("dn").to_dataset()
    dates = xr.concat([one, one + 1], xr.DataArray(np.array(["2021-05-27", "2021-05-28"], "datetime64[ns]"), dims="t"))
    dates.assign_coords(t=dates["t"]).to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    scene = open_scene(tmp_path / "s.nc", resolution=20)
    assert scene.sizes == {"t": 2, "bands": 4, "y": 48, "x": 40}
    np.testing.assert_array_equal(scene[0, 0], digits()[0].reshape(48, 2, 40, 2).mean(axis=(1, 3)).round())
