"""Quantise a network to eight bits: faster on some processors, slightly less exact."""

import hashlib
import resource
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import xarray as xr
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from kappamask.conversion.official_networks import put_card
from kappamask.files.atomic import atomic_write
from kappamask.models import ModelCard
from kappamask.models.catalog import read_document
from kappamask.models.errors import ConversionError
from kappamask.models.mask_options import MaskOptions
from kappamask.udf import inference
from kappamask.udf.prepare import prepare_inputs
from kappamask.udf.preprocess import find_valid, to_float32, to_tensor

__all__ = ["CONVOLUTIONS", "FloatArray", "describe_asset", "quantise", "quantise_card", "time_inference"]

#: The operators that cost something; the rest stays in 32 bits.
CONVOLUTIONS: Final = ("Conv",)
#: Windows of a scene that ranges are measured on; as many others judge.
CALIBRATED: Final = 4
FloatArray = NDArray[np.float32]


class _Images(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime is not typed
    def __init__(self, name: str, images: Iterable[FloatArray]) -> None:
        self.name = name
        self.images: Iterator[FloatArray] = iter(images)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        image = next(self.images, None)
        return None if image is None else {self.name: image[None]}


def quantise(
    path: Path, out: Path, images: Sequence[FloatArray], kept: int = 0, operators: Sequence[str] = CONVOLUTIONS
) -> None:
    """Write the network at `path` to `out` with convolutions of eight bits.

    Their ranges are measured on `images`.

    images: float32 (channel, y, x) as the network takes them; their extremes are the ranges. kept: convolutions at each
    end that stay as they are. operators: types of the nodes that get eight bits, as ONNX names them.
    Weights are signed, one scale for each filter, and seven bits wide, because processors without VNNI add pairs of
    products in 16 bits, which eight would overflow.
    """
    whole, named = onnx.load(path), onnx.load(path)
    for i, node in enumerate(named.graph.node):
        node.name = node.name or f"node_{i}"
    with atomic_write(out) as draft:
        quantize_static(
            named, str(draft), _Images(whole.graph.input[0].name, images), QuantFormat.QDQ, list(operators),
            per_channel=True, reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            nodes_to_exclude=_list_kept(named.graph, kept),
        )  # fmt: skip
        model = onnx.load(draft)
        if kept:
            _correct_bias(whole, model, images)
        model.ir_version = whole.ir_version
        onnx.helper.set_model_props(model, {one.key: one.value for one in whole.metadata_props})
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, draft)


def _correct_bias(whole: onnx.ModelProto, model: onnx.ModelProto, images: Sequence[FloatArray]) -> None:
    """Take the mean error of the last convolution's output back in its bias, in place."""
    biased = [node for node in model.graph.node if node.op_type == "Conv" and node.input[2:]]
    for last in biased[-1:]:
        error = _measure_mean(model, last.output[0], images) - _measure_mean(whole, last.output[0], images)
        bias = next(one for one in model.graph.initializer if one.name == last.input[2])
        corrected = onnx.numpy_helper.to_array(bias) - error
        bias.CopyFrom(onnx.numpy_helper.from_array(corrected.astype(np.float32), bias.name))


def _measure_mean(model: onnx.ModelProto, tensor: str, images: Sequence[FloatArray]) -> FloatArray:
    """Return the mean of each channel (channel,) of the tensor named `tensor` over all images."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    name = watched.graph.input[0].name
    means = [session.run([tensor], {name: image[None]})[0].mean(axis=(0, 2, 3)) for image in images]
    return np.asarray(np.mean(means, axis=0), np.float32)


def _list_kept(graph: onnx.GraphProto, kept: int) -> list[str]:
    """List the nodes at both ends, `kept` convolutions and what lies between them."""
    convolutions = [i for i, node in enumerate(graph.node) if node.op_type == "Conv"]
    inner = convolutions[kept : len(convolutions) - kept]
    first, last = (inner[0], inner[-1] + 2) if inner else (len(graph.node), len(graph.node))
    return [node.name for node in (*graph.node[:first], *graph.node[last:])]


def quantise_card(
    card: ModelCard, cube: xr.DataArray, folder: Path, plain: ModelCard | None = None
) -> tuple[ModelCard, dict[str, float]]:
    """Quantise the network of `card` to `folder`, with a card of its own.

    Also returns what was measured of both.

    cube: a scene with at least two windows of the network that hold data, numbers as `cloud_mask` takes them. One half
    of up to eight windows calibrates, the other judges: `same_class` is the share of its pixels that keep their class,
    `times_faster` compares seconds for one window with one thread, `peak_mb` is this process's.
    plain: the same network with its convolutions as they are, which eight bits are then made of.
    Raises ConversionError where the scene is too small, CubeError and RadiometryError as `cloud_mask` does.
    """
    images = _cut_windows(card, cube)
    folder.mkdir(parents=True, exist_ok=True)
    source = plain or card
    quantise(source.folder / source.file, folder / "model.onnx", images[::2])
    document = read_document(card)
    data = (folder / "model.onnx").read_bytes()
    document["id"] = f"{card.id}-int8"
    document["assets"]["weights"] |= describe_asset(data)
    small = put_card(folder, document)
    return small, _compare_classes(card, small, images[1::2])


def describe_asset(data: bytes, name: str = "model.onnx") -> dict[str, Any]:
    return {"href": f"./{name}", "file:checksum": "1220" + hashlib.sha256(data).hexdigest(), "file:size": len(data)}


def _cut_windows(card: ModelCard, cube: xr.DataArray) -> list[FloatArray]:
    """Cut up to twice `CALIBRATED` windows, spread over the scene, as network input."""
    prepared = prepare_inputs(cube, MaskOptions(model=card))
    cube, spec = prepared.cube, prepared.spec
    rows, columns = (range(0, cube.sizes[axis] - card.window + 1, card.window) for axis in ("y", "x"))
    corners = list(product(rows, columns))
    images = []
    for y, x in corners[:: max(1, len(corners) // (2 * CALIBRATED))][: 2 * CALIBRATED]:
        values = to_float32(cube[:, y : y + card.window, x : x + card.window].values)
        if (valid := find_valid(values, spec)).any():
            images.append(to_tensor(values, valid, spec))
    if len(images) < 2:
        count = f"The scene has {len(images)} windows of {card.window} px that hold data"
        raise ConversionError(f"{count}; needed are two or more, one to calibrate and one to judge.")
    return images


def _compare_classes(card: ModelCard, small: ModelCard, images: list[FloatArray]) -> dict[str, float]:
    found = {one.id: [time_inference(one, image) for image in images] for one in (card, small)}
    (exact, slow), (rough, fast) = (zip(*runs, strict=True) for runs in found.values())
    same = np.mean([(a == b).mean() for a, b in zip(exact, rough, strict=True)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"same_class": float(same), "times_faster": min(slow) / min(fast), "peak_mb": peak}


def time_inference(card: ModelCard, image: FloatArray) -> tuple[NDArray[np.intp], float]:
    """Return the classes of `image`, and the seconds with one thread, without opening."""
    inference.open_session(card, 1)
    began = perf_counter()
    scores = inference.run_network(card, image[np.newaxis], 1)[0]
    return scores.argmax(axis=0), perf_counter() - began
