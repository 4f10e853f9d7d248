"""Official weights from a server that cuts connections, lies about lengths, and changes its mind."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="onnx is not installed (pip install 'kappamask-openeo[convert]')")

import official
from command import one_sentence

from kappamask.conversion import ConversionError, fetch
from kappamask.conversion.official_networks import list_official
from kappamask.files import download
from kappamask.files.download import TRIES
from kappamask.models import catalog, load_card
from kappamask.models.errors import DownloadError


class Server(ThreadingHTTPServer):
    """Serve `content`; `cuts` connections end after so many bytes.

    `promise` is the stated length, if it is set.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cuts, self.after, self.promise, self.tag = b"0123456789" * 1000, 0, 3000, None, '"one"'
        self.asked: list[str | None] = []
        self.off = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if "none" in self.path:
            self.send_error(404)
            return
        if "away" in self.path:
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        first = int(wanted[6:-1]) if wanted and self.headers.get("If-Range") == self.server.tag else 0
        if first >= len(self.server.content):
            self.send_error(416)
            return
        body = self.server.content[first:]
        self.send_response(206 if first else 200)
        length = len(body) if self.server.promise is None else self.server.promise
        if length >= 0:
            self.send_header("Content-Length", str(length))
        if first:
            total = len(self.server.content)
            self.send_header("Content-Range", f"bytes {first + self.server.off}-{total - 1}/{total}")
        self.send_header("ETag", self.server.tag)
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            body = body[: self.server.after]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_a_cut_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cuts, seen = 2, []
    download.download(
        server.url + "/w", tmp_path / "w", insecure=True, show=lambda done, total: seen.append((done, total))
    )
    assert (tmp_path / "w").read_bytes() == server.content
    assert server.asked == [None, "bytes=3000-", "bytes=6000-"]
    assert seen[-1] == (10000, 10000)
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


def test_it_goes_on_another_day_too_unless_the_file_has_changed(server: Server, tmp_path: Path) -> None:
    server.cuts = 99
    server.after = 0
    with pytest.raises(DownloadError, match=f"after {TRIES} tries: .*cut. Run it again"):
        download.download(server.url + "/w", tmp_path / "w", insecure=True)
    assert not (tmp_path / "w").exists()
    server.cuts, server.after = TRIES, 1000
    with pytest.raises(DownloadError):
        download.download(server.url + "/w", tmp_path / "w", insecure=True)
    server.cuts, server.content, server.tag = 0, b"changed" * 900, '"two"'
    download.download(server.url + "/w", tmp_path / "w", insecure=True)
    assert (tmp_path / "w").read_bytes() == server.content
    assert server.asked[-1] == f"bytes={TRIES * 1000}-"


def test_a_complete_draft_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".w.part").write_bytes(server.content)
    (tmp_path / ".w.tag").write_text(json.dumps(server.tag))
    download.download(server.url + "/w", tmp_path / "w", insecure=True)
    assert (tmp_path / "w").read_bytes() == server.content
    assert server.asked == ["bytes=10000-", None]
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


@pytest.mark.parametrize(
    ("path", "promise", "message"),
    [
        ("/none", None, "404"),
        ("/w", -1, "needed is a length"),
        ("/w", 2**31, "needed is a length"),
        ("/w", 0, "needed is a length"),
        ("/away", None, "cannot be fetched|not HTTPS"),
    ],
)
def test_answers_that_are_no_file_are_refused(server: Server, tmp_path: Path, path: str, promise, message: str) -> None:
    server.promise = promise
    with pytest.raises(DownloadError, match=message):
        download.download(server.url + path, tmp_path / "w", insecure=True)
    assert not (tmp_path / "w").exists()


def test_a_length_that_is_not_kept_is_no_success(server: Server, tmp_path: Path) -> None:
    server.promise = 20000
    with pytest.raises(DownloadError, match="Run it again"):
        download.download(server.url + "/w", tmp_path / "w", insecure=True)
    assert not (tmp_path / "w").exists()


def test_another_range_than_was_asked_for_is_not_appended(server: Server, tmp_path: Path) -> None:
    server.cuts, server.off = 1, 100
    download.download(server.url + "/w", tmp_path / "w", insecure=True)
    assert (tmp_path / "w").read_bytes() == server.content
    assert server.asked == [None, "bytes=3000-", None]


