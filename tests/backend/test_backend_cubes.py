"""How scenes become cubes, and what the back-end's processes do to them, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from openeo_driver.errors import OpenEOApiException
from pyproj import Transformer
from rasterio.transform import from_origin
from shapely.geometry import box, shape
from stacs import serve_folder

from kappamask.backend.chunks import apply_neighborhood
from kappamask.backend.collections import describe_collection
from kappamask.backend.cube import SceneCube
from kappamask.backend.load import Request, load
from kappamask.backend.processes.callbacks import Callback
from kappamask.backend.save import write
from kappamask.backend.scene_index import index
from kappamask.backend.stac import check_source, load_stac_scenes
from kappamask.models import CubeError, SceneError

WEST, NORTH, EPSG, SIDE = 600_000, 5_000_000, 32635, 40


def write_scene(
    folder: Path,
    name: str,
    values: np.ndarray | None = None,
    *,
    bands: tuple[str, ...] = ("B02", "B03"),
    origin: tuple[float, float] = (WEST, NORTH),
    epsg: int = EPSG,
    nodata: float | None = 0,
    **tags: str,
) -> np.ndarray:
    """A scene of the given digital numbers; random ones from 1 to 7999 by default."""
    data = np.random.default_rng(len(name)).integers(1, 8000, (len(bands), SIDE, SIDE)) if values is None else values
    place = {"crs": f"EPSG:{epsg}", "transform": from_origin(*origin, 10, 10), "nodata": nodata}
    dtype = "float32" if data.dtype.kind == "f" else "uint16"
    shape = dict(zip(("count", "height", "width"), data.shape, strict=True))
    with rasterio.open(folder / name, "w", driver="GTiff", dtype=dtype, **shape, **place) as file:
        file.write(data.astype(dtype))
        file.descriptions = bands
        file.update_tags(**{"datetime": "2024-05-01T09:40:00Z", "level": "L2A", "radiometry": "dn_harmonized", **tags})
    return data.astype(np.float32)


def request(*, west: float, south: float, east: float, north: float, **more: Any) -> Request:
    """A request in pixels from the scene's upper-left corner."""
    edges = (WEST + 10 * west, NORTH - 10 * south, WEST + 10 * east, NORTH - 10 * north)
    return Request(extent=edges, crs=EPSG, **more)


def test_area_is_snapped_outward_and_cut_to_the_scene(tmp_path: Path) -> None:
    values = write_scene(tmp_path, "a.tif")
    cube, area = load(index(tmp_path), request(west=3.2, north=-5, east=6.9, south=7.01))
    assert area == (WEST + 30, NORTH - 80, WEST + 70, NORTH)
    np.testing.assert_array_equal(cube.values[0], values[:, 0:8, 3:7])
    assert cube.dtype == np.float32 and cube.dims == ("t", "bands", "y", "x") and cube.rio.crs.to_epsg() == EPSG
    assert cube.x.values[0] == WEST + 35 and cube.y.values[0] == NORTH - 5


def test_box_a_hair_off_the_grid_gains_no_pixels(tmp_path: Path) -> None:
    """As after a way to degrees and back."""
    write_scene(tmp_path, "a.tif")
    _, area = load(index(tmp_path), request(west=3 - 1e-5, north=4 - 1e-5, east=7 + 1e-5, south=9 + 1e-5))
    assert area == (WEST + 30, NORTH - 90, WEST + 70, NORTH - 40)


def test_box_in_degrees_covers_the_pixels_it_touches(tmp_path: Path) -> None:
    """A box through degrees and back must not gain a ring of pixels by rounding."""
    write_scene(tmp_path, "a.tif")
    to_degrees = Transformer.from_crs(EPSG, 4326, always_xy=True)
    centre = [to_degrees.transform(WEST + 155, NORTH - 155), to_degrees.transform(WEST + 185, NORTH - 205)]
    (west, north), (east, south) = centre
    cube, _ = load(index(tmp_path), Request(extent=(west, south, east, north)))
    assert (cube.sizes["y"], cube.sizes["x"]) == (6, 4)


