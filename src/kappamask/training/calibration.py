"""Calibrate the temperature of a network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import nn

from kappamask.training.simulator.materials import (
    LANDSAT,
    VALIDATION,
    Ground,
    read_scene,
)
from kappamask.training.simulator.paint import ONLY_B10
from kappamask.training.simulator.spectra import FloatArray
from kappamask.training.simulator.tiles import make_tile
from kappamask.training.validate import FIRST_SEED, STEP, TILES, predict_logits

__all__ = [
    "BINS",
    "RANGE",
    "CalibrationSample",
    "calibrate",
    "collect_samples",
    "compute_calibration_error",
    "fit_temperature",
    "sample_labelled",
]

RANGE: Final = (0.25, 8.0)
BINS: Final = 15


@dataclass(frozen=True)
class CalibrationSample:
    """Logits and true classes of labelled pixels.

    `logits` float32 (4, n), `truth` (n,) codes 1 to 4; if `merges_thin`, 4 stands for 3 as well.
    """

    logits: FloatArray
    truth: NDArray[np.int64]
    merges_thin: bool

    def scores(self, temperature: float) -> FloatArray:
        """Return scores (class, n) of clear, shadow and the kinds of cloud.

        The kinds of cloud are one class if they are merged.
        """
        scaled = self.logits / np.float32(temperature)
        share = np.exp(scaled - scaled.max(axis=0))
        share /= share.sum(axis=0)
        return np.concatenate([share[:2], share[2:].sum(axis=0, keepdims=True)]) if self.merges_thin else share

    @property
    def index(self) -> NDArray[np.int64]:
        """Index (n,) of the true class in `scores`."""
        return np.minimum(self.truth - 1, 2) if self.merges_thin else self.truth - 1


def collect_samples(network: nn.Module, data: Path, ground: Ground) -> list[CalibrationSample]:
    """Collect the samples that the temperature is fitted to.

    Both Landsat scenes and new simulated tiles, each with the same weight.
    """
    tiles = [make_tile(ground, FIRST_SEED + i, 256) for i in range(TILES)]
    painted = [
        _take_sample(network, t[:13].astype(np.float32) / np.float32(1e4), t[13] % ONLY_B10, merges_thin=False)
        for t in tiles
    ]
    return [sample_labelled(network, data / name) for name in LANDSAT] + painted


def sample_labelled(network: nn.Module, path: Path) -> CalibrationSample:
    """Sample a labelled scene whose labels do not separate the kinds of cloud."""
    scene, truth = read_scene(path)
    assert truth is not None
    return _take_sample(network, scene, truth, merges_thin=True)


def _take_sample(network: nn.Module, scene: FloatArray, truth: NDArray[Any], *, merges_thin: bool) -> CalibrationSample:
    found, codes = predict_logits(network, scene)[:, ::STEP, ::STEP], truth[::STEP, ::STEP].astype(np.int64)
    return CalibrationSample(found[:, codes > 0], codes[codes > 0], merges_thin)


def fit_temperature(judged: list[CalibrationSample]) -> float:
    """Fit the temperature that maximises the likelihood of the true classes.

    See Guo et al. 2017; every sample has the same weight.
    """

    def log_loss(log_temperature: float) -> float:
        return float(np.mean([_compute_log_loss(sample, float(np.exp(log_temperature))) for sample in judged]))

    return float(np.exp(minimize_scalar(log_loss, bounds=np.log(RANGE), method="bounded").x))


def _compute_log_loss(sample: CalibrationSample, temperature: float) -> float:
    share = sample.scores(temperature)[sample.index, np.arange(len(sample.truth))]
    return float(-np.log(np.maximum(share, 1e-7)).mean())


def compute_calibration_error(sample: CalibrationSample, temperature: float) -> float:
    """Return the expected calibration error over 15 bins of the best score.

    The mean distance between the score and the share of correct pixels.
    """
    scores = sample.scores(temperature)
    best, right = scores.max(axis=0), scores.argmax(axis=0) == sample.index
    where = np.minimum((best * BINS).astype(int), BINS - 1)
    count = np.bincount(where, minlength=BINS)
    gap = np.abs(np.bincount(where, best, BINS) - np.bincount(where, right, BINS))
    return float(gap.sum() / max(1, count.sum()))


def calibrate(network: nn.Module, data: Path, ground: Ground) -> dict[str, float]:
    """Fit the `temperature`; also return the calibration error before and after it.

    The error is that on the validation scene.
    """
    temperature = fit_temperature(collect_samples(network, data, ground))
    judged = sample_labelled(network, data / VALIDATION)
    return {
        "temperature": temperature,
        "validation_error_before": compute_calibration_error(judged, 1.0),
        "validation_error": compute_calibration_error(judged, temperature),
    }
