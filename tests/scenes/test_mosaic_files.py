"""Fetched masks: verified, searched for holes, put together, and listed in a collection."""

import json

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pystac.validation import validate_dict
from rasterio.features import geometry_mask
from rasterio.transform import Affine, from_origin

from kappamask.models import SceneError
from kappamask.reports.stac_collection import write_collection
from kappamask.scenes import stack_masks
from kappamask.scenes.mosaic import join_masks, join_scores
from kappamask.scenes.verify import missing_within_swath, verify_cover, verify_mask


def write(path, codes, west=0, north=0, size=10.0, crs="EPSG:32631", **profile):
    values = np.atleast_3d(np.asarray(codes, dtype=profile.pop("dtype", "uint8")).T).T
    count, height, width = values.shape
    place = from_origin(600_000 + west, 5_600_000 - north, size, size)
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype, crs=crs,
        transform=place, nodata=255, **profile,
    ) as file:  # fmt: skip
        file.write(values)
    return path


def test_neighbours_are_put_together_pixel_for_pixel(tmp_path):
    whole = np.random.default_rng(1).integers(1, 5, (60, 80)).astype(np.uint8)
    pieces = {(0, 0): whole[:30, :48], (0, 48): whole[:30, 48:], (30, 24): whole[30:, 24:]}
    paths = [
        write(tmp_path / f"{row}_{column}.tif", piece, west=10 * column, north=10 * row)
        for (row, column), piece in pieces.items()
    ]
    expected = whole.copy()
    expected[30:, :24] = 255
    for order in (paths, paths[::-1]):
        made = join_masks(order)
        np.testing.assert_array_equal(made.values, expected)
        assert made.rio.transform() == from_origin(600_000, 5_600_000, 10, 10)
        assert made.rio.crs == "EPSG:32631" and made.dtype == np.uint8


def test_the_first_of_overlapping_masks_counts(tmp_path):
    one = write(tmp_path / "a.tif", np.array([[1, 255], [1, 1]]))
    two = write(tmp_path / "b.tif", np.full((2, 2), 4))
    np.testing.assert_array_equal(join_masks([one, two]).values, [[1, 4], [1, 1]])


def test_scores_behind_the_masks_are_put_together_as_the_masks_are(tmp_path):
    one = write(tmp_path / "a.tif", [[[1]], [[90]], [[10]]])
    two = write(tmp_path / "b.tif", [[[4]], [[0]], [[100]]], west=20)
    np.testing.assert_array_equal(join_masks([one, two], band=1).values, [[1, 255, 4]])
    scores = join_scores([one, two], ["clear", "cloud"])
    assert scores.dims == ("class", "y", "x") and scores.dtype == np.uint8 and scores.chunks is not None
    assert scores.rio.crs == "EPSG:32631" and [*scores["class"].values] == ["clear", "cloud"]
    np.testing.assert_array_equal(scores.values, [[[90, 255, 0]], [[10, 255, 100]]])
    with pytest.raises(SceneError, match="3 bands of uint8"):
        join_masks([one, two])
    with pytest.raises(SceneError, match=r"3 bands of uint8.* band 4 "):
        join_masks([one, two], band=4)


@pytest.mark.parametrize("change", [{"crs": "EPSG:32632"}, {"size": 20.0}, {"west": 3}])
def test_other_grids_are_refused(tmp_path, change):
    one = write(tmp_path / "a.tif", np.ones((4, 4)))
    two = write(tmp_path / "b.tif", np.ones((4, 4)), **change)
    with pytest.raises(SceneError, match=r"b\.tif.*grid.*a\.tif"):
        join_masks([one, two])


@pytest.mark.parametrize("name", ["mask_2018-02-02.tif", "mask_2018-02-07.tif"])
@pytest.mark.parametrize(
    ("tags", "dtype", "says"),
    [
        ({"scheme": "SCL", "flag_values": "0 4", "flag_meanings": "no_data vegetation"}, "uint8", "has other classes"),
        ({"flag_values": "1 4", "flag_meanings": "clear cloud"}, "uint8", "has other classes than mask_2018"),
        ({}, "int16", "holds int16"),
    ],
)
def test_masks_of_other_classes_or_types_are_refused(tmp_path, name, tags, dtype, says):
    one = write(tmp_path / "mask_2018-02-02.tif", np.ones((4, 4)))
    (tmp_path / "other").mkdir()
    two = write(tmp_path / "other" / name, np.ones((4, 4)), west=20, dtype=dtype)
    with rasterio.open(two, "r+") as file:
        file.update_tags(**tags)
    with pytest.raises(SceneError, match=says):
        stack_masks([one, two])
    with pytest.raises(SceneError, match=says):
        join_masks([one, two])


