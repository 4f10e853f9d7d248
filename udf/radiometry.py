"""Decide what the numbers of a cube mean.

They are reflectances, or digital numbers with or without the radiometric offset.

Metadata is believed first, the pixels are asked second, and where the two disagree or both are silent the
answer is an error that names the readings (rules: docs/design/0003-radiometry.md).
"""

from collections.abc import Mapping
from typing import Any

from kappamask.models import RadiometryError
from kappamask.udf.pixel_evidence import OTHER_SCALE, find_contradiction, find_other_scale, infer_radiometry
from kappamask.udf.pixel_statistics import PixelStatistics
from kappamask.udf.radiometry_doubts import doubt_given, doubt_reflectance, find_doubt, say, suggest_remedy
from kappamask.udf.radiometry_metadata import (
    MODES,
    Decision,
    find_unknown_packing,
    is_decoded_without_offset,
    read_radiometry,
)

__all__ = [
    "MODES",
    "Decision",
    "check_radiometry",
    "decide_radiometry",
    "is_decoded_without_offset",
    "is_of_product",
    "read_radiometry",
]


GIVEN_REASON = "given by the caller"
OF_BASELINE = "processing baseline "
"""Begin of the reason that `read_radiometry` gives where the baseline alone tells."""


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
    said = read_radiometry(attributes, encoding)
    if (said is None or said.by_metadata) and (packing := find_unknown_packing(attributes)):
        raise RadiometryError(
            f"The cube's attributes say {packing}; known are a scale of 0.0001 with an offset of 0 or -0.1, for all "
            f"bands. Make the numbers reflectance (number * scale + offset) and say {say('reflectance')}, or say "
            f"{say('dn_harmonized')} or {say('dn_offset')} if the attributes are wrong."
        )
    seen = [sample for sample in samples if not sample.empty]
    if is_of_product(said) and seen and all((infer_radiometry(one) or ("",))[0] == "reflectance" for one in seen):
        said = None  # somebody made reflectances of the product's numbers, and its baseline stayed
    if is_decoded_without_offset(said, encoding):
        for sample in seen:
            _refuse_offset_left_in(sample)
    if said is None and not seen:
        return Decision("unknown", "no valid pixel")
    return said or _from_pixels(samples)


def is_of_product(said: Decision | None) -> bool:
    """Tell whether the processing baseline alone was read.

    It is of the product, whatever somebody made of its numbers.
    """
    return said is not None and said.reason.startswith(OF_BASELINE)


def check_radiometry(decision: Decision, seen: PixelStatistics, *, certain_only: bool = False, place: str = "") -> str:
    """Raise RadiometryError, naming both readings, if the pixels contradict the decision.

    With `certain_only` a contradiction that is not certain is returned as a sentence instead ("" if none).
    place: what the message begins with, as "Date 2 of 3: ".
    """
    against = find_other_scale(decision.mode, seen) or find_contradiction(decision.mode, seen)
    if against is not None:
        message = (
            f"The numbers are read as {decision.mode} ({decision.reason}), but look like {against.looks_like}: "
            f"{against.why}. {suggest_remedy(decision.mode, against.looks_like)}"
        )
    elif decision.reason == GIVEN_REASON:
        message = doubt_given(decision, seen, of_chunk=certain_only)
    else:
        message = find_doubt(decision, seen)
    if message and (not certain_only or (against is not None and against.certain)):
        raise RadiometryError(place + message)
    return message and place + message


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
        if other := find_other_scale("dn_harmonized", first):
            raise RadiometryError(
                f"The numbers look like {OTHER_SCALE}: {other.why}. {suggest_remedy('dn_harmonized', OTHER_SCALE)}"
            )
        raise RadiometryError(
            "The numbers may be dn_harmonized or dn_offset, or neither: no metadata says which, and the pixels, from "
            f"{first.p0_1:.4g} to {first.p99:.4g}, leave it open, as under full cloud. "
            f"Say which it is with {say('dn_harmonized')}, {say('dn_offset')} or {say('reflectance')}."
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
            f"the same say {say(mode)}, else mask them apart."
        )
    return Decision(mode, f"from the pixels: {why}")


def _name_differing_dates(answers: list[tuple[str, str] | None]) -> str:
    """Name the dates of each radiometry, and what to type for them."""
    numbers: dict[str, list[str]] = {}
    for number, answer in enumerate(answers, 1):
        if answer:
            numbers.setdefault(answer[0], []).append(str(number))
    groups = [f"{', '.join(found)} hold {mode} ({say(mode)})" for mode, found in sorted(numbers.items())]
    return f"The dates differ: of {len(answers)}, {'; '.join(groups)}. Mask them apart, each with its radiometry."


def _can_follow(mode: str, date: PixelStatistics) -> bool:
    """Tell whether a date without an answer can only be read like the others.

    One source may mix baselines.
    """
    return mode == "reflectance" or (mode == "dn_harmonized" and not date.may_hold_offset)


def _refuse_offset_left_in(seen: PixelStatistics) -> None:
    if doubt := doubt_reflectance(seen):
        raise RadiometryError(doubt)
