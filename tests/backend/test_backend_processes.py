"""Processes in graphs around a mask, and UDFs in them, by openEO client and server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openeo
import pytest
import xarray as xr
from pyproj import Transformer
from serving import EPSG, HEAD, NORTH, WEST, Fetch, refusal, udf_of


def test_processes_are_listed_with_their_parameters(connection: openeo.Connection) -> None:
    listed = {process["id"]: process for process in connection.list_processes()}
    expected = {
        "clip": {"x", "min", "max"}, "merge_cubes": {"cube1", "cube2", "overlap_resolver", "context"},
        "mask_polygon": {"data", "mask", "replacement", "inside"}, "ndvi": {"data", "nir", "red", "target_band"},
        "aggregate_temporal": {"data", "intervals", "reducer", "labels", "dimension", "context"},
        "resample_cube_spatial": {"data", "target", "method"}, "drop_dimension": {"data", "name"},
        "apply_dimension": {"data", "process", "dimension", "target_dimension", "context"},
    }  # fmt: skip
    for name, parameters in expected.items():
        assert {parameter["name"] for parameter in listed[name]["parameters"]} == parameters
        assert listed[name]["returns"]["schema"] and listed[name]["summary"]


def test_clip(cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    clipped = fetch(cube.apply(lambda x: x.clip(min=1000, max=3000)))
    np.testing.assert_array_equal(clipped.B03, files.sel(bands="B03").clip(1000, 3000))


def test_merge_with_a_resolver_and_without(cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    """B03 is in both cubes, B02 and B04 in one."""
    first, second = cube.filter_bands(["B02", "B03"]), cube.filter_bands(["B03", "B04"])
    merged = fetch(first.merge_cubes(second.apply(lambda x: x * 2), overlap_resolver=lambda x, y: y - x))
    for band, factor in (("B02", 1), ("B03", 1), ("B04", 2)):
        np.testing.assert_array_equal(merged[band], factor * files.sel(bands=band))
    code, message = refusal(first.merge_cubes(second))
    assert code == "OverlapResolverMissing" and "B03" in message


def test_merge_of_a_cube_without_dates_reaches_each_date(
    cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch
) -> None:
    highest = cube.filter_bands(["B02"]).reduce_dimension(dimension="t", reducer="max").rename_labels("bands", ["top"])
    merged = fetch(cube.merge_cubes(highest))
    expected = files.sel(bands="B02").max("t")
    np.testing.assert_array_equal(merged.top, xr.concat([expected, expected], "t"))
    band = cube.band("B02")
    either = fetch((band > 4000) | (cube.band("B03") > 4000))
    unusable = (files.sel(bands="B02") > 4000) | (files.sel(bands="B03") > 4000)
    np.testing.assert_array_equal(either["var"], unusable)


def test_mask_polygon_outside_and_inside(cube: openeo.DataCube, fetch: Fetch) -> None:
    to_degrees = Transformer.from_crs(EPSG, 4326, always_xy=True).transform
    corners = [(22, 31), (58, 31), (58, 69), (22, 69), (22, 31)]
    ring = [list(to_degrees(WEST + x, NORTH - y)) for x, y in corners]
    polygon = {"type": "Polygon", "coordinates": [ring]}
    expected = np.zeros((10, 8), bool)
    expected[3:7, 2:6] = True
    kept = fetch(cube.mask_polygon(polygon, replacement=-1))
    np.testing.assert_array_equal(kept.B02.isel(t=0) != -1, expected)
    hidden = fetch(cube.mask_polygon(polygon, inside=True))
    np.testing.assert_array_equal(np.isnan(hidden.B02.isel(t=0)), expected)


def test_mask_takes_nan_for_masked_and_leaves_no_data_alone(
    cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch
) -> None:
    """The mask is NaN at B03 < 4000, the data at B04 > 7000.

    Copernicus does so.
    """
    holes = cube.filter_bands(["B03"]).mask(cube.band("B03") < 4000)
    data = cube.filter_bands(["B02"]).mask(cube.band("B04") > 7000)
    masked = fetch(data.mask(holes.apply(lambda x: x > 6000), replacement=-5))
    b02, b03, b04 = (files.sel(bands=band) for band in ("B02", "B03", "B04"))
    expected = b02.where((b03 >= 4000) & (b03 <= 6000), -5).where(b04 <= 7000)
    np.testing.assert_array_equal(masked.B02, expected)
    assert {True, False} == set(np.unique(np.isnan(masked.B02))) and (masked.B02 == -5).any()


def test_ndvi(connection: openeo.Connection, cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    nir, red = files.sel(bands="B03"), files.sel(bands="B04")
    data = fetch(cube.ndvi(nir="green", red="red", target_band="index"))
    np.testing.assert_allclose(data["index"], (nir - red) / (nir + red), rtol=1e-6)
    assert set(data.data_vars) == {"B02", "B03", "B04", "index"}
    assert refusal(cube.ndvi())[0] == "NirBandAmbiguous"
    assert refusal(cube.ndvi(nir="B03", red="B12"))[0] == "RedBandAmbiguous"
    [error] = connection.validate_process_graph(cube.process("ndvi", data=cube, nir="B03", target_band="B02"))
    assert error["code"] == "BandExists" and "B02" in error["message"]


def test_aggregate_temporal(cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    intervals = [["2024-05-01", "2024-05-06"], ["2024-05-01", "2024-05-07"], ["2024-06-01", "2024-07-01"]]
    labels = ["2024-05-01", "2024-05-02", "2024-06-01"]
    data = fetch(cube.aggregate_temporal(intervals, reducer="mean", labels=labels))
    assert list(data.t.values.astype("datetime64[D]").astype(str)) == labels
    np.testing.assert_array_equal(data.B02[0], files.sel(bands="B02")[0])
    np.testing.assert_array_equal(data.B02[1], files.sel(bands="B02").mean("t"))
    assert np.isnan(data.B02[2]).all()
    assert refusal(cube.aggregate_temporal(intervals, reducer="mean"))[0] == "DistinctDimensionLabelsRequired"
    assert refusal(cube.aggregate_temporal([["2024-05-02"] * 2], reducer="mean"))[0] == "TemporalExtentEmpty"


def test_resample_cube_spatial(cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    coarse = cube.resample_spatial(resolution=20, method="average")
    data = fetch(cube.resample_cube_spatial(coarse, method="average"))
    expected = files.coarsen(x=2, y=2).mean()
    np.testing.assert_allclose(data.B02, expected.sel(bands="B02"), rtol=1e-6)
    assert data.rio.resolution() == (20, -20) and list(data.x.values[:2]) == [WEST + 10, WEST + 30]


def test_drop_dimension(cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    one = cube.filter_bands(["B03"]).filter_temporal("2024-05-06", "2024-05-07")
    data = fetch(one.drop_dimension("t").drop_dimension("bands"))
    np.testing.assert_array_equal(data["var"], files.sel(bands="B03")[1])
    code, message = refusal(cube.drop_dimension("bands"))
    assert code == "DimensionLabelCountMismatch" and "3" in message
    assert refusal(cube.process("drop_dimension", data=cube, name="depth"))[0] == "DimensionNotAvailable"


SHAPES = udf_of(
    "inspect(data={'dims': list(cube.dims), 'shape': list(cube.shape)}, message='seen')",
    "return cube + context.get('add', 0)",
)
SEEN = {"bands": (["bands", "y", "x"], [3, 256, 256]), "t": (["t", "bands", "y", "x"], [2, 3, 256, 256])}


@pytest.mark.parametrize(
    ("process", "seen"),
    [({"process": "apply"}, SEEN["bands"])]
    + [({"process": "apply_dimension", "dimension": name}, SEEN[name]) for name in ("t", "bands")],
)
def test_udf_sees_the_layers_tiles(
    cube: openeo.DataCube,
    files: xr.DataArray,
    tmp_path: Path,
    process: dict[str, str],
    seen: tuple[list[str], list[int]],
) -> None:
    """Chunks are 256 x 256 px whatever the cube's size.

    They come date by date, or as the series along t.
    """
    udf = openeo.UDF(SHAPES, runtime="Python", context={"add": 1})
    made = cube.apply(udf) if "dimension" not in process else cube.apply_dimension(udf, dimension=process["dimension"])
    job = made.create_job(out_format="netCDF")
    job.start_and_wait(print=lambda _: None, max_poll_interval=0.5)
    entries = [entry["data"] for entry in job.logs() if entry["message"] == "seen"]
    assert entries and all((entry["dims"], entry["shape"]) == seen for entry in entries)
    assert len(entries) == (1 if "t" in seen[0] else 2)
    [path] = job.get_results().download_files(tmp_path, include_stac_metadata=False)
    with xr.open_dataset(path) as data:
        np.testing.assert_array_equal(data.B04, files.sel(bands="B04") + 1)


def test_udf_reduces_bands_and_dates(cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch) -> None:
    flat = openeo.UDF(udf_of("return cube.mean('bands')"), runtime="Python")
    data = fetch(cube.reduce_dimension(dimension="bands", reducer=flat))
    np.testing.assert_allclose(data["var"], files.mean("bands"), rtol=1e-6)
    latest = openeo.UDF(udf_of("return cube.isel(t=-1, drop=True)"), runtime="Python")
    data = fetch(cube.reduce_dimension(dimension="t", reducer=latest))
    assert "t" not in data.dims
    np.testing.assert_array_equal(data.B02, files.sel(bands="B02")[1])
    for dimension in ("bands", "t"):
        same = openeo.UDF(HEAD + "    return cube\n", runtime="Python")
        code, message = refusal(cube.reduce_dimension(dimension=dimension, reducer=same))
        assert code == "UdfError" and ("3 bands" if dimension == "bands" else "2 dates") in message


def test_udf_along_space_is_unsupported(cube: openeo.DataCube) -> None:
    udf = openeo.UDF(HEAD + "    return cube\n", runtime="Python")
    code, message = refusal(cube.apply_dimension(udf, dimension="x"))
    assert code == "FeatureUnsupported" and "t and bands" in message


def declare(*requirements: str) -> str:
    """A UDF with a PEP 723 block."""
    lines = "".join(f'#   "{requirement}",\n' for requirement in requirements)
    return f"# /// script\n# dependencies = [\n{lines}# ]\n# ///\n{HEAD}    return cube\n"


def test_declared_dependencies_are_compared_with_what_is_installed(
    connection: openeo.Connection, cube: openeo.DataCube, files: xr.DataArray, fetch: Fetch
) -> None:
    fits = declare("numpy>=1.26", "absent-package; python_version < '3'", "xarray")
    np.testing.assert_array_equal(fetch(cube.apply(openeo.UDF(fits, runtime="Python"))).B02, files.sel(bands="B02"))
    lacks = cube.apply(openeo.UDF(declare("numpy<1.0", "absent-package==2.1"), runtime="Python"))
    code, message = refusal(lacks)
    assert code == "UdfDependencyMissing"
    assert all(word in message for word in ("numpy <1.0", np.__version__, "absent-package ==2.1"))
    [error] = connection.validate_process_graph(lacks)
    assert error["code"] == "UdfDependencyMissing" and "absent-package" in error["message"]
    unreadable = cube.apply(openeo.UDF(declare("not a requirement!"), runtime="Python"))
    assert "cannot be read" in refusal(unreadable)[1]
