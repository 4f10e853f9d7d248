"""Dependency archives: good ones are unpacked, hostile ones leave nothing behind."""

from __future__ import annotations

import io
import lzma
import random
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kappamask.backend.archives import unpack_all
from kappamask.files import archives
from kappamask.models import JobError


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tar_of(path: Path, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    member.size = len(content)
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member, io.BytesIO(content))
    return path


def tar_of_two(path: Path, mode: str = "w:gz", names: tuple[str, ...] = ("first", "second")) -> Path:
    """Files that do not compress, so that what lies where is known."""
    with tarfile.open(path, mode) as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 30_000
            archive.addfile(member, io.BytesIO(random.Random(name).randbytes(member.size)))
    return path


def flip(path: Path, *, at: float) -> Path:
    """Eight bytes changed, `at` a part of the file's length."""
    content = bytearray(path.read_bytes())
    start = int(at * len(content))
    content[start : start + 8] = bytes(255 - byte for byte in content[start : start + 8])
    path.write_bytes(content)
    return path


def second_header_gone(path: Path) -> Path:
    """A whole gzip file, in which the tar's second header is no header."""
    content = bytearray(tar_of_two(path, "w").read_bytes())
    start = content.index(b"second")
    content[start : start + 100] = b"x" * 100
    path.write_bytes(content)
    return path


def zip_lzma(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x", random.Random(0).randbytes(3000))
    return path


def xz_of_text(path: Path) -> Path:
    path.write_bytes(lzma.compress(b"hello" * 100))
    return path


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def zip_link(path: Path) -> Path:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    return path


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "zip slip": (lambda p: zip_of(p / "a.zip", {"../evil.txt": b"x"}), "leads out of it"),
    "zip backslash": (lambda p: zip_of(p / "a.zip", {"..\\evil.txt": b"x"}), "leads out of it"),
    "zip absolute": (lambda p: zip_of(p / "a.zip", {"/tmp/evil.txt": b"x"}), "leads out of it"),
    "zip drive": (lambda p: zip_of(p / "a.zip", {"C:/evil.txt": b"x"}), "leads out of it"),
    "zip link": (lambda p: zip_link(p / "a.zip"), "link or a device"),
    "zip same name twice": (lambda p: zip_of(p / "a.zip", {"a/b": b"x", "a/./b": b"y"}), "is there twice"),
    "zip bomb": (lambda p: zip_of(p / "a.zip", {"ok": b"x", "zeros": bytes(3_000_000)}), "exceeds"),
    "zip of many": (lambda p: zip_of(p / "a.zip", {str(i): b"" for i in range(60)}), "more than 50 files"),
    "tar slip": (lambda p: tar_of(p / "a.tgz", tar_member("../evil.txt"), b"x"), "leads out of it"),
    "tar absolute": (lambda p: tar_of(p / "a.tgz", tar_member("/tmp/evil.txt"), b"x"), "leads out of it"),
    "tar same name twice": (lambda p: tar_of_two(p / "a.tgz", names=("a/b", "a/./b")), "is there twice"),
    "tar link": (lambda p: tar_of(p / "a.tgz", tar_member("l", tarfile.SYMTYPE, "/etc")), "link or a device"),
    "tar hard link": (
        lambda p: tar_of(p / "a.tgz", tar_member("l", tarfile.LNKTYPE, "/etc/passwd")),
        "link or a device",
    ),
    "tar device": (lambda p: tar_of(p / "a.tgz", tar_member("d", tarfile.CHRTYPE)), "link or a device"),
    "tar bomb": (lambda p: tar_of(p / "a.tgz", tar_member("zeros"), bytes(3_000_000)), "exceeds"),
    "cut zip": (lambda p: cut(zip_of(p / "a.zip", {"ok": bytes(5000), "more": b"x" * 5000})), "neither|damaged"),
    "cut tar": (lambda p: cut(tar_of_two(p / "a.tgz")), "damaged"),
    "tar without end": (lambda p: cut(tar_of_two(p / "a.tar", "w"), 20_000), "damaged"),
    "tar with a broken header": (lambda p: second_header_gone(p / "a.tar"), "damaged"),
    "gzip flipped": (lambda p: flip(tar_of_two(p / "a.tgz"), at=0.7), "damaged"),
    "bzip2 flipped": (lambda p: flip(tar_of_two(p / "a.tbz", "w:bz2"), at=0.7), "damaged|neither"),
    "xz flipped": (lambda p: flip(tar_of_two(p / "a.txz", "w:xz"), at=0.7), "damaged"),
    "xz of no tar": (lambda p: xz_of_text(p / "a.txz"), "neither a ZIP nor a TAR"),
    "zip flipped": (lambda p: flip(zip_lzma(p / "a.zip"), at=0.5), "damaged"),
    "no archive": (lambda p: text(p / "a.zip"), "neither a ZIP nor a TAR"),
}


