"""Small scenes as numpy archives: `dn` (y, x, band), `bands`, and `gt_kappa` (y, x) where they are labelled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets.patch import DIGITAL, Patch
from kappamask.models import LEVELS, SceneError
from kappamask.udf.classes import SEMI_TRANSPARENT

KEYS: Final = ("dn", "bands", "gt_kappa")


def find(folder: Path) -> Iterator[Path]:
    """The archives under `folder` whose names begin with `labelled_`, or the one archive that it is."""
    yield from [folder] if folder.is_file() else sorted(folder.glob("labelled_*.npz"))


def split(_: Path) -> str:
    """Who names a scene of their own means it."""
    return "train"


def read(path: Path) -> Patch:
    """The scene in `path`; 0 in a band is no data. Without semi-transparent cloud in its labels 4 is either kind.

    Of level L1C where its name does not say. Raises SceneError if it is not such an archive, or has no labels.
    """
    numbers, names, labels = _arrays(path)
    if numbers.ndim != 3 or numbers.shape[:2] != labels.shape or numbers.shape[2:] != names.shape:
        shapes = f"dn {numbers.shape}, bands {names.shape}, gt_kappa {labels.shape}"
        raise SceneError(f"{path.name} has {shapes}; needed is one image, dn (y, x, band), gt_kappa (y, x).")
    planes, truth = numbers.transpose(2, 0, 1), labels.astype(np.uint8)
    reflectance = np.where(planes == 0, np.nan, planes / DIGITAL).astype(np.float32)
    bands, merged = tuple(map(str, names)), not (truth == SEMI_TRANSPARENT).any()
    level = level_in(path) or LEVELS[0]
    return Patch(path.stem, path.stem, split(path), level, None, bands, reflectance, truth, merged=bool(merged))


def level_in(path: Path) -> str | None:
    """L1C or L2A where one of them is a word of the file's name, else None."""
    words = path.stem.upper().split("_")
    return next((level for level in LEVELS if level in words), None)


def _arrays(path: Path) -> list[NDArray[Any]]:
    needed = f"needed is a .npz with {', '.join(KEYS)}"
    if path.is_file() and not is_zipfile(path):
        raise SceneError(f"{path} is no labelled image; {needed}.")
    try:
        with np.load(path, allow_pickle=False) as file:
            return [file[key] for key in KEYS]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise SceneError(f"{path} cannot be read as a labelled image: {error}; {needed}.") from error
