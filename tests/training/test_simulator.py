"""The cloud simulator: reproducible by seed, shadows along the sun, physical colours."""

import numpy as np
import pytest

pytest.importorskip("scipy")

from kappamask.training.simulator import clouds, paint, spectra, tiles
from kappamask.training.simulator.clouds import KINDS, CloudKind, Layer
from kappamask.training.simulator.paint import paint_clouds, paint_layers
from kappamask.training.simulator.sky import CanvasView, Sky, Sun, draw_sky
from kappamask.training.simulator.spectra import B02, B08, B10, BANDS, FloatArray

LAND = np.array([0.14, 0.11, 0.09, 0.07, 0.10, 0.22, 0.26, 0.27, 0.28, 0.09, 0.0012, 0.18, 0.10], np.float32)
KIND = {kind.name: kind for kind in KINDS}


def land(size: int = 128) -> FloatArray:
    """Uniform fields of plants as L1C reflectance (13, size, size)."""
    return np.repeat(np.repeat(LAND[:, None, None], size, 1), size, 2)


def disc(
    kind: CloudKind, base_km: float, depth: float, canvas: int, centre: tuple[int, int], radius: int = 10
) -> Layer:
    """A flat round cloud without thickness."""
    y, x = np.mgrid[:canvas, :canvas]
    inside = ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2).astype(np.float32)
    return Layer(kind, base_km, 0.0, depth * inside, inside)


def centroid(mask: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]") -> tuple[float, float]:
    """Mean row and column of the pixels that are set."""
    rows, columns = np.nonzero(mask)
    return float(rows.mean()), float(columns.mean())


@pytest.mark.parametrize("seed", [0, 3, 2**40])
def test_same_seed_same_clouds(seed: int) -> None:
    first, second, other = (paint_clouds(land(), s) for s in (seed, seed, seed + 1))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("seed", range(12))
def test_scene_and_truth_are_whole(seed: int) -> None:
    clear = land()
    before = clear.copy()
    scene, truth = paint_clouds(clear, seed)
    assert scene.dtype == np.float32 and scene.shape == clear.shape
    assert truth.dtype == np.uint8 and truth.shape == clear.shape[1:]
    assert np.isfinite(scene).all() and (scene >= 0).all() and (scene < 1.6).all()
    assert set(np.unique(truth)) <= {1, 2, 3, 4}
    np.testing.assert_array_equal(clear, before)


def test_coverage_decides_how_much_sky_is_closed() -> None:
    clear = land(192)
    scene, truth = paint_clouds(clear, 5, coverage=0)
    assert (truth == paint.CLEAR).all()
    np.testing.assert_array_equal(scene, clear)
    assert (paint_clouds(clear, 5, coverage=1)[1] == paint.CLOUD).mean() > 0.97
    shares = [
        np.mean([(paint_clouds(clear, seed, coverage=c)[1] >= paint.THIN).mean() for seed in range(8)])
        for c in (0.1, 0.4, 0.8)
    ]
    assert shares[0] < shares[1] < shares[2]
    assert abs(shares[1] - 0.4) < 0.2


@pytest.mark.parametrize("azimuth", [0, 90, 150, 225, 310])
@pytest.mark.parametrize(("zenith", "height_km"), [(30, 0.5), (60, 0.3)])
def test_shadow_lies_away_from_the_sun(azimuth: float, zenith: float, height_km: float) -> None:
    sun, size, pixel_m = Sun(zenith, azimuth), 160, 10.0
    step = (sun.toward[0] * sun.tangent * 100, sun.toward[1] * sun.tangent * 100)
    view = CanvasView((size, size), (120, 120), step)
    cloud = disc(KIND["cumulus"], height_km, 40, 400, (200, 200))
    _, truth = paint_layers(land(size), Sky([cloud], view, sun, pixel_m), np.random.default_rng(1))
    shift = height_km * 1000 * np.tan(np.radians(zenith)) / pixel_m
    expected = 80 + np.cos(np.radians(azimuth)) * shift, 80 - np.sin(np.radians(azimuth)) * shift
    assert centroid(truth == paint.CLOUD) == pytest.approx((80, 80), abs=1)
    assert centroid(truth == paint.SHADOW) == pytest.approx(expected, abs=1.5)


def test_shadow_falls_into_a_tile_that_does_not_hold_its_cloud() -> None:
    sun = Sun(60, 90)
    view = CanvasView((100, 100), (50, 50), (0.0, sun.tangent * 100))
    cloud = disc(KIND["cumulus"], 0.5, 40, 300, (100, 50 + 100 + 20))
    _, truth = paint_layers(land(100), Sky([cloud], view, sun, 10.0), np.random.default_rng(1))
    assert not (truth >= paint.THIN).any()
    assert (truth == paint.SHADOW).sum() > 150


