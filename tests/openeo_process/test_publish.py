"""The published process: documents of the right shape, and a process called by name."""

import functools
import http.server
import json
import threading
from contextlib import contextmanager
from itertools import product

import jsonschema
import numpy as np
import pytest
import rasterio
from files import NORTH, WEST, geotiff
from files import cube as cube_of
from networks import write_model
from openeo.rest import OpenEoApiError
from remote import DATE, DATES, PYTHON, back_end, log_in

from kappamask.backend.server import running_server
from kappamask.models import CubeError, JobError, load_card
from kappamask.models.cleaning import read_cleaning
from kappamask.openeo_process import cloud_mask
from kappamask.openeo_process.publish import PROCESS_ID, make_publication
from kappamask.udf import clean
from kappamask.udf import cloud_mask as cloud_mask_here

PLACE = "https://example.org/p.json"
CARD = load_card("compact")
ARCHIVE = "https://example.org/deps.zip"
TEXT = {"type": "string", "minLength": 1}
PROCESS = {
    "type": "object",
    "required": ["id", "summary", "description", "parameters", "returns", "process_graph", "default_job_options"],
    "properties": {
        "id": {"const": PROCESS_ID},
        "description": TEXT,
        "parameters": {
            "type": "array",
            "minItems": 6,
            "items": {
                "type": "object",
                "required": ["name", "description", "schema"],
                "properties": {"name": TEXT, "description": TEXT, "schema": {"type": "object", "required": ["type"]}},
                "if": {"required": ["default"]},
                "then": {"properties": {"optional": {"const": True}}, "required": ["optional"]},
            },
        },
        "process_graph": {
            "type": "object",
            "additionalProperties": {"type": "object", "required": ["process_id", "arguments"]},
        },
    },
}
"""What openEO API 1.2 and APEx's tests ask of a process."""
RECORD = {
    "type": "object",
    "required": ["id", "type", "conformsTo", "geometry", "properties", "links"],
    "properties": {
        "type": {"const": "Feature"},
        "geometry": {"type": "null"},
        "conformsTo": {
            "type": "array",
            "minItems": 2,
            "allOf": [
                {"contains": {"const": "http://www.opengis.net/spec/ogcapi-records-1/1.0/req/record-core"}},
                {"contains": {"const": "https://apex.esa.int/core/openeo-udp"}},
            ],
        },
        "properties": {
            "type": "object",
            "required": [
                "created", "updated", "type", "title", "description", "cost_estimate", "cost_unit", "contacts",
                "themes", "formats",
            ],
            "properties": {
                "type": {"const": "service"},
                "created": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
                "cost_estimate": {"type": "number", "exclusiveMinimum": 0},
                "keywords": {"items": {"enum": ["Sentinel-2", "Land Use/Land Cover Classification"]}},
                "themes": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "object", "required": ["concepts", "scheme"]},
                },
                "formats": {"type": "array", "items": {"anyOf": [{"required": ["name"]}, {"required": ["mediaType"]}]}},
            },
        },
        "links": {
            "type": "array",
            "minItems": 3,
            "items": {
                "type": "object",
                "required": ["rel", "type", "title", "href"],
                "properties": {"href": {"type": "string", "pattern": "^https://"}},
            },
            "allOf": [
                {"contains": {"properties": {"rel": {"const": rel}, "href": {"type": "string", "pattern": where}}}}
                for rel, where in (
                    ("application", "json$"), ("service", "^https://[^/]+$"),
                    ("platform", "/ESA-APEx/apex_algorithms/refs/heads/main/platform_catalog/.+json$"),
                )
            ],
        },
    },
}  # fmt: skip
"""What APEx asks of a record (schemas/record.json of ESA-APEx/apex_algorithms, in 2026), of keywords those that fit."""
BENCHMARK = {
    "type": "object",
    "required": ["id", "type", "backend", "process_graph"],
    "properties": {"type": {"const": "openeo"}, "process_graph": {"type": "object"}, "job_options": {"type": "object"}},
}


