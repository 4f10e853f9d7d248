"""Interpolate 20 m and 60 m bands that a back-end has repeated to 10 m.

KappaZeta's networks were trained on bands interpolated by a kernel that their cards name; steps of six pixels are new
to them. Repetition loses nothing, so it can be undone where the pixels prove where the coarse ones began.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import ModelCard

__all__ = ["Kernel", "compute_kernel_weights", "interpolate_bands"]

BAND_RATIOS: Final = dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12", "AOT", "WVP"), 2) | dict.fromkeys(
    ("B01", "B09", "B10"), 6
)
"""Pixels of 10 m along one of the band's own (Sentinel-2 MSI; AOT and WVP as openEO serves them, at 20 m)."""
Kernel = tuple[int, Callable[[NDArray[np.float64]], NDArray[np.float64]]]
"""How far it reaches, in coarse pixels, and its weight at a distance."""
KERNELS: Final[dict[str, Kernel]] = {
    "bilinear": (1, lambda away: np.maximum(1 - np.abs(away), 0)),
    "sinc": (4, np.sinc),
}
"""Those that a card may name. sinc, without a window, is GraphicsMagick's, which the official tool resamples with."""
MIN_STEPS = 2
"""Steps between pixels, all at one phase, that prove it."""
Plane = NDArray[np.floating[Any]]


def interpolate_bands(cube: xr.DataArray, card: ModelCard, warn: Callable[[str], None]) -> xr.DataArray:
    """Interpolate the repeated bands of a cube by the card's kernel.

    cube: ([t,] bands, y, x); it comes back as it is if the card names no kernel.

    A band whose phase is not proven, as in a cube of one colour or of other resampling, stays as it is, with a warning.
    """
    if card.resampling is None:
        return cube
    names = [str(band) for band in cube.coords["bands"].values]
    values, doubtful = np.array(cube.values, dtype=np.float32, order="C"), []
    for date in values.reshape(-1, *values.shape[-3:]):
        for plane, name in zip(date, names, strict=True):
            known = name in BAND_RATIOS and name in card.bands and np.isfinite(plane).any()
            if known and not _interpolate_plane(plane, BAND_RATIOS[name], card.resampling):
                doubtful.append(name)
    if doubtful:
        uncertain = ", ".join(dict.fromkeys(doubtful))
        warn(
            f"{uncertain}: no proof that pixels are repeated, so they are used as they are; "
            f"{card.id} wants them resampled."
        )
    return cube.copy(data=values)


def _interpolate_plane(plane: Plane, ratio: int, kernel: str) -> bool:
    """Interpolate `plane` (y, x) in place; False, and untouched, where its phase is not proven."""
    phases = [_find_phase(plane, ratio), _find_phase(plane.T, ratio)]
    if None in phases:
        return False
    lines = []
    for phase, length in zip(phases, plane.shape, strict=True):
        assert phase is not None
        first = -phase % ratio
        cells = (first + length - 1) // ratio + 1
        whole, weights = compute_kernel_weights(first, length, ratio, cells, kernel)
        assert whole == slice(0, cells)
        lines.append((np.clip(np.arange(cells) * ratio - first, 0, length - 1), weights))
    (rows, down), (columns, across) = lines
    coarse = plane[np.ix_(rows, columns)].astype(np.float64)
    held = np.isfinite(coarse) & (coarse != 0)
    there = np.maximum(down @ held @ across.T, 0.5)
    smooth = down @ np.where(held, coarse, 0) @ across.T / there
    np.copyto(plane, smooth, where=np.isfinite(plane) & (plane != 0), casting="same_kind")
    return True


def _find_phase(plane: Plane, ratio: int) -> int | None:
    """Find the row, below `ratio`, at which coarse pixels begin.

    Returns None where steps lie at several phases, or there are hardly any.
    """
    steps = np.flatnonzero((np.diff(np.nan_to_num(plane, nan=-1.0), axis=0) != 0).any(axis=1)) + 1
    phases = np.unique(steps % ratio)
    return int(phases[0]) if len(phases) == 1 and len(steps) >= MIN_STEPS else None


def compute_kernel_weights(
    first: int, count: int, ratio: int, length: int, kernel: str | Kernel
) -> tuple[slice, NDArray[np.float64]]:
    """Return the coarse pixels that fine ones are made of, and weights (fine, coarse).

    The fine pixels are `count` from `first` on; there are `length` coarse ones.

    `ratio` fine pixels lie along a coarse one; `kernel` is one of `KERNELS`, or another. Weights sum to 1, at the ends
    over the pixels that are there.
    """
    support, weigh = KERNELS[kernel] if isinstance(kernel, str) else kernel
    where = (np.arange(first, first + count) + 0.5) / ratio - 0.5
    start, stop = max(0, int(where[0]) - support), min(length, int(where[-1]) + support + 2)
    away = where[:, None] - np.arange(start, stop)
    weight = weigh(away) * (np.abs(away) <= support)
    return slice(start, stop), weight / weight.sum(axis=1, keepdims=True)
