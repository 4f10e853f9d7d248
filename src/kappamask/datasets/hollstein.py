"""Read the labelled spectra of Hollstein et al. 2016, in one HDF5 file.

5.6 million spectra of Sentinel-2A, 2015 and 2016.

Layout, as four public readers of the GFZ file take it: `spectra` (n, 13), TOA reflectance, with the bands' names in
`band`; `classes` (n,) 10 clear, 20 water, 30 shadow, 40 cirrus, 50 cloud, 60 snow; `product_id`, `granule_id` (n,), and
in the file of July 2017 `sun_zenith_angle` (n,), degrees. Its README counts shadows of mountains and buildings as
shadow, so shadow is one class with clear here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets.patch import LabelledPixel, Patch, make_chip
from kappamask.datasets.products import LOW
from kappamask.models import SceneError
from kappamask.models.band_names import find_band

__all__ = [
    "Spectrum",
    "find",
    "read",
    "split",
]

CODES: Final = {10: 1, 20: 1, 30: 1, 40: 3, 50: 4, 60: 1}
GROUND: Final = {"water": 20, "snow": 60}
NEEDED: Final = ("spectra", "band", "classes", "product_id", "granule_id")
SUN: Final = "sun_zenith_angle"
MOST: Final = 20_000
"""Spectra that are taken of a file, evenly: neighbours in one hand-drawn polygon are similar."""


@dataclass(frozen=True)
class Spectrum:
    """A labelled spectrum."""

    path: Path
    index: int
    group: str
    bands: tuple[str, ...]
    spectrum: NDArray[np.float32]
    theirs: int
    sun: float | None


def find(folder: Path) -> Iterator[Spectrum]:
    """Find the spectra of the files under `folder`, or of the one that it is.

    Raises SceneError if a file has another layout.
    """
    for path in [folder] if folder.is_file() else sorted(folder.glob("*_s2_manual_classification_data.h5")):
        table = _read_file(path)
        bands = tuple(filter(None, (find_band(f"B{_to_text(name)}") for name in table["band"])))
        if table["spectra"].shape[1:] != (len(table["band"]),) or len({*bands}) != len(table["band"]):
            raise SceneError(f"{path.name} has spectra {table['spectra'].shape} of the bands {', '.join(bands)}.")
        if unknown := set(table["classes"].tolist()) - {*CODES}:
            raise SceneError(f"{path.name} has the classes {sorted(unknown)}; known are {', '.join(map(str, CODES))}.")
        yield from _list_spectra(path, bands, table)


def split(_: Spectrum) -> str:
    """Return `test`: single pixels are for tests."""
    return "test"


def read(place: Spectrum) -> Patch:
    """Read the spectrum as a chip."""
    sun = {} if place.sun is None else {"low_sun": place.sun > LOW}
    clear = CODES[place.theirs] == 1
    ground = {tag: clear and place.theirs == code for tag, code in GROUND.items()}
    name = f"{place.path.stem}:{place.index}"
    pixel = LabelledPixel(place.bands, place.spectrum, CODES[place.theirs])
    return make_chip(name, place.group, split(place), pixel, merges_thin=False, tags={**ground, **sun})


def _list_spectra(path: Path, bands: tuple[str, ...], table: dict[str, Any]) -> Iterator[Spectrum]:
    suns = table.get(SUN)
    for i, (theirs, product, granule) in enumerate(
        zip(table["classes"], table["product_id"], table["granule_id"], strict=True)
    ):
        group, spectrum = f"{_to_text(product)}:{_to_text(granule)}", table["spectra"][i].astype(np.float32)
        sun = None if suns is None or not np.isfinite(suns[i]) else float(suns[i])
        yield Spectrum(path, i * table["step"], group, bands, spectrum, int(theirs), sun)


def _read_file(path: Path) -> dict[str, Any]:
    import h5py

    try:
        with h5py.File(path) as file:
            step = max(1, -(-len(file["classes"]) // MOST))
            rows = {key: file[key][::step] for key in (*NEEDED, SUN) if key != "band" and key in file}
            found = {**rows, "band": file["band"][:], "step": step}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise SceneError(f"{path.name} cannot be read as HDF5 with {', '.join(NEEDED)}: {error}.") from error
    if lacking := [key for key in NEEDED if key not in found]:
        raise SceneError(f"{path.name} lacks {', '.join(lacking)}.")
    return found


def _to_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
