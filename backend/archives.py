"""`udf-dependency-archives`: fetch and unpack archives into a job's working directory, trusting none of them."""

from __future__ import annotations

import re
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast
from urllib.parse import unquote, urlsplit

import requests

from kappamask.models import JobError

__all__ = ["LOOPBACK", "unpack_all"]

LARGEST = 4 * 2**30
"""Bytes that an archive may take, packed or unpacked; a whole scientific Python environment stays below 2 GiB."""
MOST_FILES = 100_000
LOOPBACK = ("127.0.0.1", "localhost", "::1")
BLOCK = 1 << 20
LINK = 0o120000
"""Unix file type of a symbolic link, in the upper half of a ZIP entry's external attributes."""
KIND = 0o170000

_FOLDER = re.compile(r"(?!\.{1,2}$)[\w.\-]+")


@dataclass(frozen=True)
class Archive:
    """One entry of the option: where the archive is, and the folder beside the UDF that it becomes."""

    source: str
    folder: str

    @classmethod
    def parse(cls, text: str) -> Archive:
        """From "PATH_OR_URL#folder"; without "#" the folder is named like the archive, as Spark does."""
        source, _, folder = str(text).partition("#")
        folder = folder or PurePosixPath(urlsplit(source).path).name
        if not source or not _FOLDER.fullmatch(folder):
            raise JobError(
                f"The dependency archive {text!r} is no PATH#folder with a plain folder name; "
                "write for example deps.zip#kappamask_deps."
            )
        return cls(source, folder)


def unpack_all(entries: list[str], working: Path) -> None:
    """Unpack every entry of the job option into `working`, each into a folder of its own.

    Raises JobError, and leaves nothing of that archive behind, if one cannot be had, or holds absolute paths, paths
    that leave its folder, links, devices, too many files or too many bytes.
    """
    if not isinstance(entries, list):
        raise JobError(f"udf-dependency-archives is {entries!r}; it needs a list of PATH#folder.")
    archives = [Archive.parse(entry) for entry in entries]
    folders = [archive.folder for archive in archives]
    if len(set(folders)) != len(folders):
        raise JobError(f"Dependency archives share a folder ({', '.join(folders)}); give each a #folder of its own.")
    for archive in archives:
        target = working / archive.folder
        with _local(archive.source) as file, tempfile.TemporaryDirectory(dir=working, prefix=".unpack-") as part:
            inner = Path(part) / "content"
            inner.mkdir()
            _unpack(file, inner, archive.source)
            inner.rename(target)


@contextmanager
def _local(source: str) -> Iterator[Path]:
    """The archive as a local file; only files and this machine's own web servers are asked."""
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        if parts.hostname not in LOOPBACK:
            raise JobError(
                f"The archive {source} is on another machine; this back-end takes files and http://127.0.0.1 only."
            )
        with tempfile.NamedTemporaryFile(suffix=PurePosixPath(parts.path).suffix) as file:
            _download(source, file)
            yield Path(file.name)
        return
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        raise JobError(
            f"The archive {source} has a scheme that is not supported; use a path, file:// or http://127.0.0.1."
        )
    path = Path(unquote(parts.path) if parts.scheme else source)
    if not path.is_file():
        raise JobError(f"No archive {path}.")
    yield path


def _download(url: str, file: IO[bytes]) -> None:
    session = requests.Session()
    session.trust_env = False
    try:
        with session.get(url, stream=True, timeout=60, allow_redirects=False) as response:
            if response.status_code != requests.codes.ok:
                raise JobError(f"The archive {url} answered with HTTP {response.status_code}.")
            _copy(cast(IO[bytes], response.raw), file, LARGEST, url)
    except requests.RequestException as error:
        raise JobError(f"The archive {url} cannot be fetched: {error}.") from error
    file.flush()


def _unpack(file: Path, target: Path, name: str) -> None:
    try:
        if zipfile.is_zipfile(file):
            _unpack_zip(file, target, name)
        elif tarfile.is_tarfile(file):
            _unpack_tar(file, target, name)
        else:
            raise JobError(f"The archive {name} is neither a ZIP nor a TAR file.")
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise JobError(f"The archive {name} is damaged or cannot be unpacked: {error}.") from error


def _unpack_zip(file: Path, target: Path, name: str) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_count(len(members), name)
        left = LARGEST
        for member in members:
            if (member.external_attr >> 16) & KIND == LINK:
                raise JobError(f"The archive {name} holds a link, {member.filename}; pack the file itself.")
            path = _safe(member.filename, target, name)
            if member.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            with archive.open(member) as source:
                left -= _write(source, path, left, name)


def _unpack_tar(file: Path, target: Path, name: str) -> None:
    with tarfile.open(file) as archive:
        left = LARGEST
        for count, member in enumerate(archive, start=1):
            _check_count(count, name)
            if not (member.isfile() or member.isdir()):
                raise JobError(f"The archive {name} holds a link or device, {member.name}; pack the file itself.")
            path = _safe(member.name, target, name)
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            source = archive.extractfile(member)
            assert source is not None
            left -= _write(source, path, left, name)


def _check_count(count: int, name: str) -> None:
    if count > MOST_FILES:
        raise JobError(f"The archive {name} holds more than {MOST_FILES} files; pack what the UDF imports and no more.")


def _safe(member: str, target: Path, name: str) -> Path:
    parts = PurePosixPath(member.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or "\0" in member or re.match(r"[A-Za-z]:", member):
        raise JobError(f"The archive {name} holds {member!r}, which leaves its folder; pack relative paths only.")
    return target / parts


def _write(source: IO[bytes], path: Path, limit: int, name: str) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        return _copy(source, file, limit, name)


def _copy(source: IO[bytes], file: IO[bytes], limit: int, name: str) -> int:
    """Copy at most `limit` bytes: what an archive says about its own sizes is not believed."""
    written = 0
    while block := source.read(BLOCK):
        written += len(block)
        if written > limit:
            raise JobError(f"The archive {name} exceeds {LARGEST // 2**30} GiB; pack what the UDF imports and no more.")
        file.write(block)
    return written
