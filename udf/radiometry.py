"""Decide what the numbers of a cube mean.

They are reflectances, or digital numbers with or without the radiometric offset.

Metadata is believed first, the pixels are asked second, and where the two disagree or both are silent the
answer is an error that names the readings (rules: docs/design/0003-radiometry.md).
"""

from collections.abc import Mapping
from typing import Any

from kappamask.models import RadiometryError
from kappamask.models.hints import by_door, option
from kappamask.udf.pixel_evidence import (
    CLIPPED_BRIGHT,
    OFFSET_LEFT_IN,
    OFFSET_TAKEN_TWICE,
    OTHER_SCALE,
    explain_offset_left_in,
    explain_other_scale,
    find_contradiction,
    find_other_scale,
    infer_radiometry,
)
from kappamask.udf.pixel_statistics import PixelStatistics
from kappamask.udf.radiometry_metadata import (
    MODES,
    QUANTIFICATION,
    Decision,
    is_decoded_without_offset,
    radiometry_from_metadata,
    scale_and_offset,
)

__all__ = [
    "MODES",
    "Decision",
    "check_radiometry",
    "decide_radiometry",
    "is_decoded_without_offset",
    "radiometry_from_metadata",
]


GIVEN_REASON = "given by the caller"
MIN_PIXELS_AGAINST_METADATA = 8_100
"""Fewer pixels, 0.9 km square at 10 m, may be one field or one cloud, and raise no doubt about metadata."""


def decide_radiometry(
    mode: str, attributes: Mapping[str, Any], encoding: Mapping[str, Any], samples: list[PixelStatistics]
) -> Decision:
    """Resolve "auto" from metadata, else from the pixels of each date.

    samples: statistics of the pixels of each date, `NO_PIXELS` where they were not read.

    Raises RadiometryError if mode is no known word, or if "auto" finds neither metadata nor a clear answer
    in the pixels, or answers that differ between dates. `check_radiometry` holds the decision against the pixels.
    """
    if not isinstance(mode, str) or (mode != "auto" and mode not in MODES):
        raise RadiometryError(f"No radiometry {mode!r}: known are auto, {', '.join(MODES)}.")
    if mode != "auto":
        return Decision(mode, GIVEN_REASON)
    said = radiometry_from_metadata(attributes, encoding)
    seen = [sample for sample in samples if not sample.empty]
    if is_decoded_without_offset(said, encoding):
        for sample in seen:
            _refuse_offset_left_in(sample)
    if said is None and not seen:
        return Decision("unknown", "no valid pixel")
    return said or _from_pixels(samples)


def check_radiometry(decision: Decision, seen: PixelStatistics, *, certain_only: bool = False, place: str = "") -> str:
    """Raise RadiometryError, naming both readings, if the pixels contradict the decision.

    With `certain_only` a contradiction that is not certain is returned as a sentence instead ("" if none).
    place: what the message begins with, as "Date 2 of 3: ".
    """
    against = find_other_scale(decision.mode, seen) or find_contradiction(decision.mode, seen)
    if against is not None:
        message = (
            f"The numbers are read as {decision.mode} ({decision.reason}), but look like {against.looks_like}: "
            f"{against.why}. {_hint(decision.mode, against.looks_like)}"
        )
    elif decision.reason == GIVEN_REASON:
        return ""  # the caller gave it, and a back-end's chunk may be dark and smooth: areas raise no doubt
    else:
        message = _doubt_constant(decision, seen) or _doubt_zeros(decision, seen) or _doubt_metadata(decision, seen)
    if message and (not certain_only or (against is not None and against.certain)):
        raise RadiometryError(place + message)
    return message and place + message


def _say(mode: str) -> str:
    return option("radiometry", mode)


def _suggest_step(step: str) -> str:
    """Say how to compute with all numbers: `step` is an operator and a number."""
    command = f"in a GeoTIFF gdal_calc.py -A FILE --allBands=A --calc='A {step}' --type=Float32 --outfile=NEW"
    return by_door(python=f"cube {step}", command=command)


def _hint(mode: str, looks_like: str) -> str:
    """Say what to do where numbers given as `mode` look like something else."""
    step = "0.1" if mode == "reflectance" else "1000"
    if looks_like == OFFSET_LEFT_IN:
        return (
            "Needed is reflectance without the offset: take 0.1 away from all bands but AOT and WVP "
            f"({_suggest_step('- 0.1')}), or give the digital numbers and say {_say('dn_offset')}."
        )
    if looks_like == OFFSET_TAKEN_TWICE:
        return (
            f"Needed are numbers that the offset was taken from once: add {step} to all bands but AOT and WVP "
            f"({_suggest_step(f'+ {step}')}), or give the digital numbers as they are in the product and say "
            f"{_say('dn_offset')}."
        )
    if looks_like == OTHER_SCALE:
        return (
            "Needed are digital numbers, 10000 for a reflectance of 1, or reflectances: divide the numbers by what a "
            f"reflectance of 1 is in them (percents: {_suggest_step('/ 100')}), and say {_say('reflectance')}; "
            "pictures, stretched for the eye, are no measurements."
        )
    return (
        f"Say which it is with {_say('reflectance')}, {_say('dn_harmonized')} or {_say('dn_offset')}; if they are "
        f"unlike any other scene, turn them into reflectance and say {_say('reflectance')}."
    )


