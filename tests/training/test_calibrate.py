"""Temperature and calibration error against cases whose answer is known."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kappamask-openeo[train]')")


from kappamask.training.calibration import CalibrationSample, compute_calibration_error, fit_temperature


def draw_sample(
    temperature: float, *, merges_thin: bool = False, count: int = 40_000, seed: int = 0
) -> CalibrationSample:
    """Pixels whose truth is drawn from the softmax of their logits over `temperature`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (4, count)).astype(np.float32)
    share = np.exp(logits / temperature)
    share /= share.sum(axis=0)
    truth = (rng.random(count) > np.cumsum(share, axis=0)).sum(axis=0) + 1
    return CalibrationSample(logits, np.where(merges_thin & (truth == 3), 4, truth), merges_thin)


@pytest.mark.parametrize("merges_thin", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_truth_was_drawn_with_is_found(temperature: float, merges_thin: bool) -> None:
    sample = draw_sample(temperature, merges_thin=merges_thin)
    assert fit_temperature([sample]) == pytest.approx(temperature, rel=0.05)
    assert compute_calibration_error(sample, temperature) < 0.01
    assert compute_calibration_error(sample, 4 * temperature) > 0.05
    np.testing.assert_allclose(sample.scores(temperature).sum(axis=0), 1, rtol=1e-5)


def test_every_sample_counts_the_same_whatever_its_size() -> None:
    few, many = draw_sample(0.5, count=4_000), draw_sample(2.0, count=40_000, seed=1)
    assert 0.7 < fit_temperature([few, many]) < 1.9


def test_a_worked_example_of_the_error() -> None:
    sure = np.log(np.array([[0.9], [0.04], [0.03], [0.03]], np.float32))
    sample = CalibrationSample(np.repeat(sure, 10, axis=1), np.array([1] * 6 + [2] * 4), merges_thin=False)
    assert compute_calibration_error(sample, 1.0) == pytest.approx(0.9 - 0.6, abs=1e-5)
