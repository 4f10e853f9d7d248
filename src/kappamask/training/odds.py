"""Shift the odds of classes after training, where the training scenes do not hold them in the shares of real ones."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from kappamask.training.network import CLASSES

__all__ = ["shift_odds"]


def shift_odds(network: nn.Module, odds: Mapping[str, float]) -> nn.Module:
    """Multiply the odds of classes against all others in the logits of `network`, which is returned.

    Simulated tiles, with patchworks of pixels, hold 0.10 of shadow for 1 of clear, KappaMask's test scenes 0.286 (8 and
    28 %, derived from Domnich et al. 2021): for scenes of that mix Bayes' rule gives 2.7 (Saerens et al. 2002). No
    scene's mix is known beforehand; docs/training-rounds.md says what each value gains and costs. They lie in the bias
    of the last convolution, so they take no time. Raises ValueError for a class of another name, or odds not above 0.
    """
    last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
    assert last.bias is not None
    for name, factor in odds.items():
        if name not in CLASSES:
            raise ValueError(f"Odds of {name!r} were given; known are {', '.join(CLASSES)}.")
        if not factor > 0:
            raise ValueError(f"{name} odds of {factor} were given; a number above 0 is needed, 1 to change nothing.")
        with torch.no_grad():
            last.bias.view(len(CLASSES), -1)[CLASSES.index(name)] += math.log(factor)
    return network
