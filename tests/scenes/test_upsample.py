"""Coarser bands on finer grids, against GDAL's own resampling."""

from pathlib import Path

import numpy as np
import pytest
from files import CRS, NORTH, WEST, digits, jp2
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from rasterio.windows import Window

from kappamask.models import SceneError
from kappamask.scenes.readers.raster import open_local_raster
from kappamask.scenes.resample import (
    GDAL_KERNELS,
    KERNELS,
    _warp_window,
    apply_weights,
    compute_line_weights,
    is_aligned,
    resample_aligned,
    resample_window,
)

SIDE = 40


def grid(size: float, side: int, west: float = WEST, north: float = NORTH) -> GeoBox:
    return GeoBox((side, side), from_origin(west, north, size, size), CRS)


@pytest.mark.parametrize("kernel", GDAL_KERNELS)
@pytest.mark.parametrize("ratio", [1, 2, 3, 6])
def test_kernels_give_what_gdal_gives(tmp_path: Path, kernel: str, ratio: int) -> None:
    path = jp2(tmp_path / "B05.jp2", digits(1, SIDE, SIDE)[0], 10 * ratio)
    target, window = grid(10, SIDE * ratio), Window(0, 0, SIDE * ratio, SIDE * ratio)
    with open_local_raster(path) as dataset:
        ours = resample_window(dataset, [1], window, target, kernel, 0)[0].astype(int)
        gdals = _warp_window(dataset, [1], window, target, kernel, 0)[0].astype(int)
    inner = np.s_[2 * ratio : -2 * ratio, 2 * ratio : -2 * ratio]
    assert np.abs(ours - gdals)[inner].max() <= 1, "but for rounding"
    assert ours.any()


@given(st.sampled_from(list(KERNELS)), st.sampled_from([2, 3, 6]), st.data())
def test_pieces_are_parts_of_the_whole(kernel: str, ratio: int, data: st.DataObject) -> None:
    values = digits(1, SIDE, SIDE)[0]
    values[5:8, 9:20] = 0
    side = SIDE * ratio
    rows, columns = (
        slice(*sorted(data.draw(st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True)))) for _ in range(2)
    )
    facts = (grid(10 * ratio, SIDE), grid(10, side))
    whole = resample_aligned(lambda y, x: values[y, x], *facts, (slice(0, side), slice(0, side)), kernel, 0)
    piece = resample_aligned(lambda y, x: values[y, x], *facts, (rows, columns), kernel, 0)
    np.testing.assert_array_equal(piece, whole[rows, columns])
    np.testing.assert_array_equal(whole == 0, np.kron(values == 0, np.ones((ratio, ratio), bool)))


@pytest.mark.parametrize("kernel", KERNELS)
def test_weights_of_each_fine_line_add_up_to_one(kernel: str) -> None:
    lines, weights = compute_line_weights(7, 90, 3, SIDE, kernel)
    assert weights.shape == (90, lines.stop - lines.start)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


def test_floats_stay_floats_and_nan_stays_nan() -> None:
    values = np.full((9, 9), 0.25, np.float32)
    values[4, 4] = np.nan
    _, weights = compute_line_weights(0, 18, 2, 9, "bilinear")
    found = apply_weights(values, weights, weights, np.nan)
    assert found.dtype == np.float32 and np.isnan(found[8:10, 8:10]).all() and np.isnan(found).sum() == 4
    np.testing.assert_allclose(found[np.isfinite(found)], 0.25)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (grid(10, 80), True), (grid(20, 40), True), (grid(10, 20, WEST + 30, NORTH - 70), True),
        (grid(10, 81), False), (grid(10, 80, WEST + 5), False), (grid(10, 80, WEST - 10), False),
        (grid(15, 40), False), (grid(40, 20), False),
        (GeoBox((80, 80), grid(10, 80).transform, 32636), False),
    ],
)  # fmt: skip
def test_grids_are_aligned_where_coarse_pixels_hold_whole_fine_ones(target: GeoBox, expected: bool) -> None:
    assert is_aligned(grid(20, SIDE), target) is expected


def test_grids_that_are_not_aligned_are_left_to_gdal_but_for_sinc(tmp_path: Path) -> None:
    path = jp2(tmp_path / "B05.jp2", np.full((SIDE, SIDE), 900, np.uint16), 20)
    target, window = grid(10, 60, WEST + 5), Window(0, 0, 60, 60)
    with open_local_raster(path) as dataset:
        assert (resample_window(dataset, [1], window, target, "cubic", 0) == 900).all()
        with pytest.raises(SceneError, match="sinc needs pixels that hold whole pixels"):
            resample_window(dataset, [1], window, target, "sinc", 0)