def test_margin_reads_real_pixels_but_not_beyond_the_scene(tmp_path: Path) -> None:
    values = write_scene(tmp_path, "a.tif")
    cube, area = load(index(tmp_path), request(west=2, north=10, east=8, south=20, margin=5))
    assert area == (WEST + 20, NORTH - 200, WEST + 80, NORTH - 100)
    np.testing.assert_array_equal(cube.values[0], values[:, 5:25, 0:13])


def test_overlap_sees_real_pixels_at_the_areas_edge(tmp_path: Path) -> None:
    """A neighbourhood of the area equals one of the whole scene, cut."""
    write_scene(tmp_path, "a.tif")
    code = (
        "import xarray\nfrom scipy.ndimage import maximum_filter\n"
        "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n"
        "    return cube.copy(data=maximum_filter(cube.fillna(0).values, (1, 7, 7)))\n"
    )
    part, area = load(index(tmp_path), request(west=11, north=9, east=27, south=30, margin=4))
    whole, _ = load(index(tmp_path), Request())
    cut = SceneCube(apply_neighborhood(part, code, 8, 4).rio.write_crs(EPSG), area)
    folder = tmp_path / "out"
    cut.write_assets(folder, "GTiff")
    with rasterio.open(folder / "openEO_2024-05-01Z.tif") as file:
        np.testing.assert_array_equal(file.read(), apply_neighborhood(whole, code, 40, 4).values[0][:, 9:30, 11:27])


def test_same_day_scenes_are_merged_first_wins(tmp_path: Path) -> None:
    early = np.full((2, SIDE, SIDE), 100)
    early[:, :, 30:] = 0
    write_scene(tmp_path, "early.tif", early)
    write_scene(tmp_path, "late.tif", np.full((2, SIDE, SIDE), 200), datetime="2024-05-01T09:50:00Z")
    cube, _ = load(index(tmp_path), Request())
    assert cube.sizes["t"] == 1
    assert np.unique(cube.values[..., :30]) == [100] and np.unique(cube.values[..., 30:]) == [200]


def test_neighbouring_tiles_make_one_grid(tmp_path: Path) -> None:
    left = write_scene(tmp_path, "left.tif")
    right = write_scene(tmp_path, "right!.tif", origin=(WEST + 10 * SIDE, NORTH - 50))
    cube, _ = load(index(tmp_path), Request())
    assert (cube.sizes["y"], cube.sizes["x"]) == (SIDE + 5, 2 * SIDE)
    np.testing.assert_array_equal(cube.values[0, :, :SIDE, :SIDE], left)
    np.testing.assert_array_equal(cube.values[0, :, 5:, SIDE:], right)
    assert np.isnan(cube.values[0, :, SIDE:, :SIDE]).all() and np.isnan(cube.values[0, :, :5, SIDE:]).all()


def test_offset_and_reflectance_are_harmonised(tmp_path: Path) -> None:
    values = np.full((2, SIDE, SIDE), 1500)
    values[:, 0, 0] = 0
    write_scene(tmp_path, "a.tif", values, radiometry="dn_offset")
    write_scene(tmp_path, "b.tif", values / 10_000, radiometry="reflectance", datetime="2024-05-02T09:00:00Z")
    cube, _ = load(index(tmp_path), Request())
    assert np.isnan(cube.values[:, :, 0, 0]).all()
    assert np.unique(cube.values[0, :, 1:]) == [500]
    np.testing.assert_allclose(cube.values[1, :, 1:], 1500, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 65_535), ("uint16", None), ("float32", None)])
def test_zero_with_the_offset_in_it_is_no_data_whatever_is_declared(
    tmp_path: Path, dtype: str, nodata: float | None
) -> None:
    values = np.full((2, SIDE, SIDE), 1500, dtype)
    values[:, :5], values[0, 9, 9], values[:, 7, 7] = 0, 0, nodata or 1500
    write_scene(tmp_path, "a.tif", values, nodata=nodata, radiometry="", processing_baseline="05.11")
    cube = load(index(tmp_path), Request())[0].values[0]
    assert np.isnan(cube[:, :5]).all() and np.isnan(cube[0, 9, 9]) and cube[1, 9, 9] == 500
    assert np.isnan(cube[:, 7, 7]).all() == bool(nodata)
    assert set(np.unique(cube[np.isfinite(cube)])) == {500}


