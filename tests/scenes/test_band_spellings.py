"""Other archives' names of bands are understood; what may be several bands is asked about."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from files import cube, digits, geotiff

from kappamask.models import CubeError, SceneError
from kappamask.models.band_names import are_numbered, find_band, find_bands
from kappamask.scenes import open_scene
from kappamask.udf import cloud_mask

SIX = ("B02", "B03", "B04", "B8A", "B11", "B12")
SPELLINGS = (
    ("Blue", "GREEN", "red", "nir_narrow", "SWIR 1", "SWIR 2"),
    ("blue", "green", "red", "Red Edge 4", "swir_1", "swir_2"),
    ("blue", "green", "red", "nir08", "swir-16", "swir-22"),
    ("blue", "green", "red", "NIR narrow", "swir_2", "swir_3"),
)
UNCLEAR = ("swir", "SWIR2", "nir_2", "rededge", "red_edge", "SWIR 1610", "NIR 842 nm")
spelled = pytest.mark.parametrize("names", SPELLINGS, ids=lambda names: "-".join(names[3:]))
unclear = pytest.mark.parametrize("name", UNCLEAR)


@pytest.mark.parametrize(
    ("text", "band"),
    [("B08A", "B8A"), ("B8", "B08"), ("red_edge_1", "B05"), ("Coastal Aerosol", "B01"), ("rededge", None),
     ("swir2", None), ("B80", None), ("sza_B02", None), ("B02_vaa", None), ("swir1_mask", None), ("blue 2", None)],
)  # fmt: skip
def test_a_text_names_one_band_or_none(text: str, band: str | None) -> None:
    assert find_band(text) == band


def test_bands_of_other_satellites_are_not_those_of_sentinel_2() -> None:
    modis = [f"sur_refl_b{number:02}" for number in (1, 3, 4)]
    assert are_numbered(modis) and find_bands(modis) == [None] * 3
    assert are_numbered(["Nadir_Reflectance_Band1", "B02"])


def write(path: Path, names: tuple[str, ...], values: np.ndarray) -> Path:
    if path.suffix == ".tif":
        return geotiff(path, values, names)
    bands = cube(values, names).to_dataset("bands")
    bands.to_netcdf(path, engine="h5netcdf")
    return path


@spelled
def test_a_cube_of_any_spelling_gives_one_mask(names: tuple[str, ...]) -> None:
    given = cube(digits(6), SIX)
    options = {"level": "L1C", "radiometry": "dn_harmonized"}
    expected = cloud_mask(given, **options)
    renamed = given.assign_coords(bands=list(names))
    np.testing.assert_array_equal(cloud_mask(renamed, **options), expected)
    np.testing.assert_array_equal(cloud_mask(renamed.to_dataset("bands"), **options), expected)
    four = cloud_mask(given.isel(bands=slice(0, 3)), **options)
    assert not np.array_equal(four, expected)  # bands that are not understood would be missed


@spelled
@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_a_file_of_any_spelling_has_its_bands(tmp_path: Path, names: tuple[str, ...], suffix: str) -> None:
    scene = open_scene(write(tmp_path / f"s_L1C{suffix}", names, digits(6)))
    assert tuple(scene.bands.values) == SIX
    np.testing.assert_array_equal(scene, digits(6))


@unclear
def test_what_may_be_several_bands_is_asked_about(name: str) -> None:
    given = cube(digits(4), ("B02", "B03", "B04", name))
    options = {"level": "L1C", "radiometry": "dn_harmonized"}
    for one in (given, given.to_dataset("bands")):
        with pytest.raises(CubeError, match=rf"{name} may be one of several bands: rename .* bands=\['B02', '…'\]"):
            cloud_mask(one, **options)
    three = cloud_mask(given.isel(bands=slice(0, 3)), **options)
    np.testing.assert_array_equal(cloud_mask(given, bands=["B02", "B03", "B04"], **options), three)


@unclear
@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_files_ask_as_well(tmp_path: Path, name: str, suffix: str) -> None:
    path = write(tmp_path / f"s_L1C{suffix}", ("B02", "B03", "B04", name), digits(4))
    with pytest.raises(SceneError, match=rf"{name} may be one of several bands"):
        open_scene(path)
    assert list(open_scene(path, bands=["B02", "B03", "B04"]).bands.values) == ["B02", "B03", "B04"]


def test_a_cube_in_a_file_asks_as_well(tmp_path: Path) -> None:
    labelled = cube(digits(4), ("B02", "B03", "B04", "rededge")).rename("scene")
    labelled.to_dataset().to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    with pytest.raises(SceneError, match="rededge may be one of several bands"):
        open_scene(tmp_path / "s.nc", level="L1C")
    opened = xr.load_dataset(tmp_path / "s.nc")
    with pytest.raises(SceneError, match="rededge may be one"):
        opened.kappamask.mask(level="L1C", radiometry="dn_harmonized")
