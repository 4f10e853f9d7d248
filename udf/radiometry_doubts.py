"""Say why numbers may mean something else, and what to type then."""

from dataclasses import replace

from kappamask.models.hints import by_door, option
from kappamask.udf.pixel_evidence import (
    CLIPPED_BRIGHT,
    CLIPPED_STEP,
    OFFSET_LEFT_IN,
    OFFSET_TAKEN_TWICE,
    OTHER_SCALE,
    explain_clipped,
    explain_offset_left_in,
    explain_other_scale,
)
from kappamask.udf.pixel_statistics import PixelStatistics
from kappamask.udf.radiometry_metadata import MODES, QUANTIFICATION, Decision

__all__ = ["doubt_given", "doubt_reflectance", "find_doubt", "say", "suggest_remedy"]

MIN_PIXELS_AGAINST_METADATA = 8_100
"""Fewer pixels, 0.9 km square at 10 m, may be one field or one cloud, and raise no doubt about metadata."""


def find_doubt(decision: Decision, seen: PixelStatistics) -> str:
    """Say why the pixels leave doubt about a decision, else ""."""
    doubts = (_doubt_constant, _doubt_zeros, _doubt_clipped, _doubt_metadata)
    return next((text for text in (doubt(decision, seen) for doubt in doubts) if text), "")


def doubt_given(decision: Decision, seen: PixelStatistics, *, of_chunk: bool) -> str:
    """Say why the pixels leave doubt about what the caller said, else "".

    of_chunk: it may be what a UDF takes where nobody said anything, and a doubt is no error there. One number in all
    bands is believed if a surface may send it: test pictures have such.
    """
    if of_chunk and (doubt := _doubt_metadata(replace(decision, by_metadata=True), seen)):
        return doubt
    scale, offset = _scale_and_offset(decision)
    may_be_sent = 0 <= seen.constant * scale + offset <= CLIPPED_BRIGHT[1]
    return "" if may_be_sent else _doubt_constant(decision, seen)


def _scale_and_offset(decision: Decision) -> tuple[float, float]:
    return MODES.get(decision.mode, MODES["reflectance"])


def _is_clipped_cloud(decision: Decision, seen: PixelStatistics) -> bool:
    """Tell whether the constant is a number at which programs clip what is bright."""
    scale, offset = _scale_and_offset(decision)
    reflectance, (low, high) = seen.constant * scale + offset, CLIPPED_BRIGHT
    steps = reflectance / CLIPPED_STEP
    if not low <= reflectance <= high or abs(steps - round(steps)) > 1e-3:
        return False
    return round(steps) * CLIPPED_STEP >= 1 or not seen.highest > seen.constant


def say(mode: str) -> str:
    """Write how `mode` is given: a flag, a parameter or a key."""
    return option("radiometry", mode)


def _suggest_step(step: str) -> str:
    """Say how to compute with all numbers: `step` is an operator and a number."""
    command = f"in a GeoTIFF gdal_calc.py -A FILE --allBands=A --calc='A {step}' --type=Float32 --outfile=NEW"
    return by_door(python=f"cube {step}", command=command)


def suggest_remedy(mode: str, looks_like: str) -> str:
    """Say what to do where numbers given as `mode` look like something else."""
    step = "0.1" if mode == "reflectance" else "1000"
    if looks_like == OFFSET_LEFT_IN:
        return (
            "Needed is reflectance without the offset: take 0.1 away from all bands but AOT and WVP "
            f"({_suggest_step('- 0.1')}), or give the digital numbers and say {say('dn_offset')}."
        )
    if looks_like == OFFSET_TAKEN_TWICE:
        return (
            f"Needed are numbers that the offset was taken from once: add {step} to all bands but AOT and WVP "
            f"({_suggest_step(f'+ {step}')}), or give the digital numbers as they are in the product and say "
            f"{say('dn_offset')}."
        )
    if looks_like == OTHER_SCALE:
        return (
            "Needed are digital numbers, 10000 for a reflectance of 1, or reflectances: divide the numbers by what a "
            f"reflectance of 1 is in them (percents: {_suggest_step('/ 100')}), and say {say('reflectance')}; "
            "pictures, stretched for the eye, are no measurements."
        )
    return (
        f"Say which it is with {say('reflectance')}, {say('dn_harmonized')} or {say('dn_offset')}; if they are "
        f"unlike any other scene, turn them into reflectance and say {say('reflectance')}."
    )


