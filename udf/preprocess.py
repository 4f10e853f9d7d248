"""Scale a window of numbers to the network's input, and find its valid pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.models import ModelCard, Mosaic, Thresholds
from kappamask.udf.radiometry import Decision
from kappamask.udf.radiometry_metadata import AUXILIARY, find_plausible_range, find_scale_and_offset
from kappamask.udf.windows import Span, padded_length, plan_windows, vendor_windows

__all__ = [
    "InputSpec",
    "find_valid",
    "find_valid_extent",
    "hide_unmeasured",
    "pad_for_mosaic",
    "to_float32",
    "to_tensor",
]


@dataclass(frozen=True)
class InputSpec:
    """What a cube holds and how its numbers are read."""

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
    decision: Decision | None = None
    """Why the numbers are read so, once that is decided."""
    device: str = "cpu"
    """What runs the network, of `kappamask.udf.inference.DEVICES` but "auto"."""
    mosaic: Mosaic | None = None
    """Windows as the network's own tool lays them, instead of blended ones."""

    @property
    def uses_local_window(self) -> bool:
        """True if the card's local window is larger than its window.

        A back-end's worker gets a card in which both are equal.
        """
        return self.mosaic is None and self.card.local_window > self.card.window

    def plan_axis(self, length: int) -> list[Span]:
        """Lay windows along an axis of `length` pixels (padded for a mosaic)."""
        if self.mosaic:
            return vendor_windows(length, self.card.window, self.mosaic)
        return plan_windows(length, self.card.local_window, self.card.overlap, self.card.stride)


def to_float32(values: Any) -> NDArray[np.float32]:
    """Convert `values` to float32, NaN where a masked array hides them."""
    if isinstance(values, np.ma.MaskedArray):
        return np.asarray(np.ma.filled(values.astype(np.float32), np.nan))
    return np.asarray(values, dtype=np.float32)


def find_valid(values: NDArray[Any], spec: InputSpec) -> NDArray[np.bool_]:
    """Find the pixels (y, x) of `values` (band, y, x) that hold data.

    A pixel is missing if

    - any required band is NaN, infinite, a declared nodata value, or no possible reflectance;
    - all reflective bands are 0, Sentinel-2's nodata;
    - any required reflective band is 0 and the numbers are "dn_offset", whose measurements are never 0. In harmonised
      numbers a single 0 may be measured: B10 of clear land often is.
    """
    required = [i for i, band in enumerate(spec.bands) if band in spec.card.required]
    needed = to_float32(values[required])
    measured = [_find_measured(plane, spec.bands[i], spec) for i, plane in zip(required, needed, strict=True)]
    valid = np.asarray(np.all(measured, axis=0))
    zero = np.asarray((needed == 0).all(axis=0))
    if zero.any():
        reflective = [i for i, band in enumerate(spec.bands) if band not in AUXILIARY]
        valid[zero] &= (np.nan_to_num(to_float32(values[reflective][:, zero])) != 0).any(axis=0)
    return valid


def hide_unmeasured(values: NDArray[np.float32], spec: InputSpec) -> NDArray[np.float32]:
    """Set what is no measurement in `values` (band, pixel) to NaN, in every band."""
    measured = [_find_measured(plane, band, spec) for plane, band in zip(values, spec.bands, strict=True)]
    return np.where(measured, values, np.float32(np.nan))


def _find_measured(plane: NDArray[np.float32], band: str, spec: InputSpec) -> NDArray[np.bool_]:
    low, high = find_plausible_range(spec.mode)
    measured = (plane >= low) & (plane <= high)
    for number in _nodata_numbers(band, spec):
        measured &= plane != np.float32(number)
    return measured


def _nodata_numbers(band: str, spec: InputSpec) -> tuple[float, ...]:
    """List the numbers of one band that are no measurements.

    Those are declared nodata, and 0 where the offset is still in the numbers.
    """
    declared = tuple(nodata for nodata in spec.nodata if nodata != 0)
    return (0.0, *declared) if spec.mode == "dn_offset" and band not in AUXILIARY else declared


