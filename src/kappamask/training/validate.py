"""Score a network on labelled scenes, and calibrate its temperature."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import nn

from kappamask.datasets import Patch
from kappamask.evaluation.scene_kinds import SUBSETS, list_scores, score_scenes, summarise_figures
from kappamask.training.architectures import STRIDE
from kappamask.training.augmentation import to_input
from kappamask.training.simulator.materials import (
    BACKGROUNDS,
    LANDSAT,
    PIXELS,
    VALIDATION,
    Ground,
    read_pixels,
    read_scene,
)
from kappamask.training.simulator.paint import ONLY_B10
from kappamask.training.simulator.spectra import BANDS, FloatArray
from kappamask.training.simulator.tiles import make_tile

__all__ = [
    "CalibrationSample",
    "calibrate",
    "collect_samples",
    "compute_calibration_error",
    "compute_dice",
    "fit_temperature",
    "judge_scenes",
    "predict_classes",
    "predict_logits",
    "sample_labelled",
    "score_backgrounds",
    "score_by_bands",
    "score_by_kind",
    "score_pixels",
    "validate",
]

#: Subsets of bands that a card has figures of, the fewest last; the validation scene has no more than the first.
CARD_SUBSETS: Final = tuple(SUBSETS[name] for name in ("6", "4", "3"))
#: Class names of `compute_dice` -> those of cards; the scene's labels do not separate the two kinds of cloud.
CARD_NAMES: Final = {"clear": "clear", "shadow": "cloud_shadow", "cloud": "cloud"}
#: Side of the chip of one colour that a single pixel is judged as, and the highest code that is no cloud.
CHIP, SHADOW = 64, 2
RANGE: Final = (0.25, 8.0)
BINS: Final = 15
#: Tiles that no training sees: their seeds lie beyond any count of tiles that one would make.
FIRST_SEED, TILES, STEP = 50_000_000, 24, 7


def predict_logits(network: nn.Module, reflectance: FloatArray, level: str = "L1C") -> FloatArray:
    """Predict logits (4, y, x) for `reflectance` (13, y, x).

    The image is mirrored at its end to multiples of the stride.
    """
    height, width = reflectance.shape[1:]
    stride = getattr(network, "stride", STRIDE)
    pads = ((0, 0), (0, -height % stride), (0, -width % stride))
    image = torch.from_numpy(np.pad(to_input(reflectance, level), pads, mode="reflect"))[None]
    network.eval()
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    with torch.no_grad():
        return np.asarray(network(image.to(device))[0, :, :height, :width].cpu().numpy())


def predict_classes(network: nn.Module, reflectance: FloatArray, level: str = "L1C") -> NDArray[np.uint8]:
    """Predict codes 1 to 4 (y, x) for `reflectance` (13, y, x)."""
    return np.asarray(predict_logits(network, reflectance, level).argmax(axis=0) + 1, np.uint8)


def compute_dice(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float]:
    """Return the dice of clear, shadow and cloud, both kinds of cloud merged.

    Pixels of truth 0 are left out.
    """
    judged = truth > 0
    a, b = np.minimum(found[judged], 3), np.minimum(truth[judged], 3)
    return {
        name: float(2 * ((a == c) & (b == c)).sum() / max(1, (a == c).sum() + (b == c).sum()))
        for c, name in ((1, "clear"), (2, "shadow"), (3, "cloud"))
    }


def validate(network: nn.Module, data: Path) -> dict[str, float]:
    """Return the dice on the validation scene and on the Landsat scenes.

    Of the Landsat scenes, that of cloud and shadow.

    `score` chooses between checkpoints: the mean dice of cloud and shadow over the three scenes, because one easy scene
    proves nothing.
    """
    figures: dict[str, float] = {}
    for name, label in ((VALIDATION, ""), (LANDSAT[0], "landsat5_"), (LANDSAT[1], "landsat7_")):
        scene, truth = read_scene(data / name)
        assert truth is not None
        figures |= {label + key: value for key, value in compute_dice(predict_classes(network, scene), truth).items()}
    judged = [value for key, value in figures.items() if not key.endswith("clear")]
    return figures | {"score": float(np.mean(judged))}


def score_by_kind(network: nn.Module, patches: Sequence[Patch]) -> list[dict[str, Any]]:
    """Score a network on labelled scenes as a card has it.

    Mean and worst place by measure and bands.
    """
    found = score_scenes(lambda patch: predict_classes(network, patch.stack(BANDS), patch.level), patches)
    return list_scores(summarise_figures(found))


def judge_scenes(network: nn.Module, patches: Sequence[Patch]) -> dict[str, float]:
    """Score a network on labelled scenes by what they show.

    Each measure as its mean over places and its worst place.

    `score` chooses between checkpoints: the mean over measures of the mean and the worst, half and half, so that a
    network that fails at one kind of place is not chosen for being good at the others.
    """

    def classify(patch: Patch) -> NDArray[np.uint8]:
        return predict_classes(network, patch.stack(BANDS), patch.level)

    found = summarise_figures(score_scenes(classify, patches))
    figures: dict[str, float] = {}
    for measure, subsets in found.items():
        if subsets:
            figures[measure] = float(np.mean([mean for mean, _ in subsets.values()]))
            figures[f"{measure} worst"] = min(worst for _, worst in subsets.values())
    return figures | {"score": float(np.mean(list(figures.values())))}


def score_by_bands(network: nn.Module, data: Path) -> list[dict[str, Any]]:
    """Return the dice on the validation scene with only each of `CARD_SUBSETS` given."""
    scene, truth = read_scene(data / VALIDATION)
    assert truth is not None
    found = []
    for bands in CARD_SUBSETS:
        shown = np.where(np.isin(BANDS, bands)[:, None, None], scene, np.float32(np.nan))
        figures = {
            CARD_NAMES[name]: round(value, 4)
            for name, value in compute_dice(predict_classes(network, shown), truth).items()
        }
        found.append({"bands": list(bands), "scene": VALIDATION, "dice": figures})
    return found


def score_pixels(network: nn.Module, data: Path) -> dict[str, float]:
    """Classify the held-out pixels, each as a chip of one colour.

    Returns the shares of cloudy and other pixels found as labelled, and the mean of both.
    """
    table = read_pixels(data, aside=True)
    found = [predict_classes(network, np.broadcast_to(row[:, None, None], (13, CHIP, CHIP))) for row in table.spectra]
    cloudy = np.array([codes[CHIP // 2, CHIP // 2] > SHADOW for codes in found])
    right = {"cloud": float(cloudy[table.cloudy].mean()), "not_cloud": float((~cloudy)[~table.cloudy].mean())}
    return right | {"balanced": (right["cloud"] + right["not_cloud"]) / 2, "count": float(len(cloudy))}


def score_backgrounds(network: nn.Module, data: Path) -> dict[str, dict[str, float]]:
    """Return the share of each clear background classified as clear, and `score_pixels`.

    The backgrounds are trained on.
    """
    report = {}
    for name, level in BACKGROUNDS.items():
        found = predict_classes(network, read_scene(data / name)[0], level)
        report[name] = {"clear": float((found == 1).mean())}
    return report | {PIXELS: score_pixels(network, data)}


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
