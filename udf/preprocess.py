"""Scale a window of numbers to the network's input, and find its valid pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.models import ModelCard, Mosaic, Thresholds
from kappamask.udf.radiometry import AUXILIARY, affine, plausible
from kappamask.udf.windows import Span, own, plan

__all__ = ["Reading", "extent", "numbers", "tensor", "validity"]


@dataclass(frozen=True)
class Reading:
    """How the numbers of a cube are read: shared by all its windows."""

    card: ModelCard
    bands: tuple[str, ...]
    """Labels of the cube's planes, in order; all of them known to the card."""
    level: str
    mode: str
    nodata: tuple[float, ...]
    """Declared nodata values; 0, NaN and infinity need no declaration."""
    threads: int
    thresholds: Thresholds = ()
    """Of classes that are taken from a score on, not where they score best."""
    mosaic: Mosaic | None = None
    """Windows as the network's own tool lays them, instead of blended ones."""

    @property
    def roomy(self) -> bool:
        """Whether the network has a window of its own for machines with more memory than a worker's, and it is used."""
        return self.mosaic is None and self.card.local_window > self.card.window

    def windows(self, length: int) -> list[Span]:
        """The windows along an axis of `length` pixels (framed for a mosaic)."""
        if self.mosaic:
            return own(length, self.card.window, self.mosaic)
        return plan(length, self.card.local_window, self.card.overlap, self.card.stride)


def numbers(values: Any) -> NDArray[np.float32]:
    """`values` as plain float32, NaN where a masked array hides them."""
    if isinstance(values, np.ma.MaskedArray):
        return np.asarray(np.ma.filled(values.astype(np.float32), np.nan))
    return np.asarray(values, dtype=np.float32)


def validity(values: NDArray[Any], reading: Reading) -> NDArray[np.bool_]:
    """Which pixels (y, x) of `values` (band, y, x), of any dtype, hold data.

    Not valid: in any required band NaN, infinite, a declared nodata value, or beyond what a reflectance can be;
    0 in all reflective bands (Sentinel-2's nodata, as numbers are stored); with the offset not yet applied, 0 in
    any required band that is a reflectance, for there 0 cannot be a measurement. Harmonised, a single 0 can: B10 of a
    clear pixel often is.
    """
    required = [i for i, band in enumerate(reading.bands) if band in reading.card.required]
    needed = numbers(values[required])
    measured = [_measured(plane, reading.bands[i], reading) for i, plane in zip(required, needed, strict=True)]
    valid = np.asarray(np.all(measured, axis=0))
    zero = np.asarray((needed == 0).all(axis=0))
    if zero.any():
        reflective = [i for i, band in enumerate(reading.bands) if band not in AUXILIARY]
        valid[zero] &= (np.nan_to_num(numbers(values[reflective][:, zero])) != 0).any(axis=0)
    return valid


def _measured(plane: NDArray[np.float32], band: str, reading: Reading) -> NDArray[np.bool_]:
    low, high = plausible(reading.mode)
    measured = (plane >= low) & (plane <= high)
    for number in _unmeasured(band, reading):
        measured &= plane != np.float32(number)
    return measured


def _unmeasured(band: str, reading: Reading) -> tuple[float, ...]:
    """Numbers of one band that are no measurements: those declared, and 0 where the offset is still in the numbers."""
    declared = tuple(nodata for nodata in reading.nodata if nodata != 0)
    return (0.0, *declared) if reading.mode == "dn_offset" and band not in AUXILIARY else declared


def extent(valid: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The smallest window that holds every valid pixel; there must be one."""
    return _span(valid, 1), _span(valid, 0)


def _span(valid: NDArray[np.bool_], axis: int) -> slice:
    where = np.flatnonzero(valid.any(axis=axis))
    return slice(int(where[0]), int(where[-1]) + 1)


def tensor(values: NDArray[Any], valid: NDArray[np.bool_], reading: Reading) -> NDArray[np.float32]:
    """Network input (channel, y, x) of `values` (band, y, x), of any dtype: scaled, filled, reflected.

    Sides are then multiples of the stride, and the card's least side at least. The network never sees a NaN: absent
    bands, pixels that are not valid, and numbers that are no measurements hold the card's fill value.
    """
    card = reading.card
    image = np.empty((card.channels, *valid.shape), dtype=np.float32)
    image[[i for i, band in enumerate(card.bands) if band not in reading.bands]] = card.fill
    absent, whole = ~valid, bool(valid.all())
    for plane, band in zip(values, reading.bands, strict=True):
        target, sure = image[card.bands.index(band)], _surely_measured(plane, band, reading)
        plane = plane if sure else numbers(plane)
        _scale(plane, band, reading, out=target)
        if not (sure and whole):
            unmeasured = absent if sure else absent | ~_measured(plane, band, reading)
            np.copyto(target, np.float32(card.fill), where=unmeasured)
    if card.level_plane:
        image[-1] = float(reading.level == "L2A")
    return _reflected(image, card.stride, card.least_side)


def _surely_measured(plane: NDArray[Any], band: str, reading: Reading) -> bool:
    """Whether all of a plane are measurements, by its extremes: in products, whole numbers without declared nodata."""
    if plane.dtype.kind != "u" or isinstance(plane, np.ma.MaskedArray) or any(reading.nodata):
        return False
    low, high = plausible(reading.mode)
    least = plane.min()
    return bool(low <= least and plane.max() <= high and least not in _unmeasured(band, reading))


def _scale(plane: NDArray[Any], band: str, reading: Reading, out: NDArray[np.float32]) -> None:
    scaling = reading.card.scaling[reading.card.bands.index(band)]
    scale, offset = affine(band, reading.mode)
    np.copyto(out, plane)
    out *= np.float32(scale * scaling.gain)
    out += np.float32(offset * scaling.gain + scaling.bias)
    np.maximum(out, np.float32(scaling.lower), out=out)


def _reflected(image: NDArray[np.float32], stride: int, least: int) -> NDArray[np.float32]:
    missing = [-max(side, least) % stride + max(0, least - side) for side in image.shape[1:]]
    return np.pad(image, [(0, 0), *((0, n) for n in missing)], mode="reflect") if any(missing) else image
