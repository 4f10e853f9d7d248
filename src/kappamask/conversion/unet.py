"""Build the official U-Net: five levels of 64 to 1024 filters.

Nearest upsampling, a bottleneck of two channels, sigmoid.

After architectures.py of km_predict (2022): the scores of its six classes do not sum to 1.
"""

from __future__ import annotations

from typing import Final

from kappamask.conversion import winograd
from kappamask.conversion.onnx_graph import Convolution, Graph, WeightReader

FILTERS: Final = (64, 128, 256, 512, 1024)
BOTTLENECK, CLASSES = 2, 6
LAYERS: Final = {"conv2d": 24}
STRIDE: Final = 16
LEAST_SIDE: Final = 16
HEAD: Final = "sigmoid"


def add_network(graph: Graph, reader: WeightReader, channels: int) -> str:
    """Add the network behind the input `image` (n, channels, y, x); return its scores.

    y and x are multiples of 16.
    """
    x, skips = "image", []
    for level, filters in enumerate(FILTERS):
        if level:
            skips.append(x)
            x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = _add_pair(graph, reader, x, FILTERS[level - 1] if level else channels, filters)
    for filters, skip in zip(reversed(FILTERS[:-1]), reversed(skips), strict=True):
        up = Convolution.read(reader, 2 * filters, filters, 2, bias=True)
        # Keras's "same" for an even kernel pads after, not before.
        x = graph.relu(winograd.apply_upsampling(graph, x, up))
        x = _add_pair(graph, reader, graph.concatenate(skip, x), 2 * filters, filters)
    x = _add_convolution(graph, reader, x, FILTERS[0], BOTTLENECK)
    head = Convolution.read(reader, BOTTLENECK, CLASSES, 1, bias=True)
    return graph.add("Sigmoid", head.apply(graph, x))


def _add_pair(graph: Graph, reader: WeightReader, x: str, inputs: int, filters: int) -> str:
    return _add_convolution(graph, reader, _add_convolution(graph, reader, x, inputs, filters), filters, filters)


def _add_convolution(graph: Graph, reader: WeightReader, x: str, inputs: int, filters: int) -> str:
    layer = Convolution.read(reader, inputs, filters, 3, bias=True)
    return graph.relu(winograd.apply_convolution(graph, x, layer))