def test_cloud_is_brighter_and_shadow_darker_than_land() -> None:
    clear = land(256)
    scene, truth = paint_clouds(clear, 11, coverage=0.4, sun=Sun(45, 130))
    assert (truth == paint.CLOUD).sum() > 500 and (truth == paint.SHADOW).sum() > 500
    assert scene[B02][truth == paint.CLOUD].mean() > 2 * LAND[B02]
    assert scene[B08][truth == paint.SHADOW].mean() < 0.8 * LAND[B08]
    assert np.quantile(np.abs(scene[B08][truth == paint.CLEAR] / LAND[B08] - 1), 0.99) < paint.DROP


@pytest.mark.parametrize(
    ("name", "base_km", "depth", "low", "high"), [("cirrus", 9.0, 2.0, 0.02, 0.3), ("cumulus", 1.0, 40.0, 0.0, 0.005)]
)
def test_cirrus_band_sees_high_cloud_only(name: str, base_km: float, depth: float, low: float, high: float) -> None:
    sun = Sun(40, 150)
    layer = disc(KIND[name], base_km, depth, 200, (100, 100), 20)
    view = CanvasView((100, 100), (50, 50), (0, 0))
    scene, truth = paint_layers(land(100), Sky([layer], view, sun, 10.0), np.random.default_rng(0))
    assert truth[50, 50] == (paint.THIN if name == "cirrus" else paint.CLOUD)
    assert low < scene[B10, 50, 50] - LAND[B10] < high


def test_sky_reaches_far_enough_for_the_longest_shadow() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sun = Sun(float(rng.uniform(18, 75)), float(rng.uniform(0, 360)))
        sky = draw_sky((64, 64), sun, 10.0, rng, None)
        for layer in sky.layers:
            assert layer.depth.shape == layer.height.shape
            if not layer.kind.ice:
                assert sky.view.cut(layer.depth, layer.top_km).shape == (64, 64)


def test_field_is_a_standard_one_and_stretches() -> None:
    field = clouds.draw_fractal((200, 120), 3.0, 30, np.random.default_rng(0))
    assert field.shape == (200, 120) and field.dtype == np.float32
    assert abs(field.mean()) < 0.01 and abs(field.std() - 1) < 0.01


def test_surface_and_top_of_atmosphere_are_inverse() -> None:
    surface = np.clip(land(16), 0.05, None)
    surface[spectra.B09] = surface[spectra.B8A]
    top = spectra.to_top(surface, 35, 0.1, 1.0)
    back = spectra.to_surface(top, 35, 0.1)
    visible = [BANDS.index(b) for b in ("B02", "B03", "B04", "B08", "B11", "B12")]
    np.testing.assert_allclose(back[visible], surface[visible], rtol=0.03)
    assert (top[B02] > surface[B02] * 0.9).all() and (back[B10] == 0).all()


def test_missing_bands_stay_missing() -> None:
    clear = land()
    clear[B10] = np.nan
    scene, _ = paint_clouds(clear, 1)
    assert np.isnan(scene[B10]).all() and np.isfinite(np.delete(scene, B10, 0)).all()


@pytest.mark.parametrize(("shape", "coverage", "words"), [((4, 8, 8), None, "13"), ((13, 8, 8), 1.5, "coverage=1.5")])
def test_wrong_use_is_refused(shape: tuple[int, ...], coverage: float | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        paint_clouds(np.zeros(shape, np.float32), 0, coverage=coverage)


def test_haze_brightens_dark_land_and_dims_bright_land() -> None:
    sun = Sun(40, 0)
    dark, bright = (tiles.add_haze(np.full((13, 4, 4), level, np.float32), sun, 0.5) for level in (0.02, 0.8))
    assert (dark[spectra.B02] > 0.02).all() and (bright[spectra.B08] < 0.8).all()
    np.testing.assert_allclose(tiles.add_haze(bright, sun, tiles.CLEAR_AIR), bright, rtol=1e-6)


def test_shadow_is_not_judged_where_hardly_any_ground_is_in_the_sun() -> None:
    truth = np.full((10, 10), paint.SHADOW, np.uint8)
    truth[:2] = paint.CLEAR
    assert (tiles.ignore_ambiguous_shadow(truth)[2:] == 0).all() and (
        tiles.ignore_ambiguous_shadow(truth)[:2] == paint.CLEAR
    ).all()
    truth[:4] = paint.CLEAR
    np.testing.assert_array_equal(tiles.ignore_ambiguous_shadow(truth), truth)