def test_dates_become_a_cube(tmp_path):
    paths = [
        write(tmp_path / "mask_2018-02-07_32631.tif", np.full((2, 3), 4), west=10),
        write(tmp_path / "mask_2018-02-02_32631.tif", np.full((2, 2), 1)),
    ]
    cube = stack_masks(paths)
    assert cube.dims == ("t", "y", "x") and cube.dtype == np.uint8 and cube.chunks is not None
    assert [str(date)[:10] for date in cube.t.values] == ["2018-02-02", "2018-02-07"]
    np.testing.assert_array_equal(cube.values[:, 0], [[1, 1, 255, 255], [255, 4, 4, 4]])
    with pytest.raises(SceneError, match="has no date"):
        stack_masks([write(tmp_path / "mask.tif", np.ones((2, 2)))])
    with pytest.raises(SceneError, match="No mask files"):
        stack_masks([])


def test_only_a_complete_mask_passes(tmp_path):
    good = write(tmp_path / "m.tif", np.array([[1, 2, 3], [4, 5, 255]]))
    assert verify_mask(good, crs="EPSG:32631")["nodata"] == pytest.approx(1 / 6)
    scored = write(tmp_path / "s.tif", np.stack([np.ones((4, 4)), np.full((4, 4), 100)]))
    assert verify_mask(scored)["nodata"] == 0
    bad = {
        "is no mask": write(tmp_path / "code.tif", np.array([[1, 9]])),
        "needed is uint8": write(tmp_path / "float.tif", np.ones((2, 2)), dtype="float32"),
        "asked for was EPSG:32632": good,
        "grid of 10 m": write(tmp_path / "size.tif", np.ones((2, 2)), size=20.0),
    }
    for fact, path in bad.items():
        with pytest.raises(SceneError, match=fact):
            verify_mask(path, crs="EPSG:32632" if "asked" in fact else None)
    with pytest.raises(SceneError, match=r"^mask\.tif lies in EPSG:32631; asked for was EPSG:32632: the back-end has"):
        verify_mask(good, crs="EPSG:32632", name="mask.tif")
    cut = tmp_path / "cut.tif"
    whole = write(tmp_path / "big.tif", np.random.default_rng(2).integers(1, 5, (512, 512)), compress="deflate")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(SceneError, match=r"cut\.tif cannot be read"):
        verify_mask(cut)


def test_holes_are_not_the_edge_of_the_swath(tmp_path):
    rows, columns = np.mgrid[:200, :300]
    swath = np.where(columns + rows * 0.3 > 120, 1, 255)
    assert missing_within_swath(write(tmp_path / "swath.tif", swath)) < 0.005
    holed = swath.copy()
    holed[50:100, 150:250] = 255
    assert missing_within_swath(write(tmp_path / "holed.tif", holed)) == pytest.approx(5000 / 60_000, abs=0.005)
    assert missing_within_swath(write(tmp_path / "full.tif", np.ones((50, 50)))) == 0
    assert missing_within_swath(write(tmp_path / "empty.tif", np.full((50, 50), 255))) == 0


@given(valid=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.booleans()))
def test_holes_are_those_inside_the_hull_of_all_valid_pixels(valid, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("holes") / "mask.tif", np.where(valid, 1, 255))
    pixels = [shapely.box(column, row, column + 1, row + 1) for row, column in np.argwhere(valid)]
    seen = np.zeros(valid.shape, bool)
    if pixels:
        hull = shapely.union_all(pixels).convex_hull
        seen = geometry_mask([hull], valid.shape, Affine.identity(), invert=True)
    assert missing_within_swath(path) == (seen & ~valid).sum() / valid.size


