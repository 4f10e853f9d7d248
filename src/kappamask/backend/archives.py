"""`udf-dependency-archives`: archives from files and this machine's web servers, into a job's working directory."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import SplitResult, unquote, urlsplit

import requests

from kappamask.files import archives as unpack
from kappamask.files.urls import LOCALHOST, LOOPBACK, open_loopback
from kappamask.models import JobError

__all__ = ["unpack_all"]

_FOLDER = re.compile(r"(?!\.{1,2}$)[\w.\-]{1,60}")
"""With four bytes a letter, below the 255 bytes that a folder's name may have."""


@dataclass(frozen=True)
class Archive:
    """Hold an entry of the option: the archive's address, and its folder."""

    source: str
    folder: str

    @classmethod
    def parse(cls, text: str) -> Archive:
        """Parse "PATH_OR_URL#folder"; without "#" the folder is named like the archive, as in Spark."""
        source, _, folder = str(text).partition("#")
        folder = folder or PurePosixPath(_split(source).path).name
        if not isinstance(text, str) or not source or not _FOLDER.fullmatch(folder):
            raise JobError(
                f"The dependency archive {text!r} is no PATH#folder with a plain folder name of at most 60 letters; "
                "write for example deps.zip#kappamask_deps."
            )
        return cls(source, folder)


def unpack_all(entries: list[str], working: Path) -> None:
    """Unpack every entry of the job option into its own folder in `working`.

    Raises JobError, and leaves nothing of that archive behind, if one cannot be fetched, or holds absolute paths, paths
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
        with _open_local(archive.source) as file, tempfile.TemporaryDirectory(dir=working, prefix=".unpack-") as part:
            inner = Path(part) / "content"
            inner.mkdir()
            unpack.unpack(file, inner, archive.source)
            inner.rename(target)


@contextmanager
def _open_local(source: str) -> Iterator[Path]:
    """Open the archive as a local file; only this machine is asked."""
    parts = _split(source)
    if parts.scheme in ("http", "https"):
        if parts.hostname not in LOOPBACK:
            raise JobError(
                f"The archive {source} is on another machine; this back-end takes files and http://{LOCALHOST} only."
            )
        with tempfile.NamedTemporaryFile(suffix=PurePosixPath(parts.path).suffix) as file:
            _download_archive(source, file)
            yield Path(file.name)
        return
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        raise JobError(
            f"The archive {source} has a scheme that is not supported; use a path, file:// or http://{LOCALHOST}."
        )
    path = Path(unquote(parts.path) if parts.scheme else source)
    if not _is_file(path):
        raise JobError(f"No archive {str(path)[:200]}.")
    yield path


def _split(source: str) -> SplitResult:
    try:
        return urlsplit(source)
    except ValueError as error:
        raise JobError(f"The archive {source!r} is no path and no URL: {error}.") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or no name at all
        return False


def _download_archive(url: str, file: IO[bytes]) -> None:
    size = 0
    try:
        with open_loopback(url) as response:
            for piece in response.iter_content(unpack.BLOCK):
                size += unpack.copy_limited(io.BytesIO(piece), file, unpack.MAX_ARCHIVE_BYTES - size, url)
    except (requests.RequestException, UnicodeError) as error:
        raise JobError(f"The archive {url} cannot be fetched: {error}.") from error
    file.flush()
