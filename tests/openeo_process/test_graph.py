"""The client's process graph and job options: rules 23 to 28 of docs/udf-contract.md."""

import json

import numpy as np
import openeo
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from openeo.rest._testing import DummyBackend
from openeo.rest.connection import Connection
from openeo.rest.datacube import PGNode

from kappamask.backend.processes.callbacks import Callback
from kappamask.models import CubeError, JobError, SceneError, load_card
from kappamask.models.cleaning import read_cleaning
from kappamask.openeo_process import cloud_mask, fetch, load, make_udf, submit, unusable
from kappamask.openeo_process.chunks import enlarge_extent
from kappamask.openeo_process.graph import make_chunk_arguments
from kappamask.openeo_process.job import JOB_OPTIONS, job_options
from kappamask.udf.context import read_context

AREA = {"west": 5.0, "south": 51.2, "east": 5.1, "north": 51.3}
DATES = ("2024-05-01", "2024-06-01")
COLLECTION = "SENTINEL2_L1C"
OFFERED = ["B01", "B02", "B03", "B04", "B08", "B8A", "B10", "B11", "B12", "sunZenithAngles"]


@pytest.fixture
def backend(requests_mock):
    made = DummyBackend.at_url("https://openeo.test", requests_mock=requests_mock)
    made.setup_file_format("GTiff")
    bands = {COLLECTION: OFFERED, "SENTINEL2_L2A": [b for b in OFFERED if b != "B10"] + ["SCL"]}
    for collection, names in bands.items():
        made.setup_collection(collection, bands=names)
    return made


@pytest.fixture
def connection(backend) -> Connection:
    return backend.connection


def nodes(cube):
    graph = cube.flat_graph()
    return {node["process_id"]: node for node in graph.values()}


def masked(connection, **options):
    return cloud_mask(load(connection, COLLECTION, area=AREA, dates=DATES), clip_to=AREA, **options)


def test_23_square_chunks_equal_overlaps_multiples_of_16_one_date_at_a_time(connection):
    arguments = nodes(masked(connection))["apply_neighborhood"]["arguments"]
    assert arguments["size"] == [
        {"dimension": "x", "unit": "px", "value": 512},
        {"dimension": "y", "unit": "px", "value": 512},
        {"dimension": "t", "value": "P1D"},
    ]
    assert arguments["overlap"] == [{"dimension": d, "unit": "px", "value": 64} for d in ("x", "y")]


@given(size=st.integers(-16, 600), overlap=st.integers(-16, 300))
def test_23_no_other_geometry_is_built(size, overlap):
    fits = 0 < overlap <= size and size % 16 == 0 and (size + 2 * overlap) % 16 == 0
    if fits:
        made = make_chunk_arguments(load_card("compact"), size, overlap)
        assert [s["value"] for s in made["size"]] == [size, size, "P1D"]
        assert [s["value"] for s in made["overlap"]] == [overlap, overlap]
    else:
        with pytest.raises(CubeError, match="px overlap"):
            make_chunk_arguments(load_card("compact"), size, overlap)


def test_24_context_runtime_and_version_are_on_the_run_udf_node(connection):
    callback = nodes(masked(connection, scores=True, thresholds={"cloud": 0.3}))["apply_neighborhood"]
    callback = callback["arguments"]["process"]["process_graph"]
    (node,) = callback.values()
    assert node["process_id"] == "run_udf"
    arguments = node["arguments"]
    assert (arguments["runtime"], arguments["version"]) == ("Python", "3.11")
    assert arguments["context"] == {
        "schema": 1, "model": "compact", "radiometry": "dn_harmonized", "level": "L1C", "scores": True,
        "thresholds": {"cloud": 0.3},
    }  # fmt: skip
    assert arguments["udf"] == make_udf().code
    assert "apply_datacube" in arguments["udf"]
    with pytest.raises(CubeError, match="No threshold can be set for clouds"):
        make_udf(thresholds={"clouds": 0.3})


CLEANING = {"buffer_m": {"cloud": 60}, "min_object_m2": 900, "sun": (40, 150), "shadow_length_m": 300}


def test_24_scheme_and_cleaning_are_in_the_context_as_the_udf_reads_them(connection):
    made = nodes(masked(connection, scheme="scl", **CLEANING))["apply_neighborhood"]["arguments"]["process"]
    context = json.loads(json.dumps(made["process_graph"]["runudf1"]["arguments"]["context"]))
    assert context == {
        "schema": 1, "model": "compact", "radiometry": "dn_harmonized", "level": "L1C", "scheme": "SCL",
        **CLEANING, "sun": [40, 150],
    }  # fmt: skip
    options = read_context(context)
    assert options.scheme == "SCL"
    assert options.cleaning == read_cleaning(CLEANING)
    assert "scheme" not in make_udf(scheme="KappaMask").context
    with pytest.raises(CubeError, match="No class scheme 'SLC'"):
        make_udf(scheme="SLC")
    with pytest.raises(CubeError, match="No cleaning option buffer"):
        make_udf(buffer=60)


