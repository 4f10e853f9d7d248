"""Read KappaZeta's two sets: netCDF files of 512 x 512 px.

A variable for each band, and `Label` in KappaMask's codes.

Layout: as third parties read Zenodo 5095024 and 7100327; numbers are digital numbers / 65535.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.datasets.patch import DIGITAL, Patch, assign_split, find_missing, translate_codes
from kappamask.models import SceneError
from kappamask.models.band_names import find_band
from kappamask.models.cleaning import PIXEL_M
from kappamask.scenes.readers.netcdf import open_dataset

__all__ = [
    "find",
    "parse_group",
    "read",
    "split",
]

#: Largest 16-bit number: what stored numbers were divided by.
FULL: Final = np.float32(65535)
#: From this processing baseline on a product's numbers carry an offset (ESA, 25 January 2022).
OFFSET_SINCE, OFFSET = 400, np.float32(1000)
#: 0 and 5 are undefined and missing in one place of the documentation and the other way round in another.
CODES: Final = {1: 1, 2: 2, 3: 3, 4: 4}
PRODUCT: Final = re.compile(r"(S2[A-D]_MSIL1C_\d{8}T\d{6}_N(\d{4})_R\d{3}_)?(T\d{2}[A-Z]{3}_\d{8}T\d{6})")


def find(folder: Path) -> Iterator[Path]:
    """Find the netCDF files under `folder` and folders of months, in order of names."""
    yield from sorted(folder.rglob("*.nc"))


def parse_group(path: Path) -> str:
    """Parse tile and date in the file's name, else return the name."""
    found = PRODUCT.search(path.name)
    return found[3] if found else path.stem


def split(path: Path) -> str:
    """Assign the part by tile, because both sets share tiles.

    Neither was published in parts.
    """
    return assign_split(parse_group(path).partition("_")[0])


def read(path: Path) -> Patch:
    """Read the patch in `path`.

    Raises SceneError where it lacks labels or bands, or its numbers cannot be what they say.

    Where a name has no baseline the offset is 0, as in both published sets.
    """
    dataset = open_dataset(path)
    planes = {label: v for name, v in dataset.data_vars.items() if (label := find_band(str(name)))}
    if "Label" not in dataset or not planes:
        raise SceneError(f"{path.name} has no bands or no Label; it has {', '.join(map(str, dataset.data_vars))}.")
    bands = tuple(planes)
    numbers = np.stack([_to_digital_numbers(path, planes[band]) for band in bands])
    labels = np.asarray(dataset["Label"].values).squeeze()
    if labels.shape != numbers.shape[1:]:
        raise SceneError(f"{path.name}: Label is {labels.shape}, the bands are {numbers.shape[1:]}.")
    empty = find_missing(numbers, 0)
    reflectance = np.where(empty, np.nan, (numbers - _get_offset(path)) / DIGITAL).astype(np.float32)
    truth = np.where(empty, 0, translate_codes(labels, CODES)).astype(np.uint8)
    return Patch(
        path.stem, parse_group(path), split(path), "L1C", PIXEL_M, bands, reflectance, truth, merges_thin=False
    )


def _to_digital_numbers(path: Path, variable: xr.DataArray) -> NDArray[np.float32]:
    """Return the digital numbers of a band stored as such, or as share of 65535."""
    values: NDArray[Any] = np.asarray(variable.values).squeeze()
    if values.dtype.kind in "ui":
        return values.astype(np.float32)
    if not np.nanmax(values, initial=0) <= 1 or np.nanmin(values, initial=0) < 0:
        raise SceneError(f"{path.name}: {variable.name} is not a share of 65535: it lies outside of 0 to 1.")
    return np.asarray(np.round(np.nan_to_num(values) * FULL), np.float32)


def _get_offset(path: Path) -> np.float32:
    """Return the radiometric offset by the baseline in the name.

    Both sets hold products of 2020, which had none.
    """
    found = PRODUCT.search(path.name)
    return OFFSET if found and found[2] and int(found[2]) >= OFFSET_SINCE else np.float32(0)
