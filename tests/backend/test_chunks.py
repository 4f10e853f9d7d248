"""The chunk simulator against whole-array results and against each rule of back-ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from kappamask.backend.chunks import apply_neighborhood
from kappamask.models.errors import CubeError

HEAD = "import numpy\nimport xarray\nfrom openeo.udf import inspect\n"
ENTRY = "def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:\n"
IDENTITY = HEAD + ENTRY + "    return cube\n"
MEAN = (
    HEAD
    + "from scipy.ndimage import uniform_filter\n"
    + ENTRY
    + "    valid = numpy.isfinite(cube.values)\n"
    + "    window = (1,) * (cube.ndim - 2) + (2 * context['radius'] + 1,) * 2\n"
    + "    total = uniform_filter(numpy.where(valid, cube.values, 0).astype('float64'), window, mode='constant')\n"
    + "    share = uniform_filter(valid.astype('float64'), window, mode='constant')\n"
    + "    return cube.copy(data=numpy.where(share > 1e-9, total / numpy.maximum(share, 1e-9), numpy.nan))\n"
)
SEEN: list[xr.DataArray] = []
SPY = HEAD + "from kappamask_test_spy import SEEN\n" + ENTRY + "    SEEN.append(cube.copy())\n    return cube\n"


@pytest.fixture(autouse=True)
def spy(monkeypatch: pytest.MonkeyPatch) -> list[xr.DataArray]:
    """List what a UDF was given, chunk by chunk.

    UDF text can only reach this list through an import.
    """
    import sys
    import types

    SEEN.clear()
    module = types.ModuleType("kappamask_test_spy")
    module.SEEN = SEEN  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kappamask_test_spy", module)
    return SEEN


def udf(body: str) -> str:
    """A UDF whose entry has this body."""
    return HEAD + ENTRY + "".join(f"    {line}\n" for line in body.splitlines())


def cube_of(values: NDArray[Any], **attrs: Any) -> xr.DataArray:
    """A cube on a 10 m grid with its upper-left corner at (600000, 5000000)."""
    dims = ("t", "bands", "y", "x")[-values.ndim :]
    coords: dict[str, Any] = {
        "bands": [f"B{i:02d}" for i in range(values.shape[-3])],
        "y": 5_000_000 - 5 - 10.0 * np.arange(values.shape[-2]),
        "x": 600_005 + 10.0 * np.arange(values.shape[-1]),
    }
    if values.ndim == 4:
        coords["t"] = pd.date_range("2024-05-01", periods=values.shape[0])
    return xr.DataArray(values, dims=dims, coords=coords, attrs=attrs)


def local_mean(values: NDArray[Any], radius: int) -> NDArray[np.float64]:
    """The whole-array answer to MEAN: mean of the valid neighbours, NaN where there is none."""
    window = (1,) * (values.ndim - 2) + (2 * radius + 1,) * 2
    valid = np.isfinite(values)
    total = uniform_filter(np.where(valid, values, 0).astype("float64"), window, mode="constant")
    share = uniform_filter(valid.astype("float64"), window, mode="constant")
    return np.where(share > 1e-9, total / np.maximum(share, 1e-9), np.nan)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Cut a cube at a random place out of a random scene with holes.

    Also returned: a chunk geometry that fits it.
    """
    size = draw(st.integers(4, 16))
    overlap = draw(st.integers(0, min(size, 6)))
    dates, bands = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    scene = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).uniform(-500, 12000, (dates, bands, 50, 50))
    top, left = draw(st.integers(0, 20)), draw(st.integers(0, 20))
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    values = scene[..., top : top + height, left : left + width].astype(np.float32)
    values[np.random.default_rng(top).random(values.shape) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    return {"values": values, "size": size, "overlap": overlap, "radius": draw(st.integers(0, overlap))}


@settings(deadline=None, max_examples=60)
@given(case=cases(), per_date=st.booleans())
def test_chunks_are_seamless(case: dict[str, Any], per_date: bool) -> None:
    """A filter within the overlap gives the same pixels in chunks as on the whole."""
    result = apply_neighborhood(
        cube_of(case["values"]), MEAN, case["size"], case["overlap"], {"radius": case["radius"]}, per_date=per_date
    )
    expected = local_mean(case["values"], case["radius"])
    kept = [i for i, date in enumerate(expected) if per_date or np.isfinite(case["values"][i]).any()]
    assert result.dtype == np.float32
    # A chunk without data is never passed, so a pixel that sees data only across its border may stay empty.
    gap = np.isnan(result.values) & np.isfinite(expected[kept])
    assert not gap[np.isfinite(case["values"][kept])].any()
    np.testing.assert_allclose(result.values[~gap], expected[kept][~gap], rtol=1e-4, atol=1e-2)


@settings(deadline=None, max_examples=30)
@given(case=cases(), per_date=st.booleans(), read_ahead=st.sampled_from([0, 3_000, 30_000, 1 << 29]))
def test_lazy_cubes_are_read_in_strips_of_any_size(case: dict[str, Any], per_date: bool, read_ahead: int) -> None:
    cube, context = cube_of(case["values"]), {"radius": case["radius"]}
    rules = {"size": case["size"], "overlap": case["overlap"], "context": context, "per_date": per_date}
    eager = apply_neighborhood(cube, MEAN, **rules)
    lazy = apply_neighborhood(cube.chunk({"y": 7, "x": 9}), MEAN, **rules, read_ahead=read_ahead)
    xr.testing.assert_identical(lazy, eager)


@settings(deadline=None, max_examples=40)
@given(case=cases(), per_date=st.booleans(), nodata=st.sampled_from([0, 3]))
def test_identity_returns_float32_with_nan_for_nodata(case: dict[str, Any], per_date: bool, nodata: int) -> None:
    values = np.nan_to_num(case["values"] % 7).astype(np.uint16)
    cube = cube_of(values, nodata=nodata)
    result = apply_neighborhood(cube, IDENTITY, case["size"], case["overlap"], per_date=per_date)
    expected = cube.where(cube != nodata).astype(np.float32).drop_attrs()
    if not per_date and expected.notnull().any():
        expected = expected.dropna("t", how="all")
    xr.testing.assert_equal(result.drop_attrs(), expected)


def test_every_chunk_is_full_size_and_labelled_like_on_the_back_end(spy: list[xr.DataArray]) -> None:
    values = np.arange(2 * 3 * 10 * 13, dtype=np.int16).reshape(2, 3, 10, 13) + 1
    apply_neighborhood(cube_of(values), SPY, 8, 3)
    assert len(spy) == 2 * 2 * 2
    first = spy[0]
    assert first.name == "openEODataChunk"
    assert first.dims == ("bands", "y", "x") and {c.shape for c in spy} == {(3, 14, 14)}
    assert first.dtype == np.float32 and first.x.dtype == np.float32 and first.y.dtype == np.float32
    assert "t" not in first.coords and pd.Timestamp(first.attrs["t"]) == pd.Timestamp("2024-05-01")
    assert list(first.bands.values) == ["B00", "B01", "B02"]
    assert first.x.values[3] == 600_005 and first.x.values[0] == 600_005 - 30
    assert first.y.values[3] == 4_999_995 and first.y.values[0] == 4_999_995 + 30
    assert np.isnan(first.values[:, :3]).all() and np.isnan(first.values[:, :, :3]).all()
    np.testing.assert_array_equal(first.values[:, 3:13, 3:], values[0][:, :10, :11])


def test_series_drops_dates_without_data_per_chunk(spy: list[xr.DataArray]) -> None:
    values = np.ones((3, 1, 8, 8), np.float32)
    values[1, :, :, :4] = np.nan
    values[2] = np.nan
    result = apply_neighborhood(cube_of(values), SPY, 4, per_date=False)
    assert sorted(c.sizes["t"] for c in spy) == [1, 1, 2, 2]
    assert all(c.dims == ("t", "bands", "y", "x") for c in spy)
    assert list(result.t.values) == list(pd.date_range("2024-05-01", periods=2).values)


def test_chunks_without_data_never_reach_the_udf_unless_retained(spy: list[xr.DataArray]) -> None:
    values = np.ones((1, 4, 8), np.float32)
    values[..., 4:] = np.nan
    apply_neighborhood(cube_of(values), SPY, 4)
    assert len(spy) == 1
    apply_neighborhood(cube_of(values), SPY, 4, retain_nodata_tiles=True)
    assert len(spy) == 3


def test_buffer_without_neighbours_is_nan(spy: list[xr.DataArray]) -> None:
    apply_neighborhood(cube_of(np.ones((1, 8, 8), np.float32)), SPY, 4, 2, buffer_from_data=False)
    assert all(np.isnan(c.values).sum() == 64 - 16 for c in spy)


def test_series_without_t_is_dated_2020() -> None:
    cube = cube_of(np.ones((2, 1, 4, 4), np.float32))
    result = apply_neighborhood(cube, udf("return cube.max('t')"), 4, per_date=False)
    assert list(result.t.values) == [np.datetime64("2020-01-01")]


def test_values_are_taken_raw_per_date() -> None:
    """The real back-end does not transpose, so a transposed result comes back transposed."""
    cube = cube_of(np.arange(16, dtype=np.float32).reshape(1, 4, 4))
    result = apply_neighborhood(cube, udf("return cube.transpose('bands', 'x', 'y')"), 4)
    np.testing.assert_array_equal(result.values, cube.values.transpose(0, 2, 1))


def test_new_bands_are_taken_over() -> None:
    body = "new = xarray.concat([cube.mean('bands')] * 2, 'bands').assign_coords(bands=['mask', 'score'])\nreturn new"
    result = apply_neighborhood(cube_of(np.ones((3, 9, 9), np.float32)), udf(body), 4, 1)
    assert list(result.bands.values) == ["mask", "score"] and result.shape == (2, 9, 9)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return cube[:, 1:-1, 1:-1]", "must return all 6 x 6 px"),
        ("return cube[0]", "three dims"),
        ("return cube.isel(x=slice(0, 5))", "returned 6 x 5 px"),
    ],
)
def test_wrong_results_are_errors(body: str, reason: str) -> None:
    with pytest.raises(CubeError, match=reason):
        apply_neighborhood(cube_of(np.ones((2, 8, 8), np.float32)), udf(body), 4, 1)


