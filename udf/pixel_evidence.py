"""Compare each radiometry that numbers may have with statistics of their pixels.

Sentinel-2 products of processing baseline 04.00 and later store DN = 10000 * reflectance + 1000; archives
serve them as they are, with the 1000 taken away ("harmonised"), or as reflectance. Getting this wrong moves
every reflectance by 0.1, so what metadata say is checked.
"""

from math import nan
from typing import NamedTuple

from kappamask.udf.pixel_statistics import MIN_DARK_WITH_OFFSET, MIN_PIXELS, REFLECTANCE_MEDIAN, PixelStatistics
from kappamask.udf.radiometry_metadata import MODES, QUANTIFICATION

__all__ = [
    "CLIPPED_BRIGHT",
    "CLIPPED_STEP",
    "OFFSET_LEFT_IN",
    "OFFSET_TAKEN_TWICE",
    "OTHER_SCALE",
    "Contradiction",
    "explain_clipped",
    "explain_offset_left_in",
    "explain_other_scale",
    "find_contradiction",
    "find_other_scale",
    "infer_radiometry",
]

EIGHT_BIT_P99 = 300.0
"""99 % of the numbers below this are no Sentinel-2 digital numbers but a picture or percents: reflectance 0.03."""
INFERRED_P99 = 1000.0
"""Pixels alone do not tell dark water from numbers of another scale, 1000 for a reflectance of 1: reflectance 0.1."""
AIR_P1, AIR_P99 = 300.0, 1500.0
"""Digital numbers of Level-1C with 1000 for a reflectance of 1 have a 1 % percentile of B02 below the first, and a 99 %
percentile of all bands below the second. Others have not, for air alone sends 500; of 119 real images the lowest is
704."""
MIN_AIR = 0.005
"""Of Level-1C, which sees 0.05 of air, 1 % of B02 is never below, whatever the ground."""
CLIPPED_DARK = 0.0011
"""Reflectance at which programs clip what is below 0: 0, or the number 1 or 10, where 0 is no data."""
CLIPPED_SHARE = 0.05
"""Where the offset was taken away twice, so many pixels hold that in B02 or B03; dark water alone does so in B04."""
LAND_BANDS, LAND_SLOPE = ("B07", "B08", "B8A", "B11"), 3.0
"""Of ground, half of the pixels of one of these bands are so many times brighter than half of those of B02; water is
darker there."""
OFFSET_LEFT_IN = "reflectance with the offset of 0.1 left in"
OFFSET_TAKEN_TWICE = "numbers whose offset was taken away twice"
OTHER_SCALE = "numbers of another scale"
RESIDUAL_OFFSET = 0.1
"""The radiometric offset as reflectance: what stays in where it was not taken away."""
MIN_P1_WITH_OFFSET = (0.09, 0.2)
"""The 1 % percentile of the darkest band lies here with the offset left in; without it, below."""
AIR_WITH_OFFSET = 0.15
"""The 1 % percentile of B02 of Level-1C is above with the offset left in: air alone sends 0.05 and more."""
AIR_SLOPE = 0.025
"""The 1 % percentile of B02 of Level-1C exceeds that of B04 by more, for air scatters blue light."""
DIM_P1 = 0.25
"""With the offset left in, the 1 % percentile of most bands is below; snow and cloud are dark in few bands or none."""
RED_SLOPE = 0.05
"""The 1 % percentile of B04 exceeds that of B02 by more over sand, which may be bright without any offset."""
CLIPPED_BRIGHT = (0.5, 2.0)
CLIPPED_STEP = 0.1
"""Reflectances at which programs clip clouds and snow, multiples of the second: one number in all bands may be measured
there; below 1 only if no number is higher."""
BRIGHTEST_P99 = 25_000.0
"""99 % of digital numbers are below: reflectance 2.5, and snow and glint stay below 2."""
SATURATED = 65_535.0
"""Pixels of 65535 are fill or saturated, whatever the scale."""


class Contradiction(NamedTuple):
    """What the pixels look like instead, why, and whether there is no other explanation."""

    looks_like: str
    why: str
    certain: bool


