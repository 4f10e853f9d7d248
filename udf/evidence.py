"""What a sample of the pixels says about the meaning of their numbers.

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

REFLECTANCE_P99 = 2.0
"""99 % of reflectances lie below 2 (sun glint and snow reach 1.6); no scene of digital numbers does."""
OFFSET_FLOOR = 900.0
"""With the offset of 1000, dark pixels hold about 1000; hardly any number is below 900."""
MANY_PIXELS = 256
"""Fewer valid pixels than this prove nothing."""
CIRRUS_OFFSET = (950.0, 1100.0)
"""Clear median of L1C B10: 1000 to 1030 with offset, 0 to 50 without."""
DARK_BANDS = ("B02", "B03", "B04", "B11")


@dataclass(frozen=True)
class Evidence:
    """Figures of the valid pixels of a sample, in the numbers as given; NaN where there are none."""

    p99: float
    """99 % percentile over all bands."""
    floor: float
    """0.1 % percentile of B02, B03, B04 and B11, where the offset would show."""
    lowest: float
    """0.1 % percentile over all bands."""
    cirrus: float
    """Median of B10."""
    fractional: bool
    """Any number that is not whole."""
    pixels: int
    """How many valid pixels there were."""

    @property
    def empty(self) -> bool:
        """No valid pixel was sampled."""
        return self.pixels == 0

    @property
    def cirrus_shows_offset(self) -> bool:
        """B10 lies where only the offset puts it."""
        return CIRRUS_OFFSET[0] <= self.cirrus <= CIRRUS_OFFSET[1]


NOTHING = Evidence(nan, nan, nan, nan, fractional=False, pixels=0)
"""Where no pixel was looked at."""


class Contradiction(NamedTuple):
    """What the pixels look like instead, why, and whether there is no other explanation."""

    reading: str
    why: str
    certain: bool


def gather(values: NDArray[np.float32], bands: tuple[str, ...], valid: NDArray[np.bool_]) -> Evidence:
    """Evidence from `values` (band, pixel), of which the `valid` (pixel) ones count."""
    seen = values[:, valid]
    dark = seen[[i for i, band in enumerate(bands) if band in DARK_BANDS]]
    cirrus = seen[[i for i, band in enumerate(bands) if band == "B10"]]
    return Evidence(
        p99=_percentile(seen, 99),
        floor=_percentile(dark, 0.1),
        lowest=_percentile(seen, 0.1),
        cirrus=_percentile(cirrus, 50),
        fractional=bool(np.any(np.isfinite(seen) & (seen != np.rint(seen)))),
        pixels=int(np.count_nonzero(valid)),
    )


def _percentile(values: NDArray[np.float32], q: float) -> float:
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, q)) if finite.size else nan


def contradiction(mode: str, seen: Evidence) -> Contradiction | None:
    """How the pixels contradict `mode`, if they do.

    Certain is only the confusion of reflectances with digital numbers, which differ ten-thousandfold; the
    offset is a matter of percentiles, which a small or odd piece of a scene may have by chance.
    """
    if seen.empty:
        return None
    many = seen.pixels >= MANY_PIXELS
    if mode == "reflectance":
        why = f"1 % of the numbers exceed {seen.p99:.4g}"
        return Contradiction("digital numbers", why, many) if seen.p99 >= REFLECTANCE_P99 else None
    if seen.p99 < REFLECTANCE_P99 and seen.fractional:
        return Contradiction("reflectance", f"99 % of the numbers are fractions below {seen.p99:.3g}", many)
    if mode == "dn_offset" and seen.floor < OFFSET_FLOOR:
        why = f"B02, B03, B04, B11 go down to {seen.floor:.0f}, with the offset they stay above {OFFSET_FLOOR:.0f}"
        return Contradiction("dn_harmonized", why, False)
    if mode == "dn_harmonized" and seen.cirrus_shows_offset and seen.lowest >= OFFSET_FLOOR:
        why = f"the median of B10 is {seen.cirrus:.0f}, without the offset it is 0 to 50"
        return Contradiction("dn_offset", why, False)
    return None


def guess(seen: Evidence) -> tuple[str, str] | None:
    """(mode, why) where the pixels alone leave no doubt, else None."""
    if seen.p99 < REFLECTANCE_P99:
        return "reflectance", f"99 % of the numbers are below {seen.p99:.3g}"
    if seen.floor < OFFSET_FLOOR or seen.cirrus < OFFSET_FLOOR:
        return "dn_harmonized", f"dark pixels go down to {np.nanmin([seen.floor, seen.cirrus]):.0f}"
    if seen.cirrus_shows_offset and seen.lowest >= OFFSET_FLOOR:
        return "dn_offset", f"the median of B10 is {seen.cirrus:.0f}"
    return None
