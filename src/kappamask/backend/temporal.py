"""The openEO process `aggregate_temporal`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from kappamask.backend.errors import api_error, invalid_parameter

__all__ = ["aggregate_intervals", "parse_date"]

PROCESS = "aggregate_temporal"


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
        raise invalid_parameter(PROCESS, "intervals", "the list is empty; give [start, end] pairs")
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
        raise invalid_parameter(PROCESS, "intervals", f"{interval!r} is no pair [start, end]")
    start, end = (parse_date(value, PROCESS, "intervals") for value in interval)
    if end <= start:
        raise api_error(
            "TemporalExtentEmpty", f"The interval {list(interval)} is empty: its end must be later than its start."
        )
    return start, end


def _parse_labels(labels: Sequence[Any] | None, starts: list[pd.Timestamp]) -> list[pd.Timestamp]:
    names = [parse_date(label, PROCESS, "labels") for label in labels] if labels else starts
    if len(names) != len(starts):
        raise invalid_parameter(PROCESS, "labels", f"there are {len(names)} labels for {len(starts)} intervals")
    if len(set(names)) != len(names):
        raise api_error(
            "DistinctDimensionLabelsRequired",
            "Two intervals have the same label; give distinct dates in the parameter labels.",
        )
    return names


def parse_date(value: Any, process: str, parameter: str) -> pd.Timestamp:
    """Read a date as UTC; openEO's ProcessParameterInvalid if it is none."""
    try:
        stamp = pd.Timestamp(value).as_unit("ns")
    except (ValueError, TypeError, AttributeError) as error:
        raise invalid_parameter(process, parameter, f"{value!r} is no date, such as 2024-05-01") from error
    if stamp is pd.NaT:
        raise invalid_parameter(process, parameter, f"{value!r} is no date, such as 2024-05-01")
    return stamp.tz_convert(None) if stamp.tzinfo else stamp
