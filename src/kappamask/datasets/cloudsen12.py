"""Read CloudSEN12+: patches and labels in TACO files.

Two letters (`#y` tortilla, `WX` TACO), then the offset and the length of the table, both 8 bytes, least first. A row
has `tortilla:id`, `tortilla:file_format`, `tortilla:offset` and `tortilla:length`, and whatever else its authors added;
a row of the format TORTILLA is itself such a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets.patch import DIGITAL, Patch, assign_split, find_missing, translate_codes
from kappamask.datasets.products import is_low_sun
from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.models.cleaning import PIXEL_M

__all__ = [
    "TacoFile",
    "find",
    "read",
    "read_entries",
    "split",
]

MAGIC: Final = (b"#y", b"WX")
HEADER: Final = 18
LARGEST: Final = 2**30
"""Bytes of a table; that of all CloudSEN12+ takes a few million."""
#: Theirs: 0 clear, 1 thick cloud, 2 thin cloud, 3 cloud shadow; 99 fills images of 509 px up to 512.
CODES: Final = {0: 1, 1: 4, 2: 3, 3: 2}
FILL: Final = 99
L1C: Final = SENTINEL2_BANDS[:13]
#: Bands of an image by their number: L1C; L2A, which has no B10 but two by-products.
ORDER: Final = {13: ("L1C", L1C), 14: ("L2A", (*(b for b in L1C if b != "B10"), "AOT", "WVP"))}
#: Hand-drawn labels of patches of 509 px; the others are scribbles, machine-made, or of other sizes.
WANTED: Final = {"label_type": "high", "real_proj_shape": 509}
IMAGE, LABELS = 0, 1
CENTROID, TIME = "stac:centroid", "stac:time_start"
POINT: Final = re.compile(r"POINT \(([-.\d]+) ([-.\d]+)\)")


@dataclass(frozen=True)
class TacoFile:
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

    def entries(self) -> list[TacoFile]:
        """List what lies inside of it, if it is a tortilla."""
        return read_entries(self.path, self.offset, self.length)


def read_entries(path: Path, offset: int = 0, length: int | None = None) -> list[TacoFile]:
    """Read the files in `path`, or in the tortilla that lies in it at `offset`.

    Raises SceneError where it is no tortilla, its table is damaged, or an entry would lie outside of it.
    """
    size = path.stat().st_size - offset if length is None else length
    with path.open("rb") as file:
        file.seek(offset)
        header = file.read(HEADER)
        start, count = (int.from_bytes(header[i : i + 8], "little") for i in (2, 10))
        if header[:2] not in MAGIC or not 0 < count <= min(LARGEST, size) or start + count > size:
            raise SceneError(f"{path.name} is not a tortilla or TACO file of version 1, or it is cut off.")
        file.seek(offset + start)
        rows = _read_rows(path, file.read(count))
    return [_make_entry(path, offset, size, row) for row in rows]


def _read_rows(path: Path, table: bytes) -> list[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        rows: list[dict[str, Any]] = parquet.read_table(pyarrow.BufferReader(table)).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise SceneError(f"{path.name} is damaged: its table cannot be read ({error}).") from error
    return rows


def _make_entry(path: Path, offset: int, size: int, row: dict[str, Any]) -> TacoFile:
    """Make an entry; offsets in a table count from the file that it belongs to."""
    start, length = (int(row.get(f"tortilla:{key}", -1)) for key in ("offset", "length"))
    if start < 0 or length <= 0 or start + length > size or "tortilla:id" not in row:
        raise SceneError(f"{path.name} is damaged: its table names a file outside of it.")
    return TacoFile(path, offset + start, length, row)


def find(folder: Path) -> Iterator[TacoFile]:
    """Find the hand-labelled patches in the TACO files under `folder`.

    Or in the one file that it is.
    """
    for path in [folder] if folder.is_file() else sorted(folder.rglob("*.taco")):
        for entry in read_entries(path):
            if all(entry.row.get(key, value) == value for key, value in WANTED.items()):
                yield entry


def split(entry: TacoFile) -> str:
    """Return the published part; by place where the table does not say."""
    return str(entry.row.get("tortilla:data_split") or assign_split(_get_place(entry)))


def read(entry: TacoFile) -> Patch:
    """Read the patch `entry`.

    Raises SceneError where it does not hold an image of 13 or 14 bands and its labels.
    """
    inside = entry.entries()
    if len(inside) <= LABELS:
        raise SceneError(
            f"{entry.path.name}: {entry.id} holds {len(inside)} files; an image and its labels are needed."
        )
    numbers, labels = _read_pixels(inside[IMAGE]), _read_pixels(inside[LABELS])[0]
    if len(numbers) not in ORDER or labels.shape != numbers.shape[1:]:
        raise SceneError(f"{entry.path.name}: {entry.id} has an image {numbers.shape} and labels {labels.shape}.")
    level, bands = ORDER[len(numbers)]
    empty = find_missing(numbers[[i for i, band in enumerate(bands) if band in L1C]], 0, FILL)
    reflectance = np.where(empty, np.nan, numbers / DIGITAL).astype(np.float32)
    truth = np.where(empty, 0, translate_codes(labels, CODES)).astype(np.uint8)
    return Patch(
        f"{entry.id}_{level}", _get_place(entry), split(entry), level, PIXEL_M, bands, reflectance, truth,
        merges_thin=False, tags=_get_sun_tag(entry),
    )  # fmt: skip


def _get_place(entry: TacoFile) -> str:
    return str(entry.row.get("roi_id") or entry.id)


def _get_sun_tag(entry: TacoFile) -> dict[str, bool]:
    """Return the tag `low_sun`, where the table has a place and a time.

    A point in WKT, and seconds since 1970.
    """
    place, seconds = POINT.match(str(entry.row.get(CENTROID))), entry.row.get(TIME)
    if not place or not isinstance(seconds, int | float):
        return {}
    return {"low_sun": is_low_sun(float(place[1]), float(place[2]), datetime.fromtimestamp(seconds, UTC))}


def _read_pixels(entry: TacoFile) -> NDArray[Any]:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(entry.gdal, driver="GTiff") as source:
            return np.asarray(source.read())
    except RasterioError as error:
        raise SceneError(f"{entry.path.name}: {entry.id} cannot be read as GeoTIFF: {error}.") from error
