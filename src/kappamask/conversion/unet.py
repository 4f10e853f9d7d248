"""The official U-Net: five levels of 64 to 1024 filters, nearest upsampling, a bottleneck of two channels, sigmoid.

After architectures.py of km_predict (2022): the scores of its six classes do not sum to 1.
"""

from __future__ import annotations

from typing import Final

from kappamask.conversion import winograd
from kappamask.conversion.onnx_graph import Convolution, Graph, Supply

FILTERS: Final = (64, 128, 256, 512, 1024)
BOTTLENECK, CLASSES = 2, 6
LAYERS: Final = {"conv2d": 24}
STRIDE: Final = 16
LEAST_SIDE: Final = 16
HEAD: Final = "sigmoid"


def build(graph: Graph, supply: Supply, channels: int) -> str:
    """Adds the network behind the input `image` (n, channels, y, x), y and x multiples of 16; returns its scores."""
    x, skips = "image", []
    for level, filters in enumerate(FILTERS):
        if level:
            skips.append(x)
            x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = _pair(graph, supply, x, FILTERS[level - 1] if level else channels, filters)
    for filters, skip in zip(reversed(FILTERS[:-1]), reversed(skips), strict=True):
        up = Convolution.take(supply, 2 * filters, filters, 2, bias=True)
        # Keras's "same" for an even kernel pads after, not before.
        x = graph.relu(winograd.enlarged(graph, x, up))
        x = _pair(graph, supply, graph.concatenated(skip, x), 2 * filters, filters)
    x = _convolved(graph, supply, x, FILTERS[0], BOTTLENECK)
    head = Convolution.take(supply, BOTTLENECK, CLASSES, 1, bias=True)
    return graph.add("Sigmoid", head.apply(graph, x))


def _pair(graph: Graph, supply: Supply, x: str, inputs: int, filters: int) -> str:
    return _convolved(graph, supply, _convolved(graph, supply, x, inputs, filters), filters, filters)


def _convolved(graph: Graph, supply: Supply, x: str, inputs: int, filters: int) -> str:
    layer = Convolution.take(supply, inputs, filters, 3, bias=True)
    return graph.relu(winograd.convolved(graph, x, layer))
