"""Layers that are only numbered are no bands until the caller names each of them.

Common names are names.
"""

import numpy as np
import pytest
import rasterio
import xarray as xr
from files import geotiff
from rasterio.transform import from_origin

from kappamask.models import CubeError, SceneError
from kappamask.models.band_names import are_numbered, find_bands
from kappamask.scenes import open_scene
from kappamask.udf import cloud_mask
from kappamask.udf.chunk import apply_datacube

BANDS = ["B02", "B03", "B04", "B08"]
NUMBERED = [
    ["b1", "b2", "b3", "b4"],
    ["B1", "B2", "B3", "B4"],
    ["band_1", "band_2", "band_3", "band_4"],
    ["layer_b1", "layer_b2", "layer_b3", "layer_b4"],
    ["SR_B1", "SR_B2", "SR_B3", "SR_B4"],
    ["SR_B2", "SR_B3", "SR_B4", "SR_B5"],
    ["1", "2", "3", "4"],
    ["b1_median", "b2_median", "b3_median", "b4_median"],
    ["B1 uint16", "B2 uint16", "B3 uint16", "B4 uint16"],
]
NAMED = [["B2", "B3", "B4", "B8"], ["blue", "green", "red", "nir"], ["Blue", "GREEN", "red", "nir"]]


def numbers():
    values = np.random.default_rng(2).integers(300, 4000, (4, 16, 16)).astype("uint16")
    place = {"y": 5e6 - 5 - 10.0 * np.arange(16), "x": 5e5 + 5 + 10.0 * np.arange(16)}
    return xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": BANDS, **place})


def scene(kind, folder, names):
    cube = numbers()
    path = folder / f"scene.{kind}"
    if kind == "tif":
        options = {"count": 4, "height": 16, "width": 16, "dtype": "uint16", "crs": "EPSG:32631"}
        with rasterio.open(path, "w", transform=from_origin(5e5, 5e6, 10, 10), **options) as file:
            file.write(cube.values)
            file.descriptions = tuple(names)
        return path
    apart = xr.Dataset({name: plane.drop_vars("bands") for name, plane in zip(names, cube, strict=True)})
    if kind == "nc":
        apart.to_netcdf(path, engine="h5netcdf")
    else:
        apart.to_zarr(path)
    return path


@pytest.mark.parametrize("kind", ["tif", "nc", "zarr"])
@pytest.mark.parametrize("names", NUMBERED)
def test_a_file_of_numbered_layers_is_read_only_by_given_names(tmp_path, kind, names):
    path = scene(kind, tmp_path, names)
    for bands in (None, BANDS[:3]):
        with pytest.raises(SceneError, match=rf"only numbers \({names[0]}.*name all 4 in order with bands="):
            open_scene(path, bands=bands)
    cube = open_scene(path, bands=BANDS)
    assert cube.bands.values.tolist() == BANDS
    assert (cube.values == numbers().values).all()


@pytest.mark.parametrize("kind", ["tif", "nc", "zarr"])
@pytest.mark.parametrize("names", NAMED)
def test_common_and_short_names_are_names(tmp_path, kind, names):
    path = scene(kind, tmp_path, names)
    assert (open_scene(path, bands=BANDS).values == numbers().values).all()
    assert set(open_scene(path).bands.values) == set(BANDS)


@pytest.mark.parametrize("names", [*NUMBERED, [1, 2, 3, 4]])
def test_a_cube_of_numbered_layers_is_read_only_by_given_names(brightness, names):
    cube, options = numbers().assign_coords(bands=names), {"model": brightness, "level": "L1C"}
    truth = cloud_mask(numbers(), **options)
    for data in (cube, cube.chunk()):
        with pytest.raises(CubeError, match=r"only numbered .*name all 4 in order with bands="):
            cloud_mask(data, **options)
        assert (cloud_mask(data, bands=BANDS, **options) == truth).all()
        assert (data.kappamask.mask(bands=BANDS, **options) == truth).all()


@pytest.mark.parametrize("names", NAMED)
def test_a_cube_with_common_and_short_names(brightness, names):
    options = {"model": brightness, "level": "L1C"}
    truth = cloud_mask(numbers(), **options)
    assert (cloud_mask(numbers().assign_coords(bands=names), **options) == truth).all()
    assert cloud_mask(numbers().assign_coords(bands=names), bands=BANDS[:3], **options).shape == truth.shape