def test_a_mark_that_two_versions_share_resumes_nothing(server: Server, tmp_path: Path) -> None:
    server.cuts, server.tag = 1, 'W/"one"'
    download.download(server.url + "/w", tmp_path / "w", insecure=True)
    assert (tmp_path / "w").read_bytes() == server.content
    assert server.asked == [None, None]


def test_signatures_stay_out_of_messages(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="/none cannot be fetched") as raised:
        download.download(server.url + "/none?sig=secret", tmp_path / "w", insecure=True)
    assert "secret" not in str(raised.value)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"after {TRIES} tries"):
        download.download("http://127.0.0.1:9/w", tmp_path / "w", insecure=True)


@pytest.mark.parametrize("url", ["http://127.0.0.1/w", "file:///etc/hostname", "ftp://127.0.0.1/w"])
def test_plain_http_and_other_schemes_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="not HTTPS"):
        download.download(url, tmp_path / "w")
    if not url.startswith("http:"):
        with pytest.raises(DownloadError, match="not HTTPS"):
            download.download(url, tmp_path / "w", insecure=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return official.write(tmp_path_factory.mktemp("w") / "l1c_deeplabv3plus.hdf5", "deeplabv3plus", 13)


def test_a_fetched_network_is_found_by_its_name(server: Server, weights: Path, tmp_path: Path, monkeypatch) -> None:
    server.content = weights.read_bytes()
    monkeypatch.setattr(catalog, "CACHE", tmp_path)
    name = "official-l1c-deeplabv3plus"
    card = fetch(name, mirror=server.url, insecure=True, cache=tmp_path)
    assert load_card(name) == card and card.id == name
    asked = len(server.asked)
    assert fetch(name, mirror=server.url, insecure=True, cache=tmp_path).sha256 == card.sha256
    assert len(server.asked) == asked, "it is in the cache"


def test_a_file_that_has_changed_is_refused(server: Server, weights: Path, tmp_path: Path) -> None:
    name, file = "official-l1c-deeplabv3plus", "l1c_deeplabv3plus.hdf5"
    fetch(name, source=weights, cache=tmp_path)
    (tmp_path / file).unlink()
    server.content = weights.read_bytes()[:-1] + b"x"
    with pytest.raises(ConversionError, match="has changed: its sha256"):
        fetch(name, mirror=server.url, insecure=True, cache=tmp_path)
    assert not (tmp_path / file).exists()
    assert fetch(name, source=weights, cache=tmp_path).id == name


def test_what_is_no_network_is_not_pinned_and_spoils_nothing(server: Server, weights: Path, tmp_path: Path) -> None:
    name, wrong = "official-l1c-deeplabv3plus", tmp_path / "wrong.hdf5"
    wrong.write_bytes(b"<!DOCTYPE html>")
    server.content, cache = wrong.read_bytes(), tmp_path / "cache"
    with pytest.raises(ConversionError):
        fetch(name, mirror=server.url, insecure=True, cache=cache)
    with pytest.raises(ConversionError):
        fetch(name, source=wrong, cache=cache)
    assert not list(cache.iterdir())
    card = fetch(name, source=weights, cache=cache)
    with pytest.raises(ConversionError, match="has changed"):
        fetch(name, source=wrong, cache=cache)
    assert fetch(name, cache=cache).sha256 == card.sha256
    assert wrong.exists()


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000])
def test_a_damaged_record_of_hashes_is_named(weights: Path, tmp_path: Path, content: str) -> None:
    fetch("official-l1c-deeplabv3plus", source=weights, cache=tmp_path)
    (record,) = tmp_path.glob("*.json")
    record.write_text(content)
    with pytest.raises(ConversionError, match=record.name):
        fetch("official-l1c-deeplabv3plus", source=weights, cache=tmp_path)


def test_the_command_says_what_is_wrong(kappamask, tmp_path: Path) -> None:
    done = kappamask("models", "fetch", "official-l3-unet")
    assert done.code == 1 and one_sentence(done.err) and all(name in done.err for name in list_official())
    done = kappamask("models", "fetch", "official-l1c-unet", "--from", tmp_path / "none")
    assert done.code == 1 and one_sentence(done.err) and "No file" in done.err
    done = kappamask("models", "fetch", "official-l1c-unet", "--mirror", "http://127.0.0.1:9")
    assert done.code == 1 and one_sentence(done.err) and "--insecure" in done.err
