"""Quantise a network to eight bits: faster on some processors, slightly less exact."""

import hashlib
import resource
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import onnx
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

__all__ = ["quantise", "quantise_card"]

#: The operators that cost something; the rest stays in 32 bits.
OPERATORS: Final = ["Conv"]
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


def quantise(path: Path, out: Path, images: Iterable[FloatArray]) -> None:
    """Write the network at `path` to `out` with convolutions of eight bits.

    Their ranges are measured on `images`.

    images: float32 (channel, y, x) as the network takes them. Weights are signed, one scale for each filter, and seven
    bits wide, because processors without VNNI add pairs of products in 16 bits, which eight would overflow.
    """
    whole = onnx.load(path)
    with atomic_write(out) as draft:
        quantize_static(
            str(path), str(draft), _Images(whole.graph.input[0].name, images), QuantFormat.QDQ, OPERATORS,
            per_channel=True, reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            extra_options={"CalibMovingAverage": True},
        )  # fmt: skip
        model = onnx.load(draft)
        model.ir_version = whole.ir_version
        onnx.helper.set_model_props(model, {one.key: one.value for one in whole.metadata_props})
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, draft)


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
    document["assets"]["weights"] |= _describe_asset(data)
    small = put_card(folder, document)
    return small, _compare_classes(card, small, images[1::2])


def _describe_asset(data: bytes) -> dict[str, Any]:
    return {"href": "./model.onnx", "file:checksum": "1220" + hashlib.sha256(data).hexdigest(), "file:size": len(data)}


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
    found = {one.id: [_time_inference(one, image) for image in images] for one in (card, small)}
    (exact, slow), (rough, fast) = (zip(*runs, strict=True) for runs in found.values())
    same = np.mean([(a == b).mean() for a, b in zip(exact, rough, strict=True)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"same_class": float(same), "times_faster": min(slow) / min(fast), "peak_mb": peak}


def _time_inference(card: ModelCard, image: FloatArray) -> tuple[NDArray[np.intp], float]:
    """Classes of `image`, and seconds with one thread, the network open before."""
    inference.open_session(card, 1)
    began = perf_counter()
    scores = inference.run_network(card, image[np.newaxis], 1)[0]
    return scores.argmax(axis=0), perf_counter() - began
