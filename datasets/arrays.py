"""Small scenes as numpy archives: `dn` (y, x, band), `bands`, and `gt_kappa` (y, x) where they are labelled."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kappamask.datasets.patch import DIGITAL, Patch
from kappamask.models import SceneError


def find(folder: Path) -> Iterator[Path]:
    """The archives under `folder` whose names begin with `labelled_`, or the one archive that it is."""
    yield from [folder] if folder.is_file() else sorted(folder.glob("labelled_*.npz"))


def split(_: Path) -> str:
    """Who names a scene of their own means it."""
    return "train"


def read(path: Path) -> Patch:
    """The scene in `path`; 0 in a band is no data. Raises SceneError if it is not such an archive, or has no labels."""
    try:
        with np.load(path) as archive:
            numbers, truth = archive["dn"].transpose(2, 0, 1), archive["gt_kappa"].astype(np.uint8)
            bands = tuple(str(band) for band in archive["bands"])
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise SceneError(f"{path.name} is not an archive of dn, bands and gt_kappa: {error}.") from error
    reflectance = np.where(numbers == 0, np.nan, numbers / DIGITAL).astype(np.float32)
    level = "L2A" if "_l2a_" in path.name else "L1C"
    return Patch(path.stem, path.stem, split(path), level, None, bands, reflectance, truth, merged=True)