@pytest.mark.parametrize("bands", [None, ["B10"]])
@pytest.mark.parametrize("nodata", [65_535, None])
def test_zero_without_offset_is_no_data_only_in_all_bands(
    tmp_path: Path, nodata: float | None, bands: list[str] | None
) -> None:
    """B10 of a clear pixel is 0 often; also where it alone is asked for."""
    values = np.full((2, SIDE, SIDE), 1500)
    values[1], values[:, :5] = 0, 0
    write_scene(tmp_path, "a.tif", values, nodata=nodata, bands=("B02", "B10"), level="L1C")
    cube = load(index(tmp_path), Request(bands=bands))[0].values[0]
    assert np.isnan(cube[:, :5]).all() and (cube[-1, 5:] == 0).all()


def test_bands_that_one_scene_lacks_are_no_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_scene(tmp_path, "a.tif")
    write_scene(tmp_path, "b.tif", bands=("B03", "B04"), datetime="2024-05-02T09:00:00Z")
    cube, _ = load(index(tmp_path), Request(bands=["B04", "B03"]))
    assert list(cube.bands.values) == ["B04", "B03"]
    assert (
        np.isnan(cube.values[0, 0]).all() and np.isfinite(cube.values[0, 1]).all() and np.isfinite(cube.values[1]).all()
    )
    assert "a.tif lacks B04" in caplog.text


def test_dates_are_left_closed_days(tmp_path: Path) -> None:
    for day in (1, 2, 3):
        write_scene(tmp_path, f"{day}.tif", datetime=f"2024-05-0{day}T09:40:00Z")
    cube, _ = load(index(tmp_path), Request(start="2024-05-02", end="2024-05-03"))
    assert list(cube.t.values) == [np.datetime64("2024-05-02")]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Request(start="2025-01-01", end="2025-02-01"), "dates available: 2024-05-01"),
        (request(west=100, north=100, east=120, south=120), "No scene covers"),
        (request(west=3, north=3, east=3, south=9), "has no area"),
    ],
)
def test_nothing_to_load_is_an_error(tmp_path: Path, wanted: Request, reason: str) -> None:
    write_scene(tmp_path, "a.tif")
    with pytest.raises(SceneError, match=reason):
        load(index(tmp_path), wanted)


@pytest.mark.parametrize(
    ("place", "reason"), [({"epsg": 32636}, "different grids"), ({"origin": (WEST + 3, NORTH)}, "off the pixel grid")]
)
def test_scenes_on_other_grids_are_refused(tmp_path: Path, place: dict[str, Any], reason: str) -> None:
    write_scene(tmp_path, "a.tif")
    write_scene(tmp_path, "b.tif", **place)
    with pytest.raises(SceneError, match=reason):
        load(index(tmp_path), Request())


def lay_across(folder: Path, west: int = -120, east: int = -300) -> tuple[float, float]:
    """Write scenes on either side of 180 degrees, each in its own zone.

    Returns x and y of 180 degrees in the western zone.
    """
    for epsg, name, shift, longitude in ((32760, "w.tif", west, 180), (32701, "e.tif", east, -180)):
        x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(longitude, -17)
        write_scene(folder, name, epsg=epsg, origin=(round(x, -1) + shift, round(y, -1) + 200))
    found: tuple[float, float] = Transformer.from_crs(4326, 32760, always_xy=True).transform(180, -17)
    return found


@pytest.mark.parametrize(("west", "east"), [(-200, 400), (-200, 0)])
def test_scenes_of_the_zone_that_an_extent_is_in_are_taken_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, west: float, east: float
) -> None:
    """Products of neighbouring zones overlap, at 180 degrees as elsewhere."""
    x, y = lay_across(tmp_path, west=-300)
    box = (x - 150, y - 100, x + 50, y + 100)
    cube, _ = load(index(tmp_path), Request(extent=box, crs="EPSG:32760"))
    assert cube.rio.crs.to_epsg() == 32760
    assert cube.notnull().all()
    assert "e.tif" in caplog.text


def test_scenes_of_another_zone_are_not_left_out_where_they_alone_cover(tmp_path: Path) -> None:
    x, y = lay_across(tmp_path, west=-300, east=80)
    for extent, crs in (((x - 150, y - 100, x + 300, y + 100), 32760), ((179.999, -17.001, -179.998, -16.999), 4326)):
        with pytest.raises(SceneError, match="different grids"):
            load(index(tmp_path), Request(extent=extent, crs=crs))


