"""Ground under simulated clouds: towns, and bands of 10, 20 and 60 m."""

import numpy as np
import pytest

pytest.importorskip("scipy")

from ground import field, write_data

from kappamask.training.simulator.materials import load_ground
from kappamask.training.simulator.spectra import B02, B09, B10, B11, NATIVE_M
from kappamask.training.simulator.surfaces import build_towns, draw_ground
from kappamask.training.simulator.tiles import KERNELS, blur_to_native

SIZE = 96


def test_same_seed_same_ground(tmp_path) -> None:
    ground = load_ground(write_data(tmp_path))
    first, second, other = (draw_ground(ground, SIZE, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert first.shape == (13, SIZE, SIZE) and first.dtype == np.float32


def test_towns_are_fine_grained_and_cannot_be_seen_in_the_cirrus_band(tmp_path) -> None:
    ground, land = load_ground(write_data(tmp_path)), field(SIZE, 0)
    rough = []
    for seed in range(8):
        built = build_towns(land, ground, np.random.default_rng(seed))
        assert built.shape == land.shape and np.isfinite(built).all()
        np.testing.assert_allclose(built[B10], land[B10], atol=1e-7)
        rough.append(float(np.abs(np.diff(built[B02])).mean() / np.abs(np.diff(land[B02])).mean()))
    assert max(rough) > 3


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_keep_a_slope_and_the_native_bands(kernel: str) -> None:
    slope = np.broadcast_to(np.linspace(0.1, 0.5, SIZE, dtype=np.float32), (13, SIZE, SIZE))
    seen = blur_to_native(slope, 10.0, kernel)
    for band, native in enumerate(NATIVE_M):
        step = native / 10 * 0.4 / (SIZE - 1)
        off = np.abs(seen[band] - slope[band])[:, 12:-12].max()
        assert off <= (step / 2 if kernel == "nearest" else step / 20) + 1e-6, band
    assert np.array_equal(seen[B02], slope[B02])


def test_kernels_differ_where_land_changes_suddenly() -> None:
    edge = np.zeros((13, SIZE, SIZE), np.float32)
    edge[..., SIZE // 2 - 1 :] = 0.5
    seen = [blur_to_native(edge, 10.0, kernel)[B09] for kernel in KERNELS]
    assert all(np.abs(a - b).max() > 0.001 for i, a in enumerate(seen) for b in seen[:i])


def test_a_coarse_grid_leaves_its_own_bands_alone() -> None:
    land = field(SIZE, 1)
    seen = blur_to_native(land, 20.0, "cubic")
    assert np.array_equal(seen[B11], land[B11]) and not np.array_equal(seen[B10], land[B10])
