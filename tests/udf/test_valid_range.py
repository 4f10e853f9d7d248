"""Numbers outside the range that attributes declare valid are missing, whatever opens them."""

import numpy as np
import pytest
import xarray as xr

from kappamask.models import CubeError, SceneError
from kappamask.scenes import open_scene
from kappamask.udf import cloud_mask
from kappamask.udf.radiometry_metadata import find_valid_range

BANDS = ["B02", "B03", "B04"]
RANGES = [
    ({"valid_max": np.int16(15000)}, 20000),
    ({"valid_min": np.int16(10)}, 3),
    ({"valid_range": np.array([0, 12000], "int16")}, -5),
    ({"valid_range": np.array([0.0, 12000.0])}, 13000),
]
ENCODINGS = [{}, {"scale_factor": 1e-4}, {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.int16(-32768)}]


def dataset(fill, **attributes):
    numbers = np.random.default_rng(4).integers(300, 4000, (3, 40, 40)).astype("int16")
    numbers[:, :10] = fill
    place = {"y": 5e6 - 5 - 10.0 * np.arange(40), "x": 5e5 + 5 + 10.0 * np.arange(40)}
    planes = {band: (("y", "x"), plane, attributes) for band, plane in zip(BANDS, numbers, strict=True)}
    return xr.Dataset(planes, coords=place, attrs={"level": "L1C"})


def check(cube, brightness):
    mask = np.asarray(cloud_mask(cube, model=brightness, level="L1C"))
    assert (mask[:10] == 5).all()
    assert (mask[10:] != 5).all()


@pytest.mark.parametrize("packing", ENCODINGS)
@pytest.mark.parametrize(("attributes", "fill"), RANGES)
def test_numbers_outside_are_missing(tmp_path, brightness, attributes, fill, packing):
    whole = dataset(fill, **attributes)
    for band in BANDS:
        whole[band].attrs |= packing
    whole.to_netcdf(tmp_path / "scene.nc", engine="h5netcdf")
    whole.to_zarr(tmp_path / "scene.zarr")
    for name in ("scene.nc", "scene.zarr"):
        check(open_scene(tmp_path / name), brightness)
    for decoded in (False, True):
        opened = xr.open_dataset(tmp_path / "scene.nc", engine="h5netcdf", mask_and_scale=decoded)
        check(opened, brightness)
        mask = opened.kappamask.mask(model=brightness, level="L1C").values
        assert (mask[:10] == 5).all() and (mask[10:] != 5).all()


def test_a_cube_with_the_attribute(brightness):
    stacked = dataset(20000).to_dataarray("bands").assign_attrs(valid_max=15000, level="L1C")
    for cube in (stacked, stacked.chunk(y=16)):
        check(cube, brightness)
    with xr.set_options(keep_attrs=True):
        fractions = stacked.isel(y=slice(10, None)) / 1e4
    assert (cloud_mask(fractions.assign_attrs(valid_range=[1, 12000]), model=brightness) != 5).all()


@pytest.mark.parametrize(
    ("attributes", "encoding", "span"),
    [
        ({"valid_range": np.array([1, 12000])}, {"scale_factor": 1e-4, "add_offset": -0.1}, (-0.0999, 1.1)),
        ({"valid_range": [0.0, 1.5]}, {"scale_factor": 1e-4}, (0.0, 1.5)),
        ({"valid_range": [0.0, 1.5], "scale_factor": 1e-4, "add_offset": -0.1}, {}, (1000, 16000)),
        ({"valid_range": [0, 100], "valid_min": 5}, {}, (0, 100)),
        ({"valid_min": 0}, {}, (0, np.inf)),
    ],
)
def test_limits_are_those_of_the_numbers(attributes, encoding, span):
    assert find_valid_range(attributes, encoding) == pytest.approx(span)


@pytest.mark.parametrize("attributes", [{"valid_range": [1]}, {"valid_min": "low"}, {"valid_max": [1, 2]}])
def test_attributes_that_are_no_range_are_named(tmp_path, attributes):
    with pytest.raises(CubeError, match=r"'valid_.*needed are numbers"):
        find_valid_range(attributes, {})
    dataset(0, **attributes).to_netcdf(tmp_path / "scene.nc", engine="h5netcdf")
    with pytest.raises((CubeError, SceneError), match="needed are numbers"):
        open_scene(tmp_path / "scene.nc")


def test_the_fill_of_an_unsigned_variable_is_counted_as_its_numbers(tmp_path, brightness):
    whole = dataset(-1, _Unsigned="true", _FillValue=np.int16(-1))
    whole.to_netcdf(tmp_path / "scene.nc", engine="h5netcdf")
    check(open_scene(tmp_path / "scene.nc"), brightness)