def test_the_extent_of_scenes_across_180_degrees_is_no_globe(tmp_path: Path) -> None:
    x, y = lay_across(tmp_path)
    west, _, east, _ = describe_collection("SENTINEL2_L2A", index(tmp_path))["extent"]["spatial"]["bbox"][0]
    assert west > 179.99
    assert -180 < east < -179.99
    cube, _ = load(index(tmp_path), Request(extent=(x - 50, y - 50, x + 50, y + 50), crs=32760))
    facts = write(cube, tmp_path / "results", "netCDF", {})["openEO.nc"]
    assert facts["bbox"][0] > facts["bbox"][2]
    assert shape(facts["geometry"]).area < 1e-4


def test_scene_without_date_is_named(tmp_path: Path) -> None:
    write_scene(tmp_path, "a.tif", datetime="")
    with pytest.raises(SceneError, match=r"a\.tif has no datetime"):
        index(tmp_path)


def cube_of(values: Any, bands: list[str] | None = None, dates: int = 1) -> SceneCube:
    """A cube of `values`, broadcast to (dates, bands, 6, 8)."""
    names = bands or ["B02"]
    data = np.broadcast_to(np.asarray(values, np.float32), (dates, len(names), 6, 8))
    coords = {
        "t": pd.date_range("2024-05-01", periods=dates),
        "bands": names,
        "y": NORTH - 5 - 10.0 * np.arange(6),
        "x": WEST + 5 + 10.0 * np.arange(8),
    }
    array = xr.DataArray(data.copy(), dims=("t", "bands", "y", "x"), coords=coords).rio.write_crs(EPSG)
    return SceneCube(array, (WEST, NORTH - 60, WEST + 80, NORTH))


def node(name: str, **arguments: Any) -> dict[str, Any]:
    """A callback of one process."""
    return {"n": {"process_id": name, "arguments": arguments, "result": True}}


X = {"from_parameter": "x"}


def test_linear_scale_range_with_whole_limits_is_uint8() -> None:
    """Every integer code survives, clamped to the range; NaN becomes 255."""
    codes = np.arange(48, dtype=np.float32).reshape(6, 8)
    codes[0, 0], codes[0, 1], codes[0, 2] = np.nan, -3, 400
    scaled = cube_of(codes).apply(
        node("linear_scale_range", x=X, inputMin=0, inputMax=250, outputMin=0, outputMax=250), env=None
    )
    assert scaled.array.dtype == np.uint8 and scaled.array.attrs["_FillValue"] == 255
    assert scaled.array.values[0, 0, 0, :3].tolist() == [255, 0, 250]
    np.testing.assert_array_equal(scaled.array.values[0, 0, 1:], codes[1:].astype(np.uint8))


@pytest.mark.parametrize("top", [100, 250, 253])
def test_whole_numbers_survive_scaling(top: int) -> None:
    """0.29 * 100 is less than 29; cutting fractions off must not make it 28."""
    numbers = np.arange(top + 1, dtype=np.float32)
    scaled = Callback.parse(
        "apply", node("linear_scale_range", x=X, inputMin=0, inputMax=top, outputMin=0, outputMax=top)
    )
    np.testing.assert_array_equal(scaled(x=xr.DataArray(numbers)).values, numbers.astype(np.uint8))


@pytest.mark.parametrize("limits", [{"outputMin": 0, "outputMax": 250.0}, {"outputMin": 0, "outputMax": 254}, {}])
def test_linear_scale_range_is_float32_otherwise(limits: dict[str, float]) -> None:
    scaled = cube_of(125).apply(node("linear_scale_range", x=X, inputMin=0, inputMax=250, **limits), env=None)
    assert scaled.array.dtype == np.float32
    assert np.unique(scaled.array.values) == [0.5 * limits.get("outputMax", 1)]


def test_arithmetic_keeps_no_data() -> None:
    values = np.arange(48, dtype=np.float32).reshape(6, 8)
    values[0, 0] = np.nan
    result = cube_of(values).apply(node("gt", x=X, y=10), env=None).array
    assert np.isnan(result.values[0, 0, 0, 0]) and result.values[0, 0, 0, 1] == 0 and result.values[0, 0, 5, 7] == 1


