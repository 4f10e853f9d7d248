"""Read labelled scenes from NumPy archives, and labelled pixels from CSV files.

Labels are `gt_kappa` (y, x), class codes, or `sets` (y, x), the classes that a pixel may be of as in `class_sets`.
An archive may say more: `sets_without_b10` (y, x), `level`, `place`, `kinds`, `split`.
"""

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets import class_sets
from kappamask.datasets.patch import DIGITAL, LabelledPixel, Patch, make_chip
from kappamask.models import LEVELS, SceneError
from kappamask.models.band_names import find_band
from kappamask.udf.schemes import SEMI_TRANSPARENT

__all__ = [
    "Patch",
    "TableRow",
    "find",
    "find_tables",
    "parse_level",
    "read",
    "read_clear",
    "read_tables",
    "split",
    "split_tables",
]

KEYS: Final = ("dn", "bands")
LABELS: Final = ("gt_kappa", "sets")
PARTS: Final = ("train", "validation")
MORE: Final = ("sets_without_b10", "level", "place", "kinds", "split")
CODES: Final = {0: 1, 1: 4}
"""Their `cloud`: 0 is clear or shadow, 1 cloud of either kind."""
ASIDE: Final = 3
"""Every third scene is for tests, as in training."""


def find(folder: Path) -> Iterator[Path]:
    """Find archives named `labelled_…` in `folder`, or the one file it is.

    Its folders `train` and `validation` are searched, too.
    """
    if folder.is_file():
        yield folder
        return
    for part in (folder, *(folder / name for name in PARTS)):
        yield from sorted(part.glob("labelled_*.npz"))


def split(path: Path) -> str:
    """Return the part that the archive names, else `train`.

    Only that name is read. Scenes of the user's own are for training.
    """
    return str(_read_archive(path, keys=("split",)).get("split", "train"))


def read_clear(path: Path) -> Patch:
    """Read a clear scene without labels. Raises SceneError as `read` does."""
    found = _read_archive(path, needs_labels=False)
    return _to_patch(path, found | {"sets": np.full(found["dn"].shape[:2], class_sets.CLEAR, np.uint8)})


def read(path: Path) -> Patch:
    """Read the scene in `path`; 0 in a band is no data.

    With codes but without semi-transparent cloud among them, 4 is cloud of either kind. The level is the archive's,
    else the file name's, else L1C. Raises SceneError if it is no such archive, or has no labels.
    """
    return _to_patch(path, _read_archive(path))


def _to_patch(path: Path, found: dict[str, NDArray[Any]]) -> Patch:
    numbers, names = found["dn"], found["bands"]
    labels = [found[key] for key in (*LABELS, "sets_without_b10") if key in found]
    if numbers.ndim != 3 or numbers.shape[2:] != names.shape or any(numbers.shape[:2] != x.shape for x in labels):
        shapes = ", ".join(f"{key} {found[key].shape}" for key in ("dn", "bands", *LABELS) if key in found)
        raise SceneError(f"{path.name} has {shapes}; needed is one image, dn (y, x, band), and labels (y, x).")
    planes = numbers.transpose(2, 0, 1)
    sets = found["sets"].astype(np.uint8) if "sets" in found else None
    truth = found["gt_kappa"].astype(np.uint8) if sets is None else class_sets.to_codes(sets)
    return Patch(
        path.stem, str(found.get("place", path.stem)), str(found.get("split", "train")), _get_level(path, found), None,
        tuple(map(str, names)), np.where(planes == 0, np.nan, planes / DIGITAL).astype(np.float32), truth,
        merges_thin="gt_kappa" in found and not bool((truth == SEMI_TRANSPARENT).any()), sets=sets,
        sets_without_b10=found.get("sets_without_b10"), kinds=tuple(map(str, found.get("kinds", ()))),
    )  # fmt: skip


def _get_level(path: Path, found: dict[str, NDArray[Any]]) -> str:
    return str(found["level"]) if "level" in found else parse_level(path) or LEVELS[0]


def parse_level(path: Path) -> str | None:
    """Return L1C or L2A where the file's name has that word, else None."""
    words = path.stem.upper().split("_")
    return next((level for level in LEVELS if level in words), None)


def _read_archive(
    path: Path, *, needs_labels: bool = True, keys: Collection[str] = (*KEYS, *LABELS, *MORE)
) -> dict[str, NDArray[Any]]:
    """Read the arrays `keys` of an archive that has pixels, and labels if needed."""
    needed = f"needed is a .npz with {', '.join(KEYS)} and one of {', '.join(LABELS)}"
    if not path.exists():
        raise SceneError(f"No file {path}; {needed}.")
    if path.is_file() and not is_zipfile(path):
        raise SceneError(f"{path} is no labelled image; {needed}.")
    try:
        with np.load(path, allow_pickle=False) as file:
            names = file.files
            found = {key: file[key] for key in keys if key in names}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise SceneError(f"{path} cannot be read as a labelled image: {error}; {needed}.") from error
    lacking = [key for key in KEYS if key not in names]
    if lacking or (needs_labels and not any(key in names for key in LABELS)):
        raise SceneError(f"{path} lacks {', '.join(lacking) or 'labels'}; {needed}.")
    return found


@dataclass(frozen=True)
class TableRow:
    """A labelled pixel: a row of a table."""

    path: Path
    line: int
    bands: tuple[str, ...]
    spectrum: tuple[float, ...]
    code: int
    scene: int


def find_tables(folder: Path) -> Iterator[TableRow]:
    """Find the rows of the tables under `folder`, or of one table.

    Raises SceneError at a damaged row.
    """
    for path in [folder] if folder.is_file() else sorted(folder.glob("labelled_*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            columns = {name: band for name in rows.fieldnames or () if (band := find_band(name))}
            for line, row in enumerate(rows, 2):
                yield _parse_row(path, line, columns, row)


def _parse_row(path: Path, line: int, columns: dict[str, str], row: dict[str, str]) -> TableRow:
    try:
        spectrum = tuple(float(row[name]) for name in columns)
        return TableRow(path, line, (*columns.values(),), spectrum, CODES[int(float(row["cloud"]))], int(row["scene"]))
    except (KeyError, ValueError, TypeError) as error:
        raise SceneError(f"{path.name}, line {line}: bands, cloud (0 or 1) and scene are needed: {error}.") from error


def split_tables(place: TableRow) -> str:
    """Assign the part by scene."""
    return "train" if place.scene % ASIDE else "test"


def read_tables(place: TableRow) -> Patch:
    """Read the pixel as a chip."""
    name, group = f"{place.path.stem}:{place.line}", f"{place.path.stem}:{place.scene}"
    pixel = LabelledPixel(place.bands, place.spectrum, place.code)
    return make_chip(name, group, split_tables(place), pixel, merges_thin=True)
