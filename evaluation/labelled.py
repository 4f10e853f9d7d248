"""Run a network on a labelled chip and score it: how a network's quality is checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.evaluation.metrics import Scores, scores
from kappamask.models import SceneError
from kappamask.udf import cloud_mask
from kappamask.udf.classes import SEMI_TRANSPARENT

__all__ = ["Chip", "evaluate_labelled", "read_chip"]

KEYS = ("dn", "bands", "gt_kappa")
LEVELS = ("l1c", "l2a")


@dataclass(frozen=True)
class Chip:
    """A labelled image: `cube` (bands, y, x), reflectance * 10000, and `truth` (y, x), codes, 0 where unlabelled."""

    cube: xr.DataArray
    truth: NDArray[np.uint8]

    @property
    def tells_thin(self) -> bool:
        """Whether the truth has semi-transparent cloud as a class of its own."""
        return bool((self.truth == SEMI_TRANSPARENT).any())


def read_chip(path: str | Path) -> Chip:
    """A chip from a `.npz` with `dn` (y, x, band), `bands` (names) and `gt_kappa` (y, x).

    The level is taken from the name where it holds l1c or l2a. Raises SceneError if the file is no such chip.
    """
    source = Path(path)
    arrays = _arrays(source)
    dn, bands, truth = (arrays[key] for key in KEYS)
    if dn.ndim != 3 or dn.shape[:2] != truth.shape or dn.shape[2] != len(bands):
        shapes = f"dn {dn.shape}, bands {bands.shape}, gt_kappa {truth.shape}"
        raise SceneError(f"{source.name} has {shapes}; needed is one image, dn (y, x, band), gt_kappa (y, x).")
    level = [word.upper() for word in LEVELS if word in source.stem.lower().split("_")]
    cube = xr.DataArray(
        np.moveaxis(dn, -1, 0),
        dims=("bands", "y", "x"),
        coords={"bands": [str(band) for band in bands]},
        attrs={"level": level[0]} if level else {},
    )
    return Chip(cube, truth.astype(np.uint8))


def evaluate_labelled(
    path: str | Path, *, model: str = "compact", level: str | None = None, merge_thin: bool | None = None
) -> tuple[Scores, bool]:
    """Scores of `model` on the chip, and whether thin cloud was merged into cloud.

    `merge_thin`: None merges where the truth does not tell thin cloud apart. Raises SceneError for the file, and
    what `cloud_mask` raises.
    """
    chip = read_chip(path)
    merged = not chip.tells_thin if merge_thin is None else merge_thin
    mask = cloud_mask(chip.cube, level=level, model=model, radiometry="dn_harmonized")
    return scores(chip.truth, np.asarray(mask), merged), merged


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    needed = f"needed is a .npz with {', '.join(KEYS)}"
    if path.is_file() and not is_zipfile(path):
        raise SceneError(f"{path} is no labelled image; {needed}.")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in KEYS}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise SceneError(f"{path} cannot be read as a labelled image: {error}; {needed}.") from error
