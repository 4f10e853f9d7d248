"""Read the Sentinel-2 Cloud Mask Catalogue (Francis et al. 2020), NumPy arrays.

1022 x 1022 px at 20 m, L1C of 2018.

Layout, as three public readers of Zenodo 4172871 agree on it: `subscenes/SCENE.npy` float32 (y, x, 13), TOA
reflectance, bands B01 to B08, B8A, B09 to B12; `masks/SCENE.npy` bool (y, x, 3), one of clear, cloud, cloud shadow;
`classification_tags.csv` with a row of 0 and 1 for each scene, and `shadows_marked`, 0 where shadows were left out.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets.patch import Patch, assign_split, find_missing
from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.scenes.metadata import parse_tile

__all__ = [
    "Subscene",
    "find",
    "read",
    "split",
]

BANDS: Final = SENTINEL2_BANDS[:13]
CODES: Final = np.array([1, 4, 2], np.uint8)
"""KappaMask's codes of their three planes; thin cloud is cloud to them."""
PIXEL_M: Final = 20.0
TAGS: Final = "classification_tags.csv"
SHADOWS: Final = "shadows_marked"
GROUND: Final = {
    "snow": ("snow/ice",),
    "water": ("open_water", "enclosed_water", "coastal"),
    "urban": ("urban/developed",),
    "desert": ("desert/barren",),
    "forest": ("forest/jungle",),
}
"""Stratum -> their tags, any of which makes a scene one of it."""
THIN, THICK = "thin", "thick"


@dataclass(frozen=True)
class Subscene:
    """A subscene: its two files, its row of tags, and its part of the set."""

    image: Path
    mask: Path
    row: Mapping[str, str]
    part: str

    @property
    def group(self) -> str:
        """The tile; without one in the name, the name."""
        return parse_tile(self.image.stem) or self.image.stem


def find(folder: Path) -> Iterator[Subscene]:
    """Find the subscenes under `folder` that have a mask, by their names.

    Raises SceneError if a scene has no tags.

    The set was published whole. A tile is in one part; those with a scene whose shadows are not marked are for tests,
    because 1 means clear or shadow there.
    """
    images = sorted(folder.glob("subscenes/*.npy"))
    rows = _read_rows(folder / TAGS) if images else {}
    if lacking := [path.stem for path in images if path.stem not in rows]:
        raise SceneError(f"{TAGS} has no row of {lacking[0]}; get both from the same record.")
    unmarked = {parse_tile(name) for name, row in rows.items() if row[SHADOWS] != "1"}
    for path in images:
        place = parse_tile(path.stem)
        part = "test" if place in unmarked else assign_split(place or path.stem)
        mask = folder / "masks" / path.name
        if mask.exists():
            yield Subscene(path, mask, rows[path.stem], part)


def split(place: Subscene) -> str:
    """Assign the part by tile; see `find`."""
    return place.part


def read(place: Subscene) -> Patch:
    """Read the subscene.

    Raises SceneError where the arrays are not what the set's README says.
    """
    image, planes = _read_array(place.image), _read_array(place.mask)
    if image.ndim != 3 or image.shape[2] != len(BANDS) or planes.shape != (*image.shape[:2], len(CODES)):
        raise SceneError(f"{place.image.name} has an image {image.shape} and a mask {planes.shape}; (y, x, 13 and 3).")
    chosen = planes.astype(np.uint8).sum(axis=2)
    if chosen.max(initial=0) > 1:
        raise SceneError(f"{place.mask.name} has pixels of two classes; one or none is needed.")
    numbers = image.transpose(2, 0, 1).astype(np.float32)
    empty = find_missing(numbers, 0)
    truth = np.where(empty | (chosen == 0), 0, CODES[planes.argmax(axis=2)]).astype(np.uint8)
    marked = place.row[SHADOWS] == "1"
    return Patch(
        place.image.stem, place.group, place.part, "L1C", PIXEL_M, BANDS, np.where(empty, np.nan, numbers), truth,
        merges_thin=True, tells_shadow=marked, tags=_read_tags(place.row),
    )  # fmt: skip


def _read_tags(row: Mapping[str, str]) -> dict[str, bool]:
    ground = {name: any(row.get(tag) == "1" for tag in theirs) for name, theirs in GROUND.items()}
    return ground | {"thin_cloud_only": row.get(THIN) == "1" and row.get(THICK) != "1"}


def _read_rows(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {row["scene"]: row for row in rows if row[SHADOWS] is not None}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise SceneError(f"{path} is needed, with the columns scene and {SHADOWS}: {error}.") from error


def _read_array(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise SceneError(f"{path.name} is no whole numpy array of numbers; unpack it again.") from error
