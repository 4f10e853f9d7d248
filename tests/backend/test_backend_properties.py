"""Filters on properties, as openEO's clients send them."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from files import geotiff
from openeo_driver.errors import FeatureUnsupportedException
from openeo_driver.utils import EvalEnv

from kappamask.backend.scene_index import SceneRecord, filter_scenes, record
from kappamask.backend.stac import load_stac_scenes

TAGS = {"datetime": "2018-02-02T10:50:00Z", "level": "L1C"}


def condition(process, value, name="y"):
    arguments = {"x" if name == "y" else "y": {"from_parameter": "value"}, name: value}
    return {"process_graph": {"a": {"process_id": process, "arguments": arguments, "result": True}}}


def scenes(tmp_path, *covers):
    bare = SceneRecord(tmp_path, "L1C", pd.Timestamp("2018-02-02"), ("B02",), 32635, (0, 0, 1, 1), 10)
    return [replace(bare, cloud_cover=cover) for cover in covers]


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (condition("lte", 30), [0.0, 30.0, None]),
        (condition("gte", 30), [30.0, 90.0, None]),
        (condition("eq", 90), [90.0, None]),
        (condition("lte", 30, "x"), [30.0, 90.0, None]),  # 30 <= cover
        (condition("lte", {"from_parameter": "most"}), [0.0, 30.0, None]),
    ],
)
def test_scenes_that_say_they_are_too_cloudy_are_left_out(tmp_path, asked, left):
    env = EvalEnv({"parameters": {"most": 30}})
    found = filter_scenes(scenes(tmp_path, 0.0, 30.0, 90.0, None), {"eo:cloud_cover": asked}, env)
    assert [one.cloud_cover for one in found] == left


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({"tileId": condition("eq", "35VME")}, "property tileId by eq is not supported; there is eo:cloud_cover"),
        ({"eo:cloud_cover": condition("array_contains", [1, 2])}, "by in is not supported"),
    ],
)
def test_other_filters_are_refused(tmp_path, properties, says):
    with pytest.raises(FeatureUnsupportedException, match=says):
        filter_scenes(scenes(tmp_path, 1.0), properties, EvalEnv())


def test_a_geotiff_says_it_by_a_tag_and_a_stac_item_by_its_property(tmp_path):
    plain, tagged, odd = (
        geotiff(tmp_path / f"{name}_L1C_20180202.tif", tags=TAGS | more)
        for name, more in (("plain", {}), ("tagged", {"cloud_cover": "12.5"}), ("odd", {"cloud_cover": "few"}))
    )
    assert [record(path).cloud_cover for path in (plain, tagged, odd)] == [None, 12.5, None]
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "one", "geometry": None, "links": [],
        "properties": {"datetime": "2018-02-02T10:50:00Z", "eo:cloud_cover": 40},
        "assets": {"data": {"href": tagged.name, "type": "image/tiff", "roles": ["data"]}},
    }  # fmt: skip
    (tmp_path / "item.json").write_text(json.dumps(item))
    assert [one.cloud_cover for one in load_stac_scenes("item.json", tmp_path)] == [40.0]
