"""Unpack ZIP and TAR archives from strangers, trusting none of them."""

from __future__ import annotations

import lzma
import os
import re
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, cast

from kappamask.models import JobError

__all__ = ["LARGEST", "copy", "unpack"]

LARGEST = 4 * 2**30
"""Bytes that an archive may take, packed or unpacked; a whole scientific Python environment stays below 2 GiB."""
MOST_FILES = 100_000
BLOCK = 1 << 20
LINK = 0o120000
"""Unix file type of a symbolic link, in the upper half of a ZIP entry's external attributes."""
KIND = 0o170000
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, struct.error, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
"""What the standard library raises for archives that are damaged or of a kind that it does not know."""


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
        _check_end(archive, left, name)


def _check_end(archive: tarfile.TarFile, left: int, name: str) -> None:
    """`tarfile` takes a damaged header for the end, and nobody reads the checksum behind it: look for both."""
    file = cast(IO[bytes], archive.fileobj)
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise JobError(f"The archive {name} is damaged: it breaks off, or goes on with what is no file. Pack it anew.")
    with Path(os.devnull).open("wb") as nowhere:
        copy(file, nowhere, max(left, 2 * BLOCK), name)


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
        return copy(source, file, limit, name)


def copy(source: IO[bytes], file: IO[bytes], limit: int, name: str) -> int:
    """Copy at most `limit` bytes, and return how many: what an archive says about its own sizes is not believed.

    Raises JobError if there are more.
    """
    written = 0
    while block := source.read(BLOCK):
        written += len(block)
        if written > limit:
            raise JobError(f"The archive {name} exceeds {LARGEST // 2**30} GiB; pack what the UDF imports and no more.")
        file.write(block)
    return written
