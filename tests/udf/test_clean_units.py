"""Metres are metres in any unit of a grid; without one there is an error."""

from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine
from files import digits, geotiff
from pyproj import CRS
from rasterio.transform import from_origin

from kappamask.models import CubeError, ModelCard, SceneError
from kappamask.scenes import open_scene, read_mask
from kappamask.udf import clean
from kappamask.udf.chunk import apply_datacube
from kappamask.udf.pixel_size import infer_pixel_m

CLEAR, SHADOW, CLOUD = 1, 2, 4
FOOT, SURVEY_FOOT = 0.3048, 1200 / 3937
LATITUDE = 51.0
HIGH, WIDE = 111_257.0, 70_198.0
"""Metres of a degree of latitude and of longitude there, by a table of the ellipsoid."""


def mask(width: float, height: float, crs: object, y: float, codes: np.ndarray | None = None) -> xr.DataArray:
    codes = image() if codes is None else codes
    rows, columns = codes.shape
    coords = {"y": y - height * (np.arange(rows) - rows // 2), "x": 5 + width * np.arange(columns)}
    made = xr.DataArray(codes, dims=("y", "x"), coords=coords, name="mask")
    return made if crs is None else made.rio.write_crs(crs)


def image() -> np.ndarray:
    codes = np.full((81, 81), CLEAR, np.uint8)
    codes[40, 40], codes[10, 10:13], codes[60:66, 60:66] = CLOUD, CLOUD, SHADOW
    return codes


@pytest.mark.parametrize(
    ("crs", "unit"), [(32631, 1.0), (2263, SURVEY_FOOT), (2222, FOOT), (CRS.from_epsg(2263).to_wkt(), SURVEY_FOOT)]
)
@pytest.mark.parametrize(
    "options", [{"buffer_m": 60}, {"min_object_m2": 350}, {"fill_holes_m2": 400}, {"shadow_length_m": 200}]
)
def test_feet_and_metres_give_the_same(crs: object, unit: float, options: dict) -> None:
    expected = clean(mask(10, 10, None, 5e6), **options)
    found = clean(mask(10 / unit, 10 / unit, crs, 2e5), **options)
    np.testing.assert_array_equal(found, expected)
    lazy = clean(mask(10 / unit, 10 / unit, crs, 2e5).chunk(y=20, x=30), **options)
    np.testing.assert_array_equal(lazy, expected)


def test_degrees_grow_by_metres_in_both_directions() -> None:
    grid = mask(1e-4, 1e-4, 4326, LATITUDE)
    assert infer_pixel_m(grid) == pytest.approx((HIGH * 1e-4, WIDE * 1e-4), rel=1e-3)
    grown = clean(grid, buffer_m=60).values == CLOUD
    rows, columns = np.mgrid[:81, :81]
    away = np.hypot((rows - 40) * HIGH * 1e-4, (columns - 40) * WIDE * 1e-4)
    near = np.s_[30:51, 28:53]
    np.testing.assert_array_equal(grown[near], (away <= 60)[near])
    np.testing.assert_array_equal(clean(grid.chunk(y=20, x=20), buffer_m=60).values == CLOUD, grown)
    area = HIGH * WIDE * 1e-8
    assert (clean(grid, min_object_m2=3.1 * area)[10, 10:13] == CLEAR).all()
    assert (clean(grid, min_object_m2=2.9 * area)[10, 10:13] == CLOUD).all()


def test_a_shadow_is_as_long_in_degrees() -> None:
    codes = np.full((200, 200), CLEAR, np.uint8)
    codes[100, 100], codes[100, 101:160], codes[101:160, 100] = CLOUD, SHADOW, SHADOW
    for options in ({"shadow_length_m": 200}, {"shadow_length_m": 200, "sun": (40, 300)}):
        left = clean(mask(1e-4, 1e-4, 4326, LATITUDE, codes), **options) == SHADOW
        if "sun" not in options:
            assert int(left[100].sum()) == int(200 / (WIDE * 1e-4))
            assert int(left[:, 100].sum()) == int(200 / (HIGH * 1e-4))
        lazily = clean(mask(1e-4, 1e-4, 4326, LATITUDE, codes).chunk(y=64, x=64), **options) == SHADOW
        np.testing.assert_array_equal(lazily, left)


def test_web_maps_stretch_towards_the_poles() -> None:
    assert infer_pixel_m(mask(10, 10, 3857, 0.0)) == pytest.approx((10, 10), rel=1e-6)
    assert infer_pixel_m(mask(20, 20, 3857, 8_399_737.9)) == pytest.approx((10, 10), rel=1e-3)  # 60 degrees north


def test_pixels_that_differ_over_the_mask_are_refused() -> None:
    with pytest.raises(CubeError, match="warp it to UTM"):
        clean(mask(0.2, 0.2, 4326, 60.0), buffer_m=60)


@pytest.mark.parametrize("side", [1.0, 32.8083, 1e-4])
def test_pixels_of_no_known_unit_are_asked_about(side: float) -> None:
    with pytest.raises(CubeError, match=r"no CRS tells the unit: say pixel_m=10,"):
        clean(mask(side, side, None, 5e6), buffer_m=60)
    np.testing.assert_array_equal(
        clean(mask(side, side, None, 5e6), buffer_m=60, pixel_m=10), clean(mask(10, 10, None, 5e6), buffer_m=60)
    )


def test_columns_must_go_east_for_the_sun() -> None:
    with pytest.raises(CubeError, match="columns from west to east"):
        clean(mask(10, 10, None, 5e6)[:, ::-1], sun=(40, 150))


def test_the_command_asks_before_it_works_and_takes_the_answer(
    tmp_path: Path, kappamask, brightness: ModelCard
) -> None:
    card = brightness.folder / brightness.document
    words = ("--model", card, "--radiometry", "dn_harmonized")
    plain = geotiff(tmp_path / "plain_L1C.tif", crs=None, transform=Affine.identity())
    placed = geotiff(tmp_path / "placed_L1C.tif")
    for cleaning in (("--buffer-m", 20), ("--min-object-m2", 500), ("--fill-holes-m2", 500), ("--shadow-length-m", 50)):
        for also in ((), ("--dry-run",)):
            refused = kappamask("mask", plain, "-o", tmp_path / "m.tif", *words, *cleaning, *also)
            assert refused.code == 1
            assert "--pixel-m 10" in refused.err
            assert "mask: 1" not in refused.err
        assert (
            kappamask("mask", plain, "-o", tmp_path / "m.tif", *words, *cleaning, "--pixel-m", 10, "--overwrite").code
            == 0
        )
        assert kappamask("mask", placed, "-o", tmp_path / "p.tif", *words, *cleaning, "--overwrite").code == 0
        np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), read_mask(tmp_path / "p.tif"))


