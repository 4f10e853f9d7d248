"""Boxes and areas across 180 degrees and near the poles, at every entry point."""

from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
import xarray as xr
from command import runner
from files import BANDS, digits, geotiff
from rasterio.transform import from_origin
from stacs import raw_item, write_item

from kappamask.files.geojson import join_boxes, make_box_geometry, split_box
from kappamask.models import CubeError, SceneError
from kappamask.openeo_process.jobs.areas import read_area
from kappamask.openeo_process.jobs.cells import split_into_cells
from kappamask.reports.footprint import trace_footprint
from kappamask.scenes import compute_class_statistics
from kappamask.scenes.readers.stac import open_stac

PLACES = {
    "EPSG:32760": (816_400, 8_000_000),
    "EPSG:32701": (180_500, 8_000_000),
    "EPSG:32660": (500_000 + 60_000, 7_700_000),
}
"""UTM zones on either side, and x and y of a corner; the last, of Chukotka, does not reach 180 degrees."""
across = pytest.mark.parametrize("crs", ["EPSG:32760", "EPSG:32701"])


def mask(crs: str, side: int = 256) -> xr.DataArray:
    west, north = PLACES[crs]
    coords = {"y": north - 5 - 10.0 * np.arange(side), "x": west - 400 + 5 + 10.0 * np.arange(side)}
    return xr.DataArray(np.ones((side, side), np.uint8), dims=("y", "x"), coords=coords).rio.write_crs(crs)


def test_a_box_is_cut_where_its_west_is_larger_than_its_east() -> None:
    assert split_box(5, 51, 6, 52) == [(5, 51, 6, 52)]
    assert split_box(179, -18, -179, -16) == [(179, -18, 180, -16), (-180, -18, -179, -16)]
    assert split_box(179, -18, 181, -16) == split_box(-181, -18, -179, -16) == split_box(179, -18, -179, -16)
    assert split_box(181, -18, 182, -16) == [(-179, -18, -178, -16)]
    assert split_box(-180, -90, 180, 90) == [(-180, -90, 180, 90)]
    assert split_box(170, 0, 180, 1) == [(170, 0, 180, 1)]
    for wrong in ((5, 52, 6, 51), (5, 51, 5, 52)):
        with pytest.raises(ValueError, match="west must be less"):
            split_box(*wrong)
    with pytest.raises(ValueError, match="west must be less"):
        split_box(600_000, 0, 500_000, 1, degrees=False)


@across
def test_statistics_in_the_box_and_the_outline_of_an_item(crs: str) -> None:
    place = trace_footprint(mask(crs))
    assert place.bbox[0] > place.bbox[2]
    all_pixels = mask(crs).size
    assert compute_class_statistics(mask(crs), place.geometry).pixels.item() == pytest.approx(all_pixels, rel=0.01)
    assert compute_class_statistics(mask(crs), place.bbox, crs="EPSG:4326").pixels.item() == all_pixels
    west, south, east, north = place.bbox
    assert (
        compute_class_statistics(mask(crs), (west, south, east + 360, north), crs="EPSG:4326").pixels.item()
        == all_pixels
    )
    counted = shapely.box(west, south, east + 360, north)
    assert compute_class_statistics(mask(crs), counted, crs="EPSG:4326").pixels.item() == pytest.approx(
        all_pixels, rel=0.01
    )
    half = compute_class_statistics(mask(crs), (west, south, 180, north), crs="EPSG:4326").pixels.item()
    assert 0 < half < all_pixels
    with pytest.raises(CubeError, match="west must be less"):
        compute_class_statistics(mask(crs), (820_000, 0, 810_000, 1), crs=crs)