def _doubt_metadata(decision: Decision, seen: PixelStatistics) -> str:
    """Say why digital numbers may hold an offset that metadata deny, else ""."""
    if decision.mode == "dn_offset" or not decision.by_metadata or seen.pixels < MIN_PIXELS_AGAINST_METADATA:
        return ""
    if decision.mode == "reflectance":
        return doubt_reflectance(seen)
    if why := explain_other_scale(seen):
        return (
            f"The numbers are said to be dn_harmonized ({decision.reason}), but may be {OTHER_SCALE}, as 1000 for a "
            f"reflectance of 1: {why}. Say {say('dn_harmonized')} if 10000 is a reflectance of 1, as of dark ground; "
            f"else make them reflectance ({_suggest_step('/ 1000')}) and say {say('reflectance')}."
        )
    why = explain_offset_left_in(seen, QUANTIFICATION)
    return why and (
        f"The numbers are said to be dn_harmonized ({decision.reason}), but may be dn_offset: {why}. Say "
        f"{say('dn_offset')} if they hold it, {say('dn_harmonized')} if not, as under haze or closed cloud; where "
        "dates differ, mask them apart, each with its own."
    )


def _doubt_zeros(decision: Decision, seen: PixelStatistics) -> str:
    """Say which required bands hold declared nodata 0 where others have data.

    Returns "" if none does.

    With the offset in the numbers 0 is never a measurement, and such pixels are missing anyway.
    """
    if not seen.zero_bands or decision.mode == "dn_offset":
        return ""
    bands = ", ".join(f"{band} ({share:.0%} of the pixels)" for band, share in seen.zero_bands)
    how = by_door(
        python="set it to NaN in these bands",
        command="write NaN, or a nodata value below -2000, in these bands",
    )
    return (
        f"0 is declared as no data, and {bands} hold 0 where other bands have data. If that is no data, {how}; "
        f"if 0 was measured, say {say(decision.mode)}."
    )


def _doubt_clipped(decision: Decision, seen: PixelStatistics) -> str:
    """Say which visible bands were clipped at about 0; "" if none were."""
    why = explain_clipped(seen, *_scale_and_offset(decision))
    return why and (
        f"The numbers are read as {decision.mode} ({decision.reason}), but {why}, where other bands have data: no data "
        f"in one band, or {OFFSET_TAKEN_TWICE}, clipped at 0. Set what is no data to NaN in all bands; take the offset "
        f"from the numbers of the product once, or say {say('dn_offset')} of them as they are; if the ground "
        f"is so dark, as a lake in shade, say {say(decision.mode)}."
    )


def _doubt_constant(decision: Decision, seen: PixelStatistics) -> str:
    """Say which number a large area holds in all bands; "" if there is none."""
    if not seen.constant_share or _is_clipped_cloud(decision, seen):
        return ""
    how = by_door(
        python=f"cube.attrs['nodata'] = {seen.constant:g}",
        command=f"in a GeoTIFF gdal_edit.py -a_nodata {seen.constant:g} FILE",
    )
    return (
        f"{seen.constant_share:.0%} of the pixels hold {seen.constant:g} in all bands, which no surface does. If that "
        f"is no data, declare it: {how}; else cut the area away, or set it to NaN."
    )


def doubt_reflectance(seen: PixelStatistics) -> str:
    """Say why reflectances may hold the offset, else ""."""
    why = explain_offset_left_in(seen)
    return why and (
        f"The numbers look like {OFFSET_LEFT_IN}: {why}. {suggest_remedy('reflectance', OFFSET_LEFT_IN)} If they are "
        f"right, as over sand or under closed cloud, say {say('reflectance')}."
    )
