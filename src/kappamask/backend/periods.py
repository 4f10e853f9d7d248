"""The calendar periods of the openEO process `aggregate_temporal_period`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pandas as pd

from kappamask.backend.errors import invalid_parameter

__all__ = ["PERIODS", "check_period", "list_periods"]

Start = Callable[[pd.Timestamp], pd.Timestamp]


def _months(count: int, offset: int) -> Start:
    """Make a period of `count` months, starting `offset` months after the year 0."""

    def start(date: pd.Timestamp) -> pd.Timestamp:
        month = date.year * 12 + date.month - 1
        first = month - (month - offset) % count
        return pd.Timestamp(first // 12, first % 12 + 1, 1)

    return start


def _dekad(date: pd.Timestamp) -> pd.Timestamp:
    return pd.Timestamp(date.year, date.month, 1 + 10 * min((date.day - 1) // 10, 2))


PERIODS: dict[str, tuple[Start, pd.DateOffset]] = {
    "hour": (lambda date: date.floor("h"), pd.DateOffset(hours=1)),
    "day": (lambda date: date.normalize(), pd.DateOffset(days=1)),
    "week": (lambda date: date.normalize() - pd.DateOffset(days=date.weekday()), pd.DateOffset(days=7)),
    "dekad": (_dekad, pd.DateOffset(days=11)),
    "month": (_months(1, 0), pd.DateOffset(months=1)),
    "season": (_months(3, 11), pd.DateOffset(months=3)),
    "tropical-season": (_months(6, 4), pd.DateOffset(months=6)),
    "year": (_months(12, 0), pd.DateOffset(months=12)),
    "decade": (_months(120, 0), pd.DateOffset(years=10)),
    "decade-ad": (_months(120, 12), pd.DateOffset(years=10)),
}
"""Period -> the start of the one that a date lies in, and a step from each start into the next period."""


def check_period(period: str) -> None:
    """Raise openEO's ProcessParameterInvalid for a period that openEO does not know."""
    if period not in PERIODS:
        raise invalid_parameter(
            "aggregate_temporal_period", "period", f"{period!r} is no period; there are {', '.join(PERIODS)}"
        )


def list_periods(dates: pd.DatetimeIndex, period: str) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """List start and end of all periods between the first date and the last.

    Periods without a date are listed too. The end is the next period's start and not part of the period. Weeks start
    on Monday (ISO 8601).
    """
    check_period(period)
    find_start, step = PERIODS[period]
    starts = [find_start(dates.min())]
    while starts[-1] <= dates.max():
        starts.append(find_start(starts[-1] + step))
    return list(pairwise(starts))