def find_valid_extent(valid: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the smallest rectangle that holds every valid pixel; there must be one."""
    return _extent_along(valid, 1), _extent_along(valid, 0)


def _extent_along(valid: NDArray[np.bool_], axis: int) -> slice:
    where = np.flatnonzero(valid.any(axis=axis))
    return slice(int(where[0]), int(where[-1]) + 1)


def to_tensor(values: NDArray[Any], valid: NDArray[np.bool_], spec: InputSpec) -> NDArray[np.float32]:
    """Make the network's input (channel, y, x) from `values` (band, y, x).

    values: of any dtype. They are scaled, filled and reflected.

    Sides are then multiples of the stride, and the card's least side at least. The network never sees a NaN: absent
    bands, pixels that are not valid, and numbers that are no measurements hold the card's fill value. An absent band
    with a substitute in the card holds that one's numbers, scaled as its own.
    """
    card = spec.card
    image = np.empty((card.channels, *valid.shape), dtype=np.float32)
    image[[i for i, band in enumerate(card.bands) if band not in spec.bands]] = card.fill
    absent, whole = ~valid, bool(valid.all())
    for plane, band in zip(values, spec.bands, strict=True):
        sure = _is_all_measured(plane, band, spec)
        plane = plane if sure else to_float32(plane)
        for channel in (band, *(out for out, other in card.substitutes if other == band and out not in spec.bands)):
            target = image[card.bands.index(channel)]
            _scale(plane, channel, spec, out=target)
            if not (sure and whole):
                unmeasured = absent if sure else absent | ~_find_measured(plane, band, spec)
                np.copyto(target, np.float32(card.fill), where=unmeasured)
    if card.level_plane:
        image[-1] = float(spec.level == "L2A")
    return _pad_reflected(image, card.stride, card.least_side)


def _is_all_measured(plane: NDArray[Any], band: str, spec: InputSpec) -> bool:
    """Tell by its extremes whether a whole plane holds measurements.

    So it is in products of whole numbers without declared nodata.
    """
    if plane.dtype.kind != "u" or isinstance(plane, np.ma.MaskedArray) or any(spec.nodata):
        return False
    low, high = find_plausible_range(spec.mode)
    least = plane.min()
    return bool(low <= least and plane.max() <= high and least not in _nodata_numbers(band, spec))


def _scale(plane: NDArray[Any], band: str, spec: InputSpec, out: NDArray[np.float32]) -> None:
    scaling = spec.card.scaling[spec.card.bands.index(band)]
    scale, offset = find_scale_and_offset(band, spec.mode)
    np.copyto(out, plane)
    out *= np.float32(scale * scaling.gain)
    out += np.float32(offset * scaling.gain + scaling.bias)
    np.maximum(out, np.float32(scaling.lower), out=out)


def _pad_reflected(image: NDArray[np.float32], stride: int, least: int) -> NDArray[np.float32]:
    missing = [-max(side, least) % stride + max(0, least - side) for side in image.shape[1:]]
    return np.pad(image, [(0, 0), *((0, n) for n in missing)], mode="reflect") if any(missing) else image


def pad_for_mosaic(values: Any, spec: InputSpec) -> tuple[Any, slice, slice]:
    """Pad an image (band, y, x) so that the vendor's windows cover it.

    With mosaic="blended" nothing is padded. Also returns where the image lies in the result: its rows and columns.
    """
    mosaic = spec.mosaic
    if mosaic is None:
        return values, slice(0, values.shape[1]), slice(0, values.shape[2])
    sides = [(mosaic.before, padded_length(n, spec.card.window, mosaic) - n - mosaic.before) for n in values.shape[1:]]
    padding: Any = mosaic.padding
    y, x = (slice(mosaic.before, mosaic.before + n) for n in values.shape[1:])
    return np.pad(values, [(0, 0), *sides], mode=padding), y, x
