"""A report goes on past what it cannot read, and names it."""

import json
from pathlib import Path

import numpy as np
import pytest
from files import geotiff

from kappamask.models import SceneError
from kappamask.reports import read_series


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good masks, one cut short, one empty, one without a date."""
    made = tmp_path / "masks"
    made.mkdir()
    codes = np.random.default_rng(0).integers(1, 5, (1, 256, 256)).astype(np.uint8)
    for name in ("a_20240601.tif", "b_20240611.tif", "cut_20240621.tif", "undated.tif"):
        geotiff(made / name, codes, (None,), nodata=255)
    whole = (made / "cut_20240621.tif").read_bytes()
    (made / "cut_20240621.tif").write_bytes(whole[: len(whole) // 2])
    (made / "empty_20240701.tif").touch()
    return made


def test_a_folder_with_bad_files_is_reported_without_them(folder: Path, kappamask) -> None:
    page, table = folder.parent / "page.html", folder.parent / "table.csv"
    done = kappamask("report", folder, "-o", page, "--csv", table, "--json")
    assert done.code == 1
    for name in ("cut_20240621.tif", "empty_20240701.tif", "undated.tif"):
        assert f"kappamask: {name}: " in done.err
    assert "3 of 5 masks could not be read" in done.err
    assert "Traceback" not in done.err
    summary = json.loads(done.out)
    assert [row["file"] for row in summary["dates"]] == ["a_20240601.tif", "b_20240611.tif"]
    assert set(summary["failed"]) == {"cut_20240621.tif", "empty_20240701.tif", "undated.tif"}
    assert "a_20240601" in page.read_text()
    assert len(table.read_text().splitlines()) == 3


def test_in_python_an_error_is_raised_unless_it_is_asked_for(folder: Path) -> None:
    with pytest.raises(SceneError):
        read_series(folder)
    failed: list[str] = []
    assert len(read_series(folder, failed=lambda name, _: failed.append(name))) == 2
    assert len(failed) == 3


def test_a_folder_of_bad_files_only_is_an_error(folder: Path, kappamask) -> None:
    for good in ("a_20240601.tif", "b_20240611.tif"):
        (folder / good).unlink()
    done = kappamask("report", folder, "-o", folder.parent / "page.html")
    assert done.code == 1
    assert not (folder.parent / "page.html").exists()


def test_without_a_date_all_but_the_item_is_written(folder: Path, kappamask) -> None:
    mask, page = folder / "undated.tif", folder.parent / "page.html"
    done = kappamask("report", mask, "-o", page, "--stac", "--style", "--json")
    assert done.code == 1
    assert "No STAC item is written" in done.err
    assert "has no date" in done.err
    assert json.loads(done.out)["files"] == [str(page), str(mask.with_suffix(".qml"))]
    assert page.exists()
    assert mask.with_suffix(".qml").exists()
    assert not mask.with_suffix(".json").exists()