@pytest.mark.parametrize(
    ("process", "reason"), [(node("sqrt", x=X), "uses sqrt"), (node("eq", x=X, y=1, delta=0.5), "argument delta")]
)
def test_callbacks_beyond_the_tables_are_refused(process: dict[str, Any], reason: str) -> None:
    with pytest.raises(OpenEOApiException, match=reason):
        cube_of(1).apply(process, env=None)


def test_band_math_reduces_bands() -> None:
    cube = cube_of(np.array([2.0, 3.0])[:, None, None], ["B02", "B03"])
    graph = {
        "a": {"process_id": "array_element", "arguments": {"data": {"from_parameter": "data"}, "label": "B03"}},
        "b": {"process_id": "array_element", "arguments": {"data": {"from_parameter": "data"}, "index": 0}},
        "c": {
            "process_id": "subtract",
            "arguments": {"x": {"from_node": "a"}, "y": {"from_node": "b"}},
            "result": True,
        },
    }
    result = cube.reduce_dimension(graph, dimension="bands", env=None).array
    assert result.dims == ("t", "y", "x") and np.unique(result.values) == [1]


def test_time_is_reduced_without_no_data() -> None:
    values = np.array([1.0, np.nan, 5.0])[:, None, None, None]
    result = cube_of(values, dates=3).reduce_dimension(
        node("mean", data={"from_parameter": "data"}), dimension="t", env=None
    )
    assert result.array.dims == ("bands", "y", "x") and np.unique(result.array.values) == [3]


def test_mask_hides_where_it_is_not_zero() -> None:
    mask = np.zeros((6, 8), np.float32)
    mask[1, 2], mask[3, 3] = 1, np.nan
    masked = cube_of(7, ["B02", "B03"], dates=2).mask(cube_of(mask, ["m"], dates=2)).array
    assert np.isnan(masked.values[:, :, [1, 3], [2, 3]]).all() and np.isnan(masked.values).sum() == 8
    assert cube_of(7).mask(cube_of(mask, ["m"]), replacement=-1).array.values[0, 0, 1, 2] == -1


def bytes_of(values: Any, bands: list[str] | None = None, dates: int = 1) -> SceneCube:
    """The same as bytes, no data as 255."""
    scale = node("linear_scale_range", x=X, inputMin=0, inputMax=250, outputMin=0, outputMax=250)
    return cube_of(values, bands, dates).apply(scale, env=None)


def test_no_data_of_bytes_is_no_number() -> None:
    codes = np.ones((2, 1, 6, 8), np.float32)
    codes[0, :, 1, 2] = np.nan
    cube, gone = bytes_of(codes, dates=2), (0, 0, 1, 2)
    assert np.argwhere(np.isnan(cube.apply(node("gt", x=X, y=10), env=None).array.values)).tolist() == [[*gone]]
    scaled = cube.apply(node("linear_scale_range", x=X, inputMin=0, inputMax=2, outputMin=0, outputMax=2), env=None)
    assert scaled.array.values[gone] == 255
    mean = cube.reduce_dimension(node("mean", data={"from_parameter": "data"}), dimension="t", env=None)
    assert (mean.array == 1).all()
    hidden = cube_of(7, dates=2).mask(bytes_of(np.where(codes == 1, 0, codes), ["m"], dates=2))
    assert np.argwhere(np.isnan(hidden.array.values)).tolist() == [[*gone]]
    masked = cube.mask(cube_of(0, ["m"], dates=2)).array
    assert np.argwhere(np.isnan(masked.values)).tolist() == [[*gone]] and "_FillValue" not in masked.attrs


def test_merge_adds_bands_and_refuses_equal_ones() -> None:
    merged = cube_of(1, ["B02"]).merge_cubes(cube_of(2, ["mask"])).array
    assert list(merged.bands.values) == ["B02", "mask"] and merged.sel(bands="mask").values.max() == 2
    with pytest.raises(OpenEOApiException, match="bands: B02"):
        cube_of(1, ["B02"]).merge_cubes(cube_of(2, ["B02"]))