def test_two_cubes_are_an_error() -> None:
    code = HEAD + "from openeo.udf import UdfData\ndef run(data: UdfData):\n    data.set_datacube_list([])\n"
    with pytest.raises(CubeError, match="returned 0 cubes"):
        apply_neighborhood(cube_of(np.ones((1, 4, 4), np.float32)), code, 4)


def test_projection_reaches_udfs_that_take_udf_data() -> None:
    body = "    assert data.proj == {'EPSG': 32635}, data.proj\n"
    code = HEAD + "from openeo.udf import UdfData\ndef run(data: UdfData):\n" + body
    apply_neighborhood(cube_of(np.ones((1, 4, 4), np.float32)), code, 4, epsg=32635)


@pytest.mark.parametrize(
    ("size", "overlap", "reason"),
    [(3, 0, "4 px or more"), (4, 5, "#1191"), (8, (2, 0), "Use the same overlap"), (8, -1, "negative")],
)
def test_refused_geometry(size: int, overlap: int | tuple[int, int], reason: str) -> None:
    with pytest.raises(CubeError, match=reason):
        apply_neighborhood(cube_of(np.ones((1, 8, 8), np.float32)), IDENTITY, size, overlap)


def test_one_sided_overlap_springs_the_trap_on_demand(spy: list[xr.DataArray]) -> None:
    """Nothing is buffered but the crop happens: pixels move and the last columns are lost."""
    cube = cube_of(np.arange(64, dtype=np.float32).reshape(1, 8, 8))
    result = apply_neighborhood(cube, SPY, 8, (2, 0), strict=False)
    assert spy[0].shape == (1, 8, 8)
    np.testing.assert_array_equal(result.values[..., :6], cube.values[..., 2:])
    assert np.isnan(result.values[..., 6:]).all()


