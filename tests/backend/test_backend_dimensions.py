"""Processes about dimensions, calendar periods and neighbouring pixels."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import openeo
import pandas as pd
import pytest
import xarray as xr
from openeo.processes import array_append, array_concat, quantiles
from openeo_driver.errors import OpenEOApiException
from serving import DATES, Fetch, refusal

from kappamask.backend.processes.dimensions import list_labels
from kappamask.backend.processes.neighborhood import convolve
from kappamask.backend.processes.temporal import PERIODS, list_periods


def test_the_processes_are_listed(connection: openeo.Connection) -> None:
    listed = {process["id"]: process for process in connection.list_processes()}
    expected = {
        "add_dimension": {"data", "name", "label", "type"}, "dimension_labels": {"data", "dimension"},
        "aggregate_temporal_period": {"data", "period", "reducer", "dimension", "context"},
        "apply_kernel": {"data", "kernel", "factor", "border", "replace_invalid"}, "sd": {"data", "ignore_nodata"},
        "quantiles": {"data", "probabilities", "ignore_nodata"}, "array_concat": {"array1", "array2"},
    }  # fmt: skip
    for name, parameters in expected.items():
        assert {parameter["name"] for parameter in listed[name]["parameters"]} >= parameters


def test_a_reduced_cube_gets_a_dimension_again(cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    highest = cube.reduce_dimension(dimension="bands", reducer="max")
    data = fetch(highest.add_dimension(type="bands", name="bands", label="top"))
    np.testing.assert_array_equal(data.top, files.sel(bands=["B02", "B03", "B04"]).max("bands"))
    dated = cube.reduce_dimension(dimension="t", reducer="max").add_dimension("t", "2024-05-01T00:00:00Z", "temporal")
    assert fetch(dated).t.values == np.datetime64("2024-05-01")


def test_dimensions_that_cannot_be_added(cube: openeo.DataCube) -> None:
    """The client knows t; a graph written by hand reaches the server."""
    node = cube.process("add_dimension", data=cube, name="bands", label="B9", type="bands")
    assert refusal(node)[0] == "DimensionExists"
    code, message = refusal(cube.process("add_dimension", data=cube, name="z", label="1", type="other"))
    assert code == "ProcessParameterInvalid" and "bands" in message
    bare = cube.reduce_dimension(dimension="t", reducer="max")
    code, message = refusal(bare.process("add_dimension", data=bare, name="t", label="May", type="temporal"))
    assert code == "ProcessParameterInvalid" and "label" in message


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [("bands", ["B02"]), ("t", [f"{date}T00:00:00Z" for date in DATES]), ("x", [5.0, 15.0]), ("y", [95.0, 85.0])],
)
def test_labels_of_a_dimension(dimension: str, expected: list[Any]) -> None:
    coords = {"t": np.array(DATES, "datetime64[ns]"), "bands": ["B02"], "y": [95, 85], "x": [5, 15]}
    assert list_labels(xr.DataArray(np.zeros((2, 1, 2, 2)), coords, list(coords)), dimension) == expected


def test_labels_of_a_dimension_that_is_not_there(cube: openeo.DataCube) -> None:
    code, message = refusal(cube.process("dimension_labels", data=cube, dimension="z"))
    assert code == "DimensionNotAvailable" and "bands" in message


def test_labels_rename_bands(cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    names = {"source": cube.dimension_labels("bands"), "target": ["blue", "green", "red"]}
    data = fetch(cube.process("rename_labels", data=cube, dimension="bands", **names))
    np.testing.assert_array_equal(data.red, files.sel(bands="B04"))


def test_periods_from_the_first_date_to_the_last(cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    """Each label is the start of its period.

    1 May 2024 is a Wednesday, 6 May a Monday.
    """
    data = fetch(cube.aggregate_temporal_period("week", reducer="mean"))
    assert list(data.t.values.astype("datetime64[D]").astype(str)) == ["2024-04-29", "2024-05-06"]
    np.testing.assert_array_equal(data.B02, files.sel(bands="B02"))
    month = fetch(cube.aggregate_temporal_period("month", reducer="sd"))
    np.testing.assert_allclose(month.B03[0], files.sel(bands="B03").std("t", ddof=1), rtol=1e-5)
    days = fetch(cube.aggregate_temporal_period("day", reducer="max"))
    assert days.sizes["t"] == 6 and np.isnan(days.B02[1:5]).all() and not np.isnan(days.B02[5]).any()


def test_periods_that_are_refused(cube: openeo.DataCube) -> None:
    code, message = refusal(cube.process("aggregate_temporal_period", **period_of(cube, "fortnight")))
    assert code == "ProcessParameterInvalid" and "dekad" in message
    bare = cube.reduce_dimension(dimension="t", reducer="max")
    assert refusal(bare.process("aggregate_temporal_period", **period_of(bare, "day")))[0] == "DimensionNotAvailable"


def period_of(cube: openeo.DataCube, period: str) -> dict[str, Any]:
    """Arguments with the mean as the reducer."""
    mean = {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}, "result": True}
    return {"data": cube, "period": period, "reducer": {"process_graph": {"mean": mean}}}


@pytest.mark.parametrize(
    ("period", "date", "start", "end"),
    [
        ("hour", "2024-05-31T23:30", "2024-05-31T23:00", "2024-06-01T00:00"),
        ("day", "2024-02-29T12:00", "2024-02-29", "2024-03-01"),
        ("week", "2025-01-01", "2024-12-30", "2025-01-06"),
        ("dekad", "2024-02-29", "2024-02-21", "2024-03-01"),
        ("dekad", "2024-01-31", "2024-01-21", "2024-02-01"),
        ("month", "2024-12-31", "2024-12-01", "2025-01-01"),
        ("season", "2024-01-15", "2023-12-01", "2024-03-01"),
        ("season", "2024-11-30", "2024-09-01", "2024-12-01"),
        ("tropical-season", "2024-04-30", "2023-11-01", "2024-05-01"),
        ("tropical-season", "2024-05-01", "2024-05-01", "2024-11-01"),
        ("year", "2024-02-29", "2024-01-01", "2025-01-01"),
        ("decade", "2020-01-01", "2020-01-01", "2030-01-01"),
        ("decade-ad", "2020-12-31", "2011-01-01", "2021-01-01"),
    ],
)
def test_calendar_periods(period: str, date: str, start: str, end: str) -> None:
    assert list_periods(pd.DatetimeIndex([date]), period) == [(pd.Timestamp(start), pd.Timestamp(end))]


@pytest.mark.parametrize("period", PERIODS)
def test_periods_leave_no_gap(period: str) -> None:
    dates = pd.DatetimeIndex(["2023-11-28T05:00", "2024-03-02T01:00"])
    found = list_periods(dates, period)
    assert found[0][0] <= dates[0] < found[0][1] and found[-1][0] <= dates[1] < found[-1][1]
    assert all(first[1] == second[0] for first, second in pairwise(found))


def test_arrays_along_bands(cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    """Another number of bands is named 0, 1, …; the same number keeps names."""
    bands = files.sel(bands=["B02", "B03", "B04"]).astype("float32")
    longer = fetch(cube.apply_dimension(lambda d: array_concat(d, d["B02"] - d["B04"]), dimension="bands"))
    np.testing.assert_array_equal(longer["2"], bands.sel(bands="B04"))
    np.testing.assert_array_equal(longer["3"], bands.sel(bands="B02") - bands.sel(bands="B04"))
    appended = fetch(cube.apply_dimension(lambda d: array_append(d, 7), dimension="bands"))
    assert (appended["3"] == 7).all()
    halves = fetch(cube.apply_dimension(lambda d: quantiles(d, probabilities=[0, 0.5, 1]), dimension="bands"))
    np.testing.assert_array_equal(halves.B03, bands.median("bands"))
    np.testing.assert_array_equal(halves.B04, bands.max("bands"))
    doubled = fetch(cube.apply_dimension(lambda d: d * 2, dimension="t"))
    np.testing.assert_array_equal(doubled.B02, 2 * bands.sel(bands="B02"))
    tercile = fetch(cube.apply_dimension(lambda d: quantiles(d, probabilities=3), dimension="t"))
    np.testing.assert_allclose(tercile.B02[0], bands.sel(bands="B02").quantile(1 / 3, "t"), rtol=1e-5)


def test_callbacks_along_a_dimension_that_are_refused(cube: openeo.DataCube) -> None:
    single = cube.apply_dimension(lambda d: d.max(), dimension="bands")
    code, message = refusal(single)
    assert code == "ProcessParameterInvalid" and "reduce_dimension" in message
    moved = cube.apply_dimension(lambda d: quantiles(d, probabilities=[0.5]), dimension="t", target_dimension="bands")
    code, message = refusal(moved)
    assert code == "FeatureUnsupported" and "target_dimension" in message
    code, message = refusal(cube.apply_dimension(lambda d: quantiles(d, probabilities=[0.5]), dimension="t"))
    assert code == "ProcessParameterInvalid" and "2 dates" in message
    code, message = refusal(cube.apply_dimension(lambda d: quantiles(d, probabilities=[2]), dimension="bands"))
    assert code == "ProcessParameterInvalid" and "quantiles" in message


def test_kernel_ends_at_the_area(cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    """The files go on beyond the area, and the border is 0 all the same."""
    data = fetch(cube.apply_kernel([[0, 0, 0], [0, 1, 2], [0, 0, 0]], factor=0.5))
    pixels = files.sel(bands="B02").astype("float32")
    right = np.concatenate([pixels[..., 1:], np.zeros_like(pixels[..., :1])], axis=-1)
    np.testing.assert_array_equal(data.B02, (pixels + 2 * right) / 2)


@pytest.mark.parametrize(
    ("border", "expected"),
    [(0, [0, 0, 1, 2, 3]), (9, [9, 9, 1, 2, 3]), ("replicate", [1, 1, 1, 2, 3]), ("reflect", [2, 1, 1, 2, 3]),
     ("reflect_pixel", [3, 2, 1, 2, 3]), ("wrap", [4, 5, 1, 2, 3])],
)  # fmt: skip
def test_border_of_a_kernel(border: Any, expected: list[float]) -> None:
    """A kernel that shifts by two pixels; openEO's `border` beyond the first pixel."""
    row = xr.DataArray(np.arange(1, 6, dtype="float32")[None], dims=("y", "x"))
    assert convolve(row, [[1, 0, 0, 0, 0]], 1, border, 0).values.tolist() == [expected]


def test_kernel_replaces_invalid_pixels() -> None:
    row = xr.DataArray(np.array([[1, np.nan, np.inf]], "float32"), dims=("y", "x"))
    assert convolve(row, [[1]], 2, 0, -3).values.tolist() == [[2, -6, -6]]


@pytest.mark.parametrize(
    ("kernel", "border", "code"),
    [([[1, 1]], 0, "KernelDimensionsUneven"), ([1], 0, "ProcessParameterInvalid"),
     ([[1], [1, 1]], 0, "ProcessParameterInvalid"), ([[1]], "mirror", "ProcessParameterInvalid"),
     ([[1] * 9], "wrap", "ProcessParameterInvalid")],
)  # fmt: skip
def test_kernels_that_are_refused(kernel: Any, border: Any, code: str) -> None:
    row = xr.DataArray(np.ones((1, 3), "float32"), dims=("y", "x"))
    with pytest.raises(OpenEOApiException) as caught:
        convolve(row, kernel, 1, border, 0)
    assert caught.value.code == code


def test_validation_of_a_graph_that_is_none(connection: openeo.Connection) -> None:
    errors = connection.validate_process_graph({"nodes": "text"})
    assert [error["code"] for error in errors] == ["ProcessGraphInvalid"]
