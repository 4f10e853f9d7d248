"""Masks over time: read from folders and cubes, drawn, tabled."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from command import one_sentence
from files import CRS, cube, digits, geotiff
from hypothesis import given
from hypothesis import strategies as st

from kappamask.models import SceneError, load_card
from kappamask.reports import is_series, make_rows, match_scenes, read_series, write_series, write_table
from kappamask.reports.render import format_percent
from kappamask.scenes import open_scene, write_mask
from kappamask.udf import cloud_mask
from kappamask.udf.schemes import make_flag_attributes

DAYS = np.array(["2020-01-05", "2020-01-15", "2020-02-04"], "datetime64[ns]")


def mask_of(cloudy: int, side: int = 20, **attrs: object) -> xr.DataArray:
    """`cloudy` percent cloud, the rest clear."""
    codes = np.where(np.arange(side * side) < cloudy * side * side / 100, 4, 1).astype(np.uint8).reshape(side, side)
    like = cube(digits(1, side, side), ("B02",)).isel(bands=0, drop=True)
    return like.copy(data=codes).assign_attrs({**make_flag_attributes(load_card()), **attrs})


def series_of(*cloudy: int) -> xr.DataArray:
    return xr.concat([mask_of(one) for one in cloudy], xr.Variable("t", DAYS[: len(cloudy)])).rename("mask")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three masks out of order, with what else may lie next to masks."""
    masks = tmp_path / "masks"
    masks.mkdir()
    for name, cloudy in (("b_20200204.tif", 30), ("a_20200105T101112.tif", 10), ("c_2020-01-15Z.tif", 100)):
        write_mask(mask_of(cloudy), masks / name)
    geotiff(masks / "S2_L1C_20200105.tif", digits(4, 20, 20))
    geotiff(masks / "c_2020-01-15Z_scores.tif", digits(1, 20, 20).astype(np.float32), ("cloud",))
    (masks / "notes.txt").write_text("no mask")
    return masks


# reading


