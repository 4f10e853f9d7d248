"""A small writer of ONNX graphs: NCHW, each method adds a node and returns the name of what it gives."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

#: ONNX Runtime 1.16 reads these.
OPSET, IR_VERSION = 17, 8
PRODUCER: Final = "kappamask-openeo"


class Graph:
    """Nodes in the order in which they were added; `plain` ones keep convolutions as they are, for eight bits."""

    def __init__(self, *, plain: bool = False) -> None:
        self.plain = plain
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node of one output."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        """A tensor; equal ones are kept once."""
        array = np.ascontiguousarray(values)
        name = f"c{len(self.constants)}"
        key = f"{array.dtype}{array.shape}{array.tobytes().hex()}" if array.size < 64 else name
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, name)
        return str(self.constants[key].name)

    def whole(self, *numbers: int) -> str:
        """A vector of whole numbers."""
        return self.constant(np.array(numbers, np.int64))

    def convolution(
        self, x: str, kernel: NDArray[np.float32], bias: NDArray[np.float32] | None = None, **attributes: Any
    ) -> str:
        """kernel: (out, in, y, x), as ONNX wants it."""
        tensors = [self.constant(kernel)] + ([] if bias is None else [self.constant(bias)])
        return self.add("Conv", x, *tensors, kernel_shape=list(kernel.shape[2:]), **attributes)

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def concatenated(self, *parts: str, axis: int = 1) -> str:
        return self.add("Concat", *parts, axis=axis)

    def enlarged(self, x: str, times: int, mode: str) -> str:
        """mode: nearest, or linear with the pixel centres of TensorFlow 2."""
        scales = self.constant(np.array([1, 1, times, times], np.float32))
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if mode == "nearest" else {}
        return self.add("Resize", x, "", scales, mode=mode, **how)

    def edge_padded(self, x: str, before: int, after: int) -> str:
        """The border pixel repeated: for a width of 1 what TensorFlow calls SYMMETRIC."""
        return self.add("Pad", x, self.whole(0, 0, before, before, 0, 0, after, after), mode="edge")

    def symmetric(self, x: str, width: int) -> str:
        """TensorFlow's SYMMETRIC for any width: the border is mirrored with its own pixel; ONNX has no word for it."""
        for axis in (2, 3):
            first = self._slice(x, width - 1, -(2**31), axis)
            last = self._slice(x, -1, -width - 1, axis)
            x = self.concatenated(first, x, last, axis=axis)
        return x

    def _slice(self, x: str, start: int, stop: int, axis: int) -> str:
        """Backwards along `axis`, from `start` to before `stop`."""
        return self.add("Slice", x, self.whole(start), self.whole(stop), self.whole(axis), self.whole(-1))

    def model(self, result: str, channels: int, classes: int, facts: dict[str, str]) -> onnx.ModelProto:
        """A checked model with input `image` (n, channels, y, x) and output `score` (n, classes, y, x)."""
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