def test_labels_are_renamed_whole_or_in_part() -> None:
    cube = cube_of(1, ["B02", "B03"])
    assert list(cube.rename_labels("bands", ["a", "b"]).array.bands.values) == ["a", "b"]
    assert list(cube.rename_labels("bands", ["b"], ["B03"]).array.bands.values) == ["B02", "b"]
    with pytest.raises(OpenEOApiException, match="does not give 2 distinct labels"):
        cube.rename_labels("bands", ["a"])


def test_filters_cut_bands_dates_and_boxes() -> None:
    cube = cube_of(1, ["B02", "B03"], dates=3)
    assert list(cube.filter_bands(["B03"]).array.bands.values) == ["B03"]
    with pytest.raises(OpenEOApiException, match="no band B11; there are B02, B03"):
        cube.filter_bands(["B11"])
    assert cube.filter_temporal("2024-05-02", "2024-05-03").array.sizes["t"] == 1
    assert cube.filter_temporal("2024-05-02T00:00:00Z", None).array.sizes["t"] == 2
    with pytest.raises(OpenEOApiException, match="there are 2024-05-01, 2024-05-02, 2024-05-03"):
        cube.filter_temporal("2025-05-02", "2025-05-03")
    small = cube.filter_bbox(WEST + 12, NORTH - 35, WEST + 31, NORTH - 12, crs=EPSG)
    assert small.area == (WEST + 10, NORTH - 40, WEST + 40, NORTH - 10)
    with pytest.raises(OpenEOApiException, match="lies outside the cube"):
        cube.filter_bbox(0, 0, 1, 1, crs=EPSG)


@pytest.mark.filterwarnings("error::DeprecationWarning")
def test_polygon_hides_what_lies_outside() -> None:
    to_degrees = Transformer.from_crs(EPSG, 4326, always_xy=True).transform
    west, north = to_degrees(WEST + 20, NORTH - 20)
    east, south = to_degrees(WEST + 50, NORTH - 40)
    cube = cube_of(1).filter_spatial(box(west, south, east, north))
    assert 4 <= np.isfinite(cube.array.values).sum() <= 8


def test_resampling_halves_the_grid_and_refuses_unknown_methods() -> None:
    values = np.arange(48, dtype=np.float32).reshape(6, 8)
    coarse = cube_of(values).resample_spatial(resolution=20, method="average").array
    np.testing.assert_allclose(coarse.values[0, 0], values.reshape(3, 2, 4, 2).mean(axis=(1, 3)))
    assert cube_of(values).resample_spatial(resolution=10).array.shape == (1, 1, 6, 8)
    with pytest.raises(OpenEOApiException, match="'sinc' is not supported"):
        cube_of(values).resample_spatial(resolution=20, method="sinc")


def test_geotiff_is_a_cog_with_names_and_no_data(tmp_path: Path) -> None:
    values = np.array([1.0, np.nan])[:, None, None]
    assets = cube_of(values, ["mask", "score"], dates=2).write_assets(tmp_path, "GTiff", {"filename_prefix": "km"})
    assert sorted(assets) == ["km_2024-05-01Z.tif", "km_2024-05-02Z.tif"]
    with rasterio.open(tmp_path / "km_2024-05-02Z.tif") as file:
        assert file.descriptions == ("mask", "score") and file.dtypes[0] == "float32" and np.isnan(file.nodata)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert assets["km_2024-05-01Z.tif"]["raster:bands"][1]["statistics"] == {"valid_percent": 0.0}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(assets)


def test_overviews_of_codes_hold_codes_only(tmp_path: Path) -> None:
    codes = np.where(np.indices((1100, 1100)).sum(0) % 7 < 3, 1, 4).astype(np.uint8)
    coords = {"bands": ["mask"], "y": NORTH - 10.0 * np.arange(1100), "x": WEST + 10.0 * np.arange(1100)}
    array = xr.DataArray(codes[np.newaxis], dims=("bands", "y", "x"), coords=coords, attrs={"_FillValue": 255})
    write(array.rio.write_crs(EPSG), tmp_path, "GTiff", {})
    with rasterio.open(tmp_path / "openEO.tif") as file:
        assert file.overviews(1) and set(np.unique(file.read(out_shape=(1, 275, 275)))) == {1, 4}


