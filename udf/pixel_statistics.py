"""Compute the statistics of sampled pixels that tell how a cube's numbers are scaled."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from kappamask.udf.radiometry_metadata import QUANTIFICATION

__all__ = [
    "MIN_DARK_WITH_OFFSET",
    "MIN_PIXELS",
    "NO_PIXELS",
    "REFLECTANCE_MEDIAN",
    "PixelStatistics",
    "compute_statistics",
    "find_constant",
    "find_zero_bands",
]

REFLECTANCE_MEDIAN = 3.0
"""No scene is that bright (snow and glint stay below 2); half of the digital numbers of any scene are above."""
MIN_WITH_OFFSET = 900.0
"""With the offset of 1000, hardly any number is below 900: reflectance -0.01."""
MIN_DARK_WITH_OFFSET = 800.0
"""5 % percentile of the dark bands with the offset, as digital number; it is never below: `MIN_DARK`, + 1000."""
MIN_PIXELS = 256
"""Fewer valid pixels than this prove nothing."""
CIRRUS_OFFSET = (950.0, 1100.0)
"""Clear median of L1C B10: 1000 to 1030 with offset, 0 to 50 without."""
CIRRUS_SPREAD = 100.0
"""90 % of a clear B10 lie within this; a B10 that is bright because of cloud varies more."""
CLIPPED_BANDS = ("B02", "B03")
"""Water may be at 0 in the others."""
DARK_BANDS = ("B02", "B03", "B04", "B11")
MIN_DARK = -0.02
"""The 5 % percentile of the dark bands, as reflectance, is never below this, not even in deep shade."""
MIN_BANDS = 3
"""In fewer bands the same number may be chance."""
CONSTANT_SHARE = 0.05
"""So many pixels that hold one number in all bands are no surface, but a nodata value that nobody declared."""
FILL_SHARE = 0.005
"""So many pixels of a band that hold one number far below all others hold none: they are fill."""
FILL_GAP = 100.0
"""So many times higher are the other numbers of the band; what is clamped at 1 has neighbours at 2 and 3."""
ZERO_SHARE = 0.2
"""So many pixels that hold declared nodata in one required band, but not in others, are no dark water."""
EIGHT_BIT_GAP, EIGHT_BIT_SHARE, LEAST_GREYS = 1e-3, 0.99, 16
"""Numbers so near to 255ths, so many of them, and of so many kinds are those of a picture. A chart of a few colours may
hit 255ths by accident: 0.6 is one."""


@dataclass(frozen=True)
class PixelStatistics:
    """Statistics of the valid pixels of a sample; NaN where there are none.

    Numbers that are exactly 0 are left out: they are nodata, or the padding of a single band.
    """

    median: float
    """Of all bands."""
    p99: float
    p0_1: float
    """0.1 % percentile."""
    dark_p5: float
    """5 % percentile of B02, B03, B04 and B11, where the offset would show."""
    cirrus: float
    """Median of B10."""
    cirrus_spread: float
    """95 % less 5 % percentile of B10."""
    fractional: bool
    """More than 1 % of the numbers are not whole."""
    pixels: int
    """How many valid pixels there were, without those of `constant`."""
    band_p1: tuple[tuple[str, float], ...] = ()
    """1 % percentile of each band."""
    band_median: tuple[tuple[str, float], ...] = ()
    constant: float = nan
    """A number that a large part of the pixels hold in all bands; they count for no other figure."""
    constant_share: float = 0.0
    highest: float = nan
    """The highest number of the other pixels."""
    zero_bands: tuple[tuple[str, float], ...] = ()
    """Required bands in which many pixels hold 0 although 0 is declared nodata and other bands have data; shares."""
    level: str = ""
    """L1C or L2A."""
    clipped: tuple[tuple[str, float, float], ...] = ()
    """B02 and B03, the lowest number of each (0 counts), and the share of the pixels that hold it."""
    of_8_bit: bool = False
    """The numbers are 255ths, as those of a picture that was divided by 255."""

    @property
    def empty(self) -> bool:
        """No valid pixel was sampled."""
        return self.pixels == 0

    @property
    def shows_offset(self) -> bool:
        """B10 lies, narrowly, where only the offset puts it, and nothing is darker."""
        where = CIRRUS_OFFSET[0] <= self.cirrus <= CIRRUS_OFFSET[1] and self.cirrus_spread <= CIRRUS_SPREAD
        return where and self.p0_1 >= MIN_WITH_OFFSET

    def shows_no_offset(self, scale: float = QUANTIFICATION) -> bool:
        """Tell whether too many numbers are below what the offset alone comes to.

        `scale` makes reflectances of the numbers.
        """
        unit = QUANTIFICATION / scale
        return self.dark_p5 < MIN_DARK_WITH_OFFSET * unit or self.cirrus < MIN_WITH_OFFSET * unit

    @property
    def may_hold_offset(self) -> bool:
        """Hardly any number is below what the offset alone comes to."""
        return not self.p0_1 < MIN_WITH_OFFSET

    def lies_below_zero(self, scale: float) -> bool:
        """Tell whether the darkest pixels show that the offset was taken away twice.

        `scale` makes reflectances of the numbers.
        """
        return self.dark_p5 * scale < MIN_DARK

    @property
    def shows_offset_in_reflectance(self) -> bool:
        """B10 lies, narrowly, where only an offset left in puts it, and nothing is darker."""
        low, high = (limit / 1e4 for limit in CIRRUS_OFFSET)
        where = low <= self.cirrus <= high and self.cirrus_spread <= CIRRUS_SPREAD / 1e4
        return where and self.p0_1 >= MIN_WITH_OFFSET / 1e4


NO_PIXELS = PixelStatistics(nan, nan, nan, nan, nan, nan, fractional=False, pixels=0)
"""Where no pixel was looked at."""


def compute_statistics(
    values: NDArray[np.float32], bands: tuple[str, ...], valid: NDArray[np.bool_]
) -> PixelStatistics:
    """Compute statistics of the `valid` (pixel) ones of `values` (band, pixel)."""
    seen = values[:, valid]
    constant, where = find_constant(seen)
    share = float(where.mean()) if where.size else 0.0
    clipped = _find_clipped(seen[:, ~where], bands)
    seen = np.stack([_hide_fill(plane) for plane in seen[:, ~where]])
    numbers = _drop_zeros(seen)
    dark = _drop_zeros(seen[[i for i, band in enumerate(bands) if band in DARK_BANDS]])
    cirrus = _drop_zeros(seen[[i for i, band in enumerate(bands) if band == "B10"]])
    lowest, median, p99 = _compute_percentiles(numbers, 0.1, 50, 99)
    low, middle, high = _compute_percentiles(cirrus, 5, 50, 95)
    of_bands = [_compute_percentiles(_drop_zeros(plane), 1, 50) for plane in seen]
    return PixelStatistics(
        median=median,
        p99=p99,
        p0_1=lowest,
        dark_p5=_compute_percentiles(dark, 5)[0],
        cirrus=middle,
        cirrus_spread=high - low,
        fractional=bool(np.count_nonzero(numbers != np.rint(numbers)) > 0.01 * numbers.size),
        pixels=seen.shape[1] if numbers.size else 0,
        band_p1=tuple((band, p1) for band, (p1, _) in zip(bands, of_bands, strict=True)),
        band_median=tuple((band, middle) for band, (_, middle) in zip(bands, of_bands, strict=True)),
        constant=constant,
        constant_share=share,
        highest=float(numbers.max()) if numbers.size else nan,
        clipped=clipped,
        of_8_bit=_are_of_8_bit(numbers),
    )


def _are_of_8_bit(numbers: NDArray[np.float32]) -> bool:
    """Tell whether numbers are 255ths, of so many kinds that it is no accident."""
    whole = np.rint(numbers * 255)
    of_picture = np.abs(numbers * 255 - whole) < EIGHT_BIT_GAP
    return bool(np.unique(whole[of_picture]).size >= LEAST_GREYS and of_picture.mean() > EIGHT_BIT_SHARE)


def _find_clipped(seen: NDArray[np.float32], bands: Sequence[str]) -> tuple[tuple[str, float, float], ...]:
    """Find the lowest number of B02 and B03, and its share of the pixels.

    seen: (band, pixel).
    """
    planes = [(band, plane) for band, plane in zip(bands, seen, strict=True) if band in CLIPPED_BANDS and plane.size]
    return tuple((band, float(plane.min()), float((plane == plane.min()).mean())) for band, plane in planes)


def find_constant(seen: NDArray[np.float32]) -> tuple[float, NDArray[np.bool_]]:
    """Find the number that many pixels hold in all bands, else NaN.

    seen: (band, pixel). Also returns which pixels hold it.

    Pixels of 0 are nodata anyway, and where all pixels hold it nothing else is there to compare with.
    """
    nowhere = np.zeros(seen.shape[1], bool)
    if len(seen) < MIN_BANDS or seen.shape[1] < MIN_PIXELS:
        return nan, nowhere
    flat = (seen == seen[0]).all(axis=0) & (seen[0] != 0)
    if np.count_nonzero(flat) < CONSTANT_SHARE * flat.size:
        return nan, nowhere
    numbers, counts = np.unique(seen[0, flat], return_counts=True)
    most = counts.argmax()
    if not CONSTANT_SHARE * flat.size <= counts[most] < flat.size:
        return nan, nowhere
    return float(numbers[most]), flat & (seen[0] == numbers[most])


def find_zero_bands(values: NDArray[np.float32], bands: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Find the bands of `values` (band, pixel) in which many pixels hold 0.

    Returns each with the share of these pixels.

    B10 is left out: harmonised, it is 0 over most clear ground.
    """
    shares = [(band, float((plane == 0).mean())) for band, plane in zip(bands, values, strict=True) if plane.size]
    return tuple((band, share) for band, share in shares if share >= ZERO_SHARE and band != "B10")


def _hide_fill(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Set the lowest number of a band (pixel) to NaN if it is fill.

    A band that the network can do without may hold it (1, -1, -999) where the others have data, and it tells nothing
    of the offset.
    """
    numbers = _drop_zeros(plane)
    others = numbers[numbers > numbers.min()] if numbers.size else numbers
    if not others.size or numbers.size - others.size < FILL_SHARE * plane.size:
        return plane
    lowest = numbers.min()
    is_fill = lowest < 0 or np.percentile(others, 1) > FILL_GAP * lowest
    return np.where(plane == lowest, np.float32(np.nan), plane) if is_fill else plane


def _drop_zeros(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(values[np.isfinite(values) & (values != 0)])


def _compute_percentiles(values: NDArray[np.float32], *q: float) -> list[float]:
    return [float(p) for p in np.percentile(values, q)] if values.size else [nan] * len(q)