@across
def test_items_are_cut_to_the_box(tmp_path: Path, crs: str) -> None:
    like = mask(crs, 96)
    corner = from_origin(float(like.x[0]) - 5, float(like.y[0]) + 5, 10, 10)
    for number, band in enumerate(BANDS):
        geotiff(tmp_path / f"{band}.tif", digits(4, 96, 96)[[number]], (None,), crs=crs, transform=corner)
    item = write_item(tmp_path, raw_item({b: {"href": f"./{b}.tif", "type": "image/tiff"} for b in BANDS}), "i.json")
    west, south, east, north = trace_footprint(like).bbox
    np.testing.assert_array_equal(open_stac(item, bbox=(west, south, east, north)), digits(4, 96, 96))
    middle = (south + north) / 2
    part = open_stac(item, bbox=(west, south, east, middle))
    assert part.sizes["x"] == 96
    assert part.sizes["y"] == pytest.approx(48, abs=3)
    with pytest.raises(SceneError, match="needed are west, south, east, north"):
        open_stac(item, bbox=(west, north, east, south))


def test_an_area_of_jobs_is_the_same_however_it_is_written() -> None:
    box = "179.9,-18.1,-179.9,-18.0"
    cut = (
        "MULTIPOLYGON(((179.9 -18.1,180 -18.1,180 -18.0,179.9 -18.0,179.9 -18.1)),"
        "((-180 -18.1,-179.9 -18.1,-179.9 -18.0,-180 -18.0,-180 -18.1)))"
    )
    counted = "POLYGON((179.9 -18.1,180.1 -18.1,180.1 -18.0,179.9 -18.0,179.9 -18.1))"
    expected = split_into_cells(read_area(cut), 20)
    assert {cell.epsg for cell in expected} == {32701, 32760}
    assert split_into_cells(read_area(box), 20) == split_into_cells(read_area(counted), 20) == expected


def test_an_area_in_metres_across_the_antimeridian() -> None:
    west, north = PLACES["EPSG:32760"]
    area = read_area(f"{west - 5000},{north - 9000},{west + 5000},{north}", "EPSG:32760")
    assert area.area < 0.02
    assert (area.bounds[0], area.bounds[2]) == pytest.approx((-180, 180))
    found = split_into_cells(area, 20)
    assert {cell.epsg for cell in found} == {32701, 32760}
    assert sum((c.east - c.west) * (c.north - c.south) for c in found) == pytest.approx(9e7, rel=0.2)


UNCUT = "POLYGON((179.97 -18.1,-179.99 -18.1,-179.99 -18.0,179.97 -18.0,179.97 -18.1))"


@pytest.mark.parametrize(("area", "says"), [("-179.99,-18.1,179.97,-18.0", "--max-jobs"), (UNCUT, "180.1")])
def test_an_area_that_spans_the_world_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], area: str, says: str
) -> None:
    monkeypatch.setattr(
        "kappamask.openeo_process.connection.connect_or_explain", lambda _: pytest.fail("the back-end was asked")
    )
    words = ("--backend", "http://127.0.0.1:9", "--collection", "SENTINEL2_L2A", "--dates", "2024-06-01/2024-06-02")
    refusal = runner(monkeypatch, capsys)("submit", *words, f"--area={area}", "-o", tmp_path)
    assert refusal.code == 1
    assert says in refusal.err
    assert "antimeridian" in refusal.err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("area", ["-180,-80,180,84", "-180,-10,170,79"])
def test_a_large_part_of_the_world_is_asked_about_at_once(area: str) -> None:
    """Before any cell is laid, which would take minutes."""
    with pytest.raises(CubeError, match=r"more than \d+ jobs of 50 km.*part_km=100"):
        split_into_cells(read_area(area), 50)


