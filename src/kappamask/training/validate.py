"""Score a network on labelled scenes, and calibrate its temperature."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kappamask.datasets import Patch
from kappamask.evaluation.scene_kinds import SUBSETS, list_scores, score_scenes, summarise_figures
from kappamask.training.augmentation import to_input
from kappamask.training.compact import STRIDE
from kappamask.training.simulator.materials import (
    BACKGROUNDS,
    LANDSAT,
    PIXELS,
    VALIDATION,
    read_pixels,
    read_scene,
)
from kappamask.training.simulator.spectra import BANDS, FloatArray

__all__ = [
    "compute_dice",
    "judge_scenes",
    "predict_classes",
    "predict_logits",
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
