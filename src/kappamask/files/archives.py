"""Check untrusted ZIP and TAR archives; read their members in place, or unpack them."""

import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple, cast

from kappamask.files.atomic import check_utf8
from kappamask.models import JobError, SceneError

__all__ = ["MAX_ARCHIVE_BYTES", "Member", "Source", "copy_limited", "list_members", "read_bytes", "unpack"]

MAX_PRODUCT_FILES: Final = 20_000
"""Entries that are accepted: a product of one tile has some 150, one of the old layout, of 15 tiles, some 1500."""
MAX_PRODUCT_FILE_BYTES: Final = 2**31
"""Bytes of one file, unpacked, that are accepted: a 10 m band has up to 150 MB."""
MAX_EXPANSION: Final = 100
"""Times a file may be larger than it is packed: JPEG 2000 is packed already and hardly shrinks, XML 20 times."""
SMALL: Final = 2**24
"""Bytes; smaller files may grow by any factor."""
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What GDAL can unpack."""
DRIVE: Final = re.compile(r"[A-Za-z]:")
"""Begins a path of Windows."""
ENCRYPTED: Final = 1
"""The bit of an entry's flags."""
DAMAGED: Final = (
    zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, struct.error, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
"""What the standard library raises for archives that are damaged or of a kind that it does not know."""
MAX_ARCHIVE_BYTES = 4 * 2**30
"""Bytes that an archive may take, packed or unpacked; a whole scientific Python environment stays below 2 GiB."""
MAX_ARCHIVE_FILES = 100_000
BLOCK = 1 << 20


@dataclass(frozen=True)
class Member:
    """A file in a zip archive."""

    archive: Path
    inside: str
    """Its name there."""

    @property
    def name(self) -> str:
        """Without folders."""
        return PurePosixPath(self.inside).name

    @property
    def gdal(self) -> str:
        """What GDAL calls it."""
        return f"/vsizip/{self.archive.resolve()}/{self.inside}"


Source = Path | Member
"""A file on disk or in an archive."""


def list_members(path: Path) -> dict[str, Member]:
    """Map names to members, for every file in a zip archive.

    Raises SceneError if it is no whole zip archive, or one that may do harm: names that lead out of it, links, several
    files of one name, and sizes that no product has.
    """
    found: dict[str, Member] = {}
    for entry in _list_entries(path):
        if entry.is_dir():
            continue
        harm = _find_harm(entry.filename, found, is_plain=not _is_link(entry)) or _find_excess(entry)
        if harm:
            raise SceneError(f"{path.name} is not read: its entry {entry.filename!r} {harm}; get the product again.")
        found[entry.filename] = Member(path, entry.filename)
    return found


def read_bytes(source: Source, most: int) -> bytes:
    """Read a whole file; SceneError if it is damaged or longer than `most` bytes."""
    try:
        if isinstance(source, Member):
            with zipfile.ZipFile(source.archive) as archive, archive.open(source.inside) as file:
                content = file.read(most + 1)
        else:
            with source.open("rb") as file:
                content = file.read(most + 1)
    except DAMAGED as error:
        raise SceneError(f"{source.name} cannot be read: {error}.") from error
    if len(content) > most:
        raise SceneError(f"{source.name} is not read: it has more than {most >> 20} MiB.")
    return content


def _list_entries(path: Path) -> Iterator[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(check_utf8(path)) as archive:
            entries = archive.infolist()
    except DAMAGED as error:
        raise SceneError(f"{path.name} is no whole zip archive: {error}; get it again.") from error
    if len(entries) > MAX_PRODUCT_FILES:
        raise SceneError(f"{path.name} is not read: it has {len(entries)} files, a product some 150; get it again.")
    yield from entries


def _find_harm(name: str, before: Container[str], *, is_plain: bool) -> str:
    """Say why a member of an untrusted archive is refused; empty if it is harmless.

    name: its path, with "/" between folders. before: the paths of the files before it. is_plain: it is a file or a
    folder.
    """
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or DRIVE.match(name)
    faults = {"leads out of it": outside, "is a link or a device": not is_plain, "is there twice": str(path) in before}
    return next((fault for fault, there in faults.items() if there), "")


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _find_excess(entry: zipfile.ZipInfo) -> str:
    """Say what in an entry no product has; empty if nothing."""
    largest = max(SMALL, MAX_EXPANSION * entry.compress_size)
    faults = {
        "has a colon in its name": ":" in entry.filename,
        "is encrypted": entry.flag_bits & ENCRYPTED,
        "is packed in a way that GDAL cannot undo": entry.compress_type not in METHODS,
        f"claims {entry.file_size >> 20} MiB": entry.file_size > MAX_PRODUCT_FILE_BYTES,
        f"grows from {entry.compress_size} bytes to {entry.file_size >> 20} MiB": entry.file_size > largest,
    }
    return next((fault for fault, there in faults.items() if there), "")


def unpack(file: Path, target: Path, name: str) -> None:
    """Unpack the ZIP or TAR `file` into the folder `target`.

    `name` is what messages call it.
    Raises JobError if it is damaged, or holds absolute paths, paths that leave the folder, links, devices, too many
    files or too many bytes; the folder may then hold a part of it.
    """
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                _check_count(len(archive.infolist()), name)
                _write_entries(_zip_entries(archive), target, name)
        elif tarfile.is_tarfile(file):
            with tarfile.open(file) as tar:
                left = _write_entries(_tar_entries(tar), target, name)
                _check_end(tar, left, name)
        else:
            raise JobError(f"The archive {name} is neither a ZIP nor a TAR file.")
    except DAMAGED as error:
        raise JobError(f"The archive {name} is damaged or cannot be unpacked: {error}.") from error


class _Entry(NamedTuple):
    """A member of a ZIP or TAR file that is to be unpacked."""

    name: str
    is_folder: bool
    is_plain: bool
    """It is a file or a folder."""
    open: Callable[[], IO[bytes] | None]


def _zip_entries(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    for entry in archive.infolist():
        yield _Entry(entry.filename, entry.is_dir(), not _is_link(entry), partial(archive.open, entry))


def _tar_entries(archive: tarfile.TarFile) -> Iterator[_Entry]:
    for entry in archive:
        plain = entry.isfile() or entry.isdir()
        yield _Entry(entry.name, entry.isdir(), plain, partial(archive.extractfile, entry))


def _write_entries(entries: Iterable[_Entry], target: Path, name: str) -> int:
    """Write the entries below `target`, and return how many bytes an archive might still have."""
    left = MAX_ARCHIVE_BYTES
    before: set[str] = set()
    for count, entry in enumerate(entries, start=1):
        _check_count(count, name)
        inside = entry.name.replace("\\", "/")  # as ZIP files of Windows have it
        if harm := _find_harm(inside, before, is_plain=entry.is_plain):
            raise JobError(
                f"The archive {name} is not unpacked: its entry {entry.name!r} {harm}; pack plain files, by relative "
                "paths, once each."
            )
        path = target / inside
        if entry.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            continue
        before.add(str(PurePosixPath(inside)))
        with cast(IO[bytes], entry.open()) as source:
            left -= _write(source, path, left, name)
    return left


def _check_end(archive: tarfile.TarFile, left: int, name: str) -> None:
    """Check that a tar archive ends with its end marker and that gzip's checksum fits.

    `tarfile` takes a damaged header for the end, and does not read the checksum behind it.
    """
    file = cast(IO[bytes], archive.fileobj)
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise JobError(f"The archive {name} is damaged: it breaks off, or goes on with what is no file. Pack it again.")
    with Path(os.devnull).open("wb") as nowhere:
        copy_limited(file, nowhere, max(left, 2 * BLOCK), name)


def _check_count(count: int, name: str) -> None:
    if count > MAX_ARCHIVE_FILES:
        raise JobError(
            f"The archive {name} holds more than {MAX_ARCHIVE_FILES} files; pack what the UDF imports and no more."
        )


def _write(source: IO[bytes], path: Path, limit: int, name: str) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        return copy_limited(source, file, limit, name)


def copy_limited(source: IO[bytes], file: IO[bytes], limit: int, name: str) -> int:
    """Copy at most `limit` bytes, and return how many.

    What an archive says about its own sizes is not trusted.
    Raises JobError if there are more.
    """
    written = 0
    while block := source.read(BLOCK):
        written += len(block)
        if written > limit:
            raise JobError(
                f"The archive {name} exceeds {MAX_ARCHIVE_BYTES // 2**30} GiB; pack what the UDF imports and no more."
            )
        file.write(block)
    return written
