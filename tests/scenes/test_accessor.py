"""`.kappamask` on xarray: masks of `cloud_mask`, cleared data, shares inside areas.

All is lazy, and nothing is computed twice.
"""

import doctest
import importlib
from datetime import datetime

import geopandas
import numpy as np
import odc.stac
import pystac
import pytest
import rioxarray
import shapely
import xarray as xr
from files import BANDS, CRS, NORTH, WEST, cube, digits, geotiff, per_band
from hypothesis import given, settings
from hypothesis import strategies as st
from laziness import computations, count_reads, network_runs
from pyproj import Transformer

from kappamask.models import CubeError, RadiometryError, SceneError
from kappamask.scenes import compute_class_statistics, open_scene
from kappamask.udf import cloud_mask, to_scheme

TIMES = np.array(["2024-06-01", "2024-06-11", "2024-06-21"], "M8[ns]")
COMMON = ("blue", "green", "red", "nir")
DIGITS = {"level": "L2A", "radiometry": "dn_harmonized"}
TO_DEGREES = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)


def series(seed=0, side=64, **attrs):
    """Three dates, uint16, with clouds, shadows and pixels without data."""
    rng = np.random.default_rng(seed)
    values = rng.choice([200, 1500, 3000, 6000], (3, 1, side // 8, side // 8)).repeat(8, 2).repeat(8, 3)
    values = (values + rng.integers(0, 50, (3, len(BANDS), side, side))).astype(np.uint16)
    values[0, :, :5, :7] = 0
    return with_times([cube(one, **attrs) for one in values]).assign_attrs(attrs)


def with_times(cubes):
    return xr.concat(cubes, xr.Variable("t", TIMES))


def codes(values, **attrs):
    """A mask of these codes, located as `files.cube`."""
    return cube(np.asarray(values, np.uint8)[None], ("B02",)).isel(bands=0, drop=True).assign_attrs(attrs)


def chessboard(height=40, width=50):
    return codes(np.arange(height * width).reshape(height, width) % 4 + 1)


# Masks


@pytest.mark.parametrize("lazily", [False, True])
def test_mask_is_that_of_the_function(brightness, lazily):
    data = series().chunk(y=32, x=32) if lazily else series()
    found = data.kappamask.mask(model=brightness, scores=True, thresholds={"cloud": 0.4}, **DIGITS)
    expected = cloud_mask(data, model=brightness, scores=True, thresholds={"cloud": 0.4}, **DIGITS)
    assert (found["mask"].chunks is not None) is lazily
    xr.testing.assert_identical(found.compute(), expected.compute())


def test_results_have_the_names_of_the_data(brightness):
    data, others = series(), {"t": "time", "bands": "band", "y": "latitude", "x": "longitude"}
    renamed = data.rename(others)
    expected = data.kappamask.mask(model=brightness, **DIGITS)
    assert renamed.kappamask.mask(model=brightness, **DIGITS).dims == ("time", "latitude", "longitude")
    xr.testing.assert_equal(
        renamed.kappamask.mask(model=brightness, **DIGITS), expected.rename(**present_names(others, expected))
    )
    cleared = renamed.kappamask.clear(model=brightness, **DIGITS)
    xr.testing.assert_identical(cleared, data.kappamask.clear(model=brightness, **DIGITS).rename(others))
    statistics = renamed.kappamask.statistics(model=brightness, **DIGITS)
    assert statistics.share.dims == ("time", "class")


def present_names(names, data):
    return {old: new for old, new in names.items() if old in data.dims}


def shorten_labels(labels):
    return [label.lower().replace("b0", "b") for label in labels]


@pytest.mark.parametrize(
    "dataset",
    [
        lambda data: data.to_dataset("bands"),
        lambda data: (
            data.to_dataset("bands").rename(dict(zip(BANDS, shorten_labels(BANDS), strict=True))).rename(t="time")
        ),
        lambda data: data.to_dataset(name="reflectance"),
        lambda data: data.to_dataset("bands").assign(
            mask=data[:, 0].drop_vars("bands"), ndvi=data[:, 1].drop_vars("bands") * 1.0
        ),
        lambda data: data.to_dataset("bands").to_dataarray(),
        lambda data: data.to_dataset("bands").chunk(y=20),
        lambda data: data.to_dataset("bands").rename(B02="blue", B03="green", B04="red", B08="nir"),
        lambda data: data.assign_coords(bands=["blue", "green", "red", "nir"]).rename(bands="band"),
    ],
    ids=["variables", "short", "stack", "others", "to_dataarray", "dask", "common names", "common labels"],
)
def test_datasets_of_every_kind_have_the_mask_of_the_cube(brightness, dataset):
    data = series()
    found = dataset(data).kappamask.mask(model=brightness, **DIGITS)
    np.testing.assert_array_equal(found, cloud_mask(data, model=brightness, **DIGITS))
    assert found.rio.crs == CRS


def test_files_as_rioxarray_opens_them(brightness, tmp_path):
    path = geotiff(tmp_path / "scene_L2A.tif")
    expected = cloud_mask(open_scene(path), model=brightness, **DIGITS)
    for options in ({}, {"band_as_variable": True}, {"chunks": 32}):
        with rioxarray.open_rasterio(path, **options) as data:
            found = data.kappamask.mask(model=brightness, **DIGITS)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:odc", "ignore::PendingDeprecationWarning:odc")
def test_items_as_odc_stac_loads_them(brightness, tmp_path):
    assets = {
        key: geotiff(tmp_path / f"{key}.tif", one[None], (None,)) for key, one in zip(COMMON, digits(), strict=True)
    }
    found = odc.stac.load([item(assets)], chunks={}).kappamask.mask(model=brightness, **DIGITS)
    assert found.dims == ("time", "y", "x") and found.rio.crs == CRS
    expected = cloud_mask(cube(), model=brightness, **DIGITS)
    np.testing.assert_array_equal(found[0], expected)
    cleared = odc.stac.load([item(assets)], chunks={}).kappamask.clear(mask=found)
    assert cleared.red.encoding["grid_mapping"] == "spatial_ref"
    np.testing.assert_array_equal(cleared.red[0].notnull(), expected == 1)


def item(assets):
    """As Earth Search names assets."""
    box = TO_DEGREES.transform_bounds(WEST, NORTH - 960, WEST + 800, NORTH)
    projection = {"proj:epsg": 32635, "proj:shape": [96, 80], "proj:transform": [10, 0, WEST, 0, -10, NORTH]}
    made = pystac.Item("S2A", shapely.geometry.mapping(shapely.box(*box)), list(box), datetime(2024, 6, 1), projection)
    made.stac_extensions = ["https://stac-extensions.github.io/projection/v1.0.0/schema.json"]
    for key, path in assets.items():
        made.add_asset(key, pystac.Asset(str(path), media_type="image/tiff; application=geotiff", roles=["data"]))
    return made


def test_one_date_of_a_dataset_keeps_its_dimension(brightness):
    dataset = series().isel(t=[1]).to_dataset("bands").rename(t="time")
    assert dict(dataset.kappamask.mask(model=brightness, **DIGITS).sizes) == {"time": 1, "y": 64, "x": 64}


@pytest.mark.parametrize("key", ["_FillValue", "nodata", "missing_value"])
def test_nodata_counts_as_each_library_declares_it(brightness, key):
    layers = per_band(**{key: 65535})
    layers["B02"][3, 4] = 65535
    missing = layers.kappamask.mask(model=brightness, **DIGITS) == 5
    assert np.argwhere(missing.values).tolist() == [[3, 4]]


def test_decoded_datasets_are_reflectance(brightness, tmp_path):
    packed = series().to_dataset("bands").map(lambda layer: layer.assign_attrs(scale_factor=1e-4, _FillValue=0))
    packed.to_netcdf(tmp_path / "cube.nc")
    with xr.open_dataset(tmp_path / "cube.nc") as decoded:
        found = decoded.kappamask.mask(model=brightness, level="L2A")
    assert found.attrs["radiometry"] == "reflectance"
    np.testing.assert_array_equal(found, cloud_mask(series(), model=brightness, **DIGITS))


def test_a_mask_is_made_once_and_is_nobodys_to_change(brightness, monkeypatch):
    fed, data = network_runs(monkeypatch), series()
    first = data.kappamask.mask(model=brightness, **DIGITS)
    once = len(fed)
    assert once >= 3
    first[:] = 0
    second = data.kappamask.mask(model=brightness, **DIGITS)
    assert len(fed) == once
    assert (second != 0).all()
    data[0] = data[1]
    changed = data.kappamask.mask(model=brightness, **DIGITS)
    np.testing.assert_array_equal(changed[0], changed[1])


def test_radiometry_in_doubt_is_an_error_here_too(brightness):
    with pytest.raises(RadiometryError, match="dn_offset"):
        (series() + 4000).kappamask.mask(model=brightness, level="L2A")


# Cleared data


@pytest.mark.parametrize("lazily", [False, True])
def test_clear_leaves_what_is_clear(brightness, lazily):
    data = series(level="L2A", radiometry="dn_harmonized", _FillValue=0)
    data = data.chunk(t=1, y=32) if lazily else data
    mask = cloud_mask(data, model=brightness)
    cleared = data.kappamask.clear(model=brightness)
    assert cleared.dtype == np.float32
    assert (cleared.chunks is not None) is lazily
    np.testing.assert_array_equal(cleared, data.compute().astype(np.float32).where((mask == 1).compute()))
    assert cleared.attrs == {"level": "L2A", "radiometry": "dn_harmonized"}
    assert cleared.rio.crs == CRS
    assert cleared.dims == data.dims


@pytest.mark.parametrize("classes", [["cloud"], "cloud", ("cloud_shadow", "cloud"), ()])
def test_clear_hides_the_classes_asked_for_and_always_what_has_none(classes):
    mask = codes(np.arange(5 * 8).reshape(5, 8) % 6)
    mask[0, 0] = 255
    data = cube(np.ones((2, 5, 8), np.float32), BANDS[:2])
    asked = [classes] if isinstance(classes, str) else classes
    left = {"clear": 1, "cloud_shadow": 2, "semi_transparent_cloud": 3, "cloud": 4}
    kept = mask.isin([code for name, code in left.items() if name not in asked])
    found = data.kappamask.clear(classes, mask=mask)
    np.testing.assert_array_equal(found.notnull(), np.broadcast_to(kept, found.shape))


@pytest.mark.parametrize(
    ("dtype", "floating"), [("uint8", "f4"), ("int16", "f4"), ("int32", "f8"), ("float32", "f4"), ("float64", "f8")]
)
def test_clear_loses_no_digit(dtype, floating):
    data = cube(np.full((1, 5, 8), 101), ("B02",)).astype(dtype)
    found = data.kappamask.clear(mask=codes(np.ones((5, 8))))
    assert found.dtype == floating
    assert (found == 101).all()


def test_whole_numbers_may_stay_whole():
    data = cube(np.full((1, 5, 8), 300, np.uint16), ("B02",), _FillValue=9)
    data[0, 2, 2] = 9
    data.encoding = {"_FillValue": 9, "zlib": True}
    mask = codes(np.ones((5, 8)))
    mask[0] = 4
    found = data.kappamask.clear(mask=mask, nodata=0)
    assert found.dtype == np.uint16
    assert (found.attrs["_FillValue"], found.encoding) == (0, {"zlib": True})
    assert (found[0, 0] == 0).all() and found[0, 2, 2] == 0 and (found[0, 3:] == 300).all()
    with pytest.raises(CubeError, match=r"uint16, which has no nodata value -1"):
        data.kappamask.clear(mask=mask, nodata=-1)


def test_cleared_data_go_to_files_as_what_they_came_as(tmp_path):
    mask = codes(np.ones((96, 80)))
    mask[:10] = 4
    original = per_band(_FillValue=0)
    original.kappamask.clear(mask=mask).to_netcdf(tmp_path / "clear.nc")
    with xr.open_dataset(tmp_path / "clear.nc", mask_and_scale=False, decode_coords="all") as stored:
        assert stored.B03.dtype == np.uint16 and stored.B03.attrs["_FillValue"] == 0 and stored.rio.crs == CRS
        np.testing.assert_array_equal(stored.B03, original.B03.where(mask == 1, 0))
    path = geotiff(tmp_path / "scene.tif", nodata=0)
    with rioxarray.open_rasterio(path, masked=True) as data:
        data.kappamask.clear(mask=mask).rio.to_raster(tmp_path / "clear.tif")
    with rioxarray.open_rasterio(tmp_path / "clear.tif") as stored:
        assert stored.rio.nodata == 0
        np.testing.assert_array_equal(stored.sel(band=2), original.B03.where(mask == 1, 0))


def test_whole_numbers_without_nodata_go_to_files_as_floats(tmp_path):
    decoded = per_band()
    decoded["B02"].encoding = {"dtype": np.dtype("uint16"), "scale_factor": 0.5}
    mask = codes(np.full((96, 80), 4))
    decoded.astype(float).kappamask.clear(mask=mask).to_netcdf(tmp_path / "clear.nc")
    with xr.open_dataset(tmp_path / "clear.nc") as stored:
        assert all(stored[band].isnull().all() for band in BANDS)


def test_clear_of_a_dataset_touches_no_mask_and_nothing_without_pixels():
    mask = codes(np.full((96, 80), 4), flag_values=[4], flag_meanings="cloud")
    data = per_band().assign(mask=mask, ndvi=mask * 1.0, scale=2)
    data["ndvi"].attrs.clear()
    found = data.kappamask.clear(mask=mask)
    assert found.B02.isnull().all() and found.ndvi.isnull().all()
    assert found.B02.dims == data.B02.dims
    xr.testing.assert_identical(found["mask"], data["mask"])
    assert found["scale"] == 2


def test_a_mask_of_other_pixels_is_refused():
    data = cube()
    mask = codes(np.ones((96, 80)))
    for wrong in (mask[1:], mask.assign_coords(x=mask.x + 5), mask.expand_dims(t=2), data):
        with pytest.raises(CubeError, match=r"needed is the mask of these data|A mask has dims"):
            data.kappamask.clear(mask=wrong)
    with pytest.raises(CubeError, match=r"xarray\.Dataset, not ndarray"):
        data.kappamask.clear(mask=mask.values)
    near = mask.assign_coords(x=mask.x + 0.01)
    assert data.kappamask.clear(mask=near).notnull().all()


def test_an_unknown_class_is_an_error():
    with pytest.raises(CubeError, match="No class 'fog': known are"):
        cube().kappamask.clear(["fog"], mask=codes(np.ones((96, 80))))


# Statistics


def test_shares_are_of_valid_pixels():
    mask = codes([[1, 1, 1, 2], [3, 4, 5, 0], [255, 255, 5, 5]])
    found = mask.kappamask.statistics()
    assert found.class_pixels.values.tolist() == [3, 1, 1, 1]
    assert found["class"].values.tolist() == ["clear", "cloud_shadow", "semi_transparent_cloud", "cloud"]
    np.testing.assert_allclose(found.share, [3 / 6, 1 / 6, 1 / 6, 1 / 6])
    assert (int(found.valid_pixels), int(found.pixels), float(found.valid_share)) == (6, 10, 0.6)
    assert found.share.dtype == np.float64 and found.pixels.dtype == np.int64


def test_nothing_valid_has_no_shares():
    found = codes([[5, 5], [0, 255]]).kappamask.statistics()
    assert found.share.isnull().all() and found.valid_share == 0 and found.pixels == 3


def test_masks_of_other_schemes_and_of_openeo_count_the_same():
    mask = codes([[1, 1, 1, 2], [3, 4, 5, 4]])
    expected = mask.kappamask.statistics()
    served = mask.where(mask != 5).astype(np.float32)
    for other in (to_scheme(mask, "SCL"), served.fillna(5), mask.to_dataset(name="mask")):
        xr.testing.assert_equal(other.kappamask.statistics(), expected)
    with pytest.raises(CubeError, match="The mask holds 77"):
        codes([[1, 77]]).kappamask.statistics()


polygons = st.lists(
    st.tuples(st.floats(-60, 560), st.floats(-60, 460)), min_size=3, max_size=6, unique=True
).map(lambda points: shapely.Polygon([(WEST + x, NORTH - y) for x, y in points]).buffer(0))  # fmt: skip


@settings(max_examples=20)
@given(area=polygons, southward=st.booleans())
def test_pixels_count_by_their_centres(area, southward):
    mask = chessboard()
    x, y = np.meshgrid(mask.x, mask.y)
    inside, near = shapely.contains_xy(area, x, y), shapely.contains_xy(area.boundary.buffer(1e-3), x, y)
    mask = mask if southward else mask[::-1]
    if not inside.any():
        return
    found = mask.kappamask.statistics(area, crs=CRS)
    expected = [int((chessboard().values[inside] == code).sum()) for code in range(1, 5)]
    if not near.any():
        assert found.class_pixels.values.tolist() == expected
    touched = mask.kappamask.statistics(area, crs=CRS, all_touched=True)
    assert int(touched.pixels) > int(found.pixels)


def test_areas_of_every_kind_are_the_same():
    mask = chessboard()
    box = (WEST + 101, NORTH - 299, WEST + 303, NORTH - 98)
    local = shapely.box(*box)
    lonlat = shapely.transform(local.segmentize(10), TO_DEGREES.transform, interleaved=False)
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(lonlat)}
    halves = [shapely.box(*box[:2], WEST + 200, box[3]), shapely.box(WEST + 200, *box[1:])]
    kinds = [
        (box, CRS),
        (list(box), 32635),
        (local, mask.rio.crs),
        (lonlat, "EPSG:4326"),
        (feature["geometry"], None),
        (feature, None),
        ({"type": "FeatureCollection", "features": [feature, {**feature, "geometry": None}]}, None),
        ({**shapely.geometry.mapping(local), "crs": {"type": "name", "properties": {"name": CRS}}}, None),
        (geopandas.GeoSeries(halves, crs=CRS), None),
        (geopandas.GeoDataFrame(geometry=halves, crs=CRS).to_crs(3857), None),
        (shapely.force_3d(local), CRS),
    ]
    expected = mask[10:30, 10:30].kappamask.statistics()
    for area, crs in kinds:
        xr.testing.assert_equal(mask.kappamask.statistics(area, crs=crs), expected)


def test_a_box_in_degrees_is_bent_as_parallels_are():
    """A parallel of 100 km leaves the straight line in UTM by 200 m."""
    side = 10_000
    wide = xr.DataArray(np.ones((60, side), np.uint8), dims=("y", "x"))
    wide = wide.assign_coords(x=WEST + 10 * np.arange(side), y=NORTH - 10 * np.arange(60.0)).rio.write_crs(CRS)
    (west, _), (east, _) = (TO_DEGREES.transform(x, NORTH) for x in (WEST, WEST + 10 * side))
    middle = TO_DEGREES.transform(WEST + 5 * side, NORTH - 300)[1]
    found = wide.kappamask.statistics((west - 1, middle, east + 1, middle + 1), crs="EPSG:4326")
    latitude = TO_DEGREES.transform(*np.meshgrid(wide.x, wide.y))[1]
    assert abs(int(found.pixels) - int((latitude > middle).sum())) < 40


def test_an_area_may_be_larger_than_the_world_of_the_cube():
    mask = chessboard()
    found = mask.kappamask.statistics((-180, -85, 180, 85), crs="EPSG:4326")
    assert int(found.pixels) == mask.size


@pytest.mark.parametrize(
    ("area", "crs", "reason"),
    [
        ((WEST, NORTH - 50, WEST + 50, NORTH), None, r"no coordinate reference system: say crs='EPSG:4326'"),
        (shapely.Point(0, 0), None, "no coordinate reference system"),
        (
            (10, 40, 11, 41),
            "EPSG:4326",
            r"The area \(10, 40, 11, 41\) lies outside the cube \(26\.9999, .* is its crs right",
        ),
        ((WEST + 6, NORTH - 9, WEST + 9, NORTH - 6), CRS, "centre of no pixel of the cube: say all_touched=True"),
        ((WEST - 3, NORTH - 50, WEST - 1, NORTH), CRS, "centre of no pixel of the cube"),
        ((5, 6, 4, 7), CRS, "west must be less than east"),
        ((5, 6, 4), CRS, "cannot be read"),
        ("27,58,28,59", CRS, "cannot be read: 'str' object"),
        ({"type": "Polygon"}, None, "cannot be read: 'coordinates'"),
        ({"type": "FeatureCollection", "features": []}, None, "The area is empty"),
        ({"type": "FeatureCollection"}, None, "cannot be read: it is no GeoJSON"),
        ({"type": "Point", "coordinates": [27, 58], "crs": CRS}, None, "cannot be read: its crs is 'EPSG:32635'"),
        (geopandas.GeoSeries([shapely.Point(0, 0)], crs=CRS), "EPSG:3857", "carries the CRS EPSG:32635, not EPSG:3857"),
        (shapely.Point(0, 0), "EPSG:nonsense", "cannot be read"),
    ],
)
def test_areas_that_are_none(area, crs, reason):
    with pytest.raises(CubeError, match=reason):
        chessboard().kappamask.statistics(area, crs=crs)


def test_an_area_needs_to_know_where_the_cube_lies():
    mask, box = chessboard(), (WEST, NORTH - 50, WEST + 50, NORTH)
    for lost in (mask.drop_vars("spatial_ref"), mask.drop_vars("x")):
        with pytest.raises(CubeError, match=r"cube\.rio\.write_crs"):
            lost.kappamask.statistics(box, crs=CRS)
    uneven = mask.assign_coords(x=np.sort(np.random.default_rng(0).uniform(0, 500, 50)))
    with pytest.raises(SceneError, match="not evenly spaced"):
        uneven.kappamask.statistics(box, crs=CRS)


def test_a_row_of_pixels_lies_where_its_coordinates_say():
    row, box = chessboard()[7:8], (WEST + 100, NORTH - 400, WEST + 200, NORTH)
    with pytest.raises(CubeError, match="one pixel wide or high"):
        row.kappamask.statistics(box, crs=CRS)
    row = chessboard().rio.write_transform()[7:8]
    assert int(row.kappamask.statistics(box, crs=CRS).pixels) == 10
    with pytest.raises(CubeError, match=r"centre of no pixel|outside"):
        row.kappamask.statistics((WEST + 100, NORTH - 20, WEST + 200, NORTH), crs=CRS)


def test_grids_in_degrees_have_areas_too():
    mask = codes(np.ones((30, 40))).drop_vars("spatial_ref")
    mask = mask.assign_coords(x=27 + 1e-3 * np.arange(40), y=58 - 1e-3 * np.arange(30)).rename(x="lon", y="lat")
    found = mask.rio.write_crs("EPSG:4326").kappamask.statistics((27.0095, 57.9895, 27.0195, 57.9995), crs=4326)
    assert int(found.pixels) == 100


def test_what_is_no_cube_is_refused():
    with pytest.raises(CubeError, match=r"dims \(time\); needed are y and x"):
        xr.DataArray([1, 2], dims="time").kappamask.statistics()
    with pytest.raises(SceneError, match="Dataset has no bands"):
        xr.Dataset({"ndvi": cube()[0]}).kappamask.mask()
    with pytest.raises(CubeError, match="A mask has dims"):
        compute_class_statistics(cube())


# Laziness


def test_building_computes_nothing_and_auto_only_a_sample_of_each_date(brightness):
    lazy, reads = count_reads(series(side=128), t=1, y=32, x=32)
    layers = lazy.to_dataset("bands")
    box = (WEST, NORTH - 200, WEST + 200, NORTH)
    with computations(0):
        for data in (lazy, layers):
            data.kappamask.mask(model=brightness, scores=True, **DIGITS)
            data.kappamask.clear(model=brightness, **DIGITS)
            data.kappamask.clear(model=brightness, nodata=0, **DIGITS)
            data.kappamask.statistics(box, crs=CRS, model=brightness, **DIGITS)
            for method in ("best", "newest", "median"):
                data.kappamask.composite(method=method, model=brightness, **DIGITS)
    assert not reads
    with computations(3) as done:
        lazy.kappamask.statistics(model=brightness, level="L2A")
        lazy.kappamask.clear(model=brightness, level="L2A")
    assert len(done) == 3


def test_every_block_and_every_window_is_computed_once(brightness, monkeypatch):
    fed = network_runs(monkeypatch)
    lazy, reads = count_reads(series(side=128), t=1, y=32, x=32)
    cloud_mask(lazy, model=brightness, **DIGITS).compute()
    windows, reads_of_one = len(fed), dict(reads)
    assert set(reads_of_one.values()) == {1}
    for made in (
        lazy.kappamask.statistics(model=brightness, **DIGITS),
        lazy.kappamask.clear(model=brightness, **DIGITS),
        lazy.kappamask.composite(model=brightness, **DIGITS),
        xr.merge(
            [
                lazy.kappamask.mask(model=brightness, **DIGITS),
                lazy.kappamask.statistics((WEST, NORTH - 200, WEST + 200, NORTH), crs=CRS, model=brightness, **DIGITS),
                lazy.kappamask.composite(method="newest", model=brightness, **DIGITS),
            ]
        ),
    ):
        fed.clear()
        reads.clear()
        made.compute()
        assert len(fed) == windows
        assert reads == reads_of_one


def test_one_date_costs_one_date_and_an_area_only_its_blocks(brightness, monkeypatch):
    fed = network_runs(monkeypatch)
    lazy, reads = count_reads(series(side=128), t=1, y=32, x=32)
    found = lazy.kappamask.statistics(model=brightness, **DIGITS)
    found.compute()
    whole = len(fed)
    fed.clear()
    reads.clear()
    found.isel(t=1).compute()
    assert len(fed) == whole / 3
    assert {where[0] for where in reads} == {(1, 2)}
    mask, read = count_reads(lazy.kappamask.mask(model=brightness, **DIGITS).compute(), t=1, y=32, x=32)
    mask.kappamask.statistics((WEST, NORTH - 200, WEST + 300, NORTH), crs=CRS).compute()
    assert {where[1:] for where in read} == {((0, 32), (0, 32))}


# The words of the docstrings, and real pixels


@pytest.mark.parametrize("module", ["accessor", "composite", "statistics"])
def test_examples_hold(module):
    data = series(radiometry="dn_harmonized")
    examples = importlib.import_module(f"kappamask.scenes.{module}")
    ran = doctest.testmod(examples, extraglobs={"cube": data, "mask": chessboard()})
    assert ran.attempted > 0 and ran.failed == 0


@pytest.fixture(scope="module")
def canberra(shared_data):
    with np.load(shared_data / "series_l2a_canberra_30dates.npz") as file:
        values, bands = file["dn"].transpose(0, 3, 1, 2), file["bands"]
    first = cube(values[0], tuple(map(str, bands)))
    data = xr.concat([first.copy(data=date) for date in values], "t").assign_attrs(
        level="L2A", radiometry="dn_harmonized"
    )
    return data.assign_coords(t=np.datetime64("2016-01-01", "ns") + np.arange(len(values)) * np.timedelta64(10, "D"))


@pytest.mark.shared_data
def test_real_series(canberra):
    found = canberra.kappamask.statistics()
    assert (found.share.sum("class") == 1).all()
    expected = [float((cloud_mask(date) == 1).mean()) for date in canberra[:3]]
    np.testing.assert_allclose(found.share.sel({"class": "clear"})[:3], expected)
    cleared = canberra.kappamask.clear()
    spread, before = (one.sel(bands="B02").std("t").mean() for one in (cleared, canberra))
    assert spread < before


@pytest.mark.shared_data
def test_real_composite(canberra):
    made = canberra.kappamask.composite(target="2016-04-01")
    assert made.composite.notnull().all() and (made.clear_dates > 0).all()
    own = cloud_mask(made.composite.assign_attrs(level="L2A", radiometry="dn_harmonized"))
    each = canberra.kappamask.statistics().share.sel({"class": "clear"})
    assert (own == 1).mean() > 0.95 > each.mean()
    source = canberra.sel(t=made.date)
    np.testing.assert_array_equal(made.composite, source.transpose("bands", "y", "x"))
