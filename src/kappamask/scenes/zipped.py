"""Products in zip archives: checked before anything is read from them, and read in place."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from kappamask.models import SceneError
from kappamask.scenes.atomic import spelt

__all__ = ["Member", "Source", "members", "read_bytes"]

MOST_FILES: Final = 20_000
"""Entries that are believed: a product of one tile has some 150, one of the old layout, of 15 tiles, some 1500."""
LARGEST: Final = 2**31
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


def members(path: Path) -> dict[str, Member]:
    """Name -> member, for every file in a zip archive.

    Raises SceneError if it is no whole zip archive, or one that may do harm: names that lead out of it, links, several
    files of one name, and sizes that no product has.
    """
    found: dict[str, Member] = {}
    for entry in _entries(path):
        if entry.is_dir():
            continue
        harm = _harm(entry, found)
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
        with zipfile.ZipFile(spelt(path)) as archive:
            entries = archive.infolist()
    except DAMAGED as error:
        raise SceneError(f"{path.name} is no whole zip archive: {error}; get it anew.") from error
    if len(entries) > MOST_FILES:
        raise SceneError(f"{path.name} is not read: it has {len(entries)} files, a product some 150; get it anew.")
    yield from entries


def _harm(entry: zipfile.ZipInfo, before: dict[str, Member]) -> str:
    """What is wrong with an entry; empty if nothing."""
    name, parts = entry.filename, PurePosixPath(entry.filename).parts
    faults = {
        "leads out of it": name.startswith("/") or ".." in parts or "\\" in name or ":" in name,
        "is a link": stat.S_ISLNK(entry.external_attr >> 16),
        "is there twice": name in before,
        "is encrypted": entry.flag_bits & ENCRYPTED,
        "is packed in a way that GDAL cannot undo": entry.compress_type not in METHODS,
        f"claims {entry.file_size >> 20} MiB": entry.file_size > LARGEST,
        f"grows from {entry.compress_size} bytes to {entry.file_size >> 20} MiB": entry.file_size
        > max(SMALL, SWOLLEN * entry.compress_size),
    }
    return next((fault for fault, there in faults.items() if there), "")