def test_names_that_a_named_cube_lacks(brightness):
    with pytest.raises(CubeError, match="no band B11; it has B02, B03, B04, B08"):
        cloud_mask(numbers(), bands=["B02", "B11"], model=brightness, level="L1C")


def test_a_udf_takes_the_names_of_its_context():
    chunk = numbers().astype("float32").assign_coords(bands=["b1", "b2", "b3", "b4"])
    with pytest.raises(CubeError, match='"bands": '):
        apply_datacube(chunk, {"level": "L1C"})
    made = apply_datacube(chunk, {"level": "L1C", "bands": BANDS})
    assert (made.values == apply_datacube(numbers().astype("float32"), {"level": "L1C"}).values).all()


@pytest.mark.parametrize(
    "names",
    [
        BANDS,
        ["B2", "B3", "B4"],
        [*(f"B{i}" for i in range(1, 9)), "B8A", *(f"B{i}" for i in range(9, 13))],
        ["B10"],
        ["B01", "B02", "B03"],
        ["b1", "mask"],
        ["B1_mean", *(f"B{i}_mean" for i in range(2, 9)), "B8A_mean", "cloud"],
        ["B2", "B3", "B4", "B8", "QA60"],
        ["1", "2", "blue"],
        [None],
        [],
    ],
)
def test_what_is_no_count(names):
    assert not are_numbered(names)
    assert len(find_bands(names)) == len(names)


@pytest.mark.parametrize("others", [["cloud_prob"], [None], ["mask", "qa"]])
@pytest.mark.parametrize("names", [NUMBERED[0], NUMBERED[1], NUMBERED[5]])
def test_numbered_layers_next_to_others_name_no_bands(tmp_path, brightness, names, others):
    cube = numbers()
    values = np.concatenate([cube.values, np.ones((len(others), 16, 16), "uint16")])
    path = tmp_path / "scene.tif"
    place = {"transform": from_origin(5e5, 5e6, 10, 10), "crs": "EPSG:32631"}
    with rasterio.open(path, "w", count=len(values), height=16, width=16, dtype="uint16", **place) as file:
        file.write(values)
        file.descriptions = (*names, *others)
    with pytest.raises(SceneError, match=r"only numbers .*name all 4 in order"):
        open_scene(path)
    read = open_scene(path, bands=BANDS)
    assert read.bands.values.tolist() == BANDS
    assert (read.values == cube.values).all()
    labelled = xr.DataArray(values, dims=cube.dims, coords={"bands": [*names, *map(str, others)]})
    options = {"model": brightness, "level": "L1C"}
    with pytest.raises(CubeError, match="only numbered"):
        cloud_mask(labelled, **options)
    assert (cloud_mask(labelled, bands=BANDS, **options).values == cloud_mask(cube, **options).values).all()


def test_bands_of_landsat_next_to_their_quality_name_no_bands():
    assert are_numbered(["SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7", "QA_PIXEL"])


@pytest.mark.parametrize("name", ["{}_mask", "{}_std", "qa_{}", "MSK_DETFOO_{}", "view_azimuth_{}"])
@pytest.mark.parametrize("kind", ["tif", "nc", "zarr"])
def test_layers_about_bands_are_no_bands(tmp_path, kind, name):
    names = [*BANDS[:3], name.format("B08")]
    assert open_scene(scene(kind, tmp_path, names)).bands.values.tolist() == BANDS[:3]


@pytest.mark.parametrize("kind", ["nc", "zarr"])
def test_a_band_of_two_variables_is_asked_about(tmp_path, kind):
    with pytest.raises(SceneError, match=r"names B02 more than once \(a_B02, c_B02\)"):
        open_scene(scene(kind, tmp_path, ["a_B02", "B03", "B04", "c_B02"]))


def test_the_variable_with_the_name_of_a_band_is_the_band(tmp_path):
    cube = open_scene(scene("nc", tmp_path, ["B02", "B03", "B04", "old_B02"]))
    assert (cube.values == numbers().values[:3]).all()


def test_bands_in_one_word_are_not_read_letter_by_letter(tmp_path):
    with pytest.raises(SceneError, match=r"bands is 'B02,B03'; needed is a list of names"):
        open_scene(geotiff(tmp_path / "scene_L1C.tif"), bands="B02,B03")