def _doubt_metadata(decision: Decision, seen: PixelStatistics) -> str:
    """Say why digital numbers may hold an offset that metadata deny, else ""."""
    if decision.mode == "dn_offset" or not decision.by_metadata or seen.pixels < MIN_PIXELS_AGAINST_METADATA:
        return ""
    if decision.mode == "reflectance":
        return _doubt_reflectance(seen)
    if why := explain_other_scale(seen):
        return (
            f"The numbers are said to be dn_harmonized ({decision.reason}), but may be {OTHER_SCALE}, as 1000 for a "
            f"reflectance of 1: {why}. Say {_say('dn_harmonized')} if 10000 is a reflectance of 1, as of dark ground; "
            f"else make them reflectance ({_suggest_step('/ 1000')}) and say {_say('reflectance')}."
        )
    why = explain_offset_left_in(seen, QUANTIFICATION)
    return why and (
        f"The numbers are said to be dn_harmonized ({decision.reason}), but may be dn_offset: {why}. Say "
        f"{_say('dn_offset')} if they hold it, {_say('dn_harmonized')} if not, as under haze or closed cloud; where "
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
        f"if 0 was measured, say {_say(decision.mode)}."
    )


def _doubt_constant(decision: Decision, seen: PixelStatistics) -> str:
    """Say which number a large area holds in all bands; "" if there is none."""
    scale, offset = scale_and_offset("", decision.mode)
    low, high = CLIPPED_BRIGHT
    if not seen.constant_share or low <= seen.constant * scale + offset <= high:
        return ""
    how = by_door(
        python=f"cube.attrs['nodata'] = {seen.constant:g}",
        command=f"in a GeoTIFF gdal_edit.py -a_nodata {seen.constant:g} FILE",
    )
    return (
        f"{seen.constant_share:.0%} of the pixels hold {seen.constant:g} in all bands, which no surface does. If that "
        f"is no data, declare it: {how}; else cut the area away, or set it to NaN."
    )


def _from_pixels(dates: list[PixelStatistics]) -> Decision:
    """Return the one answer of all dates.

    A date that gives none, as under full cloud, follows the others only where it cannot hold the offset.
    """
    answers = [None if date.empty else infer_radiometry(date) for date in dates]
    for answer, date in zip(answers, dates, strict=True):
        if answer and answer[0] == "reflectance":
            _refuse_offset_left_in(date)
    found = [answer for answer in answers if answer]
    if len({mode for mode, _ in found}) > 1:
        raise RadiometryError(_name_differing_dates(answers))
    if not found:
        first = next(date for date in dates if not date.empty)
        raise RadiometryError(
            "The numbers may be dn_harmonized or dn_offset, or neither: no metadata says which, and the pixels, from "
            f"{first.p0_1:.4g} to {first.p99:.4g}, leave it open, as under full cloud. "
            f"Say which it is with {_say('dn_harmonized')}, {_say('dn_offset')} or {_say('reflectance')}."
        )
    mode, why = found[0]
    open_dates = [
        number
        for number, (answer, date) in enumerate(zip(answers, dates, strict=True), 1)
        if answer is None and not date.empty and not _can_follow(mode, date)
    ]
    if open_dates:
        raise RadiometryError(
            f"Dates {', '.join(map(str, open_dates))} of {len(dates)} may be dn_harmonized or dn_offset: no metadata "
            f"says which, and their pixels leave it open, as under full cloud. The others look like {mode}; if all are "
            f"alike say {_say(mode)}, else mask them apart."
        )
    return Decision(mode, f"from the pixels: {why}")


def _name_differing_dates(answers: list[tuple[str, str] | None]) -> str:
    """Name the dates of each radiometry, and what to type for them."""
    numbers: dict[str, list[str]] = {}
    for number, answer in enumerate(answers, 1):
        if answer:
            numbers.setdefault(answer[0], []).append(str(number))
    groups = [f"{', '.join(found)} hold {mode} ({_say(mode)})" for mode, found in sorted(numbers.items())]
    return f"The dates differ: of {len(answers)}, {'; '.join(groups)}. Mask them apart, each with its radiometry."


def _can_follow(mode: str, date: PixelStatistics) -> bool:
    """Tell whether a date without an answer can only be read like the others.

    One source may mix baselines.
    """
    return mode == "reflectance" or (mode == "dn_harmonized" and not date.may_hold_offset)


def _refuse_offset_left_in(seen: PixelStatistics) -> None:
    if doubt := _doubt_reflectance(seen):
        raise RadiometryError(doubt)


def _doubt_reflectance(seen: PixelStatistics) -> str:
    """Say why reflectances may hold the offset, else ""."""
    why = explain_offset_left_in(seen)
    return why and (
        f"The numbers look like {OFFSET_LEFT_IN}: {why}. {_hint('reflectance', OFFSET_LEFT_IN)} If they are right, "
        f"as over sand or under closed cloud, say {_say('reflectance')}."
    )