def test_one_pixel_and_no_bands_can_be_saved(tmp_path: Path) -> None:
    values = write_scene(tmp_path, "a.tif")
    cube, area = load(index(tmp_path), request(west=3, north=4, east=4, south=5))
    one = SceneCube(cube, area).reduce_dimension(
        node("max", data={"from_parameter": "data"}), dimension="bands", env=None
    )
    one.write_assets(tmp_path / "out", "GTiff")
    with rasterio.open(tmp_path / "out" / "openEO_2024-05-01Z.tif") as file:
        assert file.descriptions == ("var",) and file.read().tolist() == [[[values[:, 4, 3].max()]]]
        assert tuple(file.bounds) == area


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OpenEOApiException, match="there are GTiff and netCDF"):
        cube_of(1).write_assets(tmp_path, "PNG")


@pytest.mark.parametrize("name", ["/tmp/evil", "../../evil", "a/b", "a\\b", "..", "", "x" * 400, "a\0", 5])
@pytest.mark.parametrize("fmt", ["GTiff", "netCDF"])
def test_file_names_stay_in_the_folder(tmp_path: Path, fmt: str, name: Any) -> None:
    with pytest.raises(OpenEOApiException, match="no plain name") as caught:
        cube_of(1).write_assets(tmp_path / "a" / "b", fmt, {"filename_prefix": name})
    assert caught.value.status_code == 400 and not list(tmp_path.rglob("*"))


def test_compression_and_emptiness_are_checked(tmp_path: Path) -> None:
    """GDAL ends the process where a file has no bands."""
    with pytest.raises(OpenEOApiException, match="ZLEVEL 'much' is no whole number"):
        cube_of(1).write_assets(tmp_path, "GTiff", {"ZLEVEL": "much"})
    with pytest.raises(OpenEOApiException, match="The result is empty"):
        cube_of(1).filter_bands([]).write_assets(tmp_path, "GTiff")


def test_udf_without_bands_is_refused() -> None:
    code = (
        "import xarray\ndef apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n"
        "    return cube.isel(bands=[])\n"
    )
    for per_date in (True, False):
        with pytest.raises(CubeError, match="returned no bands"):
            apply_neighborhood(cube_of(1).array, code, 4, per_date=per_date)


def write_item(folder: Path, href: str) -> Path:
    """A STAC item with one asset."""
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "one", "geometry": None, "links": [],
        "properties": {"datetime": "2024-06-01T10:00:00Z"},
        "assets": {"data": {"href": href, "type": "image/tiff; application=geotiff", "roles": ["data"]}},
    }  # fmt: skip
    path = folder / "item.json"
    path.write_text(json.dumps(item))
    return path


def test_stac_item_names_a_scene_and_its_date(tmp_path: Path) -> None:
    values = write_scene(tmp_path, "a.tif")
    write_item(tmp_path, "./a.tif")
    cube, _ = load(load_stac_scenes("item.json", tmp_path), Request())
    np.testing.assert_array_equal(cube.values[0], values)
    assert list(cube.t.values) == [np.datetime64("2024-06-01")]


@pytest.mark.parametrize(
    "href", ["/etc/hostname", "../a.tif", "https://example.org/a.tif", "/vsicurl/http://127.0.0.1/a.tif"]
)
def test_stac_opens_nothing_outside_the_folder(tmp_path: Path, href: str) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()
    write_scene(tmp_path, "a.tif")
    write_item(folder, href)
    with pytest.raises(SceneError):
        load_stac_scenes("item.json", folder)
    with pytest.raises(SceneError):
        check_source(href, folder)


def write_catalog(path: Path, *links: tuple[str, str]) -> None:
    """A STAC catalogue with links (relation, href)."""
    linked = [{"rel": rel, "href": href} for rel, href in links]
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"type": "Catalog", "stac_version": "1.0.0", "id": "c", "description": "c", "links": linked})
    )


def test_stac_links_lead_to_items_below_and_round_in_no_circle(tmp_path: Path) -> None:
    write_scene(tmp_path, "a.tif")
    write_item(tmp_path, "./a.tif")
    write_catalog(tmp_path / "below" / "catalog.json", ("root", "https://example.org/c"), ("item", "../item.json"))
    write_catalog(tmp_path / "catalog.json", ("child", "below/catalog.json"), ("child", "./catalog.json"))
    with serve_folder(tmp_path) as (address, _):
        write_catalog(tmp_path / "there.json", ("child", f"{address}/catalog.json"))
        found = load_stac_scenes("catalog.json", tmp_path)
        assert [scene.path.name for scene in found] == ["a.tif"]
        assert found[0].datetime == pd.Timestamp("2024-06-01T10:00:00")
        with pytest.raises(SceneError, match=rf"{address}/a\.tif .*scenes folder"):
            load_stac_scenes("there.json", tmp_path)


