"""The official architectures, U-Net and DeepLabv3+, as ONNX graphs.

After architectures.py of km_predict (2022).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from kappamask.conversion import winograd
from kappamask.conversion.onnx_graph import Convolution, Graph, Separable, WeightReader

__all__ = ["CLASSES", "DEEPLAB", "UNET", "Architecture"]

CLASSES: Final = 6
UNET_FILTERS: Final = (64, 128, 256, 512, 1024)
BOTTLENECK: Final = 2
ENTRY: Final = (128, 256, 728)
MIDDLE, MIDDLE_BLOCKS = 728, 8
EXIT: Final = (728, 1024)
PYRAMID, LOW_LEVEL = 256, 48
RATES: Final = (6, 12, 18)


@dataclass(frozen=True)
class Architecture:
    """What conversion needs of an architecture."""

    add_network: Callable[[Graph, WeightReader, int], str]
    """Adds the network behind the input `image` (n, channels, y, x) and returns the name of its scores."""
    layers: dict[str, int]
    """Kind of layer -> how many of them have weights in the file."""
    head: str
    """Function of the last layer."""
    stride: int
    """y and x must be multiples of it, px."""
    least_side: int
    """Smallest y and x, px."""


def add_unet(graph: Graph, reader: WeightReader, channels: int) -> str:
    """Add the U-Net behind the input `image` (n, channels, y, x); return its scores.

    Five levels of 64 to 1024 filters, nearest upsampling, a bottleneck of two channels, sigmoid: the scores of its six
    classes do not sum to 1. y and x are multiples of 16.
    """
    x, skips = "image", []
    for level, filters in enumerate(UNET_FILTERS):
        if level:
            skips.append(x)
            x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = _add_pair(graph, reader, x, UNET_FILTERS[level - 1] if level else channels, filters)
    for filters, skip in zip(reversed(UNET_FILTERS[:-1]), reversed(skips), strict=True):
        up = Convolution.read(reader, 2 * filters, filters, 2, bias=True)
        # Keras's "same" for an even kernel pads after, not before.
        x = graph.relu(winograd.apply_upsampling(graph, x, up))
        x = _add_pair(graph, reader, graph.concatenate(skip, x), 2 * filters, filters)
    x = _add_convolution(graph, reader, x, UNET_FILTERS[0], BOTTLENECK)
    head = Convolution.read(reader, BOTTLENECK, CLASSES, 1, bias=True)
    return graph.add("Sigmoid", head.apply(graph, x))


def _add_pair(graph: Graph, reader: WeightReader, x: str, inputs: int, filters: int) -> str:
    return _add_convolution(graph, reader, _add_convolution(graph, reader, x, inputs, filters), filters, filters)


def _add_convolution(graph: Graph, reader: WeightReader, x: str, inputs: int, filters: int) -> str:
    layer = Convolution.read(reader, inputs, filters, 3, bias=True)
    return graph.relu(winograd.apply_convolution(graph, x, layer))


def add_deeplab(graph: Graph, reader: WeightReader, channels: int) -> str:
    """Add DeepLabv3+ behind the input `image` (n, channels, y, x); return its scores.

    Aligned Xception at 1/16, pyramid pooling, softmax. Its shortcuts come from the shortcut before, not from the sum,
    and its middle blocks end in a ReLU; both are kept, because the weights were trained so. y and x are multiples of
    16, 288 px at least. The pooled part sees the whole image, so scores depend on the size of the window.
    """
    x = _apply_strided(graph, reader, "image", channels, 32)
    shortcut = graph.relu(_apply_padded(graph, reader, graph.relu(x), 32, 64))
    x, low = shortcut, ""
    for i, (inputs, filters) in enumerate(zip((64, *ENTRY), ENTRY, strict=False)):
        body = _apply_separable(graph, reader, graph.relu(x) if i else x, inputs, filters)
        body = _apply_separable(graph, reader, graph.relu(body), filters, filters)
        low = body if i == 1 else low
        shortcut = Convolution.read(reader, inputs, filters, 1, bias=False, norm=True).apply(
            graph, shortcut, strides=[2, 2]
        )
        x = graph.add("Add", shortcut, _apply_max_pooling(graph, body))
    x = _add_exit_flow(graph, reader, _add_middle_flow(graph, reader, x))
    x = _add_pyramid(graph, reader, x)
    low = graph.relu(Convolution.read(reader, ENTRY[1], LOW_LEVEL, 1, bias=False, norm=True).apply(graph, low))
    x = graph.concatenate(graph.resize(x, 4, "linear"), low)
    for inputs in (PYRAMID + LOW_LEVEL, PYRAMID):
        layer = Convolution.read(reader, inputs, PYRAMID, 3, bias=False, norm=True)
        x = graph.relu(winograd.apply_convolution(graph, x, layer, mirrored=True))
    # A 1 x 1 convolution and an interpolation can change places; before it, the convolution costs a sixteenth.
    head = Convolution.read(reader, PYRAMID, CLASSES, 1, bias=True).apply(graph, x)
    return graph.add("Softmax", graph.resize(head, 4, "linear"), axis=1)


def _apply_strided(graph: Graph, reader: WeightReader, x: str, inputs: int, filters: int) -> str:
    layer = Convolution.read(reader, inputs, filters, 3, bias=False, norm=True)
    return layer.apply(graph, graph.pad_edge(x, 0, 1), strides=[2, 2])


def _apply_padded(graph: Graph, reader: WeightReader, x: str, inputs: int, filters: int) -> str:
    layer = Convolution.read(reader, inputs, filters, 3, bias=False, norm=True)
    return layer.apply(graph, graph.pad_edge(x, 1, 1))


def _apply_separable(graph: Graph, reader: WeightReader, x: str, inputs: int, filters: int) -> str:
    return Separable.read(reader, inputs, filters).apply(graph, x)


def _apply_max_pooling(graph: Graph, x: str) -> str:
    """Return the largest of 3 x 3 pixels.

    A repeated border changes no maximum, so plain padding is the same.
    """
    return graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])


def _add_middle_flow(graph: Graph, reader: WeightReader, x: str) -> str:
    for _ in range(MIDDLE_BLOCKS):
        body = x
        for _ in range(3):
            body = _apply_separable(graph, reader, graph.relu(body), MIDDLE, MIDDLE)
        x = graph.add("Add", x, graph.relu(body))
    return x


def _add_exit_flow(graph: Graph, reader: WeightReader, x: str) -> str:
    for inputs, filters in zip((MIDDLE, *EXIT), EXIT, strict=False):
        x = _apply_separable(graph, reader, graph.relu(x), inputs, filters)
    return x


def _add_pyramid(graph: Graph, reader: WeightReader, x: str) -> str:
    """Join the mean of the image, a 1 x 1 convolution and three dilated ones."""
    mean = graph.add("GlobalAveragePool", x)
    pooled = graph.relu(Convolution.read(reader, EXIT[-1], PYRAMID, 1, bias=True, norm=True).apply(graph, mean))
    parts = [graph.relu(Convolution.read(reader, EXIT[-1], PYRAMID, 1, bias=False, norm=True).apply(graph, x))]
    for rate in RATES:
        layer = Convolution.read(reader, EXIT[-1], PYRAMID, 3, bias=False, norm=True)
        parts.append(graph.relu(layer.apply(graph, graph.pad_symmetric(x, rate), dilations=[rate, rate])))
    spread = graph.add("Mul", pooled, _ones_like(graph, x))
    joined = graph.concatenate(spread, *parts)
    return graph.relu(Convolution.read(reader, PYRAMID * 5, PYRAMID, 1, bias=False, norm=True).apply(graph, joined))


def _ones_like(graph: Graph, x: str) -> str:
    """Make ones (1, 1, y, x) in the size of `x`."""
    shape = graph.add("Shape", x, start=2)
    whole = graph.concatenate(graph.integers(1, 1), shape, axis=0)
    return graph.add("Expand", graph.constant(np.ones((1, 1, 1, 1), np.float32)), whole)


UNET: Final = Architecture(add_unet, {"conv2d": 24}, head="sigmoid", stride=16, least_side=16)
DEEPLAB: Final = Architecture(
    add_deeplab,
    {"conv2d": 15, "separable_conv2d": 32, "batch_normalization": 46},
    head="softmax",
    stride=16,
    least_side=288,
)
"""Layers of the extractor's end, which the network does not use, are not in the file. Below its least side a dilated
convolution of the pyramid would be wider than what it sees."""
