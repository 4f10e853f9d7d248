"""Count the multiply-adds of an ONNX network from its shapes at run time."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


def gmac_per_megapixel(path: Path, side: int = 256) -> float:
    """Count billions of multiply-adds for a million pixels of input.

    Of all convolutions, windows without overlap.

    An output pixel of a convolution takes one product for each weight of its filter.
    """
    model = onnx.load(path)
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    known = {value.name for value in model.graph.output}
    wanted = [name for node in layers for name in (node.output[0], node.input[1])]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(wanted) if name not in known)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    image = np.zeros((1, source.shape[1], side, side), np.float32)
    shapes = dict(zip(wanted, (found.shape for found in session.run(wanted, {source.name: image})), strict=True))
    total = sum(prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:]) for node in layers)
    return total / side**2 / 1e3