def find_contradiction(mode: str, seen: PixelStatistics) -> Contradiction | None:
    """Find how the pixels contradict `mode`, if they do.

    Certain is only the confusion of reflectances with digital numbers, which differ ten-thousandfold; the
    offset is a matter of percentiles, which a small or odd piece of a scene may have by chance.
    """
    if seen.empty:
        return None
    many = seen.pixels >= MIN_PIXELS
    if mode == "reflectance":
        return _against_reflectance(seen, many) or _against_dark_air(mode, seen)
    if seen.median < REFLECTANCE_MEDIAN and seen.fractional:
        return Contradiction("reflectance", f"half of the numbers are fractions below {seen.median:.3g}", many)
    if mode == "dn_offset" and seen.shows_no_offset():
        return Contradiction("dn_harmonized", _why_no_offset(seen), False)
    if mode == "dn_harmonized" and seen.shows_offset:
        why = f"B10 lies near {seen.cirrus:.0f} all over, without the offset it is 0 to 50"
        return Contradiction("dn_offset", why, False)
    if mode == "dn_harmonized" and many and seen.lies_below_zero(QUANTIFICATION):
        return Contradiction(
            OFFSET_TAKEN_TWICE, f"5 % of the visible bands and B11 are below {seen.dark_p5:.0f}", False
        )
    return _against_dark_air(mode, seen)


def _against_dark_air(mode: str, seen: PixelStatistics) -> Contradiction | None:
    """Find that B02 of Level-1C is darker than the air alone."""
    if seen.level != "L1C" or seen.pixels < MIN_PIXELS or mode not in MODES:
        return None
    scale, offset = MODES[mode]
    looks_like = "dn_harmonized" if mode == "dn_offset" else OFFSET_TAKEN_TWICE
    blue = dict(seen.band_p1).get("B02", nan)
    if blue * scale + offset < MIN_AIR:
        why = f"1 % of the pixels of B02 are below {blue:.4g}, and air alone sends a reflectance of 0.05 in Level-1C"
        return Contradiction(looks_like, why, certain=False)
    return None


def explain_clipped(seen: PixelStatistics, scale: float, offset: float) -> str:
    """Say which visible bands hold about 0 in many pixels; "" if none do.

    `scale` and `offset` make reflectances of the numbers.
    """
    if seen.pixels < MIN_PIXELS:
        return ""
    found = [
        f"{band} holds {lowest:.4g} in {share:.0%} of the pixels"
        for band, lowest, share in seen.clipped
        if share >= CLIPPED_SHARE and abs(lowest * scale + offset) <= CLIPPED_DARK
    ]
    return ", ".join(found)


def _against_reflectance(seen: PixelStatistics, many: bool) -> Contradiction | None:
    if seen.median >= REFLECTANCE_MEDIAN:
        is_percent = many and seen.fractional and seen.p99 < EIGHT_BIT_P99
        looks_like = OTHER_SCALE if is_percent else "digital numbers"
        return Contradiction(looks_like, f"half of the numbers exceed {seen.median:.4g}", many)
    if many and seen.lies_below_zero(1.0):
        return Contradiction(
            OFFSET_TAKEN_TWICE, f"5 % of the visible bands and B11 are below {seen.dark_p5:.3f}", False
        )
    if many and seen.shows_offset_in_reflectance:
        why = f"B10 lies near {seen.cirrus:.3f} all over, as reflectance it is 0 to 0.005"
        return Contradiction(OFFSET_LEFT_IN, why, False)
    if many and seen.of_8_bit and seen.fractional:
        return Contradiction(OTHER_SCALE, "all are 255ths, as those of a picture of 8 bits", False)
    return None


