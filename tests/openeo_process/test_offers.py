"""What other back-ends say that they offer: pages, names and documents, over HTTP."""

import pytest
from foreign import Reply, foreign_backend

from kappamask.models import JobError, load_card
from kappamask.openeo_process.connection import connect_or_explain
from kappamask.openeo_process.offers import OF_DAYS, PROCESSES, check_backend

CARD = load_card("compact")
BANDS = ["B02", "B03", "B04", "B08"]


def describe(**dimensions) -> dict:
    return {"id": "S2", "stac_version": "1.0.0", "links": [], "cube:dimensions": dimensions}


@pytest.fixture
def backend():
    """A back-end that can run the graphs, whose answers tests change."""
    with foreign_backend() as made:
        made["GET /processes"] = {"processes": [{"id": name} for name in (*PROCESSES, *OF_DAYS)], "links": []}
        made["GET /collections"] = {"collections": [{"id": "S2"}], "links": []}
        made["GET /collections/S2"] = describe(bands={"type": "bands", "values": BANDS})
        made["GET /file_formats"] = {"input": {}, "output": {"GTIFF": {}}}
        made["GET /udf_runtimes"] = {"Python": {"versions": {"3.11": {}}}}
        yield made


def check(backend) -> list[str]:
    return check_backend(backend.connect(), "S2", CARD, "3.11", days=True)


@pytest.mark.parametrize("href", ["?page=2", "{url}/api/{name}?page=2"])
@pytest.mark.parametrize("name", ["processes", "collections"])
def test_listings_are_read_to_their_last_page(backend, name, href):
    listed = backend.answers[f"GET /{name}"][name]
    link = {"rel": "next", "href": href.format(url=backend.url, name=name)}
    pages = [{name: [*listed[:-1], {"id": "other"}], "links": [link]}, {name: listed[-1:], "links": []}]
    backend[f"GET /{name}"] = lambda query: pages["page=2" in query]
    assert check(backend) == BANDS


@pytest.mark.parametrize(("path", "answer"), [
    ("udf_runtimes", Reply({"code": "NotFound", "message": "no"}, 404)),
    ("udf_runtimes", {"python": {"versions": {"3.11": {}}}}),
    ("udf_runtimes", Reply({"code": "FeatureUnsupported", "message": "no"}, 501)),
    ("collections/S2", {**describe(), "summaries": {"eo:bands": [{"name": band} for band in BANDS]}}),
    ("collections/S2", {**describe(), "summaries": {"bands": [{"name": band} for band in BANDS]}}),
])  # fmt: skip
def test_what_others_leave_out_or_say_otherwise_is_no_lack(backend, path, answer):
    backend[f"GET /{path}"] = answer
    assert check(backend) == BANDS


TOC = ["TOC-B02_10M", "TOC-B03_10M", "TOC-B04_10M", "TOC-B8A_20M", "SCENECLASSIFICATION_20M"]


@pytest.mark.parametrize(("offered", "labels"), [
    (TOC, TOC[:-1]), (["B4", "B3", "B2", "B8A"], ["B2", "B3", "B4", "B8A"]),
    (["blue", "green", "red", "nir08", "scl"], ["blue", "green", "red", "nir08"]),
    (["B02_60m", "B02_20m", "B02_10m", "B03_20m", "B04_10m"], ["B02_10m", "B03_20m", "B04_10m"]),
    (["B02_10m", "B02", "B03", "B04", "red"], ["B02", "B03", "B04"]),
])  # fmt: skip
def test_labels_of_other_collections_are_found_by_band(backend, offered, labels):
    backend["GET /collections/S2"] = describe(bands={"type": "bands", "values": offered})
    assert check(backend) == labels


@pytest.mark.parametrize(
    "listed",
    [
        {"bands": [{"name": band, "eo:common_name": "none"} for band in BANDS]},
        {"item_assets": {"all": {"bands": [{"name": band} for band in BANDS]}, "meta": {"type": "application/xml"}}},
        {"item_assets": {band: {"eo:bands": [{"name": band}]} for band in BANDS}},
    ],
)
def test_bands_are_read_where_stac_lists_them(backend, listed):
    backend["GET /collections/S2"] = {**describe(), **listed}
    assert check(backend) == BANDS


@pytest.mark.parametrize(("path", "answer", "said"), [
    ("collections/S2", describe(), "bands B02, B03, B04 .it has none that its metadata name"),
    ("collections/S2", {"id": "S2"}, "bands B02, B03, B04"), ("collections/S2", Reply(b"<html>"), "bands B02"),
    ("collections/S2", describe(bands={"type": "bands", "values": ["B2", "B3"]}), "it has B2, B3"),
    ("collections/S2", describe(spectral={"type": "bands", "values": BANDS}), "named bands .* is named spectral"),
    ("file_formats", {"output": {}}, "output format GTIFF"), ("file_formats", Reply(b"", 404), "output format GTIFF"),
    ("collections", {}, "no list 'collections'"), ("processes", {"processes": None}, "no list 'processes'"),
    ("processes", {"processes": [{"name": "apply"}]}, "processes load_collection"),
])  # fmt: skip
def test_what_is_lacking_is_named(backend, path, answer, said):
    backend[f"GET /{path}"] = answer
    with pytest.raises(JobError, match=said):
        check(backend)


@pytest.mark.parametrize(
    "answer", [Reply(b"<html>hello"), Reply(b"no", 404), Reply(b"no", 500), {"hello": 1}, Reply([1])]
)
def test_an_address_where_no_back_end_is_is_named(backend, monkeypatch, answer):
    monkeypatch.setenv("OPENEO_AUTH_METHOD", "basic")
    backend["GET /"] = answer
    with pytest.raises(JobError, match=r"does not answer as an openEO back-end .*is the address right"):
        connect_or_explain(f"{backend.url}/api")
