"""Sample statistics of pixels that tell the radiometry of a cube.

Sentinel-2 products of processing baseline 04.00 and later store DN = 10000 * reflectance + 1000; archives
serve them as they are, with the 1000 taken away ("harmonised"), or as reflectance. Getting this wrong moves
every reflectance by 0.1, so each reading is held against the pixels.
"""

from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOTHING", "Contradiction", "Evidence", "contradiction", "gather", "guess"]

REFLECTANCE_MEDIAN = 3.0
"""No scene is that bright (snow and glint stay below 2); half of the digital numbers of any scene are above."""
EIGHT_BIT = 300.0
"""99 % of the numbers below this are no Sentinel-2 digital numbers but a picture or percents: reflectance 0.03."""
OFFSET_FLOOR = 900.0
"""With the offset of 1000, hardly any number is below 900: reflectance -0.01."""
OFFSET_NEVER = 800.0
"""With the offset, 5 % of the dark bands' numbers are not below 800, reflectance -0.02, not even in deep shade."""
MANY_PIXELS = 256
"""Fewer valid pixels than this prove nothing."""
CIRRUS_OFFSET = (950.0, 1100.0)
"""Clear median of L1C B10: 1000 to 1030 with offset, 0 to 50 without."""
CIRRUS_SPREAD = 100.0
"""90 % of a clear B10 lie within this; a B10 that is bright because of cloud varies more."""
DARK_BANDS = ("B02", "B03", "B04", "B11")


@dataclass(frozen=True)
class Evidence:
    """Figures of the valid pixels of a sample, in the numbers as given; NaN where there are none.

    Numbers that are exactly 0 are left out: they are nodata, or the padding of a single band.
    """

    median: float
    """Over all bands, as all but the last two that follow."""
    p99: float
    lowest: float
    """0.1 % percentile."""
    dark: float
    """5 % percentile of B02, B03, B04 and B11, where the offset would show."""
    cirrus: float
    """Median of B10."""
    cirrus_spread: float
    """95 % less 5 % percentile of B10."""
    fractional: bool
    """More than 1 % of the numbers are not whole."""
    pixels: int
    """How many valid pixels there were."""

    @property
    def empty(self) -> bool:
        """No valid pixel was sampled."""
        return self.pixels == 0

    @property
    def shows_offset(self) -> bool:
        """B10 lies, narrowly, where only the offset puts it, and nothing is darker."""
        where = CIRRUS_OFFSET[0] <= self.cirrus <= CIRRUS_OFFSET[1] and self.cirrus_spread <= CIRRUS_SPREAD
        return where and self.lowest >= OFFSET_FLOOR

    @property
    def shows_no_offset(self) -> bool:
        """Too many numbers are below what the offset alone comes to."""
        return self.dark < OFFSET_NEVER or self.cirrus < OFFSET_FLOOR


NOTHING = Evidence(nan, nan, nan, nan, nan, nan, fractional=False, pixels=0)
"""Where no pixel was looked at."""


class Contradiction(NamedTuple):
    """What the pixels look like instead, why, and whether there is no other explanation."""

    reading: str
    why: str
    certain: bool


def gather(values: NDArray[np.float32], bands: tuple[str, ...], valid: NDArray[np.bool_]) -> Evidence:
    """Evidence from `values` (band, pixel), of which the `valid` (pixel) ones count."""
    seen = values[:, valid]
    every = _counted(seen)
    dark = _counted(seen[[i for i, band in enumerate(bands) if band in DARK_BANDS]])
    cirrus = _counted(seen[[i for i, band in enumerate(bands) if band == "B10"]])
    lowest, median, p99 = _percentiles(every, 0.1, 50, 99)
    low, middle, high = _percentiles(cirrus, 5, 50, 95)
    return Evidence(
        median=median,
        p99=p99,
        lowest=lowest,
        dark=_percentiles(dark, 5)[0],
        cirrus=middle,
        cirrus_spread=high - low,
        fractional=bool(np.count_nonzero(every != np.rint(every)) > 0.01 * every.size),
        pixels=int(np.count_nonzero(valid)) if every.size else 0,
    )


def _counted(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(values[np.isfinite(values) & (values != 0)])


def _percentiles(values: NDArray[np.float32], *q: float) -> list[float]:
    return [float(p) for p in np.percentile(values, q)] if values.size else [nan] * len(q)


def contradiction(mode: str, seen: Evidence) -> Contradiction | None:
    """How the pixels contradict `mode`, if they do.

    Certain is only the confusion of reflectances with digital numbers, which differ ten-thousandfold; the
    offset is a matter of percentiles, which a small or odd piece of a scene may have by chance.
    """
    if seen.empty:
        return None
    many = seen.pixels >= MANY_PIXELS
    if mode == "reflectance":
        why = f"half of the numbers exceed {seen.median:.4g}"
        return Contradiction("digital numbers", why, many) if seen.median >= REFLECTANCE_MEDIAN else None
    if seen.median < REFLECTANCE_MEDIAN and seen.fractional:
        return Contradiction("reflectance", f"half of the numbers are fractions below {seen.median:.3g}", many)
    if mode == "dn_offset" and seen.shows_no_offset:
        return Contradiction("dn_harmonized", _why_no_offset(seen), False)
    if mode == "dn_harmonized" and seen.shows_offset:
        why = f"B10 lies near {seen.cirrus:.0f} all over, without the offset it is 0 to 50"
        return Contradiction("dn_offset", why, False)
    return None


def guess(seen: Evidence) -> tuple[str, str] | None:
    """(mode, why) where the pixels alone leave no doubt, else None."""
    if seen.median < REFLECTANCE_MEDIAN:
        return ("reflectance", f"half of the numbers are below {seen.median:.3g}") if seen.fractional else None
    if seen.p99 < EIGHT_BIT:
        return None
    if seen.shows_no_offset:
        return "dn_harmonized", _why_no_offset(seen)
    if seen.shows_offset:
        return "dn_offset", f"B10 lies near {seen.cirrus:.0f} all over"
    return None


def _why_no_offset(seen: Evidence) -> str:
    if seen.dark < OFFSET_NEVER:
        return f"5 % of the visible bands and B11 are below {seen.dark:.0f}, with the offset they are not below 800"
    return f"the median of B10 is {seen.cirrus:.0f}, with the offset it is 1000 or more"
