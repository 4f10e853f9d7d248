"""Tell from sample statistics that numbers have another scale: percents, pictures, 65535 for 1."""

from kappamask.udf.pixel_evidence import (
    EIGHT_BIT_P99,
    MIN_PIXELS,
    OTHER_SCALE,
    REFLECTANCE_MEDIAN,
    Contradiction,
    PixelStatistics,
)
from kappamask.udf.radiometry_metadata import MODES

__all__ = ["find_other_scale"]

BRIGHTEST_P99 = 25_000.0
"""99 % of digital numbers are below: reflectance 2.5, and snow and glint stay below 2."""
SATURATED = 65_535.0
"""Pixels of 65535 are fill or saturated, whatever the scale."""


def find_other_scale(mode: str, seen: PixelStatistics) -> Contradiction | None:
    """Find digital numbers that are far too low or too high.

    Water of Level-2A may be as dark, but not in fractions.
    """
    is_reflectance = mode not in MODES or mode == "reflectance" or seen.median < REFLECTANCE_MEDIAN
    if seen.pixels < MIN_PIXELS or is_reflectance:
        return None
    if seen.p99 < EIGHT_BIT_P99 and (seen.fractional or seen.level == "L1C"):
        return Contradiction(OTHER_SCALE, f"99 % of them are below {seen.p99:.4g}, a reflectance of 0.03", False)
    if BRIGHTEST_P99 < seen.p99 < SATURATED:
        return Contradiction(OTHER_SCALE, f"1 % of them exceed {seen.p99:.4g}, a reflectance of 2.5", False)
    return None