def find_other_scale(mode: str, seen: PixelStatistics) -> Contradiction | None:
    """Find digital numbers that are far too low or too high.

    Water of Level-2A may be as dark, but not in fractions.
    """
    is_reflectance = mode not in MODES or mode == "reflectance" or seen.median < REFLECTANCE_MEDIAN
    if seen.pixels < MIN_PIXELS or is_reflectance:
        return None
    if seen.p99 < EIGHT_BIT_P99 and (seen.fractional or seen.level == "L1C"):
        return Contradiction(OTHER_SCALE, f"99 % of them are below {seen.p99:.4g}, a reflectance of 0.03", False)
    blue = dict(seen.band_p1).get("B02", nan)
    if seen.level == "L1C" and seen.p99 < AIR_P99 and 0 < blue < AIR_P1:
        why = f"1 % of the pixels of B02 are below {blue:.4g}, and air alone sends 500"
        return Contradiction(OTHER_SCALE, why, certain=False)
    if BRIGHTEST_P99 < seen.p99 < SATURATED:
        return Contradiction(OTHER_SCALE, f"1 % of them exceed {seen.p99:.4g}, a reflectance of 2.5", False)
    return None


def explain_other_scale(seen: PixelStatistics) -> str:
    """Say why a reflectance of 1 may be 1000 in the numbers, else "".

    Water of Level-2A is as dark, but it is bluer than ground.
    """
    middle = {band: value for band, value in seen.band_median if value == value}
    blue, ground = middle.get("B02", nan), max((middle.get(band, 0.0) for band in LAND_BANDS), default=0.0)
    if seen.pixels < MIN_PIXELS or not seen.p99 < INFERRED_P99 or not ground > LAND_SLOPE * blue:
        return ""
    return f"99 % of them are below {seen.p99:.4g}, a reflectance of 0.1, though infrared is brighter than blue"


def explain_offset_left_in(seen: PixelStatistics, scale: float = 1.0) -> str:
    """Say why numbers may still hold the offset, "" where they do not look so.

    `scale` makes reflectances of the numbers.

    Sand, snow and closed cloud lack dark pixels too: they are bright in most bands, or brighter in red than in blue.
    """
    p1 = {band: value * scale for band, value in seen.band_p1 if value == value}
    lowest, highest = MIN_P1_WITH_OFFSET
    uniform = seen.p0_1 == seen.p99  # a test picture: no pixel is darker than another
    if seen.pixels < MIN_PIXELS or uniform or not p1 or not seen.p0_1 * scale >= lowest:
        return ""
    if "B10" in p1:  # the darkest band of all, whatever lies below
        looks_so = p1["B10"] <= highest
    else:
        dim = sum(value <= DIM_P1 for value in p1.values())
        blue, red = p1.get("B02", nan), p1.get("B04", nan)
        sandy = red - blue > RED_SLOPE
        only_air = seen.level == "L1C" and blue < AIR_WITH_OFFSET and blue - red > AIR_SLOPE
        looks_so = min(p1.values()) <= highest and 2 * dim >= len(p1) and not sandy and not only_air
    if not looks_so:
        return ""
    offset = RESIDUAL_OFFSET / scale
    return f"no band is darker than {seen.p0_1:.4g}, as with an offset of {offset:g} that was never taken away"


def infer_radiometry(seen: PixelStatistics) -> tuple[str, str] | None:
    """Infer (mode, why) where the pixels alone leave no doubt, else None."""
    if not seen.fractional and seen.lies_below_zero(QUANTIFICATION):
        return "dn_harmonized", _why_no_offset(seen)
    if seen.median < REFLECTANCE_MEDIAN:
        return ("reflectance", f"half of the numbers are below {seen.median:.3g}") if seen.fractional else None
    if seen.p99 < INFERRED_P99:
        return None
    if seen.shows_no_offset():
        return "dn_harmonized", _why_no_offset(seen)
    if seen.shows_offset:
        return "dn_offset", f"B10 lies near {seen.cirrus:.0f} all over"
    return None


def _why_no_offset(seen: PixelStatistics) -> str:
    if seen.dark_p5 < MIN_DARK_WITH_OFFSET:
        return f"5 % of the visible bands and B11 are below {seen.dark_p5:.0f}, with the offset they are not below 800"
    return f"the median of B10 is {seen.cirrus:.0f}, with the offset it is 1000 or more"