def test_context_is_a_fresh_copy_for_each_chunk() -> None:
    context = {"count": [0]}
    code = udf("context['count'][0] += 1\nassert context['count'] == [1]\nreturn cube")
    apply_neighborhood(cube_of(np.ones((1, 8, 8), np.float32)), code, 4, context=context)
    assert context == {"count": [0]}


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "def apply_datacube(cube, context):\n    return cube\n",
        "from __future__ import annotations\n" + IDENTITY,
        IDENTITY.replace("apply_datacube", "mask"),
        IDENTITY.replace(", context: dict", ""),
        HEAD,
    ],
    ids=["no annotations", "annotations as text", "another name", "no context", "no function"],
)
def test_a_udf_that_openeo_does_not_find_says_what_is_needed(text: str) -> None:
    with pytest.raises(CubeError, match=r"needs `def apply_datacube\(cube: xarray.DataArray, context: dict\) -> "):
        apply_neighborhood(cube_of(np.ones((1, 32, 32), "float32")), text, size=32)


def test_errors_of_the_udf_pass_unchanged() -> None:
    with pytest.raises(RuntimeError, match="no such band"):
        apply_neighborhood(cube_of(np.ones((1, 8, 8), np.float32)), udf("raise RuntimeError('no such band')"), 4)


@pytest.mark.parametrize(
    ("cube", "reason"),
    [
        (xr.DataArray(np.ones((2, 4, 4)), dims=("time", "y", "x")), "needs \\(bands, y, x\\)"),
        (xr.DataArray(np.ones((1, 4, 4)), dims=("bands", "y", "x"), coords={"y": [1.0, 2, 3, 4]}), "ascends"),
        (xr.DataArray(np.ones((1, 1, 4, 4)), dims=("t", "bands", "y", "x")), "no dates"),
    ],
)
def test_refused_cubes(cube: xr.DataArray, reason: str) -> None:
    with pytest.raises(CubeError, match=reason):
        apply_neighborhood(cube, IDENTITY, 4)


def test_progress_counts_every_chunk() -> None:
    seen: list[tuple[int, int]] = []
    apply_neighborhood(
        cube_of(np.ones((1, 8, 8), np.float32)), IDENTITY, 4, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


SERIES = (
    "from pandas import Series\ndef apply_timeseries(series: Series, context: dict) -> Series:\n    return series + 1\n"
)


def test_a_udf_of_series_says_where_it_can_be_called() -> None:
    values = np.ones((2, 1, 8, 8), np.float32)
    dates = np.array(["2024-05-01", "2024-05-06"], "M8[ns]")
    cube = xr.DataArray(values, dims=("t", "bands", "y", "x"), coords={"t": dates, "bands": ["B02"]})
    np.testing.assert_array_equal(apply_neighborhood(cube, SERIES, 8, per_date=False), values + 1)
    with pytest.raises(CubeError, match=r"needs several dates.*apply_dimension\(dimension='t'\)"):
        apply_neighborhood(cube, SERIES, 8)
    bare = SERIES.replace(": Series", "").replace("-> Series", "")
    with pytest.raises(CubeError, match=r"apply_timeseries is not one that openEO finds.*pandas\.Series"):
        apply_neighborhood(cube, bare, 8, per_date=False)
