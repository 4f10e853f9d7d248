"""Areas become cells of whole pixels, each in one UTM zone, that cover the area."""

import json
import sys

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from kappamask.models import CubeError, MissingExtraError
from kappamask.openeo_process.jobs.areas import read_area
from kappamask.openeo_process.jobs.cells import Cell, split_by_zone, split_into_cells

BELGIUM = "5.00,51.20,5.05,51.23"
TRIANGLE = shapely.from_wkt("POLYGON((5 51, 7 51, 6 52, 5 51))")


def lonlat(cell: Cell) -> shapely.Geometry:
    """The cell's outline in longitude and latitude."""
    outline = shapely.segmentize(shapely.box(cell.west, cell.south, cell.east, cell.north), 1000)
    move = pyproj.Transformer.from_crs(cell.epsg, 4326, always_xy=True).transform
    return shapely.transform(outline, lambda points: np.column_stack(move(*points.T)))


def test_every_place_of_the_world_is_in_one_zone():
    world = shapely.box(-180, -80, 180, 84)
    assert sum(piece.area for _, piece in split_by_zone(world)) == pytest.approx(world.area, rel=1e-9)


@pytest.mark.parametrize(
    ("longitude", "latitude", "epsg"),
    [
        (3.1, 50, 32631),
        (5, 60, 32632),
        (2, 60, 32631),
        (10, 75, 32633),
        (8, 75, 32631),
        (-60, -3, 32721),
        (179, 0.5, 32660),
    ],
)
def test_zones_are_those_of_the_tiles(longitude, latitude, epsg):
    spot = shapely.box(longitude, latitude, longitude + 0.01, latitude + 0.01)
    assert [code for code, _ in split_by_zone(spot)] == [epsg]


@given(st.floats(-179, 178), st.floats(-75, 82), st.floats(0.01, 0.8), st.floats(0.01, 0.5), st.floats(5, 40))
def test_cells_cover_the_area_and_lie_on_the_grid(west, south, width, height, side):
    area = shapely.box(west, south, west + width, south + height)
    found = split_into_cells(area, side)
    for cell in found:
        assert not any(edge % 60 for edge in (cell.west, cell.south, cell.east, cell.north))
        assert 0 < cell.east - cell.west <= side * 1000
        assert 0 < cell.north - cell.south <= side * 1000
    assert len({cell.name for cell in found}) == len(found)
    covered = shapely.union_all([lonlat(cell) for cell in found])
    assert shapely.difference(area, covered).area < 1e-6 * area.area


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg"])
def test_files_and_texts_give_the_same_area(tmp_path, suffix):
    path = tmp_path / f"area{suffix}"
    geopandas.GeoSeries([TRIANGLE], crs=4326).to_crs(32631 if suffix == ".gpkg" else 4326).to_file(path)
    assert read_area(str(path)).symmetric_difference(TRIANGLE).area < 1e-6
    assert read_area(TRIANGLE.wkt).equals(TRIANGLE)


def test_other_coordinates():
    move = pyproj.Transformer.from_crs(4326, 3035, always_xy=True)
    (west, east), (south, north) = move.transform([5.0, 5.05], [51.2, 51.23])
    found = read_area(f"{west},{south},{east},{north}", "EPSG:3035")
    assert found.bounds == pytest.approx(read_area(BELGIUM).bounds, abs=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "5,51,4,52",
        "1,2,3",
        "POINT (1 2)",
        "POLYGON((",
        "absent.geojson",
        "643000,5673000,649000,5680000",
        "5,51,nan,52",
        "area (1).geojson",
        "x" * 5000,
        "\0",
        "",
    ],
)
def test_what_is_no_area_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CubeError, match="area"):
        read_area(text)


FEATURE = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(TRIANGLE)}


@pytest.mark.parametrize(
    "document",
    [
        {"type": "FeatureCollection", "features": [FEATURE, {**FEATURE, "geometry": None}]},
        {**FEATURE, "crs": None},
        {**FEATURE, "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}},
    ],
)
def test_geojson_of_all_kinds_is_read(tmp_path, document):
    path = tmp_path / "area (1).geojson"
    path.write_text(json.dumps(document))
    assert read_area(str(path)).equals(TRIANGLE)


@pytest.mark.parametrize(
    "content",
    [
        {**FEATURE, "geometry": None},
        {**FEATURE, "geometry": [1, 2]},
        {**FEATURE, "crs": "EPSG:32631"},
        {"type": "FeatureCollection"},
        {"type": "FeatureCollection", "features": [3]},
        [FEATURE],
        3,
        b"SQLite format 3\0, but no more",
        b"\xff",
    ],
)
def test_files_that_are_no_area_are_refused(tmp_path, content):
    path = tmp_path / "area.geojson"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(CubeError, match=r"cannot be read|empty"):
        read_area(str(path))


def test_a_geopackage_without_shapes_is_refused(tmp_path):
    path = tmp_path / "table.gpkg"
    pyogrio.write_dataframe(pd.DataFrame({"name": ["x"]}), path)
    with pytest.raises(CubeError, match="holds no geometries"):
        read_area(str(path))


def test_a_geopackage_needs_a_library(tmp_path, monkeypatch):
    path = tmp_path / "area.gpkg"
    geopandas.GeoSeries([TRIANGLE], crs=4326).to_file(path)
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(MissingExtraError, match="pip install geopandas"):
        read_area(str(path))