@contextmanager
def serve_files(folder):
    """The files of a folder, by HTTP on loopback."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_documents_have_their_shape(kappamask, tmp_path):
    done = kappamask(
        "publish", "-o", tmp_path, "--namespace", "https://example.org/kappamask.json", "--archive", ARCHIVE, "--json"
    )
    assert done.code == 0, done.err
    process, record, (benchmark,) = (
        json.loads((tmp_path / room / f"{PROCESS_ID}.json").read_text())
        for room in ("openeo_udp", "records", "benchmark_scenarios")
    )
    for document, schema in ((process, PROCESS), (record, RECORD), (benchmark, BENCHMARK)):
        jsonschema.Draft202012Validator(schema).validate(document)
    names = [parameter["name"] for parameter in process["parameters"]]
    assert names == ["spatial_extent", "temporal_extent", "level", "model", "scores", "buffer"]
    assert process["default_job_options"]["udf-dependency-archives"] == [f"{ARCHIVE}#kappamask_deps"]
    assert CARD.sha256 in process["description"]
    called = benchmark["process_graph"][PROCESS_ID]
    assert set(called["arguments"]) <= set(names)
    links = {link["rel"]: link["href"] for link in record["links"]}
    assert (links["application"], links["service"]) == (called["namespace"], benchmark["backend"])


@pytest.mark.parametrize("scores", [False, True])
def test_it_runs_where_it_is_called_by_name(tmp_path, scores):
    made = make_publication(CARD, namespace=PLACE, archive=ARCHIVE, backend="x", python=PYTHON).process
    made = {key: value for key, value in made.items() if key != "default_job_options"}  # the archive is not there
    (tmp_path / "kappamask.json").write_text(json.dumps(made))
    (tmp_path / "scenes").mkdir()
    extent = {"west": 500_040, "south": 6_499_200, "east": 500_880, "north": 6_499_980, "crs": "EPSG:32635"}
    with serve_files(tmp_path) as url, back_end(tmp_path / "scenes", CARD.bands) as server:
        connection = log_in(server)
        dates = DATES.split("/")
        cube = connection.datacube_from_process(
            PROCESS_ID, namespace=f"{url}/kappamask.json", spatial_extent=extent, temporal_extent=dates, level="L1C",
            scores=scores,
        )  # fmt: skip
        cube.save_result("GTiff").download(tmp_path / "by_name.tif")
        loaded = connection.load_collection("SENTINEL2_L1C", spatial_extent=extent, temporal_extent=dates)
        cloud_mask(loaded, level="L1C", scores=scores, python=PYTHON).download(tmp_path / "own.tif")
    with rasterio.open(tmp_path / "by_name.tif") as one, rasterio.open(tmp_path / "own.tif") as other:
        assert one.descriptions == other.descriptions == tuple(CARD.result_bands(scores))
        assert one.dtypes == other.dtypes
        np.testing.assert_array_equal(one.read(), other.read())


def test_chunks_overlap_for_the_largest_buffer_and_the_schema_says_which_it_is():
    process = make_publication(CARD, namespace=PLACE, archive=ARCHIVE, backend="x").process
    (buffer,) = (one for one in process["parameters"] if one["name"] == "buffer")
    assert buffer["schema"] == {"type": "number", "minimum": 0, "maximum": 160}
    assert "160 at most" in buffer["description"]
    (chunks,) = (n["arguments"] for n in process["process_graph"].values() if n["process_id"] == "apply_neighborhood")
    (run,) = chunks["process"]["process_graph"].values()
    assert {one["value"] for one in chunks["overlap"]} == {80} == {run["arguments"]["context"]["overlap"]}
    assert 80 - CARD.overlap >= read_cleaning({"buffer_m": buffer["schema"]["maximum"]}).support_px(10)
    with pytest.raises(CubeError, match="1440 m"):
        make_publication(CARD, namespace=PLACE, archive=ARCHIVE, backend="x", largest_buffer_m=1500)


def test_a_buffer_is_exact_up_to_the_largest_and_refused_beyond(tmp_path, monkeypatch):
    """A scene of 16 chunks with clouds across their seams has the whole scene's mask."""
    monkeypatch.setenv("KAPPAMASK_CACHE", str(tmp_path / "models"))
    card = write_model(tmp_path / "models" / "brightness", **{"kappamask:window": 96})
    made = make_publication(card, namespace=PLACE, archive=ARCHIVE, backend="x", python=PYTHON).process
    made = {key: value for key, value in made.items() if key != "default_job_options"}  # the archive is not there
    (tmp_path / "kappamask.json").write_text(json.dumps(made))
    numbers = np.full((len(card.bands), 200, 200), 1500, np.uint16)
    for y, x in product(range(0, 200, 47), range(0, 200, 53)):
        numbers[:, y : y + 5, x : x + 5] = 9000
    (tmp_path / "scenes").mkdir()
    tags = {"datetime": f"{DATE}T10:50:00Z", "level": "L1C"}
    geotiff(tmp_path / "scenes" / "scene_L1C_20180202.tif", numbers, card.bands, tags)
    scene = cube_of(numbers, card.bands)
    west, south = WEST + 300, NORTH - 1740
    extent = {"west": west, "south": south, "east": west + 1440, "north": south + 1440, "crs": "EPSG:32635"}
    with serve_files(tmp_path) as url, running_server(tmp_path / "scenes") as server:
        connection = log_in(server)

        def masked(buffer):
            cube = connection.datacube_from_process(
                PROCESS_ID, namespace=f"{url}/kappamask.json", spatial_extent=extent, temporal_extent=DATES.split("/"),
                level="L1C", buffer=buffer,
            )  # fmt: skip
            cube.save_result("GTiff").download(tmp_path / "mask.tif")
            with rasterio.open(tmp_path / "mask.tif") as file:
                return file.read(1)

        plain, wide = (
            clean(cloud_mask_here(scene, model=card, level="L1C", radiometry="dn_harmonized"), buffer_m=buffer)
            for buffer in (0, 160)
        )
        assert 0 < int((plain == 4).sum()) < int((wide == 4).sum()) / 10
        np.testing.assert_array_equal(masked(160), wide[30:174, 30:174])
        with pytest.raises(OpenEoApiError, match=r"17 px.* 16 px.*buffer.* 160 m"):
            masked(170)


