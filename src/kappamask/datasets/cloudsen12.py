"""CloudSEN12+ (tacofoundation/cloudsen12): TACO files of patches, each with an image and its labels as GeoTIFF."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets.patch import DIGITAL, Patch, translated, without_data
from kappamask.datasets.split import split_of
from kappamask.datasets.sun import low_sun
from kappamask.datasets.tortilla import Entry, entries
from kappamask.models import SENTINEL2_BANDS, SceneError

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


def find(folder: Path) -> Iterator[Entry]:
    """The hand-labelled patches in the TACO files under `folder`, or in the one file that it is."""
    for path in [folder] if folder.is_file() else sorted(folder.rglob("*.taco")):
        for entry in entries(path):
            if all(entry.row.get(key, value) == value for key, value in WANTED.items()):
                yield entry


def split(entry: Entry) -> str:
    """As published; by place where the table does not say."""
    return str(entry.row.get("tortilla:data_split") or split_of(_place(entry)))


def read(entry: Entry) -> Patch:
    """The patch `entry`. Raises SceneError where it does not hold an image of 13 or 14 bands and its labels."""
    inside = entry.entries()
    if len(inside) <= LABELS:
        raise SceneError(
            f"{entry.path.name}: {entry.id} holds {len(inside)} files; an image and its labels are needed."
        )
    numbers, labels = _pixels(inside[IMAGE]), _pixels(inside[LABELS])[0]
    if len(numbers) not in ORDER or labels.shape != numbers.shape[1:]:
        raise SceneError(f"{entry.path.name}: {entry.id} has an image {numbers.shape} and labels {labels.shape}.")
    level, bands = ORDER[len(numbers)]
    empty = without_data(numbers[[i for i, band in enumerate(bands) if band in L1C]], 0, FILL)
    reflectance = np.where(empty, np.nan, numbers / DIGITAL).astype(np.float32)
    truth = np.where(empty, 0, translated(labels, CODES)).astype(np.uint8)
    return Patch(
        f"{entry.id}_{level}", _place(entry), split(entry), level, 10.0, bands, reflectance, truth, merged=False,
        tags=_sun(entry),
    )  # fmt: skip


def _place(entry: Entry) -> str:
    return str(entry.row.get("roi_id") or entry.id)


def _sun(entry: Entry) -> dict[str, bool]:
    """The tag `low_sun`, where the table has a place (a point in WKT) and a time (seconds since 1970)."""
    place, seconds = POINT.match(str(entry.row.get(CENTROID))), entry.row.get(TIME)
    if not place or not isinstance(seconds, int | float):
        return {}
    return {"low_sun": low_sun(float(place[1]), float(place[2]), datetime.fromtimestamp(seconds, UTC))}


def _pixels(entry: Entry) -> NDArray[Any]:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(entry.gdal, driver="GTiff") as source:
            return np.asarray(source.read())
    except RasterioError as error:
        raise SceneError(f"{entry.path.name}: {entry.id} cannot be read as GeoTIFF: {error}.") from error