def test_a_folder_of_masks_is_read_by_date(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    dates = read_series(folder, report=lambda done, whole: seen.append((done, whole)))
    assert [one.name for one in dates] == ["a_20200105T101112.tif", "c_2020-01-15Z.tif", "b_20200204.tif"]
    assert dates[0].when == datetime(2020, 1, 5, 10, 11, 12, tzinfo=UTC)
    assert [round(one.counted.cloud_cover) for one in dates] == [10, 100, 30]
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("form", ["netCDF", 2, 3])
def test_a_cube_of_masks_is_read_by_date(tmp_path: Path, form: Any) -> None:
    path = tmp_path / ("masks.nc" if form == "netCDF" else "masks.zarr")
    if form == "netCDF":
        write_mask(series_of(10, 100, 30), path)
    else:
        series_of(10, 100, 30).to_dataset().to_zarr(path, zarr_format=form)
    assert is_series(path)
    dates = read_series(path)
    assert [one.when.isoformat() for one in dates] == [f"{day}T00:00:00+00:00" for day in DAYS.astype("M8[D]")]
    assert [round(one.counted.cloud_cover) for one in dates] == [10, 100, 30]
    assert str(dates[0].mask.rio.crs) == CRS


def test_one_mask_is_no_series(folder: Path, tmp_path: Path) -> None:
    assert not is_series(folder / "b_20200204.tif")
    write_mask(series_of(10), tmp_path / "one.nc")
    assert not is_series(tmp_path / "one.nc")
    assert is_series(folder)


def test_a_series_needs_masks_of_one_scheme_each_with_a_date(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="holds no masks"):
        read_series(tmp_path)
    cube(digits(4, 20, 20)).rename("dn").assign_attrs(level="L1C").to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    with pytest.raises(SceneError, match=r"make the masks with: kappamask mask s\.nc"):
        read_series(tmp_path / "s.nc")
    other = mask_of(10, flag_values=[1, 4], flag_meanings="land cloud", flag_colors="")
    write_mask(other, folder / "other_20200301.tif")
    with pytest.raises(SceneError, match="a series needs masks of one scheme"):
        read_series(folder)
    (folder / "other_20200301.tif").rename(folder / "undated.tif")
    with pytest.raises(SceneError, match=r"undated.tif has no date"):
        read_series(folder)
    whole = (folder / "b_20200204.tif").read_bytes()
    (folder / "b_20200204.tif").write_bytes(whole[:100])
    with pytest.raises(SceneError, match=r"b_20200204.tif cannot be read"):
        read_series(folder)


# numbers


def test_the_table_has_a_row_for_each_mask(folder: Path, tmp_path: Path) -> None:
    dates = read_series(folder)
    path = write_table(tmp_path / "cover.csv", dates)
    with path.open(newline="") as file:
        found = [*csv.DictReader(file)]
    assert [row["file"] for row in found] == [one.name for one in dates]
    assert (
        [float(row["cloud_cover"]) for row in found]
        == [row["cloud_cover"] for row in make_rows(dates)]
        == [10, 100, 30]
    )
    assert found[0]["datetime"] == "2020-01-05T10:11:12Z"
    assert float(found[0]["clear"]) + float(found[0]["cloud"]) == 100


def test_a_date_without_data_has_no_number(folder: Path, tmp_path: Path) -> None:
    empty = mask_of(0).copy(data=np.full((20, 20), 5, np.uint8))
    write_mask(empty, folder / "d_20200303.tif")
    dates = read_series(folder)
    assert (make_rows(dates)[-1]["cloud_cover"], make_rows(dates)[-1]["missing"]) == (None, 100)
    assert ",400,0,0,,0.0,,,,,100.0" in write_table(tmp_path / "cover.csv", dates).read_text()
    page = write_series(tmp_path / "s.html", dates).read_text()
    assert page.count('<div class="nothing"') == 1


@given(st.floats(0, 100))
def test_percentages_never_pretend(value: float) -> None:
    shown = format_percent(value)
    assert (shown == "0.0 %") == (value == 0)
    assert (shown == "100.0 %") == (value == 100)
    assert float(shown.strip("<> %")) == pytest.approx(value, abs=0.1)
    assert format_percent(None) == format_percent(float("nan")) == "–"


# scenes


def test_a_mask_finds_its_scene_by_day_and_grid(folder: Path, tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    geotiff(scenes / "S2_L1C_20200105T100000.tif", digits(4, 20, 20))
    geotiff(scenes / "S2_L1C_20200105T200000.tif", digits(4, 20, 20) + 1)
    geotiff(scenes / "S2_L1C_20200115.tif", digits(4, 20, 30))
    geotiff(scenes / "S2_L1C_20200301.tif", digits(4, 20, 20))
    dates = read_series(folder)
    found = match_scenes(dates, scenes)
    assert [scene is not None for scene in found] == [True, False, False]
    np.testing.assert_array_equal(found[0].values, digits(4, 20, 20))
    page = write_series(tmp_path / "s.html", dates, scenes=found).read_text()
    assert page.count("no scene") == 2
    assert page.count("<img") == 4
    with pytest.raises(SceneError, match=r"No scene.*day.*grid"):
        match_scenes(dates[1:], scenes)


def test_a_file_that_is_no_scene_leaves_the_others(folder: Path, tmp_path: Path, kappamask) -> None:
    """One picture among the scenes ended the whole report, without page and table."""
    scenes, page, table = tmp_path / "scenes", tmp_path / "s.html", tmp_path / "s.csv"
    scenes.mkdir()
    geotiff(scenes / "S2_L1C_20200105T100000.tif", digits(4, 20, 20))
    geotiff(scenes / "height_20200105.tif", digits(1, 20, 20), names=(None,))
    done = kappamask("report", folder, "-o", page, "--csv", table, "--scene", scenes)
    assert done.code == 1 and table.exists()
    assert page.read_text().count("no scene") == 2
    assert "Could not be read as scenes: height_20200105.tif." in done.err


def test_scenes_may_be_a_cube_of_dates(tmp_path: Path) -> None:
    stack = xr.concat([cube(digits(4, 20, 20) + 9 * i) for i in range(3)], xr.Variable("t", DAYS)).rename("dn")
    stack.assign_attrs(level="L1C").to_netcdf(tmp_path / "scenes.nc", engine="h5netcdf")
    write_mask(series_of(10, 100, 30), tmp_path / "masks.nc")
    found = match_scenes(read_series(tmp_path / "masks.nc"), tmp_path / "scenes.nc")
    assert [int(scene.values.min()) for scene in found] == [300, 309, 318]


# page and command


def test_a_page_shows_all_dates(folder: Path, tmp_path: Path) -> None:
    page = write_series(tmp_path / "s.html", read_series(folder)).read_text()
    assert [page.count(day) > 3 for day in ("2020-01-05", "2020-01-15", "2020-02-04")] == [True] * 3
    assert page.count('src="data:image/png;base64,') == 3
    assert 'style="height:10.000%;background:#ffffff"' in page
    assert "<dt>Median cloud cover</dt><dd>30.0 %</dd>" in page
    assert "<dt>Least cloud</dt><dd>10.0 %</dd>" in page


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["a_20200105T101112.tif", "b_20200106T101112.tif"], ["2020-01-05", "2020-01-06"]),
        (["a_20200105T101112.tif", "b_20200105T103412.tif"], ["2020-01-05 10:11", "2020-01-05 10:34"]),
        (["a_20200105.tif", "b_20200105.tif"], ["2020-01-05 a_20200105.tif", "2020-01-05 b_20200105.tif"]),
    ],
)
def test_masks_of_one_day_have_labels_that_differ(names: list[str], labels: list[str], tmp_path: Path) -> None:
    for name in names:
        write_mask(mask_of(10), tmp_path / name)
    page = write_series(tmp_path / "s.html", read_series(tmp_path)).read_text()
    assert [f"<strong>{label}</strong>" in page for label in labels] == [True, True]
    assert [f'alt="Mask of {label}"' in page for label in labels] == [True, True]


