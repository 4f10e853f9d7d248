import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from files import CRS, NORTH, WEST, geotiff
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine, from_origin

from kappamask.models import SceneError
from kappamask.scenes import open_scene, write_mask
from kappamask.scenes.grid import halve_grid, read_grid, to_coordinates, to_rasterio_crs
from kappamask.scenes.mosaic import join_masks
from kappamask.scenes.writers.masks import read_mask

LAEA = "+proj=laea +lat_0=52 +lon_0=10 +ellps=bessel +towgs84=598.1,73.7,418.2,0.202,0.045,-2.455,6.7 +units=m"
LOCAL = 'LOCAL_CS["local",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'


@pytest.mark.parametrize("crs", [CRS, "EPSG:4326", "EPSG:3857", "EPSG:32635+5773", LAEA, LOCAL])
def test_the_text_of_a_crs_stays_what_the_file_has(tmp_path: Path, crs: str) -> None:
    with rasterio.open(geotiff(tmp_path / "scene.tif", crs=crs)) as dataset:
        grid, stored = read_grid(dataset), dataset.crs
    for one in (grid, pickle.loads(pickle.dumps(grid))):
        kept = to_rasterio_crs(one)
        assert kept is not None and kept.to_wkt() == stored.to_wkt()
        assert one == grid


def test_a_file_without_georeference_has_a_grid_without_crs(tmp_path: Path) -> None:
    with rasterio.open(geotiff(tmp_path / "scene.tif", crs=None, transform=Affine.identity())) as dataset:
        grid = read_grid(dataset)
    assert (grid.crs, to_rasterio_crs(grid), grid.transform) == (None, None, Affine.identity())


@pytest.mark.parametrize(
    "transform", [Affine(10, 0, WEST, 0, 10, NORTH - 960), Affine(-10, 0, WEST + 800, 0, -10, NORTH)]
)
def test_a_turned_grid_has_no_negative_zeros(tmp_path: Path, transform: Affine) -> None:
    with rasterio.open(geotiff(tmp_path / "scene.tif", transform=transform)) as dataset:
        grid = read_grid(dataset)
    assert grid == GeoBox((96, 80), from_origin(WEST, NORTH, 10, 10), CRS)
    assert not np.signbit([grid.transform.b, grid.transform.d]).any()


def test_halves_drop_an_odd_line() -> None:
    half = halve_grid(GeoBox((5, 1), from_origin(WEST, NORTH, 10, 30), CRS))
    assert (half.shape, half.transform) == ((2, 0), from_origin(WEST, NORTH, 20, 60))
    assert to_coordinates(half)["y"].tolist() == [NORTH - 30, NORTH - 90]


@pytest.mark.parametrize(("apart", "fits"), [(10.0, True), (10.000005, True), (10.0001, False), (10.3, False)])
def test_masks_are_put_together_to_within_what_files_round(tmp_path: Path, apart: float, fits: bool) -> None:
    codes = (open_scene(geotiff(tmp_path / "scene.tif")).isel(bands=0, drop=True) % 4 + 1).astype("uint8")
    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    write_mask(codes, paths[0])
    write_mask(codes.assign_coords(x=codes["x"] + 80 * apart), paths[1])
    if not fits:
        with pytest.raises(SceneError, match=r"b\.tif"):
            join_masks(paths)
        return
    whole = join_masks(paths)
    np.testing.assert_array_equal(whole, np.concatenate([read_mask(path) for path in paths], axis=1))
