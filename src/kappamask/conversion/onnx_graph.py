"""Write ONNX graphs, and Keras layers as ONNX nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from kappamask.conversion.keras_file import Layer
from kappamask.models.errors import ConversionError

__all__ = [
    "Convolution",
    "Graph",
    "Norm",
    "Separable",
    "WeightReader",
    "to_onnx_kernel",
]

#: ONNX Runtime 1.16 reads these.
OPSET, IR_VERSION = 17, 8
PRODUCER: Final = "kappamask-openeo"
Array = NDArray[np.float32]
EPSILON: Final = 1e-3
"""Of Keras's batch normalisation."""


class Graph:
    """Nodes in the order in which they were added.

    `plain` ones keep convolutions as they are, for eight bits.
    """

    def __init__(self, *, plain: bool = False) -> None:
        self.plain = plain
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        """Add a tensor; equal ones are kept once."""
        array = np.ascontiguousarray(values)
        name = f"c{len(self.constants)}"
        key = f"{array.dtype}{array.shape}{array.tobytes().hex()}" if array.size < 64 else name
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, name)
        return str(self.constants[key].name)

    def integers(self, *numbers: int) -> str:
        """Add a vector of whole numbers."""
        return self.constant(np.array(numbers, np.int64))

    def convolution(
        self, x: str, kernel: NDArray[np.float32], bias: NDArray[np.float32] | None = None, **attributes: Any
    ) -> str:
        """kernel: (out, in, y, x), as ONNX wants it."""
        tensors = [self.constant(kernel)] + ([] if bias is None else [self.constant(bias)])
        return self.add("Conv", x, *tensors, kernel_shape=list(kernel.shape[2:]), **attributes)

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def concatenate(self, *parts: str, axis: int = 1) -> str:
        return self.add("Concat", *parts, axis=axis)

    def resize(self, x: str, times: int, mode: str) -> str:
        """mode: nearest, or linear with the pixel centres of TensorFlow 2."""
        scales = self.constant(np.array([1, 1, times, times], np.float32))
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if mode == "nearest" else {}
        return self.add("Resize", x, "", scales, mode=mode, **how)

    def pad_edge(self, x: str, before: int, after: int) -> str:
        """Repeat the border pixel: for a width of 1 what TensorFlow calls SYMMETRIC."""
        return self.add("Pad", x, self.integers(0, 0, before, before, 0, 0, after, after), mode="edge")

    def pad_symmetric(self, x: str, width: int) -> str:
        """Pad as TensorFlow's SYMMETRIC does, for any width.

        The border is mirrored with its own pixel; ONNX has no operator for it.
        """
        for axis in (2, 3):
            first = self._add_slice(x, width - 1, -(2**31), axis)
            last = self._add_slice(x, -1, -width - 1, axis)
            x = self.concatenate(first, x, last, axis=axis)
        return x

    def _add_slice(self, x: str, start: int, stop: int, axis: int) -> str:
        """Slice backwards along `axis`, from `start` to before `stop`."""
        return self.add("Slice", x, self.integers(start), self.integers(stop), self.integers(axis), self.integers(-1))

    def model(self, result: str, channels: int, classes: int, facts: dict[str, str]) -> onnx.ModelProto:
        """Return a checked model with input `image` and output `score`.

        (n, channels, y, x) and (n, classes, y, x).
        """
        self.nodes[[node.output[0] for node in self.nodes].index(result)].output[0] = "score"
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", count, "y", "x"])
            for name, count in (("image", channels), ("score", classes))
        ]
        graph = helper.make_graph(self.nodes, PRODUCER, ends[:1], ends[1:], list(self.constants.values()))
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name=PRODUCER
        )
        helper.set_model_props(model, facts)
        onnx.checker.check_model(model, full_check=True)
        return model