def test_a_series_of_one_day_names_it_once(folder: Path, tmp_path: Path) -> None:
    dates = read_series(folder)
    assert "<span>2020-01-05</span>" in write_series(tmp_path / "s.html", dates[:1]).read_text()
    assert "<span>2020-01-05 to 2020-02-04</span>" in write_series(tmp_path / "s.html", dates).read_text()


def test_report_of_a_series(kappamask, folder: Path, tmp_path: Path) -> None:
    table, page = tmp_path / "cover.csv", tmp_path / "s.html"
    done = kappamask("report", folder, "-o", page, "--csv", table, "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary["files"] == [str(table), str(page)]
    assert [date["cloud_cover"] for date in summary["dates"]] == [10, 100, 30]
    plain = kappamask("report", folder, "-o", page)
    assert plain.out.splitlines()[0] == "2020-01-05  cloud cover 10.0 %  a_20200105T101112.tif"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--scores", "s.tif"], 2, "this is for one mask"),
        (["--stac"], 2, "this is for one mask"),
        (["--scene", "."], 1, "is of the day and the grid of a mask"),
        (["--csv", "no/t.csv"], 1, "there is no folder"),
    ],
)
def test_a_report_that_fails_says_why(
    kappamask, folder: Path, tmp_path: Path, monkeypatch, words: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    geotiff(tmp_path / "S2_L1C_20020101.tif")
    geotiff(tmp_path / "S2_L1C_20010101.tif")
    done = kappamask("report", folder, "-o", "s.html", *words)
    assert done.code == code
    assert message in done.err
    assert code == 2 or one_sentence(done.err.splitlines()[-1] + "\n")
    assert not (tmp_path / "s.html").exists()


@pytest.mark.shared_data
def test_thirty_real_dates(shared_data: Path, tmp_path: Path) -> None:
    with np.load(shared_data / "series_l2a_canberra_30dates.npz") as held:
        numbers, bands = held["dn"], tuple(map(str, held["bands"]))
    days = xr.Variable("t", np.datetime64("2016-01-04", "ns") + np.timedelta64(10, "D") * np.arange(len(numbers)))
    stack = xr.concat([cube(np.moveaxis(dn, -1, 0), bands) for dn in numbers], days).rename("dn")
    stack.assign_attrs(level="L2A").to_netcdf(tmp_path / "scenes.nc", engine="h5netcdf")
    masks = cloud_mask(open_scene(tmp_path / "scenes.nc"), radiometry="dn_harmonized")
    dates = read_series(write_mask(masks, tmp_path / "masks.nc")[0])
    page = write_series(tmp_path / "s.html", dates, scenes=match_scenes(dates, tmp_path / "scenes.nc"))
    assert page.read_text().count("<img") == 60
    assert page.stat().st_size < 2_000_000
    covers = [one.counted.cloud_cover for one in dates]
    without_cloud = [6, 7, 8, 10, 11, 12, 15, 16, 19, 23, 24]
    assert all(covers[i] < 1 for i in without_cloud), "looked at: no cloud, no haze, no shadow"
    assert covers[26] > 90, "looked at: a veil over the whole image"
    assert sum(cover > 90 for cover in covers) >= 8, "some are wholly cloud"
