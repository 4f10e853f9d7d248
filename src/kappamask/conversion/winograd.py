"""Winograd convolutions and fused upsampling, in standard ONNX operators.

Winograd's F(4 x 4, 3 x 3) (Lavin and Gray 2016) makes 16 outputs of a 3 x 3 convolution from 36 products, not 144. Its
transforms cost as much for every layer, so it pays from 128 channels on. Enlarging by the nearest pixel and a 2 x 2
convolution are together one 1 x 1 convolution of the image as it was, whose results are added up: 4 products, not 16.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kappamask.conversion.onnx_graph import Convolution, Graph

__all__ = [
    "apply_convolution",
    "apply_upsampling",
    "apply_winograd",
]

Array = NDArray[np.float32]
PAYS_FROM: Final = 128
TILE, STEP = 6, 4
#: The transforms of input, kernel and output for the points 0, 1, -1, 2, -2 and infinity (Lavin and Gray, section 4.3).
INPUT: Final = np.array(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
     [0, 4, 0, -5, 0, 1]], np.float64
)  # fmt: skip
KERNEL: Final = np.array(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
     [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]], np.float64
)  # fmt: skip
OUTPUT: Final = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float64
)  # fmt: skip
#: From four sums of taps, at a pixel and its right and lower neighbours, to the four pixels that it becomes: the first
#: is all taps of one pixel, and each step to the right or down swaps some of them for the neighbour's.
_ALL, _RIGHT, _DOWN, _BOTH = [[1, 0], [0, 0]], [[-1, 1], [0, 0]], [[-1, 0], [1, 0]], [[1, -1], [-1, 1]]
_NONE: Final = np.zeros((2, 2))
JOIN: Final = np.array(
    [[_ALL, _NONE, _NONE, _NONE], [_ALL, _RIGHT, _NONE, _NONE], [_ALL, _NONE, _DOWN, _NONE],
     [_ALL, _RIGHT, _DOWN, _BOTH]], np.float32
)  # fmt: skip


def apply_convolution(graph: Graph, x: str, layer: Convolution, *, mirrored: bool = False) -> str:
    """Apply `layer`, 3 x 3, to `x`, by the faster algorithm.

    Padding is zeros, or the border again if `mirrored`.
    """
    if not graph.plain and _is_worthwhile(layer):
        return apply_winograd(graph, x, layer, mirrored=mirrored)
    padded = graph.pad_edge(x, 1, 1) if mirrored else x
    return layer.apply(graph, padded, pads=[int(not mirrored)] * 4)


def _is_worthwhile(layer: Convolution) -> bool:
    """Return whether there are enough channels for Winograd's transforms to pay."""
    return layer.kernel.shape[2:] == (3, 3) and min(layer.kernel.shape[:2]) >= PAYS_FROM


def apply_winograd(graph: Graph, x: str, layer: Convolution, *, mirrored: bool = False) -> str:
    """Apply `layer`, 3 x 3, to `x` (1, channel, y, x) of any size.

    Padding is zeros, or the border again if `mirrored`.
    """
    outputs, inputs = layer.kernel.shape[:2]
    tiles = _transform_tiles(graph, x, inputs, mirrored=mirrored)
    flat = graph.add("Reshape", tiles, graph.integers(inputs, TILE**2, -1))
    products = graph.add("MatMul", _transform_kernels(graph, layer), graph.add("Transpose", flat, perm=[1, 0, 2]))
    columns = graph.add("Reshape", products, graph.integers(TILE**2, -1))
    back = graph.constant(np.kron(OUTPUT, OUTPUT).astype(np.float32))
    blocks = graph.add("Reshape", graph.add("MatMul", back, columns), _read_shape(graph, tiles, STEP**2 * outputs))
    whole = graph.add("DepthToSpace", blocks, blocksize=STEP, mode="DCR")
    biased = graph.add("Add", whole, graph.constant(layer.bias[:, None, None]))
    return _crop_like(graph, biased, x)


def _transform_tiles(graph: Graph, x: str, inputs: int, *, mirrored: bool) -> str:
    """Transform squares of 6 x 6, 4 apart: (1, inputs * 36, tiles, tiles)."""
    transform = np.kron(INPUT, INPUT).reshape(TILE**2, 1, TILE, TILE).astype(np.float32)
    kernel = np.tile(transform, (inputs, 1, 1, 1))
    # One pixel of border before; after it as many as the last square can need, of which the first is seen.
    padded = graph.pad_edge(x, 1, 1) if mirrored else x
    pads = [0, 0, STEP - 1, STEP - 1] if mirrored else [1, 1, STEP, STEP]
    return graph.convolution(padded, kernel, group=inputs, strides=[STEP, STEP], pads=pads)


def _transform_kernels(graph: Graph, layer: Convolution) -> str:
    """Transform the kernels to (36, out, in).

    The file holds the plain ones; ONNX Runtime folds the rest when opening.
    """
    outputs, inputs = layer.kernel.shape[:2]
    transform = graph.constant(np.kron(KERNEL, KERNEL).astype(np.float32))
    plain = graph.constant(layer.kernel.reshape(outputs * inputs, 9).T)
    return graph.add("Reshape", graph.add("MatMul", transform, plain), graph.integers(TILE**2, outputs, inputs))


def _read_shape(graph: Graph, tiles: str, channels: int) -> str:
    return graph.concatenate(graph.integers(1, channels), graph.add("Shape", tiles, start=2), axis=0)


def _crop_like(graph: Graph, x: str, like: str) -> str:
    """Crop `x` to the height and width of `like`."""
    return graph.add("Slice", x, graph.integers(0, 0), graph.add("Shape", like, start=2), graph.integers(2, 3))


def apply_upsampling(graph: Graph, x: str, layer: Convolution) -> str:
    """Enlarge `x` twice by the nearest pixel, then apply `layer`, 2 x 2.

    Zeros are padded after.
    """
    outputs = layer.kernel.shape[0]
    parts = graph.convolution(x, _sum_kernels(layer.kernel))
    joined = graph.convolution(
        parts, np.tile(JOIN, (outputs, 1, 1, 1)), np.repeat(layer.bias, 4), group=outputs, pads=[0, 0, 1, 1]
    )
    return graph.add("DepthToSpace", joined, blocksize=2, mode="CRD")


def _sum_kernels(kernel: Array) -> Array:
    """Sum taps to 1 x 1 kernels (4 * out, in, 1, 1).

    Of each output all taps, those to the right, those below, the one at both.
    """
    right, below = kernel[..., 1:].sum(axis=(2, 3)), kernel[:, :, 1:].sum(axis=(2, 3))
    sums = np.stack([kernel.sum(axis=(2, 3)), right, below, kernel[:, :, 1, 1]], axis=1)
    return np.asarray(sums.reshape(-1, kernel.shape[1], 1, 1), np.float32)
