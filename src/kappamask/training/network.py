"""The compact network: a small U-Net at half resolution with a sub-pixel head; stride 16, a wide view by dilation."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from kappamask.training.spectra import BANDS

CHANNELS: Final = 14
CLASSES: Final = ("clear", "shadow", "semi_transparent", "cloud")
STRIDE: Final = 16
#: Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution; 4.2 GMAC for 512 x 512.
WIDTHS: Final = (16, 40, 96, 160)
#: Dilations of the residual blocks at 1/16; together they see more than 500 pixels to each side.
DILATIONS: Final = (1, 2, 4, 1)
LOWEST, HIGHEST = -2.0, 8.0
#: Factor on the clipped inputs: cirrus moves B10 by a third of a deviation only, which would be learnt slowly.
GAIN: Final = tuple(4.0 if band == "B10" else 1.0 for band in (*BANDS, "level"))


def convolution(inputs: int, outputs: int, size: int = 3, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    padding = dilation * (size - stride + 1) // 2 if stride > 1 else dilation * (size // 2)
    layer = nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(width, width // 2, 1), convolution(width // 2, width, dilation=dilation))

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, y, x) to the same shape."""
        changed: Tensor = self.body(x)
        return x + changed


class Compact(nn.Module):
    """`image` float32 (n, 14, y, x), z-scores of 13 bands and the level's plane, to logits (n, 4, y, x).

    y and x are multiples of 16; what is below -2 or above 8 is clipped.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.stride = STRIDE
        a, b, c, d = widths
        self.register_buffer("gain", torch.tensor(GAIN)[:, None, None])
        self.stem = nn.Sequential(convolution(CHANNELS, a, 4, stride=2), convolution(a, a))
        self.down = nn.ModuleList(
            nn.Sequential(convolution(i, o, 4, stride=2), convolution(o, o)) for i, o in ((a, b), (b, c), (c, d))
        )
        self.context = nn.Sequential(*(Residual(d, dilation) for dilation in DILATIONS))
        self.narrow = nn.ModuleList(convolution(i, o, 1) for i, o in ((d, c), (c, b), (b, a)))
        self.join = nn.ModuleList(convolution(2 * w, w) for w in (c, b, a))
        self.head = nn.Sequential(convolution(a, 32), nn.Conv2d(32, 4 * len(CLASSES), 1), nn.PixelShuffle(2))

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the four classes."""
        x = self.stem(torch.clamp(image, LOWEST, HIGHEST) * self.gain)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        x = self.context(x)
        for narrow, join, skip in zip(self.narrow, self.join, reversed(skips), strict=True):
            up = nn.functional.interpolate(narrow(x), scale_factor=2.0, mode="nearest")
            x = join(torch.cat((up, skip), dim=1))
        logits: Tensor = self.head(x)
        return logits


class Scores(nn.Module):
    """A network with softmax behind it, as it is exported; `temperature` makes the scores honest, not other classes."""

    def __init__(self, network: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, image: Tensor) -> Tensor:
        """Scores (n, 4, y, x) that sum to 1 over the classes."""
        return torch.softmax(self.network(image) / self.temperature, dim=1)


def multiply_adds(network: nn.Module, size: int = 512) -> int:
    """Multiply-adds of all convolutions for one image of `size` x `size`."""
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
