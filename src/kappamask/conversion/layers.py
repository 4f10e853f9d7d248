"""Keras layers as ONNX: kernels turned round, batch normalisation folded into the convolution before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kappamask.conversion.errors import ConversionError
from kappamask.conversion.graph import Graph
from kappamask.conversion.keras_file import Layer

Array = NDArray[np.float32]
EPSILON: Final = 1e-3
"""Of Keras's batch normalisation."""


class Supply:
    """Layers of a file in order, each checked against the shape that the architecture asks for."""

    def __init__(self, name: str, layers: dict[str, list[Layer]], expected: dict[str, int]) -> None:
        found = {kind: len(layers.get(kind, ())) for kind in {*expected, *layers}}
        if found != expected:
            raise ConversionError(
                f"{name} holds {_counted(found)}; the architecture has {_counted(expected)}: another file."
            )
        self.name = name
        self.waiting: dict[str, Iterator[Layer]] = {kind: iter(found) for kind, found in layers.items()}

    def take(self, kind: str, **shapes: tuple[int, ...]) -> dict[str, Array]:
        """The next layer of `kind`. Raises ConversionError if its weights have other names or shapes than `shapes`."""
        layer = next(self.waiting[kind])
        found = {key: array.shape for key, array in layer.weights.items()}
        if found != shapes:
            raise ConversionError(
                f"{self.name}: layer {layer.name} has {found}, not {shapes}: wrong level or architecture."
            )
        return layer.weights


def _counted(kinds: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()) if count) or "no layers"


@dataclass(frozen=True)
class Norm:
    """Batch normalisation as `gain` and `shift` of each channel."""

    gain: Array
    shift: Array

    @classmethod
    def take(cls, supply: Supply, channels: int, kind: str = "batch_normalization") -> Norm:
        """The next one of the file."""
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        w = supply.take(kind, **dict.fromkeys(names, (channels,)))
        gain = w["gamma"].astype(np.float64) / np.sqrt(w["moving_variance"].astype(np.float64) + EPSILON)
        return cls(gain.astype(np.float32), (w["beta"] - w["moving_mean"] * gain).astype(np.float32))


def turned(kernel: Array) -> Array:
    """Keras's (y, x, in, out) as (out, in, y, x)."""
    return kernel.transpose(3, 2, 0, 1)


@dataclass(frozen=True)
class Convolution:
    """A convolution with its normalisation folded in: kernel (out, in, y, x) and bias (out,)."""

    kernel: Array
    bias: Array

    @classmethod
    def take(
        cls, supply: Supply, inputs: int, outputs: int, size: int, *, bias: bool, norm: bool = False
    ) -> Convolution:
        """The next one of the file, and the next normalisation."""
        shapes: dict[str, tuple[int, ...]] = {"kernel": (size, size, inputs, outputs)}
        w = supply.take("conv2d", **shapes, **({"bias": (outputs,)} if bias else {}))
        plain = cls(turned(w["kernel"]), w.get("bias", np.zeros(outputs, np.float32)))
        return plain.normalised(Norm.take(supply, outputs)) if norm else plain

    def normalised(self, norm: Norm) -> Convolution:
        """The same with `norm` after it."""
        return Convolution(self.kernel * norm.gain[:, None, None, None], self.bias * norm.gain + norm.shift)

    def apply(self, graph: Graph, x: str, **attributes: Any) -> str:
        """Adds it to `graph`, without padding unless `attributes` say so."""
        return graph.convolution(x, self.kernel, self.bias, **attributes)


@dataclass(frozen=True)
class Separable:
    """A depthwise convolution (in, 1, y, x) and the pointwise one after it."""

    depthwise: Array
    pointwise: Convolution

    @classmethod
    def take(cls, supply: Supply, inputs: int, outputs: int) -> Separable:
        """The next one of the file, 3 x 3, with its normalisation."""
        w = supply.take(
            "separable_conv2d", depthwise_kernel=(3, 3, inputs, 1), pointwise_kernel=(1, 1, inputs, outputs)
        )
        plain = Convolution(turned(w["pointwise_kernel"]), np.zeros(outputs, np.float32))
        return cls(w["depthwise_kernel"].transpose(2, 3, 0, 1), plain.normalised(Norm.take(supply, outputs)))

    def apply(self, graph: Graph, x: str) -> str:
        """Adds both to `graph`, the border pixel repeated around `x`."""
        padded = graph.edge_padded(x, 1, 1)
        return self.pointwise.apply(graph, graph.convolution(padded, self.depthwise, group=len(self.depthwise)))
