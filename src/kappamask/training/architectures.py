"""Build networks by name: the compact U-Net, and the grid of Domnich et al. (2021).

All take `image` float32 (n, 14, y, x), z-scores of 13 bands and the level's plane, y and x multiples of `stride`, and
give logits (n, 4, y, x). The paper's own networks have 6 classes and no level plane.
"""

import re
from typing import Final

import torch
from torch import Tensor, nn

from kappamask.training.compact import CHANNELS, CLASSES, HIGHEST, LOWEST, Compact

__all__ = ["DEPTHS", "DROPOUT", "FILTERS", "UNet", "UNetPlusPlus", "build_network", "check_name", "list_names"]

DROPOUT: Final = 0.5
#: Depth and filters of the first level, of the paper's grid of U-Nets.
DEPTHS: Final = (5, 6, 7)
FILTERS: Final = (32, 64, 128)
#: KIND-DEPTH-FILTERS; fewer filters than the paper's are for trials.
NAMED: Final = r"(unet-[567]|unetpp-5)-[1-9]\d{0,2}"


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


class Scores(nn.Module):
    """A network with softmax behind it, as it is exported.

    `temperature` calibrates the scores and does not change the classes.
    """

    def __init__(self, network: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, image: Tensor) -> Tensor:
        """Return scores (n, 4, y, x) that sum to 1 over the classes."""
        return torch.softmax(self.network(image) / self.temperature, dim=1)


def count_multiply_adds(network: nn.Module, size: int = 512) -> int:
    """Count the multiply-adds of all convolutions for one image of `size` x `size`."""
    total = 0

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += output[0].numel() * layer.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        network.eval()(torch.zeros(1, CHANNELS, size, size))
    for hook in hooks:
        hook.remove()
    return total


def list_names() -> list[str]:
    """List the names that `build_network` knows: compact, unet-DEPTH-FILTERS, unetpp-5-64."""
    return ["compact", *(f"unet-{depth}-{filters}" for depth in DEPTHS for filters in FILTERS), "unetpp-5-64"]


def check_name(name: str) -> None:
    """Raise ValueError for a name that is no architecture.

    U-Nets may have any number of filters, also those that `list_names` leaves out.
    """
    if name != "compact" and not re.fullmatch(NAMED, name):
        raise ValueError(f"No architecture {name!r}: known are {', '.join(list_names())}.")


def build_network(name: str) -> nn.Module:
    """Build a network with fresh weights.

    Raises ValueError as `check_name` does.
    """
    check_name(name)
    if name == "compact":
        return Compact()
    kind, depth, filters = name.split("-")
    return {"unet": UNet, "unetpp": UNetPlusPlus}[kind](int(depth), int(filters))