def test_a_resolution_is_metres_where_a_scene_is_halved(tmp_path: Path) -> None:
    placed = open_scene(geotiff(tmp_path / "a_L1C.tif"), resolution=20)
    plain = geotiff(tmp_path / "b_L1C.tif", crs=None, transform=Affine.identity())
    with pytest.raises(SceneError, match="pixel_m=10"):
        open_scene(plain, resolution=20)
    np.testing.assert_array_equal(open_scene(plain, resolution=20, pixel_m=10), placed)
    feet = from_origin(1e6, 2e5, 10 / SURVEY_FOOT, 10 / SURVEY_FOOT)
    np.testing.assert_array_equal(
        open_scene(geotiff(tmp_path / "c_L1C.tif", crs="EPSG:2263", transform=feet), resolution=20), placed
    )
    degrees = geotiff(tmp_path / "d_L1C.tif", crs="EPSG:4326", transform=from_origin(5, 51, 1e-4, 1e-4))
    np.testing.assert_array_equal(open_scene(degrees, resolution=20), placed)
    np.testing.assert_array_equal(open_scene(degrees), digits())


@pytest.mark.parametrize(("step", "metres"), [(10.0, 10), (20.0, 20), (60.0, 60), (1.0, 10), (None, 10)])
def test_a_chunk_is_cleaned_in_the_metres_of_its_coordinates(step: float | None, metres: float) -> None:
    """Of 20 m, 60 m are 3 pixels; they were 6."""
    chunk = bright_chunk(step)
    plain, grown = (apply_datacube(chunk, {"level": "L1C"} | more)[0] for more in ({}, {"buffer_m": 60}))
    codes = plain.fillna(5).astype(np.uint8)
    expected = clean(codes, buffer_m=60, pixel_m=metres)
    assert (expected != codes).any()
    np.testing.assert_array_equal(grown.values, expected)


def test_a_chunk_of_pixels_in_another_unit_says_what_to_do() -> None:
    with pytest.raises(CubeError, match=r"8\.9e-05 x 8\.9e-05, and a UDF .*resample_spatial"):
        apply_datacube(bright_chunk(8.9e-5), {"level": "L1C", "buffer_m": 60})


def bright_chunk(step: float | None) -> xr.DataArray:
    """Digital numbers of ground with a cloud, as a back-end gives them."""
    ground = np.random.default_rng(1).normal(1, 0.05, (3, 64, 64)) * np.array([450, 700, 500])[:, None, None]
    ground[:, 24:40, 24:40] = np.array([4200, 4100, 4300])[:, None, None]
    coords = {"y": 10 - step * np.arange(64), "x": step * np.arange(64)} if step else {}
    return xr.DataArray(
        ground.astype(np.float32), dims=("bands", "y", "x"), coords={"bands": ["B02", "B03", "B04"]} | coords
    )


def test_a_mask_of_latitudes_and_longitudes_keeps_its_dims() -> None:
    plain = mask(10 / WIDE, 10 / HIGH, "EPSG:4326", LATITUDE)
    named = plain.rename(y="latitude", x="longitude")
    made = clean(named, buffer_m=60)
    assert made.dims == ("latitude", "longitude")
    np.testing.assert_array_equal(made.values, clean(plain, buffer_m=60).values)
    assert clean(named).dims == named.dims
    with pytest.raises(CubeError, match=r"needed are y and x, or lat and lon: mask\.rename"):
        clean(plain.rename(y="row"), buffer_m=60)
