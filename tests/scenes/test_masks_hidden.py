"""What masks, alpha bands and nodata values hide in a mask is no class."""

from pathlib import Path

import dask.array
import numpy as np
import pytest
import rasterio
import xarray as xr
from files import cube, geotiff, hole
from rasterio.enums import ColorInterp

from kappamask.evaluation.peers import read_rasters
from kappamask.models import SceneError
from kappamask.scenes import class_statistics, read_mask
from kappamask.scenes.encoding import hide_nodata
from kappamask.udf import clean, from_scheme, to_scheme, unusable_pixels

HIDDEN = hole() == 0
FMASK = {"scheme": "Fmask"}


def codes() -> np.ndarray:
    """Make codes 0 to 4, none of which is no data in Fmask."""
    return (np.arange(HIDDEN.size, dtype=np.uint8) % 5).reshape(HIDDEN.shape)


def write_hidden(path: Path, how: str, tags: dict[str, str] | None = None) -> Path:
    """Write codes with a corner that the file's mask, alpha or nodata value hides."""
    if how in ("internal", "sidecar"):
        geotiff(path, codes()[None], (None,), tags)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=how == "internal"), rasterio.open(path, "r+") as file:
            file.write_mask(hole())
    elif how == "alpha":
        geotiff(path, np.stack([codes(), hole()]), (None, None), tags, photometric="minisblack")
        with rasterio.open(path, "r+") as file:
            file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    else:
        geotiff(path, np.where(HIDDEN, 77, codes()).astype(np.uint8)[None], (None,), tags, nodata=77)
    return path


@pytest.mark.parametrize("how", ["internal", "sidecar", "alpha", "nodata"])
def test_hidden_pixels_are_outside_and_not_the_class_0(tmp_path: Path, how: str) -> None:
    mask = read_mask(write_hidden(tmp_path / "m.tif", how, FMASK))
    np.testing.assert_array_equal(mask, np.where(HIDDEN, 255, codes()))
    assert mask.dtype == np.uint8
    found = from_scheme(mask, "Fmask").values
    assert set(np.unique(found[HIDDEN])) <= {5, 255}
    assert set(np.unique(found[~HIDDEN])) == {1, 2, 4}
    assert int(class_statistics(mask).valid_pixels) == (~HIDDEN).sum()


@pytest.mark.parametrize("how", ["internal", "alpha", "nodata"])
def test_rasters_to_compare_hide_the_same(tmp_path: Path, how: str) -> None:
    from patches import patch

    write_hidden(tmp_path / "place_Fmask.tif", how)
    one = patch(truth=np.ones(HIDDEN.shape, np.uint8), name="place")
    found = read_rasters("Fmask", tmp_path)(one).mask
    assert set(np.unique(found[HIDDEN])) <= {5, 255}


def test_a_class_that_is_declared_as_nodata_is_asked_about(tmp_path: Path) -> None:
    path = geotiff(tmp_path / "m.tif", codes()[None], (None,), FMASK, nodata=0)
    with pytest.raises(
        SceneError, match=r"declares 0 as no data, which is clear in Fmask.*gdal_edit\.py -unsetnodata m"
    ):
        read_mask(path)
    plain = geotiff(tmp_path / "plain.tif", codes()[None], (None,), nodata=0)
    np.testing.assert_array_equal(read_mask(plain), codes())  # 0 is undefined here
    with pytest.raises(SceneError, match="declares 0 as no data"):
        read_mask(plain, scheme="S2cloudless")


def test_nodata_of_netcdf_is_hidden_as_well(tmp_path: Path) -> None:
    path, values = tmp_path / "m.nc", np.where(HIDDEN, 77, codes()).astype(np.uint8)
    layer = xr.DataArray(values, cube().coords.to_dataset().drop_vars("bands").coords, ("y", "x"), "mask")
    layer.assign_attrs(FMASK).to_dataset().to_netcdf(path, encoding={"mask": {"_FillValue": 77}})
    np.testing.assert_array_equal(read_mask(path), np.where(HIDDEN, 255, codes()))


@pytest.mark.parametrize("fill", [-9999.0, np.nan, 77.0])
def test_a_mask_of_real_numbers_hides_its_fill_as_well(fill: float) -> None:
    layer = xr.DataArray(np.where(HIDDEN, fill, codes()).astype(np.float32), dims=("y", "x"), attrs=FMASK)
    hidden = hide_nodata("m.nc", layer, fill, None).values
    np.testing.assert_array_equal(hidden, np.where(HIDDEN, fill if np.isnan(fill) else 255, codes()))


def test_blocks_of_masked_arrays_are_missing_where_they_are_masked() -> None:
    values = dask.array.from_array(np.ma.masked_array(codes(), HIDDEN), chunks=50)
    mask = xr.DataArray(values, dims=("y", "x"))
    whole = xr.DataArray(np.where(HIDDEN, 255, codes()).astype(np.uint8), dims=("y", "x"))
    for convert in (
        lambda one: to_scheme(one, "SCL"),
        unusable_pixels,
        lambda one: clean(one, buffer_m=20, pixel_m=10),
    ):
        np.testing.assert_array_equal(convert(mask).compute(), convert(whole))
    assert int(class_statistics(mask).valid_pixels) == int(class_statistics(whole).valid_pixels)
