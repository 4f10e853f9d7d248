"""Build networks by name: the compact U-Net, and the grid of Domnich et al. (2021).

All take `image` float32 (n, 14, y, x), z-scores of 13 bands and the level's plane, y and x multiples of `stride`, and
give logits (n, 4, y, x). The paper's own networks have 6 classes and no level plane.
"""

import re
from typing import Final

import torch
from torch import Tensor, nn

from kappamask.training.compact import CHANNELS, Compact
from kappamask.training.unet import UNet, UNetPlusPlus

__all__ = ["DEPTHS", "FILTERS", "build_network", "check_name", "list_names"]

#: Depth and filters of the first level, of the paper's grid of U-Nets.
DEPTHS: Final = (5, 6, 7)
FILTERS: Final = (32, 64, 128)
#: KIND-DEPTH-FILTERS; fewer filters than the paper's are for trials.
NAMED: Final = r"(unet-[567]|unetpp-5)-[1-9]\d{0,2}"


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
