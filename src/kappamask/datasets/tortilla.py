"""Tortilla and TACO files of version 1: many files in one, and a Parquet table of where each lies.

Two letters (`#y` tortilla, `WX` TACO), then the offset and the length of the table, both 8 bytes, least first. A row
has `tortilla:id`, `tortilla:file_format`, `tortilla:offset` and `tortilla:length`, and whatever else its authors added;
a row of the format TORTILLA is itself such a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kappamask.models import SceneError

MAGIC: Final = (b"#y", b"WX")
HEADER: Final = 18
LARGEST: Final = 2**30
"""Bytes of a table; that of all CloudSEN12+ takes a few million."""


@dataclass(frozen=True)
class Entry:
    """One file inside of `path`: where it lies, and its row of the table."""

    path: Path
    offset: int
    length: int
    row: dict[str, Any]

    @property
    def id(self) -> str:
        """Its name among its neighbours."""
        return str(self.row["tortilla:id"])

    @property
    def gdal(self) -> str:
        """Its name for GDAL, which reads the bytes where they lie."""
        return f"/vsisubfile/{self.offset}_{self.length},{self.path}"

    def entries(self) -> list[Entry]:
        """What lies inside of it, if it is a tortilla."""
        return entries(self.path, self.offset, self.length)


def entries(path: Path, offset: int = 0, length: int | None = None) -> list[Entry]:
    """The files in `path`, or in the tortilla that lies in it at `offset`.

    Raises SceneError where it is no tortilla, its table is damaged, or an entry would lie outside of it.
    """
    size = path.stat().st_size - offset if length is None else length
    with path.open("rb") as stream:
        stream.seek(offset)
        header = stream.read(HEADER)
        start, count = (int.from_bytes(header[i : i + 8], "little") for i in (2, 10))
        if header[:2] not in MAGIC or not 0 < count <= min(LARGEST, size) or start + count > size:
            raise SceneError(f"{path.name} is not a tortilla or TACO file of version 1, or it is cut off.")
        stream.seek(offset + start)
        rows = _rows(path, stream.read(count))
    return [_entry(path, offset, size, row) for row in rows]


def _rows(path: Path, table: bytes) -> list[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        rows: list[dict[str, Any]] = parquet.read_table(pyarrow.BufferReader(table)).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise SceneError(f"{path.name} is damaged: its table cannot be read ({error}).") from error
    return rows


def _entry(path: Path, offset: int, size: int, row: dict[str, Any]) -> Entry:
    """Offsets in a table count from the file that the table belongs to."""
    start, length = (int(row.get(f"tortilla:{key}", -1)) for key in ("offset", "length"))
    if start < 0 or length <= 0 or start + length > size or "tortilla:id" not in row:
        raise SceneError(f"{path.name} is damaged: its table names a file outside of it.")
    return Entry(path, offset + start, length, row)
