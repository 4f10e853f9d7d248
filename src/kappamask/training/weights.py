"""Load, average and shift the weights of networks."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kappamask.models import WeightsError
from kappamask.training.compact import CLASSES, Compact

__all__ = ["average_weights", "fold_batch_norm", "fold_gain", "round_weights", "shift_class_odds"]


def load_pretrained(network: nn.Module, path: Path, images: Tensor) -> None:
    """Load the weights of the ONNX file at `path` into `network`.

    The file is one that `export_onnx` wrote, of the same architecture.

    Export folds every batch normalisation into its convolution. What it normalises by is measured again on `images`,
    float32 (n, 14, y, x), and undone by its scale and shift, so the network answers as the file does and a first
    training step starts from there. Raises WeightsError for a file of another architecture, or no ONNX.
    """
    stored = _read_convolutions(path)
    gains = [network.gain] if isinstance(network, Compact) and network.gain is not None else []

    def fill(layer: nn.Module, _: Any) -> None:
        weight, bias = next(stored, (torch.empty(0), torch.empty(0)))
        if not isinstance(layer, nn.Conv2d) or weight.shape != layer.weight.shape:
            raise WeightsError(
                f"{path} holds another architecture: its convolutions do not have this network's shapes."
            )
        layer.weight.copy_(weight / gains.pop().cpu() if gains else weight)
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


def _read_convolutions(path: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield weight and bias of each convolution, in the order of the graph.

    The factor on the input that files before 2026-11-29 hold is multiplied into the first.
    """
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except DecodeError as error:
        raise WeightsError(f"{path} is no ONNX file, or is cut off; a released network is needed.") from error
    stored = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    gain = stored.get("network.gain", torch.ones(()))
    for node in graph.node:
        if node.op_type == "Conv":
            weight, bias = (stored[name] for name in node.input[1:3])
            yield weight * gain, bias
            gain = torch.ones(())


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold each batch normalisation into the convolution before it, in place.

    The network is returned; it cannot be trained any more.
    """
    for parts in [part for part in network.eval().modules() if isinstance(part, nn.Sequential)]:
        for i, (layer, following) in enumerate(pairwise(parts)):
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                parts[i], parts[i + 1] = fuse_conv_bn_eval(layer, following), nn.Identity()
    return network


def fold_gain(network: nn.Module) -> nn.Module:
    """Fold the input factors of a compact network into its first convolution, in place.

    The network is returned; others come back as they are.
    """
    if isinstance(network, Compact) and network.gain is not None:
        first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
        with torch.no_grad():
            first.weight.mul_(network.gain)
        network.gain = None
    return network


def average_weights(networks: Sequence[nn.Module], shares: Sequence[float]) -> nn.Module:
    """Average the weights of folded networks of one architecture.

    shares: their weights, with the sum 1. The networks were trained from one another.

    It generalises better than either (Wortsman et al. 2022, "Model soups"). Statistics of batch normalisation have no
    mean that means anything: between a released network and one trained on from it, dice of cloud was 0.88 without
    folding and 0.91 with it (docs/training-rounds.md, round 12).
    """
    states = [network.state_dict() for network in networks]
    network = copy.deepcopy(networks[0])
    network.load_state_dict(
        {name: sum(share * state[name] for share, state in zip(shares, states, strict=True)) for name in states[0]}
    )
    return network


def shift_class_odds(network: nn.Module, odds: Mapping[str, float]) -> nn.Module:
    """Multiply the odds of classes in the logits of `network`, and return it.

    Simulated tiles, with patchworks of pixels, hold 0.10 of shadow for 1 of clear, KappaMask's test scenes 0.286 (8 and
    28 %, derived from Domnich et al. 2021): for scenes of that mix Bayes' rule gives 2.7 (Saerens et al. 2002). No
    scene's mix is known beforehand; docs/training-rounds.md says what each value gains and costs. They lie in the bias
    of the last convolution, so they take no time. Raises ValueError for a class of another name, or odds not above 0.
    """
    last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
    assert last.bias is not None
    for name, factor in odds.items():
        if name not in CLASSES:
            raise ValueError(f"Odds of {name!r} were given; known are {', '.join(CLASSES)}.")
        if not factor > 0:
            raise ValueError(f"{name} odds of {factor} were given; a number above 0 is needed, 1 to change nothing.")
        with torch.no_grad():
            last.bias.view(len(CLASSES), -1)[CLASSES.index(name)] += math.log(factor)
    return network


def round_weights(network: nn.Module) -> nn.Module:
    """Round the weights of convolutions to half precision, stored in 32 bits, and return `network`.

    The file then compresses to 60 % of its size in a wheel and an archive. Biases, where the odds of classes lie, stay
    as they are. Raises ValueError for a weight above 65504, the largest number of half precision.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            rounded = layer.weight.data.half().float()
            if not torch.isfinite(rounded).all():
                raise ValueError("A weight exceeds 65504: half precision has no such number.")
            layer.weight.data = rounded
    return network