class WeightReader:
    """Layers of a file in order, checked against the shapes of the architecture."""

    def __init__(self, name: str, layers: dict[str, list[Layer]], expected: dict[str, int]) -> None:
        found = {kind: len(layers.get(kind, ())) for kind in {*expected, *layers}}
        if found != expected:
            raise ConversionError(
                f"{name} holds {_format_count(found)}; the architecture has {_format_count(expected)}: another file."
            )
        self.name = name
        self.waiting: dict[str, Iterator[Layer]] = {kind: iter(found) for kind, found in layers.items()}

    def next_layer(self, kind: str, **shapes: tuple[int, ...]) -> dict[str, Array]:
        """Return the weights of the next layer of `kind`.

        Raises ConversionError if they have other names or shapes than `shapes`.
        """
        layer = next(self.waiting[kind])
        found = {key: array.shape for key, array in layer.weights.items()}
        if found != shapes:
            raise ConversionError(
                f"{self.name}: layer {layer.name} has {found}, not {shapes}: wrong level or architecture."
            )
        return layer.weights


def _format_count(kinds: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()) if count) or "no layers"


@dataclass(frozen=True)
class Norm:
    """Batch normalisation as `gain` and `shift` of each channel."""

    gain: Array
    shift: Array

    @classmethod
    def read(cls, reader: WeightReader, channels: int, kind: str = "batch_normalization") -> Norm:
        """Read the next one of the file."""
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        w = reader.next_layer(kind, **dict.fromkeys(names, (channels,)))
        gain = w["gamma"].astype(np.float64) / np.sqrt(w["moving_variance"].astype(np.float64) + EPSILON)
        return cls(gain.astype(np.float32), (w["beta"] - w["moving_mean"] * gain).astype(np.float32))


def to_onnx_kernel(kernel: Array) -> Array:
    """Convert Keras's (y, x, in, out) to (out, in, y, x)."""
    return kernel.transpose(3, 2, 0, 1)


@dataclass(frozen=True)
class Convolution:
    """A convolution with its normalisation folded in: kernel (out, in, y, x) and bias (out,)."""

    kernel: Array
    bias: Array

    @classmethod
    def read(
        cls, reader: WeightReader, inputs: int, outputs: int, size: int, *, bias: bool, norm: bool = False
    ) -> Convolution:
        """Read the next one of the file, and the next normalisation."""
        shapes: dict[str, tuple[int, ...]] = {"kernel": (size, size, inputs, outputs)}
        w = reader.next_layer("conv2d", **shapes, **({"bias": (outputs,)} if bias else {}))
        plain = cls(to_onnx_kernel(w["kernel"]), w.get("bias", np.zeros(outputs, np.float32)))
        return plain.fold_norm(Norm.read(reader, outputs)) if norm else plain

    def fold_norm(self, norm: Norm) -> Convolution:
        """Return the same with `norm` after it."""
        return Convolution(self.kernel * norm.gain[:, None, None, None], self.bias * norm.gain + norm.shift)

    def apply(self, graph: Graph, x: str, **attributes: Any) -> str:
        """Add it to `graph`, without padding unless `attributes` say so."""
        return graph.convolution(x, self.kernel, self.bias, **attributes)


@dataclass(frozen=True)
class Separable:
    """A depthwise convolution (in, 1, y, x) and the pointwise one after it."""

    depthwise: Array
    pointwise: Convolution

    @classmethod
    def read(cls, reader: WeightReader, inputs: int, outputs: int) -> Separable:
        """Read the next one of the file, 3 x 3, with its normalisation."""
        w = reader.next_layer(
            "separable_conv2d", depthwise_kernel=(3, 3, inputs, 1), pointwise_kernel=(1, 1, inputs, outputs)
        )
        plain = Convolution(to_onnx_kernel(w["pointwise_kernel"]), np.zeros(outputs, np.float32))
        return cls(w["depthwise_kernel"].transpose(2, 3, 0, 1), plain.fold_norm(Norm.read(reader, outputs)))

    def apply(self, graph: Graph, x: str) -> str:
        """Add both to `graph`, the border pixel repeated around `x`."""
        padded = graph.pad_edge(x, 1, 1)
        return self.pointwise.apply(graph, graph.convolution(padded, self.depthwise, group=len(self.depthwise)))
