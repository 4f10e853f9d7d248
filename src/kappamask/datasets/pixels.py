"""Labelled pixels as a table: `labelled_*.csv` with a column for each band, `cloud` (1 or 0) and `scene`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kappamask.datasets.patch import Patch
from kappamask.datasets.points import chip
from kappamask.models import SceneError
from kappamask.scenes.names import band_name

CODES: Final = {0: 1, 1: 4}
"""Their `cloud`: 0 is clear or shadow, 1 cloud of either kind."""
ASIDE: Final = 3
"""Every third scene is for tests, as in training."""


@dataclass(frozen=True)
class Place:
    """A row of a table: where it stands, and what it says."""

    path: Path
    line: int
    bands: tuple[str, ...]
    spectrum: tuple[float, ...]
    code: int
    scene: int


def find(folder: Path) -> Iterator[Place]:
    """The rows of the tables under `folder`, or of the one table that it is. Raises SceneError at a damaged row."""
    for path in [folder] if folder.is_file() else sorted(folder.glob("labelled_*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            columns = {name: band for name in rows.fieldnames or () if (band := band_name(name))}
            for line, row in enumerate(rows, 2):
                yield _place(path, line, columns, row)


def _place(path: Path, line: int, columns: dict[str, str], row: dict[str, str]) -> Place:
    try:
        spectrum = tuple(float(row[name]) for name in columns)
        return Place(path, line, (*columns.values(),), spectrum, CODES[int(float(row["cloud"]))], int(row["scene"]))
    except (KeyError, ValueError, TypeError) as error:
        raise SceneError(f"{path.name}, line {line}: bands, cloud (0 or 1) and scene are needed: {error}.") from error


def split(place: Place) -> str:
    """By scene."""
    return "train" if place.scene % ASIDE else "test"


def read(place: Place) -> Patch:
    """The pixel as a chip."""
    name, group = f"{place.path.stem}:{place.line}", f"{place.path.stem}:{place.scene}"
    return chip(name, group, split(place), place.spectrum, place.code, place.bands, merged=True)
