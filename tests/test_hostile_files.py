"""Files that tests of good files do not think of: the right mask, or one sentence and nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from files import BANDS, cube, digits, geotiff, jp2

from kappamask.models import SceneError
from kappamask.scenes import open_scene, scan, write_mask

COMMAND = [sys.executable, "-m", "kappamask.cli", "mask"]


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run(*words, cwd):
    done = subprocess.run([*COMMAND, *map(os.fsencode, words)], capture_output=True, text=True, cwd=cwd, timeout=120)
    return done.returncode, done.stderr


def failed_cleanly(folder: Path, *words, code=1):
    before = listed(folder)
    found, said = run(*words, cwd=folder)
    assert found == code, said
    assert "Traceback" not in said
    assert listed(folder) == before
    return said


def per_band(values, **attributes):
    names = {band: (("y", "x"), plane, attributes) for band, plane in zip(BANDS, values, strict=True)}
    height, width = values.shape[1:]
    return xr.Dataset(names, coords={"y": 5e6 - 10.0 * np.arange(height), "x": 5e5 + 10.0 * np.arange(width)})


def test_plain_float_netcdf_of_xarray_is_read(tmp_path):
    """xarray writes _FillValue NaN into each float variable."""
    values = digits().astype(np.float32)
    per_band(values).to_netcdf(tmp_path / "s_L1C.nc")
    np.testing.assert_array_equal(open_scene(tmp_path / "s_L1C.nc").values, values)


def test_missing_value_alone_is_nodata(tmp_path):
    values = digits().astype(np.int16)
    values[:, :5] = -9999
    per_band(values, missing_value=np.int16(-9999)).to_netcdf(tmp_path / "s_L1C.nc")
    assert open_scene(tmp_path / "s_L1C.nc").attrs["_FillValue"] == -9999


@pytest.mark.parametrize("other", ["T32TQM_20210606T102021_B04.jp2", "T32TQN_20210527T102021_B04.jp2"])
def test_a_folder_with_bands_of_two_scenes_is_refused(tmp_path, other):
    for name in ("T32TQM_20210527T102021_B02.jp2", "T32TQM_20210527T102021_B03.jp2", other):
        jp2(tmp_path / name, digits(1, 64, 64)[0], 10)
    with pytest.raises(SceneError, match="holds bands of several"):
        open_scene(tmp_path)


def test_scores_never_replace_the_scene(tmp_path):
    scene = geotiff(tmp_path / "m_scores.tif", digits(4, 64, 64))
    before = scene.read_bytes()
    failed_cleanly(tmp_path, "m_scores.tif", "--level", "L1C", "--scores", "-o", "m.tif", code=2)
    assert scene.read_bytes() == before


def test_a_suffix_in_capitals_is_understood(tmp_path):
    mask = xr.DataArray(
        np.ones((8, 8), np.uint8), dims=("y", "x"), attrs={"flag_values": [1], "flag_meanings": "clear"}
    )
    write_mask(mask, tmp_path / "m.NC")
    with xr.open_dataset(tmp_path / "m.NC") as file:
        assert (file["mask"] == 1).all()
    assert listed(tmp_path) == ["m.NC"]


def test_complex_numbers_are_refused(tmp_path):
    geotiff(tmp_path / "c_L1C.tif", digits().astype(np.complex64))
    assert "complex" in failed_cleanly(tmp_path, "c_L1C.tif", "-o", "m.tif")


@pytest.mark.parametrize("scale", ["abc", ""])
def test_packing_that_is_no_number_is_refused(tmp_path, scale):
    data = per_band(digits())
    for band in BANDS:
        data[band].attrs["scale_factor"] = scale
    data.to_netcdf(tmp_path / "s_L1C.nc")
    assert "scale_factor" in failed_cleanly(tmp_path, "s_L1C.nc", "-o", "m.tif")


def test_a_link_to_itself_and_a_name_that_is_no_text(tmp_path):
    (tmp_path / "loop.tif").symlink_to("loop.tif")
    geotiff(tmp_path / "s_L1C.tif", digits(4, 64, 64))
    failed_cleanly(tmp_path, "loop.tif", "-o", "m.tif")
    failed_cleanly(tmp_path, "s_L1C.tif", "-o", "loop.tif")
    failed_cleanly(tmp_path, "s_L1C.tif", "-o", b"m\xff.tif".decode(errors="surrogateescape"))


def test_a_geotransform_of_nan_leaves_nothing(tmp_path):
    geotiff(tmp_path / "s_L1C.tif", digits(4, 64, 64), transform=Affine(10, 0, float("nan"), 0, -10, 5e6))
    failed_cleanly(tmp_path, "s_L1C.tif", "-o", "m.tif")


@pytest.mark.parametrize("moved", [float("nan"), 7.0])
def test_a_grid_that_is_not_regular_is_refused(tmp_path, moved):
    data = per_band(digits())
    x = data["x"].values.copy()
    x[20:] += moved
    data.assign_coords(x=x).to_netcdf(tmp_path / "s_L1C.nc")
    with pytest.raises(SceneError, match="not evenly spaced"):
        open_scene(tmp_path / "s_L1C.nc")


@pytest.mark.parametrize(("metres", "warned"), [(60, True), (10, False)])
def test_pixels_of_another_size_are_spoken_of(tmp_path, metres, warned):
    geotiff(tmp_path / "s_L1C.tif", digits(4, 64, 64), transform=Affine(metres, 0, 5e5, 0, -metres, 5e6))
    code, said = run("s_L1C.tif", "-o", "m.tif", cwd=tmp_path)
    assert code == 0
    assert ("warning: pixels are 60 x 60 m" in said) == warned


def test_masks_among_the_scenes_are_left_out(tmp_path):
    scene = geotiff(tmp_path / "s_L1C_20210527.tif", digits(4, 64, 64))
    mask = cube(digits(1, 64, 64), ("B02",)).isel(bands=0, drop=True).astype(np.uint8)
    write_mask(mask, tmp_path / "m.tif")
    (tmp_path / "broken.tif").write_text("no raster")
    assert scan(tmp_path) == [tmp_path / "broken.tif", scene]


def test_sigterm_leaves_nothing_half_written(tmp_path):
    geotiff(tmp_path / "s_L1C.tif", digits(4, 3000, 3000))
    process = subprocess.Popen([*COMMAND, "s_L1C.tif", "-o", "m.tif"], cwd=tmp_path, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while len(listed(tmp_path)) == 1 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert listed(tmp_path) == ["s_L1C.tif"]