def test_names_for_bands_without_any_are_in_the_context():
    """The UDF's own error asks for them."""
    assert make_udf(bands=("B02", "B03", "B04")).context["bands"] == ["B02", "B03", "B04"]
    assert "bands" not in make_udf().context
    with pytest.raises(SceneError, match="needed is a list of names"):
        make_udf(bands="B02")


def test_23_cleaning_has_the_overlap_that_it_needs_and_the_cube_its_margin(connection):
    cube = load(connection, COLLECTION, area=AREA, dates=DATES, **CLEANING)
    made = nodes(cloud_mask(cube, clip_to=AREA, **CLEANING))
    arguments = made["apply_neighborhood"]["arguments"]
    (overlap,) = {o["value"] for o in arguments["overlap"]}
    (size,) = {s["value"] for s in arguments["size"]} - {"P1D"}
    assert overlap >= load_card("compact").overlap + read_cleaning(CLEANING).support_px(10)
    assert size + 2 * overlap == load_card("compact").window
    assert made["load_collection"]["arguments"]["spatial_extent"] == enlarge_extent(AREA, overlap)


@given(metres=st.floats(0, 5000), objects=st.floats(0, 40_000), holes=st.floats(0, 40_000))
def test_23_cleaning_that_chunks_can_do_is_given_room_and_other_is_refused(metres, objects, holes):
    cleaning = read_cleaning({"buffer_m": metres, "min_object_m2": objects, "fill_holes_m2": holes})
    card, reach = load_card("compact"), cleaning.support_px(10)
    if reach <= 144:
        made = make_chunk_arguments(card, None, None, cleaning)
        size, overlap = made["size"][0]["value"], made["overlap"][0]["value"]
        assert 64 + reach <= overlap <= size
        assert size % 16 == (size + 2 * overlap) % 16 == 0
    else:
        with pytest.raises(CubeError, match=r"144 px.*1440 m"):
            make_chunk_arguments(card, None, None, cleaning)


def test_23_an_overlap_that_is_given_must_be_as_wide_as_cleaning_reaches():
    cleaning = read_cleaning({"buffer_m": 330})
    assert make_chunk_arguments(load_card("compact"), 256, 40, cleaning)["overlap"][0]["value"] == 40
    with pytest.raises(CubeError, match=r"33 px.*32 px"):
        make_chunk_arguments(load_card("compact"), 256, 32, cleaning)


def test_what_is_left_out_of_a_cube_is_what_mask_wants(connection):
    """The callback gives 1 for cloud and shadow, 0 for others, no data for none.

    The embedded back-end runs it.
    """
    mask = masked(connection)
    graph = nodes(load(connection, COLLECTION, area=AREA, dates=DATES).mask(unusable(mask)))
    assert graph["mask"]["arguments"]["mask"] != graph["mask"]["arguments"]["data"]
    codes = xr.DataArray([1.0, 2, 3, 4, np.nan], dims="x")
    for classes, expected in [(None, [0, 1, 1, 1, np.nan]), (["cloud"], [0, 0, 0, 1, np.nan])]:
        chosen = unusable(mask, classes) if classes else unusable(mask)
        process = chosen.flat_graph()["apply2"]["arguments"]["process"]
        np.testing.assert_array_equal(Callback.parse("apply", process["process_graph"])(x=codes), expected)
    with pytest.raises(CubeError, match="No class 'clouds'"):
        unusable(mask, ["clouds"])
    with pytest.raises(CubeError, match="missing pixels have no data"):
        unusable(mask, ["missing"])


@pytest.mark.parametrize("scores", [False, True])
def test_25_names_and_bytes_follow_straight_after(connection, scores):
    graph = masked(connection, scores=scores).flat_graph()
    order = list(graph)
    by_process = {node["process_id"]: key for key, node in graph.items()}
    rename, apply = graph[by_process["rename_labels"]], graph[by_process["apply"]]
    assert rename["arguments"]["data"] == {"from_node": by_process["apply_neighborhood"]}
    assert rename["arguments"]["target"] == load_card("compact").result_bands(scores)
    assert apply["arguments"]["data"] == {"from_node": by_process["rename_labels"]}
    (scale,) = apply["arguments"]["process"]["process_graph"].values()
    numbers = {k: v for k, v in scale["arguments"].items() if k != "x"}
    assert numbers == {"inputMin": 0, "inputMax": 250, "outputMin": 0, "outputMax": 250}
    assert all(isinstance(number, int) for number in numbers.values())
    assert order.index(by_process["rename_labels"]) == order.index(by_process["apply_neighborhood"]) + 1


