"""Networks by name: this project's compact one, and the grid that Domnich et al. (2021) compared.

All take `image` float32 (n, 14, y, x), z-scores of 13 bands and the level's plane, y and x multiples of `stride`, and
give logits (n, 4, y, x). The paper's own networks have 6 classes and no level plane.
"""

from __future__ import annotations

import re
from typing import Final

import torch
from torch import Tensor, nn

from kappamask.training.network import CHANNELS, CLASSES, HIGHEST, LOWEST, Compact

__all__ = ["DEPTHS", "FILTERS", "UNet", "UNetPlusPlus", "build", "check_name", "names"]

#: Depth and filters of the first level, of the paper's grid of U-Nets.
DEPTHS: Final = (5, 6, 7)
FILTERS: Final = (32, 64, 128)
#: KIND-DEPTH-FILTERS; fewer filters than the paper's are for trials.
NAMED: Final = r"(unet-[567]|unetpp-5)-[1-9]\d{0,2}"
DROPOUT: Final = 0.5


def names() -> list[str]:
    """What `build` knows: compact, unet-DEPTH-FILTERS, unetpp-5-64."""
    return ["compact", *(f"unet-{depth}-{filters}" for depth in DEPTHS for filters in FILTERS), "unetpp-5-64"]


def check_name(name: str) -> None:
    """Raises ValueError for a name that `names` does not list; of filters there may be any number."""
    if name != "compact" and not re.fullmatch(NAMED, name):
        raise ValueError(f"No architecture {name!r}: known are {', '.join(names())}.")


def build(name: str) -> nn.Module:
    """A network with fresh weights. Raises ValueError as `check_name` does."""
    check_name(name)
    if name == "compact":
        return Compact()
    kind, depth, filters = name.split("-")
    return {"unet": UNet, "unetpp": UNetPlusPlus}[kind](int(depth), int(filters))


class UNet(nn.Module):
    """U-Net of Ronneberger et al. (2015) as the paper uses it: no batch normalisation, nearest upsampling.

    Two 3 x 3 convolutions on each of `depth` levels of `filters`, 2 `filters`, …; dropout of 0.5 on the last two.
    Depth 5 with 64 filters has 31.0 million parameters.
    """

    def __init__(self, depth: int, filters: int) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(depth)]
        self.stride = 2 ** (depth - 1)
        self.down = nn.ModuleList(_pair(i, o) for i, o in zip([CHANNELS, *widths], widths, strict=False))
        self.up = nn.ModuleList(_up(2 * w, w) for w in reversed(widths[:-1]))
        self.join = nn.ModuleList(_pair(2 * w, w) for w in reversed(widths[:-1]))
        self.drop = nn.Dropout2d(DROPOUT)
        self.head = nn.Conv2d(filters, len(CLASSES), 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the four classes."""
        x, skips = torch.clamp(image, LOWEST, HIGHEST), []
        for level, pair in enumerate(self.down):
            x = pair(x if level == 0 else nn.functional.max_pool2d(x, 2))
            x = self.drop(x) if level >= len(self.down) - 2 else x
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, reversed(skips[:-1]), strict=True):
            x = join(torch.cat((skip, up(x)), dim=1))
        logits: Tensor = self.head(x)
        return logits


class UNetPlusPlus(nn.Module):
    """U-Net++ of Zhou et al. (2018) without deep supervision: node (i, j) sees all earlier nodes of its level."""

    def __init__(self, depth: int, filters: int) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(depth)]
        self.depth, self.stride = depth, 2 ** (depth - 1)
        self.down = nn.ModuleList(_pair(i, o) for i, o in zip([CHANNELS, *widths], widths, strict=False))
        nodes = [(i, j) for j in range(1, depth) for i in range(depth - j)]
        self.up = nn.ModuleDict({f"{i}-{j}": _up(widths[i + 1], widths[i]) for i, j in nodes})
        self.join = nn.ModuleDict({f"{i}-{j}": _pair((j + 1) * widths[i], widths[i]) for i, j in nodes})
        self.head = nn.Conv2d(filters, len(CLASSES), 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the four classes."""
        column = []
        x = torch.clamp(image, LOWEST, HIGHEST)
        for level, pair in enumerate(self.down):
            x = pair(x if level == 0 else nn.functional.max_pool2d(x, 2))
            column.append([x])
        for j in range(1, self.depth):
            for i in range(self.depth - j):
                below = self.up[f"{i}-{j}"](column[i + 1][j - 1])
                column[i].append(self.join[f"{i}-{j}"](torch.cat((*column[i], below), dim=1)))
        logits: Tensor = self.head(column[0][-1])
        return logits


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU()]
    return _started(nn.Sequential(*layers))


def _up(inputs: int, outputs: int) -> nn.Sequential:
    """Nearest upsampling and a 2 x 2 convolution, padded below and to the right."""
    layers = [nn.Upsample(scale_factor=2), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(inputs, outputs, 2), nn.ReLU()]
    return _started(nn.Sequential(*layers))


def _started(layers: nn.Sequential) -> nn.Sequential:
    """Weights drawn as He et al. (2015) say for ReLU, for there is no batch normalisation to mend their scale."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return layers