PLACE = (600_000, 5_599_400, 600_600, 5_600_000)
"""W,S,E,N of a part of 600 m."""


@pytest.mark.parametrize(
    ("found", "fact"),
    [
        (PLACE, None),
        ((599_990, 5_599_390, 600_610, 5_600_010), None),  # snapped outward
        ((600_000, 5_599_400, 600_300, 5_600_000), "covers 50% of its part and the back-end does not say"),
        ((600_300, 5_599_700, 600_600, 5_600_000), "covers 25% of its part"),
        ((600_010, 5_599_400, 600_600, 5_600_000), "covers 98% of its part"),
        ((600_300, 5_599_400, 600_900, 5_600_000), "lies elsewhere: it covers W,S,E,N 600300"),
        ((700_000, 5_599_400, 700_600, 5_600_000), "lies elsewhere"),
        ((599_980, 5_599_400, 600_600, 5_600_000), "lies elsewhere"),
        ((600_600, 5_599_400, 601_200, 5_600_000), "lies elsewhere"),
    ],
)
def test_a_mask_covers_its_part_and_lies_nowhere_else(found, fact):
    if fact is None:
        verify_cover("m.tif", found, PLACE)
        return
    with pytest.raises(SceneError, match=fact):
        verify_cover("m.tif", found, PLACE)
    with pytest.raises(SceneError, match=fact):
        verify_cover("m.tif", found, PLACE, stated=PLACE)  # the back-end meant to send it whole
    if "covers" in fact.split(":")[0]:
        verify_cover("m.tif", found, PLACE, stated=found)  # cut to where the back-end has images
        verify_cover("m.tif", found, PLACE, partly=True)
    else:
        with pytest.raises(SceneError, match=fact):
            verify_cover("m.tif", found, PLACE, stated=found, partly=True)


def test_a_collection_lists_the_masks(tmp_path):
    paths = [
        write(tmp_path / f"mask_2018-02-0{day}_32631.tif", np.full((20, 30), day), west=1000 * day) for day in (2, 3)
    ]
    path = write_collection(paths, tmp_path / "collection.json", title="Two dates", about={"batch": "abc"})
    found = pystac.Collection.from_file(str(path))
    items = list(found.get_items())
    assert [item.id for item in items] == [one.stem for one in paths]
    assert [str(moment)[:10] for moment in found.extent.temporal.intervals[0]] == ["2018-02-02", "2018-02-03"]
    west, south, east, north = found.extent.spatial.bboxes[0]
    assert all(west <= item.bbox[0] and item.bbox[2] <= east for item in items) and south < north
    stored = json.loads(path.read_text())
    assert stored["kappamask:batch"] == "abc"
    assert {one["value"] for one in stored["item_assets"]["mask"]["classification:classes"]} >= {1, 2, 3, 4}
    assert not any(link["href"].startswith("/") for link in stored["links"])
    for one in items:
        assert (one.collection_id, one.get_collection().id) == (found.id, found.id)
        assert validate_dict(one.to_dict(), extensions=[]), "valid by the schema in pystac"


@pytest.mark.parametrize(("version", "word"), [("1.0.0", "proprietary"), ("1.0.1", "proprietary"), ("1.1.0", "other")])
def test_a_collection_tells_the_terms_in_the_word_of_its_stac_version(tmp_path, monkeypatch, version, word):
    paths = [write(tmp_path / f"mask_{year}-02-02_32631.tif", np.ones((20, 30))) for year in (2018, 2019)]
    monkeypatch.setattr(pystac, "get_stac_version", lambda: version)
    path = write_collection(paths, tmp_path / "collection.json", title="Two years")
    monkeypatch.undo()
    stored = json.loads(path.read_text())
    assert stored["license"] == word
    (terms,) = (link for link in stored["links"] if link["rel"] == "license")
    assert terms["href"].startswith("https://sentinels.copernicus.eu/") and terms["title"]
    assert "Contains modified Copernicus Sentinel data 2018, 2019." in stored["description"]
    assert {*stored["providers"][0]["roles"]} == {"licensor", "producer"}
    assert validate_dict({**stored, "stac_version": "1.0.0"}, extensions=[]), "valid by the schema in pystac"
