"""Build the compact network, and what all networks of the trainer share: channels and classes."""

from typing import Final

import torch
from torch import Tensor, nn

from kappamask.training.simulator.spectra import BANDS

__all__ = [
    "CHANNELS",
    "CIRRUS_GAIN",
    "CIRRUS_LIMITS",
    "CLASSES",
    "DILATIONS",
    "HIGHEST",
    "LOWEST",
    "STRIDE",
    "WIDTHS",
    "Compact",
    "Residual",
    "build_convolution",
]

CHANNELS: Final = 14
CLASSES: Final = ("clear", "shadow", "semi_transparent", "cloud")
STRIDE: Final = 16
#: Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution; 4.2 GMAC for 512 x 512.
WIDTHS: Final = (16, 40, 96, 160)
#: Dilations of the residual blocks at 1/16; together they see more than 500 pixels to each side.
DILATIONS: Final = (1, 2, 4, 1)
LOWEST, HIGHEST = -2.0, 8.0
#: Limits of B10 in the compact network, reflectances of -0.001 and 0.025: faint cirrus moves B10 by a third of a
#: deviation, where thick cloud moves it by five and hid the difference (docs/training-rounds.md, fifth run).
CIRRUS_LIMITS: Final = (-0.75, 0.3)
#: Factor on the clipped B10, so that cirrus weighs as much as what other bands see.
CIRRUS_GAIN: Final = 12.0


def build_convolution(inputs: int, outputs: int, size: int = 3, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Build a convolution with batch normalisation and ReLU."""
    padding = dilation * (size - stride + 1) // 2 if stride > 1 else dilation * (size // 2)
    layer = nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two convolutions with a skip connection."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            build_convolution(width, width // 2, 1), build_convolution(width // 2, width, dilation=dilation)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width, y, x) to the same shape."""
        changed: Tensor = self.body(x)
        return x + changed


class Compact(nn.Module):
    """The compact U-Net, which classifies 13 bands and the level in four classes.

    `image` float32 (n, 14, y, x), z-scores of 13 bands and the level's plane, to logits (n, 4, y, x).

    y and x are multiples of 16; what is below -2 or above 8 is clipped, B10 to `CIRRUS_LIMITS`.
    Checkpoints with another `gain` are converted on loading: `load_state_dict` scales the first convolution.
    """

    gain: Tensor | None
    """Factor on each clipped channel, (14, 1, 1); None once it is part of the first convolution."""
    lowest: Tensor
    highest: Tensor

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.stride = STRIDE
        a, b, c, d = widths
        for name, usual, cirrus in (
            ("gain", 1.0, CIRRUS_GAIN), ("lowest", LOWEST, CIRRUS_LIMITS[0]), ("highest", HIGHEST, CIRRUS_LIMITS[1])
        ):  # fmt: skip
            values = torch.tensor([cirrus if band == "B10" else usual for band in (*BANDS, "level")])
            self.register_buffer(name, values[:, None, None], persistent=name == "gain")
        self.register_load_state_dict_pre_hook(_rescale_first_weights)
        self.stem = nn.Sequential(build_convolution(CHANNELS, a, 4, stride=2), build_convolution(a, a))
        self.down = nn.ModuleList(
            nn.Sequential(build_convolution(i, o, 4, stride=2), build_convolution(o, o))
            for i, o in ((a, b), (b, c), (c, d))
        )
        self.context = nn.Sequential(*(Residual(d, dilation) for dilation in DILATIONS))
        self.narrow = nn.ModuleList(build_convolution(i, o, 1) for i, o in ((d, c), (c, b), (b, a)))
        self.join = nn.ModuleList(build_convolution(2 * w, w) for w in (c, b, a))
        self.head = nn.Sequential(build_convolution(a, 32), nn.Conv2d(32, 4 * len(CLASSES), 1), nn.PixelShuffle(2))

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of the four classes."""
        clipped = torch.minimum(torch.maximum(image, self.lowest), self.highest)
        x = self.stem(clipped if self.gain is None else clipped * self.gain)
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


def _rescale_first_weights(network: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Scale the first weights of a state with another `gain` to that of `network`."""
    assert isinstance(network, Compact)
    name, first = f"{prefix}gain", f"{prefix}stem.0.0.weight"
    if network.gain is not None and name in state and not torch.equal(state[name], network.gain.to(state[name].device)):
        state[first] = state[first] * state[name] / network.gain.to(state[name].device)
        state[name] = network.gain.clone()