def test_28_loaded_with_a_margin_and_clipped_after(connection):
    made = nodes(masked(connection))
    loaded = made["load_collection"]["arguments"]["spatial_extent"]
    assert loaded == enlarge_extent(AREA, 64)
    assert {k: made["filter_bbox"]["arguments"]["extent"][k] for k in AREA} == AREA
    assert made["load_collection"]["arguments"]["temporal_extent"] == list(DATES)


@given(
    pixels=st.integers(1, 300), west=st.floats(-179, 178), south=st.floats(-83, 82), zone=st.sampled_from([None, 32633])
)
def test_28_the_margin_covers_the_overlap_on_the_ground(pixels, west, south, zone):
    """Measured with PROJ: never less than the overlap, and not wastefully more."""
    from pyproj import Geod

    if zone:
        area = {"west": 5e5, "south": 5e6, "east": 5.1e5, "north": 5.1e6, "crs": "EPSG:32633"}
        margin = area["west"] - enlarge_extent(area, pixels)["west"]
        assert margin % 60 == 0
        assert 10 * pixels <= margin < 10 * pixels + 60
        return
    area = {"west": west, "south": south, "east": west + 0.5, "north": south + 0.5}
    made, geod = enlarge_extent(area, pixels), Geod(ellps="WGS84")
    for latitude in (south, south + 0.5):
        _, _, metres = geod.inv(made["west"], latitude, west, latitude)
        assert 10 * pixels <= metres < 1.5 * (10 * pixels + 120)
    for a, b in ((made["south"], south), (south + 0.5, made["north"])):
        _, _, metres = geod.inv(west, a, west, b)
        assert 10 * pixels <= metres < 1.1 * (10 * pixels + 120)


@pytest.mark.parametrize(
    ("area", "says"),
    [
        ({"west": 1, "south": 2, "east": 3}, "lacks north"),
        ({**AREA, "east": 4.0}, "is empty"),
        ({**AREA, "crs": "EPSG:3035"}, "UTM zone"),
        ({**AREA, "crs": "WGS84"}, "UTM zone"),
        ({"west": 1, "south": 80, "east": 3, "north": 85}, "Sentinel-2's grid ends"),
    ],
)
def test_an_area_that_cannot_be_enlarged(area, says):
    with pytest.raises(CubeError, match=says):
        enlarge_extent(area, 32)


def test_bands_that_the_network_knows_and_the_collection_offers_are_loaded(connection):
    made = nodes(load(connection, COLLECTION, area=AREA, dates=DATES))
    assert made["load_collection"]["arguments"]["bands"] == OFFERED[:-1]


@pytest.mark.parametrize(
    ("wanted", "loaded"),
    [
        (None, ["TOC-B02_10M", "TOC-B03_10M", "TOC-B04_10M", "TOC-B8A_20M"]),
        (["B02", "green", "TOC-B04_10M"], ["TOC-B02_10M", "TOC-B03_10M", "TOC-B04_10M"]),
    ],
)
def test_bands_are_loaded_by_the_labels_that_the_collection_has(backend, connection, wanted, loaded):
    backend.setup_collection("TERRASCOPE_S2_TOC_V2", bands=[*reversed(loaded), "TOC-B8A_20M", "SCENECLASSIFICATION"])
    cube = load(connection, "TERRASCOPE_S2_TOC_V2", area=AREA, dates=DATES, bands=wanted)
    assert nodes(cube)["load_collection"]["arguments"]["bands"] == loaded
    assert context_of(cloud_mask(cube))["level"] == "L2A"


def test_products_that_say_they_are_cloudier_are_left_out(connection):
    """A filter is a callback on the property's value, as openEO wants it.

    Copernicus takes eq, lte and gte.
    """
    made = nodes(load(connection, COLLECTION, area=AREA, dates=DATES, max_cloud_cover=30))
    callbacks = made["load_collection"]["arguments"]["properties"]
    ((node,),) = (callbacks[name]["process_graph"].values() for name in ("eo:cloud_cover",))
    assert node["process_id"] == "lte" and node["result"] is True
    assert node["arguments"] == {"x": {"from_parameter": "value"}, "y": 30}
    assert [*callbacks] == ["eo:cloud_cover"]
    assert (
        "properties" not in nodes(load(connection, COLLECTION, area=AREA, dates=DATES))["load_collection"]["arguments"]
    )


def context_of(mask):
    """The context of the UDF in a mask's graph."""
    process = nodes(mask)["apply_neighborhood"]["arguments"]["process"]["process_graph"]
    return process["runudf1"]["arguments"]["context"]


