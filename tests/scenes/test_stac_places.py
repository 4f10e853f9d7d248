"""Assets that lie elsewhere or cannot be read, and longitudes to 360."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files import CRS, NORTH, WEST, digits, geotiff
from rasterio.transform import from_origin
from stacs import cogs, raw_item, write_item

from kappamask.models import SceneError
from kappamask.scenes.readers.stac import open_stac


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def place_swir(folder: Path, west: float, crs: str = CRS, side: int = 60, metres: int = 20) -> None:
    """Write B11 again, elsewhere."""
    place = {"crs": crs, "transform": from_origin(west, NORTH, metres, metres)}
    geotiff(folder / "B11.tif", digits(1, side, side), (None,), nodata=0, **place)


@pytest.mark.parametrize(
    ("west", "crs"), [(WEST + 100_000, CRS), (WEST + 600, CRS), (WEST - 200, CRS), (WEST, "EPSG:32634")]
)
def test_an_asset_of_another_place_is_an_error_that_names_it(folder: Path, west: float, crs: str) -> None:
    assets = cogs(folder)
    place_swir(folder, west, crs)
    path = write_item(folder, raw_item(assets))
    cube = open_stac(path)
    with pytest.raises(SceneError, match=r"B11 lies elsewhere .*B11\.tif covers .*bands=\['B02', '…'\]"):
        cube.compute()
    assert (open_stac(path, bands=["B02", "B03", "B04"]).values > 0).all()


def test_an_asset_that_ends_a_coarse_pixel_earlier_or_later_is_read(folder: Path) -> None:
    assets = cogs(folder)
    path = write_item(folder, raw_item(assets))
    for side, metres in ((19, 60), (22, 60), (60, 20)):
        place_swir(folder, WEST, side=side, metres=metres)
        assert open_stac(path, bands=["B02", "B11"]).compute().shape == (2, 120, 120)


def test_an_asset_that_covers_the_box_that_is_asked_for_is_enough(folder: Path) -> None:
    assets = cogs(folder)
    place_swir(folder, WEST + 600)
    path = write_item(folder, raw_item(assets))
    whole = open_stac(path, bands=["B02"])
    east = whole.rio.transform_bounds("EPSG:4326")
    middle = (east[0] + east[2]) / 2
    part = open_stac(path, bands=["B11"], bbox=(middle + 0.001, east[1] + 0.001, east[2], east[3]))
    assert (part.values > 0).all()


def list_warnings(path: Any, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        open_stac(path, **options)
    return [str(one.message) for one in seen if "left out" in str(one.message)]


def test_a_band_that_cannot_be_read_is_named(folder: Path) -> None:
    assets = cogs(folder)
    assert list_warnings(write_item(folder, raw_item(assets))) == []
    netcdf = assets | {"swir16": {"href": "B11.nc", "type": "application/netcdf"}}
    path = write_item(folder, raw_item(netcdf))
    (said,) = list_warnings(path)
    assert "B11 is left out" in said and "'swir16'" in said
    assert list_warnings(path, bands=["B02", "B03"]) == []


def test_pictures_and_metadata_named_after_bands_are_no_bands(folder: Path) -> None:
    assets = cogs(folder)
    more = {
        "B12": {"href": "B12.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
        "blue-metadata": {"href": "B02.xml", "type": "application/xml", "roles": ["metadata"]},
    }
    assert list_warnings(write_item(folder, raw_item(assets | more))) == []


def test_a_band_that_some_items_lack_is_named(folder: Path) -> None:
    assets = cogs(folder)
    fewer = {key: asset for key, asset in assets.items() if key != "swir16"}
    both = [raw_item(assets, name="all"), raw_item(fewer, name="fewer", date="2021-06-01T10:00:00Z")]
    paths = [write_item(folder, one, f"{one['id']}.json") for one in both]
    (said,) = list_warnings(paths)
    assert said.startswith("B11 is left out: 1 of 2 items lack it (fewer)")


@pytest.mark.parametrize("west", [355.0, -5.0])
def test_longitudes_of_a_box_are_found_whether_the_scene_counts_to_180_or_360(folder: Path, west: float) -> None:
    place = {"crs": "EPSG:4326", "transform": from_origin(west, 50.0, 1e-4, 1e-4)}
    geotiff(folder / "blue.tif", digits(1, 100, 100), (None,), nodata=0, **place)
    path = write_item(folder, raw_item({"blue": {"href": "blue.tif", "type": "image/tiff"}}))
    whole = open_stac(path, resolution=1e-4)
    for shift in (-360, 0, 360):
        box = (west + shift + 0.002, 49.995, west + shift + 0.005, 49.999)
        if -360 <= box[0] <= 360:
            part = open_stac(path, bbox=box, resolution=1e-4)
            np.testing.assert_array_equal(part.values, whole.values[:, 10:50, 20:50])
    with pytest.raises(SceneError, match="does not touch"):
        open_stac(path, bbox=(10, 49.995, 10.1, 49.999))
