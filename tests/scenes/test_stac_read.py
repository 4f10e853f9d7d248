import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pystac
import pytest
from command import one_sentence
from files import CRS, NORTH, WEST, digits, geotiff, jp2
from hypothesis import given
from hypothesis import strategies as st
from stacs import (
    COPERNICUS,
    EARTH_SEARCH,
    KEYS,
    METRES,
    PLANETARY,
    cogs,
    raw_item,
    serve_folder,
    with_scale,
    write_item,
)

from kappamask.models import ModelCard, RadiometryError, SceneError
from kappamask.scenes import open_scene
from kappamask.scenes.readers.stac import open_stac, search
from kappamask.scenes.readers.stac_providers import PROVIDERS, UNKNOWN, find_item_radiometry, find_provider
from kappamask.udf import cloud_mask

BASELINE = {"s2:processing_baseline": "05.11"}
FLAG = "earthsearch:boa_offset_applied"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with COGs of seven bands."""
    folder = tmp_path_factory.mktemp("scene")
    cogs(folder)
    return folder


def assets(**change: Any) -> dict[str, dict[str, Any]]:
    """The assets of `scene`."""
    plain = {"type": "image/tiff; application=geotiff; profile=cloud-optimized", "roles": ["data"]}
    return {KEYS[band]: plain | {"href": f"./{band}.tif", "gsd": metres} | change for band, metres in METRES.items()}


def item(scene: Path, raw: dict[str, Any]) -> Path:
    return write_item(scene, raw, f"item{len(list(scene.glob('*.json')))}.json")


# what an item gives


def test_an_item_is_a_scene(scene: Path, brightness: ModelCard) -> None:
    product = "S2B_MSIL2A_20210527T102021_N0511_R065_T35VLC_20230101T000000"
    path = item(scene, raw_item(with_scale(assets(), -0.1), "sentinel-2-l2a", COPERNICUS, product, **BASELINE))
    cube = open_scene(path)
    assert isinstance(cube.data, da.Array)
    assert (cube.dims, cube.dtype, cube.rio.crs) == (("bands", "y", "x"), np.uint16, CRS)
    assert list(cube["bands"].values) == ["B02", "B03", "B04", "B05", "B08", "B8A", "B11"]
    facts = {"level": "L2A", "datetime": "2021-05-27T10:20:21.024000Z", "collection": "sentinel-2-l2a"}
    facts |= {"product": product, "platform": "Sentinel-2B", "tile": "35VLC", "orbit": 65}
    facts |= {"radiometry": "dn_offset", "radiometry_reason": "dn_offset: the STAC item"}
    assert cube.attrs == facts | {"processing_baseline": "05.11", "_FillValue": 0}
    np.testing.assert_array_equal(cube["x"].values[[0, -1]], [WEST + 5, WEST + 1195])
    np.testing.assert_array_equal(cube["y"].values[[0, -1]], [NORTH - 5, NORTH - 1195])
    np.testing.assert_array_equal(cube.sel(bands="B04").values, digits(7, 120, 120)[2])
    with pytest.raises(RadiometryError, match=r"read as dn_offset .* look like dn_harmonized"):
        cloud_mask(cube, model=brightness).compute()


def test_bands_are_chosen_in_order_and_lie_on_one_grid(scene: Path) -> None:
    path = item(scene, raw_item(assets()))
    cube = open_scene(path, bands=["B11", "b4"])
    assert list(cube["bands"].values) == ["B11", "B04"]
    np.testing.assert_array_equal(cube["x"].values, open_scene(path)["x"].values)


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "cubic", "sinc"])
def test_coarse_assets_are_resampled_as_in_a_folder(tmp_path: Path, kernel: str) -> None:
    jp2(tmp_path / "T35VLC_20210527T102021_B02.jp2", digits(1, 240, 240)[0], 10)
    jp2(tmp_path / "T35VLC_20210527T102021_B05.jp2", digits(1, 120, 120)[0], 20)
    named = {b: {"href": f"T35VLC_20210527T102021_{b}.jp2", "type": "image/jp2"} for b in ("B02", "B05")}
    path = write_item(tmp_path, raw_item(named))
    got, folder = open_scene(path, resampling=kernel), open_scene(tmp_path, resampling=kernel)
    np.testing.assert_array_equal(got.values, folder.values)


def test_a_coarser_grid_and_a_box(scene: Path) -> None:
    path = item(scene, raw_item(assets()))
    whole = open_scene(path, resolution=20)
    assert whole.shape == (7, 60, 60)
    np.testing.assert_array_equal(whole["x"].values[:2], [WEST + 10, WEST + 30])
    np.testing.assert_array_equal(whole.sel(bands="B05").values, digits(7, 60, 60)[4], "20 m assets are as stored")
    box = open_stac(path, bbox=(27.0, 58.63, 27.01, 58.635))
    full = open_stac(path)
    assert 0 < box.sizes["x"] < 120 and 0 < box.sizes["y"] < 120
    np.testing.assert_array_equal(box.values, full.sel(x=box["x"], y=box["y"]).values)


@pytest.mark.parametrize(
    ("bbox", "message"), [((27.0, 58.63, 27.01), "needed are west, south"), ((1, 2, 3, 4), "does not touch")]
)
def test_boxes_that_are_none_are_refused(scene: Path, bbox: tuple, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        open_stac(item(scene, raw_item(assets())), bbox=bbox)


def test_several_items_are_a_series(scene: Path, tmp_path: Path) -> None:
    early = item(scene, raw_item(assets(), date="2021-05-17T10:20:21Z", name="early"))
    late = item(scene, raw_item(assets(), name="late"))
    cube = open_stac([late, early], bands=["B02"])
    assert (cube.dims, cube.shape) == (("t", "bands", "y", "x"), (2, 1, 120, 120))
    assert [str(t)[:10] for t in cube["t"].values] == ["2021-05-17", "2021-05-27"]
    np.testing.assert_array_equal(cube.values[0], cube.values[1])


def test_items_of_different_radiometry_are_each_read_by_their_own(scene: Path, tmp_path: Path) -> None:
    harmonised, offset = (
        item(scene, raw_item(with_scale(assets(), add), date=f"2021-05-{day}T10:20:21Z", name=f"x{day}"))
        for add, day in ((0.0, 17), (-0.1, 27))
    )
    cube = open_stac([offset, harmonised], bands=["B02"])
    assert "radiometry" not in cube.attrs
    facts = [json.loads(text)["radiometry"] for text in cube["scene_facts"].values]
    assert facts == ["dn_harmonized", "dn_offset"]
    # xarray keeps an attribute that only one item has, but it is not true of all
    plain = item(scene, raw_item(assets(), date="2021-06-01T10:20:21Z", name="plain"))
    assert "radiometry" not in open_stac([offset, plain], bands=["B02"]).attrs


def test_neighbouring_items_share_a_grid(scene: Path, tmp_path: Path) -> None:
    east = write_item(tmp_path, raw_item(cogs(tmp_path, west=WEST + 600), date="2021-06-01T10:20:21Z"))
    cube = open_stac([item(scene, raw_item(assets())), east], bands=["B02"])
    assert cube.shape == (2, 1, 120, 180)
    first, second = cube.values[:, 0]
    np.testing.assert_array_equal(first[:, :120], digits(7, 120, 120)[0])
    np.testing.assert_array_equal(second[:, 60:], digits(7, 120, 120)[0])
    assert not first[:, 120:].any() and not second[:, :60].any(), "nodata where an item has no pixels"


@pytest.mark.parametrize("kind", ["path", "dict", "pystac"])
def test_items_in_memory(scene: Path, kind: str) -> None:
    raw = raw_item({key: asset | {"href": str(scene / asset["href"])} for key, asset in assets().items()})
    path = item(scene, raw)
    given = {"path": path, "dict": raw, "pystac": pystac.Item.from_file(str(path))}[kind]
    if kind == "dict":
        with pytest.raises(SceneError, match="is no HTTPS address"):
            open_stac(given)
    else:
        np.testing.assert_array_equal(open_stac(given, bands=["B02"]).values[0], digits(7, 120, 120)[0])


# keys of assets


@pytest.mark.parametrize(
    ("key", "more", "band"),
    [
        ("B02", {}, "B02"),
        ("B8A_20m", {}, "B8A"),
        ("nir08", {}, "B8A"),
        ("rededge3", {}, "B07"),
        ("x", {"eo:bands": [{"name": "B11", "common_name": "swir16"}]}, "B11"),
        ("x", {"eo:bands": [{"name": "r", "common_name": "red"}]}, "B04"),
        ("x", {"bands": [{"name": "y", "eo:common_name": "rededge075"}]}, "B06"),
        ("x", {"eo:bands": [{"name": "y", "common_name": "rededge"}]}, None),
        ("visual", {"eo:bands": [{"name": "B04"}, {"name": "B03"}, {"name": "B02"}]}, None),
        ("SCL", {}, None),
        ("B02", {"type": "application/vnd+zarr"}, None),
        ("B02", {"type": None, "href": "./B02.tif"}, "B02"),
    ],
)
def test_assets_are_known_by_key_name_and_common_name(scene: Path, key: str, more: dict, band: str | None) -> None:
    path = item(scene, raw_item({key: {"href": "./B02.tif", "type": "image/tiff"} | more}))
    if band:
        assert list(open_scene(path)["bands"].values) == [band]
    else:
        with pytest.raises(SceneError, match=f"has no bands as GeoTIFF or JPEG 2000, only {key}"):
            open_scene(path)


def test_of_several_resolutions_the_fitting_one_is_read(tmp_path: Path) -> None:
    for metres in (10, 20, 60):
        values = digits(1, 1200 // metres, 1200 // metres) + np.uint16(metres)
        jp2(tmp_path / f"B02_{metres}m.jp2", values[0], metres)
    named = {f"B02_{m}m": {"href": f"B02_{m}m.jp2", "type": "image/jp2"} for m in (60, 20, 10)}
    named |= {"B02-jp2": {"href": "s3://bucket/B02.jp2", "type": "image/jp2", "gsd": 10}}
    path = write_item(tmp_path, raw_item(named))
    np.testing.assert_array_equal(open_stac(path).values[0], digits(1, 120, 120)[0] + 10)
    np.testing.assert_array_equal(open_stac(path, resolution=20).values[0], digits(1, 60, 60)[0] + 20)


# radiometry by provider

TABLE = [
    # Earth Search: the flag where it says yes or the baseline is old, else the pixels
    (EARTH_SEARCH, "sentinel-2-l2a", {FLAG: True} | BASELINE, -0.1, "dn_harmonized"),
    (EARTH_SEARCH, "sentinel-2-l2a", {FLAG: False} | BASELINE, -0.1, None),
    (EARTH_SEARCH, "sentinel-2-l2a", {FLAG: False, "s2:processing_baseline": "02.14"}, 0.0, "dn_harmonized"),
    (None, "sentinel-2-l2a", {FLAG: True} | BASELINE, -0.1, "dn_harmonized"),
    (EARTH_SEARCH, "sentinel-2-c1-l2a", BASELINE, -0.1, "dn_offset"),
    (EARTH_SEARCH, "sentinel-2-l1c", BASELINE, None, "dn_offset"),
    # Planetary Computer: the baseline alone
    (PLANETARY, "sentinel-2-l2a", BASELINE, None, "dn_offset"),
    (PLANETARY, "sentinel-2-l2a", {"s2:processing_baseline": "03.00"}, None, "dn_harmonized"),
    (PLANETARY, "sentinel-2-l2a", {"s2:processing_baseline": "99.99"}, None, None),
    # Copernicus Data Space: scale and offset, held against the baseline
    (COPERNICUS, "sentinel-2-l2a", {"processing:version": "05.11"}, -0.1, "dn_offset"),
    (COPERNICUS, "sentinel-2-l1c", {"processing:version": "02.09"}, 0.0, "dn_harmonized"),
    (COPERNICUS, "sentinel-2-l2a", {"processing:version": "99.99"}, 0.0, "dn_harmonized"),
    # Earth Engine: by collection
    (None, "COPERNICUS/S2_SR_HARMONIZED", BASELINE, None, "dn_harmonized"),
    (None, "COPERNICUS/S2", BASELINE, None, "dn_offset"),
    # anybody else: what the assets say; a new baseline alone may or may not have been harmonised
    (None, "mine", {}, -0.1, "dn_offset"),
    (None, "mine", BASELINE, None, None),
    (None, "mine", {"s2:processing_baseline": "02.14"}, None, "dn_harmonized"),
    (None, None, {}, None, None),
]


@pytest.mark.parametrize(("href", "collection", "properties", "offset", "mode"), TABLE)
@pytest.mark.parametrize("new", [True, False])
def test_each_provider_has_its_rule(
    scene: Path, href: str, collection: str, properties: dict, offset: float | None, mode: str | None, new: bool
) -> None:
    entries = assets() if offset is None else with_scale(assets(), offset, new=new)
    cube = open_scene(item(scene, raw_item(entries, collection, href, **properties)), bands=["B02"], level="L2A")
    assert cube.attrs.get("radiometry") == mode
    assert ("processing_baseline" in cube.attrs) == (mode is not None and bool(properties)), "a doubt must stay one"


@pytest.mark.parametrize(
    ("href", "collection", "properties", "offset"),
    [
        (COPERNICUS, "sentinel-2-l2a", {"processing:version": "05.11"}, 0.0),
        (COPERNICUS, "sentinel-2-l1c", {"processing:version": "02.09"}, -0.1),
        (EARTH_SEARCH, "sentinel-2-c1-l2a", BASELINE, 0.0),
        (None, "mine", BASELINE, 0.0),
    ],
)
def test_signals_that_contradict_each_other_are_an_error_that_names_both(
    scene: Path, href: str, collection: str, properties: dict, offset: float
) -> None:
    path = item(scene, raw_item(with_scale(assets(), offset), collection, href, **properties))
    with pytest.raises(SceneError, match=r"contradicts itself: .*dn_\w+ by its offset, dn_\w+ by its baseline; say"):
        open_scene(path)
    assert open_stac(path, radiometry="dn_offset", level="L2A").attrs["radiometry"] == "dn_offset"


def test_a_doubt_is_resolved_by_the_pixels_or_by_the_user(scene: Path, tmp_path: Path, brightness: ModelCard) -> None:
    doubtful = item(scene, raw_item(assets(), self_href=EARTH_SEARCH, **{FLAG: False}, **BASELINE))
    assert cloud_mask(open_scene(doubtful), model=brightness).attrs["radiometry"] == "dn_harmonized", "it is too dark"
    bright = {b: geotiff(tmp_path / f"{b}.tif", digits(1) + np.uint16(1500), (None,)) for b in ("B02", "B03", "B04")}
    named = {band: {"href": path.name, "type": "image/tiff"} for band, path in bright.items()}
    cloudy = open_scene(write_item(tmp_path, raw_item(named, self_href=EARTH_SEARCH, **{FLAG: False}, **BASELINE)))
    with pytest.raises(RadiometryError, match="dn_harmonized or dn_offset"):
        cloud_mask(cloudy, model=brightness)
    assert cloud_mask(cloudy, model=brightness, radiometry="dn_offset").attrs["radiometry"] == "dn_offset"


def test_bands_of_different_offsets_are_refused(scene: Path) -> None:
    entries = with_scale(assets(), -0.1) | {"red": with_scale({"red": assets()["red"]}, 0.0)["red"]}
    with pytest.raises(SceneError, match=r"declares scale 0\.0001, offset -0\.1; scale 0\.0001, offset 0"):
        open_scene(item(scene, raw_item(entries)))


@given(
    st.sampled_from([*(row for row in PROVIDERS), UNKNOWN]),
    st.sampled_from(["02.14", "04.00", "05.11", "99.99", None]),
    st.sampled_from([None, 0.0, -0.1]),
    st.sampled_from([True, False, None]),
)
def test_no_rule_gives_the_offset_where_no_signal_does(provider: Any, version: Any, offset: Any, flag: Any) -> None:
    """Whatever an item says, an answer follows from a signal in it.

    True in the flag is never overruled.
    """
    properties = {
        key: value for key, value in {"s2:processing_baseline": version, FLAG: flag}.items() if value is not None
    }
    href = f"https://x.{provider.hosts[0]}/item" if provider.hosts else None
    entries = {"B02": {}} if offset is None else with_scale({"B02": {}}, offset)
    raw = raw_item(entries, next(iter(provider.collections), "mine"), href, **properties)
    assert find_provider(raw) == provider
    try:
        mode = find_item_radiometry(raw, entries)
    except SceneError:
        assert offset is not None and version is not None
        return
    if mode == "dn_offset":
        assert offset == -0.1 or version in ("04.00", "05.11")
        assert "flag" not in provider.signals
    if "flag" in provider.signals and flag is True:
        assert mode == "dn_harmonized"


# addresses


def test_an_item_at_an_address_is_read_by_ranges(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = item(scene, raw_item(assets()))
    with serve_folder(scene) as (address, seen):
        cube = open_stac(f"{address}/{path.name}", loopback=True)
        np.testing.assert_array_equal(cube.values, open_scene(path).values)
        assert f"/{path.name}" in seen and "/B11.tif" in seen
        with pytest.raises(SceneError, match="is no HTTPS address"):
            open_scene(f"{address}/{path.name}")
        with pytest.raises(SceneError, match=r"gone\.json.*404"):
            open_stac(f"{address}/gone.json", loopback=True)


@contextmanager
def says(answer: bytes) -> Iterator[str]:
    """Answer the first request with these bytes and hang up; yield the server's address."""

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ("Content-Length: 1000", b"{", r"item\.json cannot be fetched"),
        ("Transfer-Encoding: chunked", b"5\r\n{", r"item\.json cannot be fetched"),
        ("Content-Encoding: gzip", b"{}", r"item\.json cannot be fetched"),
        ("Content-Length: 8388609", b" " * 8388609, r"item\.json is longer than 8 MiB"),
    ],
)
def test_an_item_that_is_cut_garbled_or_endless_is_refused(headers: str, body: bytes, message: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body
    with says(answer) as address, pytest.raises(SceneError, match=message):
        open_stac(f"{address}/item.json", loopback=True)


def test_a_cut_asset_at_an_address_gives_an_error_and_no_zeros(tmp_path: Path) -> None:
    named = cogs(tmp_path)
    path = write_item(tmp_path, raw_item(named))
    (tmp_path / "B04.tif").write_bytes((tmp_path / "B04.tif").read_bytes()[:9000])
    with serve_folder(tmp_path) as (address, _):
        for place, loopback in ((path, False), (f"{address}/item.json?token=secret", True)):
            with pytest.raises(SceneError, match=r"B04\.tif cannot be read as a whole") as error:
                open_stac(place, loopback=loopback).compute()
            assert "secret" not in str(error.value) and "\n" not in str(error.value)


def test_what_an_address_serves_is_opened_as_the_kind_it_claims(tmp_path: Path) -> None:
    """A VRT that goes by the name of a GeoTIFF is not followed."""
    geotiff(tmp_path / "secret.tif", digits(1), (None,))
    vrt = f"""<VRTDataset rasterXSize="80" rasterYSize="96"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>
<SourceFilename>{tmp_path / "secret.tif"}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""
    (tmp_path / "B02.tif").write_text(vrt)
    write_item(tmp_path, raw_item({"B02": {"href": "B02.tif", "type": "image/tiff"}}))
    with serve_folder(tmp_path) as (address, _), pytest.raises(SceneError, match=r"B02\.tif cannot be read"):
        open_stac(f"{address}/item.json", loopback=True)


@pytest.mark.parametrize(
    ("href", "message"),
    [
        ("http://example.org/B02.tif", "is no HTTPS address"),
        ("http://127.0.0.1/B02.tif", "is no HTTPS address"),
        ("s3://eodata/Sentinel-2/B02.jp2", "s3://eodata/Sentinel-2/B02.jp2 is no HTTPS address"),
        ("file:///etc/B02.tif", "is no HTTPS address"),
        ("/vsicurl/https://example.org/B02.tif", "is no HTTPS address"),
        ("/vsizip//tmp/x.zip/B02.tif", "for safety"),
        ("/etc/passwd", "names '/etc/passwd': for safety only files in its own folder"),
        ("../B02.tif", "names '../B02.tif': for safety"),
        ("link/B02.tif", "for safety"),
        ("note.tif", "note.tif is neither a GeoTIFF nor a JPEG 2000"),
        ("gone.tif", "No file .*gone.tif"),
        ("https://sentinel2l2a01.blob.core.windows.net/x/B02.tif?a=secret", r"x/B02\.tif lacks a signature: sign it"),
        ("https://exa mple.org/B02.tif", "is no HTTPS address"),
    ],
)
def test_hrefs_out_of_bounds_are_refused(tmp_path: Path, href: str, message: str, kappamask) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    geotiff(tmp_path / "B02.tif", digits(1), (None,))
    (folder / "link").symlink_to(tmp_path, target_is_directory=True)
    (folder / "note.tif").write_text("not an image")
    path = write_item(folder, raw_item({"B02": {"href": href, "type": "image/tiff"}}))
    with pytest.raises(SceneError, match=message) as error:
        open_scene(path)
    assert "\n" not in str(error.value) and "secret" not in str(error.value)
    done = kappamask("mask", path, "-o", tmp_path / "m.tif")
    assert done.code == 1 and one_sentence(done.err), done.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no STAC item"),
        ("[]", "is no STAC item: its type is not Feature"),
        ('{"type": "FeatureCollection", "features": []}', "is no STAC item: its type is not Feature"),
        (json.dumps(raw_item({}) | {"id": None, "properties": 3}), "is no STAC item"),
        (json.dumps(raw_item({})), "has no bands as GeoTIFF or JPEG 2000, only nothing"),
        (json.dumps(raw_item({"B02": {"href": "B02.tif"}}) | {"assets": {"B02": 3}}), "is no STAC item"),
    ],
)
def test_what_is_no_item_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "item.json").write_text(text)
    with pytest.raises(SceneError, match=message):
        open_scene(tmp_path / "item.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": ["B10"]}, "lacks B10; it has B02"),
        ({"level": "L1C", "bands": ["B99"]}, "No band B99"),
        ({"radiometry": "dn"}, "No radiometry 'dn'"),
        ({"resampling": "lanczos"}, "No resampling 'lanczos'"),
        ({"resolution": 0}, "The resolution is 0"),
    ],
)
def test_wrong_options_are_refused(scene: Path, options: dict, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        open_stac(item(scene, raw_item(assets())), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"raster:bands": [{"scale": "x"}]}, "tells scale and offset in no way that is known"),
        ({"raster:bands": 3}, "tells scale and offset in no way that is known"),
        ({"gsd": "fine"}, "describes its assets in no way that is known"),
    ],
)
def test_garbled_metadata_gives_one_sentence(scene: Path, change: dict, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        open_scene(item(scene, raw_item(assets(**change))))


def test_assets_of_another_dtype_are_refused(tmp_path: Path) -> None:
    named = cogs(tmp_path)
    geotiff(tmp_path / "B04.tif", digits(1, 120, 120).astype(np.float32), (None,))
    with pytest.raises(SceneError, match=r"B04\.tif holds float32, other bands uint16"):
        open_scene(write_item(tmp_path, raw_item(named))).compute()


def test_what_a_catalogue_finds_can_be_opened(tmp_path: Path) -> None:
    named, collection = cogs(tmp_path), "sentinel-2-l2a"
    with serve_folder(tmp_path) as (address, seen):
        href = f"{address}/item.json"
        write_item(tmp_path, raw_item(named, collection, href))
        write_item(tmp_path, {"type": "FeatureCollection", "features": [raw_item(named, collection, href)]}, "search")
        landing = {
            "type": "Catalog", "stac_version": "1.0.0", "id": "here", "description": "two files",
            "conformsTo": ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"],
            "links": [
                {"rel": "self", "href": address},
                {"rel": "search", "href": f"{address}/search", "method": "POST", "type": "application/geo+json"},
            ],
        }  # fmt: skip
        write_item(tmp_path, landing, "index.html")
        found = search(address, collection, bbox=(1, 2, 3, 4), dates=("2021-05-01", "2021-05-31"), loopback=True)
        asked = json.loads(next(text for text in seen if text.startswith("{")))
        assert (asked["collections"], asked["bbox"]) == ([collection], [1, 2, 3, 4])
        for box, sent in (((355, 2, 358, 4), [-5, 2, -2, 4]), ((179, 2, 181, 4), [179, 2, -179, 4])):
            search(address, collection, bbox=box, dates=("2021-05-01", "2021-05-31"), loopback=True)
            assert json.loads([text for text in seen if text.startswith("{")][-1])["bbox"] == sent
        cube = open_stac(found, bands=["B02"], loopback=True)
        np.testing.assert_array_equal(cube.values[0, 0], digits(7, 120, 120)[0])


def test_a_catalogue_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(SceneError, match="cannot be searched"):
        search(address, "sentinel-2-l2a", bbox=(1, 2, 3, 4), dates=("2021-05-01", "2021-05-31"), loopback=True)
    with pytest.raises(SceneError, match="cannot be fetched"):
        open_stac(f"{address}/item.json", loopback=True)
