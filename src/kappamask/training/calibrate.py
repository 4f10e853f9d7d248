"""One temperature for all scores, so that of pixels with a score of 0.8 about 80 % are what they are held to be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import nn

from kappamask.training.material import LANDSAT, VALIDATION, Ground, read_scene
from kappamask.training.simulate import ONLY_B10
from kappamask.training.spectra import FloatArray
from kappamask.training.tiles import make_tile
from kappamask.training.validate import logits

RANGE: Final = (0.25, 8.0)
BINS: Final = 15
#: Tiles that no training sees: their seeds lie beyond any count of tiles that one would make.
FIRST_SEED, TILES, STEP = 50_000_000, 24, 7


@dataclass(frozen=True)
class Sample:
    """Judged pixels: `logits` float32 (4, n), `truth` (n,) codes 1 to 4; if `merged`, 4 stands for 3 as well."""

    logits: FloatArray
    truth: NDArray[np.int64]
    merged: bool

    def scores(self, temperature: float) -> FloatArray:
        """Scores (class, n) of clear, shadow and the kinds of cloud, which are one class if they are merged."""
        scaled = self.logits / np.float32(temperature)
        share = np.exp(scaled - scaled.max(axis=0))
        share /= share.sum(axis=0)
        return np.concatenate([share[:2], share[2:].sum(axis=0, keepdims=True)]) if self.merged else share

    @property
    def index(self) -> NDArray[np.int64]:
        """Which of the classes of `scores` (n,) is true."""
        return np.minimum(self.truth - 1, 2) if self.merged else self.truth - 1


def samples(network: nn.Module, data: Path, ground: Ground) -> list[Sample]:
    """What the temperature is fitted to: both Landsat scenes and fresh simulated tiles, each as much as the other."""
    tiles = [make_tile(ground, FIRST_SEED + i, 256) for i in range(TILES)]
    painted = [
        _sample(network, t[:13].astype(np.float32) / np.float32(1e4), t[13] % ONLY_B10, merged=False) for t in tiles
    ]
    return [labelled(network, data / name) for name in LANDSAT] + painted


def labelled(network: nn.Module, path: Path) -> Sample:
    """The judged pixels of a labelled scene, whose labels do not part the clouds."""
    scene, truth = read_scene(path)
    assert truth is not None
    return _sample(network, scene, truth, merged=True)


def _sample(network: nn.Module, scene: FloatArray, truth: NDArray[Any], *, merged: bool) -> Sample:
    found, codes = logits(network, scene)[:, ::STEP, ::STEP], truth[::STEP, ::STEP].astype(np.int64)
    return Sample(found[:, codes > 0], codes[codes > 0], merged)


def fit_temperature(judged: list[Sample]) -> float:
    """The temperature that makes the true classes likeliest (Guo et al. 2017); every sample counts the same."""

    def unlikely(log_temperature: float) -> float:
        return float(np.mean([_loss(sample, float(np.exp(log_temperature))) for sample in judged]))

    return float(np.exp(minimize_scalar(unlikely, bounds=np.log(RANGE), method="bounded").x))


def _loss(sample: Sample, temperature: float) -> float:
    share = sample.scores(temperature)[sample.index, np.arange(len(sample.truth))]
    return float(-np.log(np.maximum(share, 1e-7)).mean())


def calibration_error(sample: Sample, temperature: float) -> float:
    """Expected calibration error: mean distance of score and share of right pixels over 15 bins of the best score."""
    scores = sample.scores(temperature)
    best, right = scores.max(axis=0), scores.argmax(axis=0) == sample.index
    where = np.minimum((best * BINS).astype(int), BINS - 1)
    count = np.bincount(where, minlength=BINS)
    gap = np.abs(np.bincount(where, best, BINS) - np.bincount(where, right, BINS))
    return float(gap.sum() / max(1, count.sum()))


def calibrate(network: nn.Module, data: Path, ground: Ground) -> dict[str, float]:
    """The fitted `temperature`, and the calibration error on the validation scene before and after it."""
    temperature = fit_temperature(samples(network, data, ground))
    judged = labelled(network, data / VALIDATION)
    return {
        "temperature": temperature,
        "validation_error_before": calibration_error(judged, 1.0),
        "validation_error": calibration_error(judged, temperature),
    }