@pytest.mark.parametrize(
    ("href", "reason"),
    [
        ("https://example.org/item.json", "on another machine"),
        (r"http://example.org\@127.0.0.1/item.json", "on another machine"),
        ("ftp://127.0.0.1/item.json", "cannot be opened"),
        ("/etc/hostname", "outside the scenes folder"),
        ("../outside.json", "outside the scenes folder"),
        ("{}/gone.json", "HTTP 404"),
        ("{}/folder", "HTTP 301"),
        ("note.json", "note.json cannot be read as a STAC item"),
    ],
)
def test_stac_links_lead_nowhere_else(tmp_path: Path, href: str, reason: str) -> None:
    folder = tmp_path / "scenes"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "outside.json").write_text("{}")
    (folder / "note.json").write_text("[]")
    with serve_folder(folder) as (address, _):
        for relation in ("item", "child"):
            write_catalog(folder / "catalog.json", (relation, href.format(address)))
            with pytest.raises(SceneError, match=reason):
                load_stac_scenes("catalog.json", folder)


def run_callback(process_id: str, data: list[list[float]], **arguments: Any) -> list[list[float]]:
    """Run one process on values (t, x); the result (x) or (t, x)."""
    cube = xr.DataArray(np.array(data, np.float32)[:, np.newaxis], dims=("t", "y", "x"))
    first = "array1" if process_id == "array_concat" else "data"
    node = {"process_id": process_id, "arguments": {first: {"from_parameter": "data"}, **arguments}, "result": True}
    parent = "apply_dimension" if process_id == "array_concat" else "reduce_dimension"
    found = Callback.parse(parent, {"n": node}, "t")(data=cube)
    return found.transpose("t", ..., missing_dims="ignore").values.squeeze(axis=-2).tolist()


def test_first_and_last_skip_what_has_no_data_by_default() -> None:
    values = [[np.nan, 1, np.nan], [2, np.nan, np.nan], [3, 4, np.nan]]
    assert run_callback("first", values)[:2] == [2, 1]
    assert run_callback("last", [*values, [np.nan] * 3])[:2] == [3, 4]
    assert np.isnan(run_callback("first", values)[2])
    assert np.isnan(run_callback("first", values, ignore_nodata=False)[0])
    assert run_callback("last", values, ignore_nodata=False)[:2] == [3, 4]


def test_array_concat_takes_a_list_of_numbers() -> None:
    assert run_callback("array_concat", [[1, 2]], array2=[7, 8]) == [[1, 2], [7, 7], [8, 8]]


def test_an_element_is_named_by_label_or_index_and_not_by_both() -> None:
    with pytest.raises(OpenEOApiException, match="label and index") as found:
        run_callback("array_element", [[1, 2]], label="0", index=0)
    assert found.value.code == "ArrayElementParameterConflict"


@pytest.mark.parametrize(("name", "expected"), [("and", [0, 0, np.nan, 1, np.nan]), ("or", [np.nan, 1, 1, 1, np.nan])])
def test_one_argument_may_decide_where_the_other_has_no_data(name: str, expected: list[float]) -> None:
    x, y = (
        xr.DataArray(np.array([values], np.float32), dims=("y", "x"))
        for values in ([0, 0, np.nan, 1, np.nan], [np.nan, 1, 1, 1, np.nan])
    )
    node = {"process_id": name, "arguments": {key: {"from_parameter": key} for key in "xy"}, "result": True}
    np.testing.assert_array_equal(Callback.parse("merge_cubes", {"n": node})(x=x, y=y).values[0], expected)
    decided = {"process_id": "or", "arguments": {"x": {"from_parameter": "x"}, "y": True}, "result": True}
    np.testing.assert_array_equal(Callback.parse("apply", {"n": decided})(x=x).values[0], [1] * 5)