def test_level_follows_from_the_bands_or_the_collection_or_is_asked_for(backend, connection):
    backend.setup_collection("MY_SENTINEL2", bands=["B02", "B03", "B04", "B10"])
    plain = load(connection, "SENTINEL2_L2A", area=AREA, dates=DATES, bands=["B02", "B03", "B04"])
    assert context_of(cloud_mask(plain))["level"] == "L2A"
    assert context_of(cloud_mask(load(connection, "MY_SENTINEL2", area=AREA, dates=DATES)))["level"] == "L1C"
    other = load(connection, "MY_SENTINEL2", area=AREA, dates=DATES, bands=["B02", "B03", "B04"])
    with pytest.raises(CubeError, match="say level="):
        cloud_mask(other)
    with pytest.raises(CubeError, match="not for level 'L3'"):
        cloud_mask(plain, level="L3")
    callback = nodes(cloud_mask(plain, level="L2A"))["apply_neighborhood"]["arguments"]["process"]["process_graph"]
    assert callback["runudf1"]["arguments"]["context"]["level"] == "L2A"


def test_a_level_that_contradicts_collection_or_bands_is_refused_when_the_graph_is_built(backend, connection):
    backend.setup_collection("MY_SENTINEL2", bands=["B02", "B03", "B04", "B10"])
    with pytest.raises(CubeError, match=r"'L1C' contradicts collection SENTINEL2_L2A"):
        cloud_mask(load(connection, "SENTINEL2_L2A", area=AREA, dates=DATES), level="L1C")
    with pytest.raises(CubeError, match=r"'L2A' contradicts band B10"):
        cloud_mask(load(connection, "MY_SENTINEL2", area=AREA, dates=DATES), level="L2A")


@pytest.mark.parametrize("url", [
    "https://example.org/v1/collections/sentinel-2-l2a?token=L1C", "https://example.org/S2B_MSIL2A_20240601.json"
])  # fmt: skip
def test_the_address_of_load_stac_says_the_level(connection, url):
    cube = openeo.DataCube(graph=PGNode("load_stac", url=url), connection=connection)
    assert context_of(cloud_mask(cube))["level"] == "L2A"
    with pytest.raises(CubeError, match=r"'L1C' contradicts https://example\.org/\S+, which is of level L2A") as error:
        cloud_mask(cube, level="L1C")
    assert "token" not in str(error.value)


def test_only_what_goes_into_the_cube_says_the_level(backend, connection):
    """A cube of one level may be masked or aligned by one of the other."""
    first = load(connection, "SENTINEL2_L1C", area=AREA, dates=DATES)
    other = load(connection, "SENTINEL2_L2A", area=AREA, dates=DATES)
    for cube in (first.mask(other.band("B02") > 3), first.resample_cube_spatial(other)):
        assert context_of(cloud_mask(cube))["level"] == "L1C"
        with pytest.raises(CubeError, match="'L2A' contradicts collection SENTINEL2_L1C"):
            cloud_mask(cube, level="L2A")
    with pytest.raises(CubeError, match="both levels"):
        cloud_mask(first.merge_cubes(other))


def test_a_cube_of_local_processing_is_refused_with_what_to_use_instead(connection):
    cube = load(connection, COLLECTION, area=AREA, dates=DATES)
    local = type("LocalConnection", (type(connection),), {"__module__": "openeo.local.connection"})
    connection.__class__ = local
    with pytest.raises(CubeError, match=r"LocalConnection.*kappamask\.udf\.cloud_mask.*mask_scene"):
        cloud_mask(cube)
    with pytest.raises(CubeError, match=r"LocalConnection.*mask_scene"):
        load(connection, "scene.nc", area=AREA, dates=DATES)


def test_27_job_options_are_explicit(backend, connection):
    submit(masked(connection), archive="https://example.org/deps.zip")
    options = backend.get_batch_post_data()["job_options"]
    assert options == job_options("https://example.org/deps.zip")
    assert set(JOB_OPTIONS) <= set(options)
    assert options["udf-dependency-archives"] == ["https://example.org/deps.zip#kappamask_deps"]
    assert options["soft-errors"] == 0.0
    assert {"executor-memory", "executor-memoryOverhead", "python-memory", "task-cpus", "max-executors"} <= set(options)


def test_options_can_be_changed(backend, connection):
    submit(masked(connection), options={"max-executors": 3})
    assert backend.get_batch_post_data()["job_options"] == {**JOB_OPTIONS, "max-executors": 3}


def test_waiting_for_a_job_that_fails_is_an_error(backend, connection):
    backend.setup_simple_job_status_flow(queued=0, running=0, final="error")
    with pytest.raises(JobError, match="ended with status 'error'"):
        submit(masked(connection), wait=True)


def test_results_are_fetched_whole_under_plain_names(backend, connection, tmp_path):
    backend.setup_simple_job_status_flow(queued=0, running=0)
    backend.next_result = b"II*\0 raster"
    job = submit(masked(connection), wait=True)
    (path,) = fetch(job, tmp_path / "out")
    assert path.read_bytes() == b"II*\0 raster"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