def test_it_can_be_kept_in_an_account(kappamask, tmp_path, monkeypatch):
    (tmp_path / "scenes").mkdir()
    with back_end(tmp_path / "scenes") as server:
        for name, value in (("METHOD", "basic"), ("USER", server.user), ("PASSWORD", server.password)):
            monkeypatch.setenv(f"OPENEO_AUTH_{name}" if name == "METHOD" else f"KAPPAMASK_{name}", value)
        done = kappamask(
            "publish", "-o", tmp_path / "out", "--namespace", "https://example.org/k.json", "--archive", ARCHIVE,
            "--backend", server.url, "--store",
        )  # fmt: skip
        assert done.code == 0, done.err
        assert [entry["id"] for entry in log_in(server).list_user_defined_processes()] == [PROCESS_ID]


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"archive": "deps.zip"}, "archive 'deps.zip' is no address"),
        ({"namespace": "x"}, "namespace 'x'"),
        ({"namespace": "://"}, "'://' is no address"),
        ({"namespace": "ftp://x.org/p"}, "is no address"),
        ({"namespace": "https://"}, "is no address"),
        ({"largest_buffer_m": 1e9}, "largest_buffer_m is 1e.09; needed are 0 to"),
    ],
)
def test_what_nobody_could_call_is_not_published(change, fact):
    given = {"namespace": PLACE, "archive": ARCHIVE, "backend": "x"} | change
    with pytest.raises(JobError, match=fact):
        make_publication(CARD, **given)
