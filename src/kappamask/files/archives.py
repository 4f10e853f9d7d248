"""Check untrusted ZIP and TAR archives; read their members in place, or unpack them."""

import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from kappamask.files.atomic import check_utf8
from kappamask.models import JobError, SceneError

__all__ = ["MAX_ARCHIVE_BYTES", "Member", "Source", "copy_limited", "list_members", "read_bytes", "unpack"]

MAX_PRODUCT_FILES: Final = 20_000
"""Entries that are believed: a product of one tile has some 150, one of the old layout, of 15 tiles, some 1500."""
MAX_PRODUCT_FILE_BYTES: Final = 2**31
"""Bytes of one file, unpacked, that are believed: a 10 m band has up to 150 MB."""
SWOLLEN: Final = 100
"""Times a file may be larger than it is packed: JPEG 2000 is packed already and hardly shrinks, XML 20 times."""
SMALL: Final = 2**24
"""Bytes below which that is not asked."""
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What GDAL can unpack."""
ENCRYPTED: Final = 1
"""The bit of an entry's flags."""
DAMAGED: Final = (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What `zipfile` raises at bytes that are not what they claim."""
MAX_ARCHIVE_BYTES = 4 * 2**30
"""Bytes that an archive may take, packed or unpacked; a whole scientific Python environment stays below 2 GiB."""
MAX_ARCHIVE_FILES = 100_000
BLOCK = 1 << 20
LINK = 0o120000
"""Unix file type of a symbolic link, in the upper half of a ZIP entry's external attributes."""
KIND = 0o170000
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, struct.error, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
"""What the standard library raises for archives that are damaged or of a kind that it does not know."""


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
    """Name -> member, for every file in a zip archive.

    Raises SceneError if it is no whole zip archive, or one that may do harm: names that lead out of it, links, several
    files of one name, and sizes that no product has.
    """
    found: dict[str, Member] = {}
    for entry in _entries(path):
        if entry.is_dir():
            continue
        harm = _find_harm(entry, found)
        if harm:
            raise SceneError(f"{path.name} is not read: its entry {entry.filename!r} {harm}; get the product anew.")
        found[entry.filename] = Member(path, entry.filename)
    return found


def read_bytes(source: Source, most: int) -> bytes:
    """All of a file; SceneError if it is damaged, or has more than `most` bytes."""
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


def _entries(path: Path) -> Iterator[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(check_utf8(path)) as archive:
            entries = archive.infolist()
    except DAMAGED as error:
        raise SceneError(f"{path.name} is no whole zip archive: {error}; get it anew.") from error
    if len(entries) > MAX_PRODUCT_FILES:
        raise SceneError(f"{path.name} is not read: it has {len(entries)} files, a product some 150; get it anew.")
    yield from entries


def _find_harm(entry: zipfile.ZipInfo, before: dict[str, Member]) -> str:
    """What is wrong with an entry; empty if nothing."""
    name, parts = entry.filename, PurePosixPath(entry.filename).parts
    faults = {
        "leads out of it": name.startswith("/") or ".." in parts or "\\" in name or ":" in name,
        "is a link": stat.S_ISLNK(entry.external_attr >> 16),
        "is there twice": name in before,
        "is encrypted": entry.flag_bits & ENCRYPTED,
        "is packed in a way that GDAL cannot undo": entry.compress_type not in METHODS,
        f"claims {entry.file_size >> 20} MiB": entry.file_size > MAX_PRODUCT_FILE_BYTES,
        f"grows from {entry.compress_size} bytes to {entry.file_size >> 20} MiB": entry.file_size
        > max(SMALL, SWOLLEN * entry.compress_size),
    }
    return next((fault for fault, there in faults.items() if there), "")


def unpack(file: Path, target: Path, name: str) -> None:
    """Unpack the ZIP or TAR `file` into the folder `target`; `name` is what messages call it.

    Raises JobError if it is damaged, or holds absolute paths, paths that leave the folder, links, devices, too many
    files or too many bytes; the folder may then hold a part of it.
    """
    try:
        if zipfile.is_zipfile(file):
            _unpack_zip(file, target, name)
        elif tarfile.is_tarfile(file):
            _unpack_tar(file, target, name)
        else:
            raise JobError(f"The archive {name} is neither a ZIP nor a TAR file.")
    except DAMAGE as error:
        raise JobError(f"The archive {name} is damaged or cannot be unpacked: {error}.") from error


def _unpack_zip(file: Path, target: Path, name: str) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_count(len(members), name)
        left = MAX_ARCHIVE_BYTES
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
        left = MAX_ARCHIVE_BYTES
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
        _check_end(archive, left, name)


def _check_end(archive: tarfile.TarFile, left: int, name: str) -> None:
    """`tarfile` takes a damaged header for the end, and nobody reads the checksum behind it: look for both."""
    file = cast(IO[bytes], archive.fileobj)
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise JobError(f"The archive {name} is damaged: it breaks off, or goes on with what is no file. Pack it anew.")
    with Path(os.devnull).open("wb") as nowhere:
        copy_limited(file, nowhere, max(left, 2 * BLOCK), name)


def _check_count(count: int, name: str) -> None:
    if count > MAX_ARCHIVE_FILES:
        raise JobError(
            f"The archive {name} holds more than {MAX_ARCHIVE_FILES} files; pack what the UDF imports and no more."
        )


def _safe(member: str, target: Path, name: str) -> Path:
    parts = PurePosixPath(member.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or "\0" in member or re.match(r"[A-Za-z]:", member):
        raise JobError(f"The archive {name} holds {member!r}, which leaves its folder; pack relative paths only.")
    return target / parts


def _write(source: IO[bytes], path: Path, limit: int, name: str) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        return copy_limited(source, file, limit, name)


def copy_limited(source: IO[bytes], file: IO[bytes], limit: int, name: str) -> int:
    """Copy at most `limit` bytes, and return how many: what an archive says about its own sizes is not believed.

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