def test_few_jobs_of_a_polygon_that_is_not_cut_are_asked_about_too() -> None:
    """In the north 181 jobs of 120 km go around the globe, fewer than --max-jobs."""
    north = UNCUT.replace("-18.1", "66").replace("-18.0", "66.05")
    for area in (north, f"MULTIPOLYGON(((5 51,6 51,6 52,5 51)),{north.removeprefix('POLYGON')})"):
        with pytest.raises(CubeError, match="antimeridian"):
            read_area(area)
    corners = "-170 0,-60 0,60 0,170 0,170 1,60 1,-60 1,-170 1,-170 0"
    assert read_area(f"POLYGON(({corners}))").area == pytest.approx(340)
    assert read_area("POLYGON((-10 0,180 0,180 1,-10 1,-10 0))").area == pytest.approx(190)
    assert read_area("POLYGON((-180 0,180 0,180 1,-180 1,-180 0))").area == pytest.approx(360)
    with pytest.raises(CubeError, match="is its CRS given"):
        read_area("POLYGON((600000 5690000,601000 5690000,601000 5691000,600000 5690000))")


@across
def test_statistics_in_a_polygon_that_is_not_cut_are_asked_about(crs: str) -> None:
    """Taken the long way round, it would hold the pixels that it leaves out."""
    west, south, east, north = trace_footprint(mask(crs)).bbox
    west, east = west + 0.005, east - 0.005
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    for area, system in (({"type": "Polygon", "coordinates": [ring]}, None), (shapely.Polygon(ring), "EPSG:4326")):
        with pytest.raises(CubeError, match="antimeridian"):
            compute_class_statistics(mask(crs), area, crs=system)
    around = shapely.box(-180, -90, 180, 90)
    assert compute_class_statistics(mask(crs), around, crs="EPSG:4326").pixels.item() == mask(crs).size


def test_boxes_join_across_the_antimeridian() -> None:
    assert join_boxes([(5, 51, 6, 52), (-3, 50, -2, 51)]) == (-3, 50, 6, 52)
    assert join_boxes([(179, -18, -179.5, -17), (178, -17, 179, -16)]) == pytest.approx((178, -18, -179.5, -16))
    assert join_boxes([(179, -18, -179.5, -17), (-179, -17, -178, -16)]) == pytest.approx((179, -18, -178, -16))
    assert join_boxes([(179, -18, -179.5, -17), (-60, 51, 6, 52)]) == (-180, -18, 180, 52)
    assert shapely.geometry.shape(make_box_geometry((179, -18, -179, -17))).area == pytest.approx(2)
    assert make_box_geometry((5, 51, 6, 52))["type"] == "Polygon"


@pytest.mark.parametrize(("box", "end"), [("10,83,12,85", 84), ("10,-82,12,-79", -80)])
def test_areas_beyond_the_tiles_are_refused_with_where_these_end(box: str, end: int) -> None:
    with pytest.raises(CubeError, match=f"tiles end at .*{end}"):
        read_area(box)


def test_areas_just_below_the_ends_of_the_tiles() -> None:
    for box, codes in (("41.9,83.8,42.1,83.9", {32637, 32638}), ("5.9,-79.9,6.1,-79.8", {32731, 32732})):
        found = split_into_cells(read_area(box), 20)
        assert {cell.epsg for cell in found} == codes


@pytest.mark.parametrize(("crs", "latitude"), [("EPSG:3413", 90), ("EPSG:3031", -90)])
def test_the_outline_around_a_pole(crs: str, latitude: int) -> None:
    places = 10_000.0 * (np.arange(40) - 19.5)
    grid = xr.DataArray(np.ones((40, 40), np.uint8), dims=("y", "x"), coords={"y": -places, "x": places})
    found = trace_footprint(grid.rio.write_crs(crs))
    shape = shapely.geometry.shape(found.geometry)
    assert shape.is_valid
    assert (found.bbox[0], found.bbox[2]) == pytest.approx((-180, 180))
    assert latitude in (found.bbox[1], found.bbox[3])
    move = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform
    inside, outside = ((150_000, 10_000), (-10_000, -150_000), (1, 1)), ((250_000, 0), (0, -250_000))
    assert all(shape.contains(shapely.Point(move(*point))) for point in inside)
    assert not any(shape.contains(shapely.Point(move(*point))) for point in outside)
