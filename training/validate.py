"""Dice on whole labelled scenes and the share of clear ground kept clear, in one forward pass for each scene."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kappamask.training.batches import read_scene, to_input
from kappamask.training.network import STRIDE
from kappamask.training.spectra import FloatArray
from kappamask.training.surfaces import BACKGROUNDS

VALIDATION: Final = "labelled_l1c_cumulus_6band.npz"
LANDSAT: Final = ("labelled_landsat5_6band.npz", "labelled_landsat7_6band.npz")


def predict(network: nn.Module, reflectance: FloatArray, level: str = "L1C") -> NDArray[np.uint8]:
    """Codes 1 to 4 (y, x) for `reflectance` (13, y, x), mirrored at its end to multiples of the stride."""
    height, width = reflectance.shape[1:]
    pads = ((0, 0), (0, -height % STRIDE), (0, -width % STRIDE))
    image = torch.from_numpy(np.pad(to_input(reflectance, level), pads, mode="reflect"))[None]
    network.eval()
    with torch.no_grad():
        best = network(image).argmax(dim=1)[0, :height, :width]
    return np.asarray(best.numpy() + 1, np.uint8)


def dice(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float]:
    """Dice of clear, shadow and cloud, the two kinds of cloud merged; pixels of truth 0 are left out."""
    judged = truth > 0
    a, b = np.minimum(found[judged], 3), np.minimum(truth[judged], 3)
    return {
        name: float(2 * ((a == c) & (b == c)).sum() / max(1, (a == c).sum() + (b == c).sum()))
        for c, name in ((1, "clear"), (2, "shadow"), (3, "cloud"))
    }


def validate(network: nn.Module, data: Path) -> dict[str, float]:
    """Dice on the validation scene by class; `score`, the mean of cloud and shadow, chooses between checkpoints."""
    scene, truth = read_scene(data / VALIDATION)
    assert truth is not None
    result = dice(predict(network, scene), truth)
    return result | {"score": (result["cloud"] + result["shadow"]) / 2}


def sanity(network: nn.Module, data: Path) -> dict[str, dict[str, float]]:
    """Figures on training scenes: dice on both Landsat scenes, and the share kept clear of each clear background."""
    report: dict[str, dict[str, float]] = {}
    for name in LANDSAT:
        scene, truth = read_scene(data / name)
        assert truth is not None
        report[name] = dice(predict(network, scene), truth)
    for name, level in BACKGROUNDS.items():
        found = predict(network, read_scene(data / name)[0], level)
        report[name] = {"clear": float((found == 1).mean())}
    return report