def cut(path: Path, count: int = 80) -> Path:
    path.write_bytes(path.read_bytes()[:-count])
    return path


def text(path: Path) -> Path:
    path.write_text("hello")
    return path


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, under limits that a test can reach."""
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 2_000_000)
    monkeypatch.setattr(archives, "MAX_ARCHIVE_FILES", 50)
    folder = tmp_path / "job" / "work"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_whole(kind: str, tmp_path: Path, working: Path) -> None:
    make, reason = HOSTILE[kind]
    source = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(JobError, match=reason) as caught:
        unpack_all([f"{source}#deps"], working)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/evil.txt").exists()


@pytest.mark.parametrize("source", ["{}", "file://{}"])
def test_good_archives_become_folders(source: str, tmp_path: Path, working: Path) -> None:
    first = zip_of(tmp_path / "a.zip", {"pkg/__init__.py": b"A = 1", "empty/": b""})
    second = tar_of(tmp_path / "b.tgz", tar_member("data.bin"), b"42")
    unpack_all([f"{source.format(first)}#one", f"{source.format(second)}#two"], working)
    assert (working / "one/pkg/__init__.py").read_text() == "A = 1" and (working / "one/empty").is_dir()
    assert (working / "two/data.bin").read_bytes() == b"42"
    assert sorted(path.name for path in working.iterdir()) == ["one", "two"]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("https://example.org/deps.zip#deps", "on another machine"),
        ("http://127.0.0.1.example.org/deps.zip#deps", "on another machine"),
        (r"http://example.org\@127.0.0.1/deps.zip#deps", "on another machine"),
        ("s3://bucket/deps.zip#deps", "scheme that is not supported"),
        ("file://host/deps.zip#deps", "scheme that is not supported"),
        ("/nowhere/deps.zip#deps", "No archive /nowhere/deps.zip"),
        ("deps.zip#../up", "plain folder name"),
        ("deps.zip#..", "plain folder name"),
        ("deps.zip#a/b", "plain folder name"),
        (f"deps.zip#{'x' * 300}", "plain folder name"),
        ("http://[::1/deps.zip#deps", "no path and no URL"),
        ("http://[::1/deps.zip", "no path and no URL"),
        (f"{'x' * 5000}#deps", "No archive x"),
        ("\0#deps", "No archive"),
        (["deps.zip"], "plain folder name"),
    ],
)
def test_sources_and_folders_are_checked(entry: Any, reason: str, working: Path) -> None:
    with pytest.raises(JobError, match=reason):
        unpack_all([entry], working)


def test_one_folder_for_two_archives_is_refused(tmp_path: Path, working: Path) -> None:
    source = zip_of(tmp_path / "a.zip", {"a": b""})
    with pytest.raises(JobError, match="share a folder"):
        unpack_all([f"{source}#deps", f"{source}#deps"], working)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder; /away leads to another machine, /cut ends before its time."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", "http://example.org/deps.zip")
            self.end_headers()
        elif self.path.startswith("/cut"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"PK")
        else:
            super().do_GET()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_archives_come_from_this_machines_web_server(tmp_path: Path, working: Path, web: str) -> None:
    zip_of(tmp_path / "deps.zip", {"a.py": b"A = 1"})
    unpack_all([f"{web}/deps.zip#deps"], working)
    assert (working / "deps/a.py").read_bytes() == b"A = 1"
    for path, reason in (("missing.zip", "HTTP 404"), ("away.zip", "HTTP 302"), ("cut.zip", "cannot be fetched")):
        with pytest.raises(JobError, match=reason):
            unpack_all([f"{web}/{path}#other"], working)
    assert [path.name for path in working.iterdir()] == ["deps"]
