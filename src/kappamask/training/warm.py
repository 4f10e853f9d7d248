"""Weights of a released network, back in a network that can be trained further."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import Tensor, nn

from kappamask.models import WeightsError


def take_weights(network: nn.Module, path: Path, images: Tensor) -> None:
    """Give `network` the weights of the ONNX file at `path`, which `export` wrote of the same architecture.

    Export folds every batch normalisation into its convolution. What it normalises by is measured anew on `images`,
    float32 (n, 14, y, x), and undone by its scale and shift, so the network answers as the file does and a first
    training step starts from there. Raises WeightsError for a file of another architecture, or no ONNX.
    """
    stored = _convolutions(path)

    def fill(layer: nn.Module, _: Any) -> None:
        weight, bias = next(stored, (torch.empty(0), torch.empty(0)))
        if not isinstance(layer, nn.Conv2d) or weight.shape != layer.weight.shape:
            raise WeightsError(
                f"{path} holds another architecture: its convolutions do not have this network's shapes."
            )
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(bias)
        carried[:] = [bias]

    def undo(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None
        variance, mean = torch.var_mean(given[0], dim=(0, 2, 3), correction=0)
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
        layer.weight.copy_((variance + layer.eps).sqrt())
        layer.bias.copy_(mean + carried[0])

    carried: list[Tensor] = []
    kinds = ((nn.Conv2d, fill), (nn.BatchNorm2d, undo))
    hooks = [
        m.register_forward_pre_hook(hook) for m in network.modules() for kind, hook in kinds if isinstance(m, kind)
    ]
    with torch.no_grad():
        network.eval()(images)
    for handle in hooks:
        handle.remove()


def _convolutions(path: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight and bias of each convolution, in the order in which they are reached."""
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except DecodeError as error:
        raise WeightsError(f"{path} is no ONNX file, or is cut off; a released network is needed.") from error
    stored = {one.name: one for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv":
            weight, bias = (torch.from_numpy(numpy_helper.to_array(stored[name]).copy()) for name in node.input[1:3])
            yield weight, bias
