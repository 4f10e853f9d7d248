"""The simulator's checks on tiles of known colour."""

from pathlib import Path

import numpy as np
import pytest

from kappamask.training.simulator.realism import check_histograms, check_moments, check_shadows, read_tiles
from kappamask.training.simulator.spectra import BANDS, MEAN, STD

pytest.importorskip("scipy")


def tile(values: np.ndarray, code: int = 1) -> np.ndarray:
    """A tile (14, 32, 32) of reflectances `values`, (13,) or (13, 32, 32)."""
    scene = np.broadcast_to(values if values.ndim == 3 else values[:, None, None], (13, 32, 32)) * 10000
    return np.concatenate([scene.clip(0), np.full((1, 32, 32), code)]).round().astype(np.uint16)


def test_moments_are_compared_with_the_published_ones() -> None:
    noise = np.where(np.random.default_rng(0).random((13, 32, 32)) < 0.5, -1, 1) * STD[:, None, None]
    checks = check_moments([tile(MEAN[:, None, None] + noise)])
    by_name = {check.what: check for check in checks}
    assert len(checks) == 2 * len(BANDS)
    assert by_name["deviation of B02"].met and abs(by_name["deviation of B02"].figure) < 0.1
    dark = {check.what: check for check in check_moments([tile(MEAN / 2)])}
    assert dark["mean of B08"].figure == pytest.approx(-0.5, abs=0.01) and not dark["mean of B08"].met
    assert not dark["deviation of B08"].met


def test_a_real_colour_that_is_never_painted_shows() -> None:
    grey, white = np.full(13, 0.12, np.float32), np.full(13, 0.72, np.float32)
    scene = np.concatenate([np.full((13, 1, 30), 0.12), np.full((13, 1, 10), 0.4)], axis=2).astype(np.float32)
    truth = np.ones((1, 40), np.uint8)
    shares = [
        g.figure for g in check_histograms([tile(grey), tile(white, 4)], scene, truth) if g.what.startswith("clear")
    ]
    assert shares == [0.75] * 3
    both = check_histograms([tile(grey), tile(np.full(13, 0.4, np.float32))], scene, truth)
    assert all(g.met for g in both if g.what.startswith("clear"))


def paint_shadow(keeps: float) -> tuple[np.ndarray, np.ndarray]:
    """Paint a grey scene (13, 64, 64) with a shadow under a bright cloud.

    The shadow in its middle `keeps` a share of the light.
    """
    scene, truth = np.full((13, 64, 64), 0.2, np.float32), np.ones((64, 64), np.uint8)
    scene[:, 24:40, 24:40] *= keeps
    scene[:, :16, :16], truth[24:40, 24:40], truth[:16, :16] = 0.9, 2, 4
    return scene, truth


@pytest.mark.parametrize(("keeps", "met"), [(0.5, True), (0.6, True), (0.8, False), (0.3, False)])
def test_shadows_are_as_dark_as_real_ones_or_it_shows(keeps: float, met: bool) -> None:
    scene, truth = paint_shadow(keeps)
    painted = np.concatenate([scene * 10000, truth[None]]).round().astype(np.uint16)
    checks = check_shadows([painted], [paint_shadow(0.5), paint_shadow(0.55)])
    assert [check.figure for check in checks] == pytest.approx([keeps] * 3, abs=0.01)
    assert [check.met for check in checks] == [met] * 3


def test_no_tiles_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No tiles"):
        read_tiles(tmp_path, 4)


def test_tiles_are_taken_evenly(tmp_path: Path) -> None:
    for i in range(10):
        np.save(tmp_path / f"{i}.npy", np.full((14, 4, 4), i, np.uint16))
    assert [int(t[0, 0, 0]) for t in read_tiles(tmp_path, 3)] == [0, 3, 6]
