"""The published process: documents of the right shape, and a process that runs where it is called by name."""

import functools
import http.server
import json
import threading
from contextlib import contextmanager

import jsonschema
import numpy as np
import pytest
import rasterio
from remote import DATES, PYTHON, back_end, logged_in

from kappamask.models import load_card
from kappamask.openeo_process import cloud_mask
from kappamask.openeo_process.publish import PROCESS_ID, publication

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
            "contains": {"properties": {"rel": {"const": "service"}, "href": TEXT}, "required": ["rel", "href"]},
        },
    },
}  # fmt: skip
"""What APEx's schema of records asks for."""
BENCHMARK = {
    "type": "object",
    "required": ["id", "type", "backend", "process_graph"],
    "properties": {"type": {"const": "openeo"}, "process_graph": {"type": "object"}, "job_options": {"type": "object"}},
}


@contextmanager
def shown(folder):
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
    assert called["namespace"] == record["links"][0]["href"]


@pytest.mark.parametrize("scores", [False, True])
def test_it_runs_where_it_is_called_by_name(tmp_path, scores):
    made = publication(CARD, namespace="x", archive=ARCHIVE, backend="x", python=PYTHON).process
    made = {key: value for key, value in made.items() if key != "default_job_options"}  # the archive is not there
    (tmp_path / "kappamask.json").write_text(json.dumps(made))
    (tmp_path / "scenes").mkdir()
    extent = {"west": 500_040, "south": 6_499_200, "east": 500_880, "north": 6_499_980, "crs": "EPSG:32635"}
    with shown(tmp_path) as url, back_end(tmp_path / "scenes", CARD.bands) as server:
        connection = logged_in(server)
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
        assert [entry["id"] for entry in logged_in(server).list_user_defined_processes()] == [PROCESS_ID]
