"""Faults of networks and catalogues, and how pages and bands are fetched.

Outages end, signatures expire, searches have many pages.
"""

import json
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files import BANDS, digits, geotiff
from stacs import raw_item, write_item

from kappamask.models import SceneError
from kappamask.scenes.readers import remote
from kappamask.scenes.readers.stac import open_stac, search

TIF = "image/tiff; application=geotiff"
CORE = "https://api.stacspec.org/v1.0.0/"


class Store(BaseHTTPRequestHandler):
    """Files by ranges, or a code that says why not; and a search by pages."""

    def log_message(self, *words: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        if "X-Amz-Signature=get-only" in self.path:
            self.send_error(403)
        else:
            self.do_GET()

    def do_GET(self) -> None:
        if self.server.code:
            self.answer(self.server.code, self.server.refusal)
            return
        if self.path == "/":
            search_link = {"rel": "search", "href": f"{self.server.address}/search", "method": "POST"}
            search_link["type"] = "application/geo+json"
            links = [{"rel": "root", "href": self.server.address}, search_link]
            landing = {"type": "Catalog", "id": "c", "description": "d", "stac_version": "1.0.0", "links": links}
            self.answer(200, json.dumps(landing | {"conformsTo": [f"{CORE}core", f"{CORE}item-search"]}).encode())
            return
        data, asked = (self.server.folder / self.path.split("?")[0][1:]).read_bytes(), self.headers.get("Range")
        first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
        stop = min(int(last or len(data)), len(data) - 1)
        if asked and stop >= self.server.reach:
            self.answer(503, b"")
            return
        self.answer(206 if asked else 200, data[int(first) : stop + 1], f"bytes {first}-{stop}/{len(data)}")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        first, count = int(asked.get("token", 0)), self.server.count
        last = min(count, first + self.server.size, self.server.kept)
        found = [raw_item({}, name=f"item{number % self.server.different}") for number in range(first, last)]
        following = {
            "rel": "next",
            "href": f"{self.server.address}/search",
            "method": "POST",
            "body": {**asked, "token": last},
        }
        page = {"type": "FeatureCollection", "features": found, "links": [following] if last < self.server.kept else []}
        counted = {"numberMatched": count} if self.server.counts else {}
        self.answer(200, json.dumps(page | counted).encode())

    def answer(self, code: int, body: bytes, span: str | None = None) -> None:
        self.send_response(code)
        if span and code == 206:
            self.send_header("Content-Range", span)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def store(folder: Path) -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    server.folder, server.code, server.address = folder, None, f"http://127.0.0.1:{server.server_port}"
    server.count, server.kept, server.size = 45, 45, 20
    server.counts, server.refusal, server.reach, server.different = True, b"", sys.maxsize, sys.maxsize
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def item_of(server: Any, query: str) -> dict[str, Any]:
    for number, band in enumerate(BANDS):
        geotiff(server.folder / f"{band}.tif", digits()[[number]], (None,))
    return raw_item({band: {"href": f"{server.address}/{band}.tif?{query}", "type": TIF} for band in BANDS})


@pytest.mark.parametrize("code", [503, 404])
def test_an_outage_that_is_over_is_forgotten(tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(remote.HTTP, "GDAL_HTTP_MAX_RETRY", 0)
    with store(tmp_path) as server:
        item, server.code = item_of(server, f"outage={code}"), code
        with pytest.raises(SceneError, match=str(code)):
            open_stac(item, loopback=True)
        server.code = None
        lazy = open_stac(item, loopback=True)
        server.code = code
        with pytest.raises(SceneError, match=str(code)):
            lazy.compute()
        server.code = None
        np.testing.assert_array_equal(lazy, digits())


def test_pixels_that_cannot_be_fetched_are_an_error_with_any_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL gives zeros instead where it decodes in several threads, and these are missing."""
    monkeypatch.setitem(remote.HTTP, "GDAL_HTTP_MAX_RETRY", 0)
    monkeypatch.setenv("GDAL_NUM_THREADS", "4")  # as `kappamask mask` sets it
    with store(tmp_path) as server:
        item, layout = item_of(server, "threads=4"), {"driver": "COG", "compress": "none", "blocksize": 128}
        for number, band in enumerate(BANDS):
            geotiff(tmp_path / f"{band}.tif", digits(4, 256, 256)[[number]], (None,), **layout)
        opened = open_stac(item, loopback=True)
        server.reach = 16_384  # GDAL's first range, with the header
        with pytest.raises(SceneError, match="cannot be read"):
            opened.compute()
        server.reach = sys.maxsize
        np.testing.assert_array_equal(opened.values, digits(4, 256, 256))


@pytest.mark.parametrize(
    ("query", "ended"),
    [
        ("se=2024-06-01T10%3A00%3A00Z&sig=secret", "2024-06-01T10:00:00"),
        ("se=2024-06-01&sig=secret", "2024-06-01T00:00:00"),
        ("X-Amz-Date=20240601T100000Z&X-Amz-Expires=3600&X-Amz-Signature=secret", "2024-06-01T11:00:00"),
        ("Expires=1717236000&Signature=secret", "2024-06-01T10:00:00"),
    ],
)
def test_an_expired_signature_is_named(tmp_path: Path, query: str, ended: str) -> None:
    with store(tmp_path) as server:
        item, server.code = item_of(server, query), 403
        with pytest.raises(SceneError, match=f"signature expired at {ended}.*again") as error:
            open_stac(item, loopback=True)
        assert "secret" not in str(error.value)
        with pytest.raises(SceneError, match=f"signature expired at {ended}"):
            open_stac(f"{server.address}/item.json?{query}", loopback=True)
        server.code = None  # a clock may be wrong: only a store that refuses is believed
        assert open_stac(item, loopback=True).shape == digits().shape


@pytest.mark.parametrize(
    "refusal",
    [
        b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>",
        b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
        b"<Error><Message>Signature not valid in the specified time frame: Start [] - Expiry []</Message></Error>",
    ],
)
def test_a_store_that_says_that_a_signature_expired_is_believed(tmp_path: Path, refusal: bytes) -> None:
    query = "X-Amz-Date=29991231T000000Z&X-Amz-Expires=3600&X-Amz-Signature=secret"
    with store(tmp_path) as server:
        item, server.code, server.refusal = item_of(server, query), 403, refusal
        for source in (item, f"{server.address}/item.json?{query}"):
            with pytest.raises(SceneError, match=r"signature expired, as the store says.*again") as error:
                open_stac(source, loopback=True)
            assert "secret" not in str(error.value)


def test_an_address_that_is_signed_for_get_alone_is_read(tmp_path: Path) -> None:
    """Those of S3 are, and the notebook on catalogues makes such."""
    with store(tmp_path) as server:
        item = item_of(server, "X-Amz-Date=29991231T000000Z&X-Amz-Expires=3600&X-Amz-Signature=get-only")
        np.testing.assert_array_equal(open_stac(item, loopback=True), digits())


@pytest.mark.parametrize("query", ["sig=secret", "se=2999-01-01&sig=secret", "se=never", "Expires=soon"])
def test_a_refusal_of_a_signature_that_holds_stays_a_refusal(tmp_path: Path, query: str) -> None:
    with store(tmp_path) as server:
        item, server.code = item_of(server, query), 403
        with pytest.raises(SceneError, match=r"403\. The store wants a login or a signature: sign the item"):
            open_stac(item, loopback=True)


def test_a_page_in_place_of_the_file_is_named_as_that(tmp_path: Path) -> None:
    with store(tmp_path) as server:
        item, server.code, server.refusal = item_of(server, "page=1"), 200, b"<html>Log in</html>" * 40
        with pytest.raises(SceneError, match=r"B0.\.tif cannot be read.* a page, as for logging in, sign the item"):
            open_stac(item, loopback=True)


@pytest.mark.parametrize("dates", ["2024-06", ("2024-06-01", ".."), (None, "2024-06-01")])
def test_other_ways_to_write_dates_are_passed_on(tmp_path: Path, dates: Any) -> None:
    with store(tmp_path) as server:
        server.count = server.kept = 3
        assert len(search(server.address, "sentinel-2-l2a", bbox=(1, 2, 3, 4), dates=dates, loopback=True)) == 3


def search_with(server: Any, **options: Any) -> tuple[int, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dates = ("2024-01-01", "2025-12-31")
        items = search(server.address, "sentinel-2-l2a", bbox=(1, 2, 3, 4), dates=dates, loopback=True, **options)
    return len(items), [str(one.message) for one in caught if "match:" in str(one.message)]


@pytest.mark.parametrize("dates", [("2024-06-30", "2024-06-01"), "2024-06-30/2024-06-01"])
def test_reversed_dates_are_refused_before_anything_is_asked(dates: Any) -> None:
    with pytest.raises(SceneError, match=r"earlier first: dates=\('2024-06-01', '2024-06-30'\)"):
        search("https://example.invalid", "c", bbox=(1, 2, 3, 4), dates=dates)


@pytest.mark.parametrize("page", [10, 25, 30, 100])
def test_a_search_without_count_and_links_says_what_it_cannot_know(tmp_path: Path, page: int) -> None:
    """A server may regard no limit, and state neither a count nor a link."""
    with store(tmp_path) as server:
        server.counts, server.size, server.count, server.kept = False, page, 250, page
        assert search_with(server)[0] == page
        (message,) = search_with(server)[1]
        assert f"{page} items are returned, and more may match: the API states neither a count nor a link" in message
        assert "5 items are returned, and more match" in search_with(server, most=5)[1][0]
        server.kept = server.size = page - 1
        assert search_with(server) == (page - 1, [])  # a page that is not full is the last


def test_a_search_gives_all_or_says_how_many_it_left(tmp_path: Path) -> None:
    with store(tmp_path) as server:
        assert search_with(server) == (45, [])
        count, messages = search_with(server, most=30)
        assert (count, len(messages)) == (30, 1)
        assert "30 items are returned, and 45 match" in messages[0]
        assert search_with(server, most=45) == search_with(server, most=99) == (45, [])
        server.kept = 40
        assert "40 items are returned, and 45 match" in search_with(server)[1][0]
        server.counts, server.kept = False, 45
        assert "20 items are returned, and more match" in search_with(server, most=20)[1][0]
        assert search_with(server) == (45, [])


def test_items_that_an_api_repeats_are_returned_once(tmp_path: Path) -> None:
    """Its pages may all be the first; a series would have dates twice."""
    with store(tmp_path) as server:
        server.different = 20
        count, (message,) = search_with(server)
        assert count == 20
        assert "20 items are returned, and 45 match" in message


@pytest.mark.parametrize("key", ["eo:bands", "bands"])
@pytest.mark.parametrize("wanted", [None, ["B04", "B02"]])
def test_one_asset_with_all_bands(tmp_path: Path, key: str, wanted: list[str] | None) -> None:
    order = ("B04", "B08", "B02", "B03")
    values = digits()[[BANDS.index(band) for band in order]]
    geotiff(tmp_path / "all.tif", values, (None,) * 4)
    described = [{"name": band} for band in order]
    picture = {"href": "./visual.tif", "type": TIF, "roles": ["visual"], key: described[:3]}
    together = {"href": "./all.tif", "type": TIF, "roles": ["data"], key: described}
    path = write_item(tmp_path, raw_item({"visual": picture, "data": together}))
    opened = open_stac(path, bands=wanted)
    labels = wanted or list(BANDS)
    assert list(opened["bands"].values) == labels
    np.testing.assert_array_equal(opened, digits()[[BANDS.index(band) for band in labels]])


@pytest.mark.parametrize("apart", [False, True])
def test_bands_that_are_only_numbered_go_by_common_names_or_are_refused(tmp_path: Path, apart: bool) -> None:
    order, common = ("B02", "B03", "B04", "B08"), ("blue", "green", "red", "nir")
    values = digits()[[BANDS.index(band) for band in order]]

    def assets(*, named: bool) -> dict[str, Any]:
        described = [
            {"name": f"b{number}"} | ({"eo:common_name": name} if named else {})
            for number, name in enumerate(common, 1)
        ]
        if not apart:
            geotiff(tmp_path / "all.tif", values, (None,) * 4)
            return {"data": {"href": "./all.tif", "type": TIF, "bands": described}}
        for number, one in enumerate(values, 1):
            geotiff(tmp_path / f"{number}.tif", one[np.newaxis], (None,))
        return {one["name"]: {"href": f"./{one['name'][1:]}.tif", "type": TIF, "bands": [one]} for one in described}

    opened = open_stac(write_item(tmp_path, raw_item(assets(named=True))))
    assert list(opened["bands"].values) == list(order)
    np.testing.assert_array_equal(opened, values)
    item = write_item(tmp_path, raw_item(assets(named=False)))
    with pytest.raises(SceneError, match=r"b1, b2, b3.*all 4 in order with bands=\['B02'"):
        open_stac(item)
    with pytest.raises(SceneError, match="all 4 in order"):
        open_stac(item, bands=order[:3])
    believed = open_stac(item, bands=order)
    assert list(believed["bands"].values) == list(order)
    np.testing.assert_array_equal(believed, values)


def test_one_asset_has_the_bands_that_its_file_names(tmp_path: Path) -> None:
    order = ("B08", "B02", "B03", "B04")
    values = digits()[[BANDS.index(band) for band in order]]
    geotiff(tmp_path / "all.tif", values, order)
    item = raw_item({"image": {"href": "./all.tif", "type": TIF}, "thumbnail": {"href": "./t.tif", "type": TIF}})
    opened = open_stac(write_item(tmp_path, item))
    assert list(opened["bands"].values) == list(BANDS)
    np.testing.assert_array_equal(opened, digits())
    geotiff(tmp_path / "all.tif", values, (None,) * 4)
    with pytest.raises(SceneError, match=r"have no names of bands \(image, image, image, …\).*all 4 in order"):
        open_stac(tmp_path / "item.json")
    np.testing.assert_array_equal(open_stac(tmp_path / "item.json", bands=order), values)


def test_an_item_that_names_more_bands_than_its_file_has(tmp_path: Path) -> None:
    geotiff(tmp_path / "all.tif", digits()[:3], (None,) * 3)
    asset = {"href": "./all.tif", "type": TIF, "bands": [{"name": band} for band in BANDS]}
    with pytest.raises(SceneError, match=r"all\.tif has 3 bands, and band 4 is asked for"):
        open_stac(write_item(tmp_path, raw_item({"data": asset}))).compute()
