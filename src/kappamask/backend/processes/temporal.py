"""Filter and aggregate dates: `filter_temporal`, `aggregate_temporal` and `aggregate_temporal_period`."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from kappamask.backend.errors import make_api_error, make_parameter_error

__all__ = ["PERIODS", "aggregate_intervals", "check_period", "filter_dates", "list_periods", "parse_date"]

Start = Callable[[pd.Timestamp], pd.Timestamp]


def _make_month_period(count: int, offset: int) -> Start:
    """Make a period of `count` months, starting `offset` months after the year 0."""

    def start(date: pd.Timestamp) -> pd.Timestamp:
        month = date.year * 12 + date.month - 1
        first = month - (month - offset) % count
        return pd.Timestamp(first // 12, first % 12 + 1, 1)

    return start


def _find_dekad_start(date: pd.Timestamp) -> pd.Timestamp:
    return pd.Timestamp(date.year, date.month, 1 + 10 * min((date.day - 1) // 10, 2))


PERIODS: dict[str, tuple[Start, pd.DateOffset]] = {
    "hour": (lambda date: date.floor("h"), pd.DateOffset(hours=1)),
    "day": (lambda date: date.normalize(), pd.DateOffset(days=1)),
    "week": (lambda date: date.normalize() - pd.DateOffset(days=date.weekday()), pd.DateOffset(days=7)),
    "dekad": (_find_dekad_start, pd.DateOffset(days=11)),
    "month": (_make_month_period(1, 0), pd.DateOffset(months=1)),
    "season": (_make_month_period(3, 11), pd.DateOffset(months=3)),
    "tropical-season": (_make_month_period(6, 4), pd.DateOffset(months=6)),
    "year": (_make_month_period(12, 0), pd.DateOffset(months=12)),
    "decade": (_make_month_period(120, 0), pd.DateOffset(years=10)),
    "decade-ad": (_make_month_period(120, 12), pd.DateOffset(years=10)),
}
"""Period -> the start of the one that a date lies in, and a step from each start into the next period."""


def filter_dates(cube: xr.DataArray, start: str | None, end: str | None) -> xr.DataArray:
    """Keep the dates from `start` up to and without `end`.

    Raises openEO's ProcessParameterInvalid if none is left.
    """
    t = pd.DatetimeIndex(cube.t.values)
    first = t.min() if start is None else pd.Timestamp(start).tz_localize(None)
    after = t.max() + pd.Timedelta(1, "D") if end is None else pd.Timestamp(end).tz_localize(None)
    keep = np.flatnonzero((t >= first) & (t < after))
    if not keep.size:
        have = ", ".join(f"{day:%Y-%m-%d}" for day in t)
        raise make_parameter_error("filter_temporal", "extent", f"no date lies in [{start}, {end}); there are {have}")
    return cube.isel(t=keep)


def aggregate_intervals(
    cube: xr.DataArray,
    intervals: Sequence[Any],
    labels: Sequence[Any] | None,
    reduce: Callable[[xr.DataArray], xr.DataArray],
) -> xr.DataArray:
    """Reduce the dates within each left-closed interval; NaN for an interval without dates.

    labels: a date for each interval; None or empty for the intervals' starts.
    Raises the openEO errors TemporalExtentEmpty, DistinctDimensionLabelsRequired and ProcessParameterInvalid.
    """
    bounds = [_parse_interval(interval) for interval in intervals]
    if not bounds:
        raise make_parameter_error("aggregate_temporal", "intervals", "the list is empty; give [start, end] pairs")
    names = _parse_labels(labels, [start for start, _ in bounds])
    dates = pd.DatetimeIndex(cube.t.values)
    reduced = [_reduce_dates(cube, (dates >= start) & (dates < end), reduce) for start, end in bounds]
    return xr.concat(reduced, pd.DatetimeIndex(names, name="t"))


def _reduce_dates(
    cube: xr.DataArray, chosen: np.ndarray[Any, Any], reduce: Callable[[xr.DataArray], xr.DataArray]
) -> xr.DataArray:
    if not chosen.any():
        return xr.full_like(cube.isel(t=0, drop=True), np.nan, dtype=np.float32).drop_attrs(deep=False)
    return reduce(cube.isel(t=np.flatnonzero(chosen)))


def _parse_interval(interval: Any) -> tuple[pd.Timestamp, pd.Timestamp]:
    if not isinstance(interval, list | tuple) or len(interval) != 2:
        raise make_parameter_error("aggregate_temporal", "intervals", f"{interval!r} is no pair [start, end]")
    start, end = (parse_date(value, "aggregate_temporal", "intervals") for value in interval)
    if end <= start:
        raise make_api_error(
            "TemporalExtentEmpty", f"The interval {list(interval)} is empty: its end must be later than its start."
        )
    return start, end


def _parse_labels(labels: Sequence[Any] | None, starts: list[pd.Timestamp]) -> list[pd.Timestamp]:
    names = [parse_date(label, "aggregate_temporal", "labels") for label in labels] if labels else starts
    if len(names) != len(starts):
        raise make_parameter_error(
            "aggregate_temporal", "labels", f"there are {len(names)} labels for {len(starts)} intervals"
        )
    if len(set(names)) != len(names):
        raise make_api_error(
            "DistinctDimensionLabelsRequired",
            "Two intervals have the same label; give distinct dates in the parameter labels.",
        )
    return names


def parse_date(value: Any, process: str, parameter: str) -> pd.Timestamp:
    """Read a date as UTC; openEO's ProcessParameterInvalid if it is none."""
    try:
        stamp = pd.Timestamp(value).as_unit("ns")
    except (ValueError, TypeError, AttributeError) as error:
        raise make_parameter_error(process, parameter, f"{value!r} is no date, such as 2024-05-01") from error
    if stamp is pd.NaT:
        raise make_parameter_error(process, parameter, f"{value!r} is no date, such as 2024-05-01")
    return stamp.tz_convert(None) if stamp.tzinfo else stamp


def check_period(period: str) -> None:
    """Raise openEO's ProcessParameterInvalid for a period that openEO does not know."""
    if period not in PERIODS:
        raise make_parameter_error(
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
