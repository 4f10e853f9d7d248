"""Estimate chunks, dates and credits of a batch before it is paid for."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import ceil
from typing import Any

from kappamask.models import JobError
from kappamask.models.band_names import find_labels
from kappamask.models.card import Accuracy
from kappamask.models.hints import option
from kappamask.openeo_process.job_options import parse_gigabytes
from kappamask.openeo_process.jobs.cells import Cell
from kappamask.openeo_process.jobs.journal import JobRecord
from kappamask.openeo_process.jobs.request import Request, count_chunks

__all__ = [
    "MEASURED_BASIS",
    "BandSavings",
    "Plan",
    "check_credits",
    "estimate_acquisitions",
    "estimate_savings",
    "find_accuracy",
    "make_plan",
    "measured_credits",
]

MEASURED_BASIS = "from the test job"
"""Basis of `measured_credits`."""
REVISIT_DAYS = 2.5
"""Days between two images of a place, on average over latitudes up to 55 degrees, two satellites: 5 at the equator
(Sentinel-2 User Handbook), less where orbits overlap; so dates are rather over- than underestimated."""
JOB_CREDITS = 2.0
GB_HOUR_CREDITS, CPU_HOUR_CREDITS = 1.0, 1.5
"""Copernicus Data Space: credits for each batch job, for each gigabyte of memory and core, for each hour."""
CHUNK_S, BAND_S = 7.0, 1.0
"""Core seconds for a chunk of one date, and for each band in it: reading, shuffling, handing over, writing. Guesses
on the safe side (inference alone takes 0.2 to 0.5 s), until a test job's costs are known."""


@dataclass(frozen=True)
class Plan:
    """Size and price of a batch."""

    parts: int
    chunks: int
    """Of one date, over all parts."""
    megapixels: float
    """Of one date, over all parts."""
    dates: int
    credits: float
    basis: str
    """Where the price comes from."""

    def check(self, most: float | None) -> None:
        """Raise JobError if the price is above `most` credits."""
        check_credits(self.credits, self.basis, most)


def check_credits(price: float, basis: str, most: float | None) -> None:
    """Raise JobError if `price` is above `most` credits. basis: where the price comes from."""
    if most is not None and price > most:
        limit = int(most) if most == int(most) else most
        raise JobError(
            f"About {price:.0f} credits ({basis}) are more than {option('max_credits', limit)}: "
            "ask for a smaller area or fewer dates, or allow more."
        )


def make_plan(cells: Sequence[Cell], request: Request) -> Plan:
    """Estimate jobs, chunks, dates and credits of masking `cells`.

    The price is `JOB_CREDITS` for each job, and for each chunk and date `CHUNK_S`, and `BAND_S` for each band, of the
    cores and memory that the job options ask for.
    """
    chunks = sum(count_chunks(cell, request) for cell in cells)
    megapixels = sum(width * height for width, height in (cell.pixels() for cell in cells)) / 1e6
    count, seconds = estimate_acquisitions(request.dates), CHUNK_S + BAND_S * len(request.bands)
    price = _estimate_price(len(cells), chunks * count, seconds / 3600 * _hourly_credits(request.job_options))
    return Plan(len(cells), chunks, megapixels, count, price, f"if a chunk takes {seconds:g} s")


def measured_credits(test_job: JobRecord, parts: Sequence[JobRecord], dates: int) -> float | None:
    """Estimate the cost of `parts` from the test job's cost, or return None.

    None if the cost or the number of chunks is unknown. dates: how many the test job had.
    """
    if test_job.costs is None or not dates or not all(part.chunks for part in parts):
        return None
    each = max(0.0, test_job.costs - JOB_CREDITS) / dates / test_job.chunks
    return _estimate_price(len(parts), sum(part.chunks for part in parts) * dates, each)


def _estimate_price(jobs: int, chunks: int, each: float) -> float:
    return JOB_CREDITS * jobs + chunks * each


@dataclass(frozen=True)
class BandSavings:
    """What loading fewer bands than there are saves, and what it costs."""

    credits: float
    """Saved by it, of the estimate for all bands."""
    measured: Accuracy | None
    """What the network reached with these bands, or with the most of them that it was tried with."""
    best: Accuracy | None
    """The same with all bands."""


def estimate_savings(cells: Sequence[Cell], request: Request, offered: Sequence[str]) -> BandSavings:
    """Compare `request` with loading all offered bands: credits and the card's accuracy."""
    every, ours = (make_plan(cells, one).credits for one in (replace(request, bands=tuple(offered)), request))
    best, measured = (find_accuracy(request.card.accuracy, bands) for bands in (offered, request.bands))
    return BandSavings(every - ours, measured, best)


def estimate_acquisitions(dates: tuple[str, str]) -> int:
    """Estimate how many images of a place a period has.

    dates: from the first day to before the last. Raises JobError for no period.
    """
    try:
        first, last = (date.fromisoformat(text[:10]) for text in dates)
    except ValueError:
        first = last = date.min
    if not first < last:
        raise JobError(
            f"{option('dates', '/'.join(dates))}: needed are two days, the earlier first, "
            "as 2025-05-01/2025-06-01; the last is left out."
        )
    return ceil((last - first).days / REVISIT_DAYS)


def _hourly_credits(options: dict[str, Any]) -> float:
    """Compute the credits of an executor for an hour."""
    memory = sum(parse_gigabytes(options[key]) for key in ("executor-memory", "executor-memoryOverhead"))
    return memory * GB_HOUR_CREDITS + float(options["executor-cores"]) * CPU_HOUR_CREDITS


def find_accuracy(measured: Sequence[Accuracy], bands: Collection[str]) -> Accuracy | None:
    """Find the measurement whose bands are the largest subset of `bands`, or None."""
    within = [one for one in measured if set(one.bands) <= {*find_labels([*bands])}]
    return max(within, key=lambda one: len(one.bands), default=None)
