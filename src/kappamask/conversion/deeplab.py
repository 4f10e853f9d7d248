"""Build the official DeepLabv3+: aligned Xception at 1/16, pyramid pooling, softmax.

After architectures.py of km_predict (2022). Its shortcuts come from the shortcut before, not from the sum, and its
middle blocks end in a ReLU; both are kept, because the weights were trained so.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from kappamask.conversion import winograd
from kappamask.conversion.onnx_graph import Convolution, Graph, Separable, WeightReader

ENTRY: Final = (128, 256, 728)
MIDDLE, MIDDLE_BLOCKS = 728, 8
EXIT: Final = (728, 1024)
PYRAMID, LOW_LEVEL, CLASSES = 256, 48, 6
RATES: Final = (6, 12, 18)
#: Layers of the extractor's end, which the network does not use, are not in the file.
LAYERS: Final = {"conv2d": 15, "separable_conv2d": 32, "batch_normalization": 46}
STRIDE: Final = 16
#: Pixels below which a dilated convolution of the pyramid would be wider than what it sees.
LEAST_SIDE: Final = 288
HEAD: Final = "softmax"


def add_network(graph: Graph, reader: WeightReader, channels: int) -> str:
    """Add the network behind the input `image` (n, channels, y, x).

    y and x are multiples of 16, 288 px at least.

    Returns its scores. The pooled part sees the whole image, so scores depend on the size of the window.
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
    """The mean of the image, a 1 x 1 convolution and three dilated ones, joined."""
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
    """Ones (1, 1, y, x) in the size of `x`."""
    shape = graph.add("Shape", x, start=2)
    whole = graph.concatenate(graph.integers(1, 1), shape, axis=0)
    return graph.add("Expand", graph.constant(np.ones((1, 1, 1, 1), np.float32)), whole)
