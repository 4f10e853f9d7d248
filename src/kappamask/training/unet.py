"""Build the U-Nets of Domnich et al. (2021)."""

from typing import Final

import torch
from torch import Tensor, nn

from kappamask.training.compact import CHANNELS, CLASSES, HIGHEST, LOWEST

__all__ = ["DROPOUT", "UNet", "UNetPlusPlus"]

DROPOUT: Final = 0.5


class UNet(nn.Module):
    """U-Net of Ronneberger et al. (2015) as the paper uses it.

    No batch normalisation, nearest upsampling.

    Two 3 x 3 convolutions on each of `depth` levels of `filters`, 2 `filters`, …; dropout of 0.5 on the last two.
    Depth 5 with 64 filters has 31.0 million parameters.
    """

    def __init__(self, depth: int, filters: int) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(depth)]
        self.stride = 2 ** (depth - 1)
        self.down = nn.ModuleList(_build_pair(i, o) for i, o in zip([CHANNELS, *widths], widths, strict=False))
        self.up = nn.ModuleList(_build_upsampling(2 * w, w) for w in reversed(widths[:-1]))
        self.join = nn.ModuleList(_build_pair(2 * w, w) for w in reversed(widths[:-1]))
        self.drop = nn.Dropout2d(DROPOUT)
        self.head = nn.Conv2d(filters, len(CLASSES), 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of the four classes."""
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
    """U-Net++ of Zhou et al. (2018) without deep supervision.

    Node (i, j) sees all earlier nodes of its level.
    """

    def __init__(self, depth: int, filters: int) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(depth)]
        self.depth, self.stride = depth, 2 ** (depth - 1)
        self.down = nn.ModuleList(_build_pair(i, o) for i, o in zip([CHANNELS, *widths], widths, strict=False))
        nodes = [(i, j) for j in range(1, depth) for i in range(depth - j)]
        self.up = nn.ModuleDict({f"{i}-{j}": _build_upsampling(widths[i + 1], widths[i]) for i, j in nodes})
        self.join = nn.ModuleDict({f"{i}-{j}": _build_pair((j + 1) * widths[i], widths[i]) for i, j in nodes})
        self.head = nn.Conv2d(filters, len(CLASSES), 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of the four classes."""
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


def _build_pair(inputs: int, outputs: int) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU()]
    return _initialise_weights(nn.Sequential(*layers))


def _build_upsampling(inputs: int, outputs: int) -> nn.Sequential:
    """Build nearest upsampling and a 2 x 2 convolution, padded below and to the right."""
    layers = [nn.Upsample(scale_factor=2), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(inputs, outputs, 2), nn.ReLU()]
    return _initialise_weights(nn.Sequential(*layers))


def _initialise_weights(layers: nn.Sequential) -> nn.Sequential:
    """Draw weights as He et al. (2015) do for ReLU.

    There is no batch normalisation that could correct their scale.
    """
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return layers
