"""Quantise a network to eight bits: faster on some processors, slightly less exact."""

import hashlib
import json
import resource
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
from kappamask.datasets import Patch
from kappamask.evaluation.scene_kinds import list_scores, score_scenes, show_bands, summarise_figures
from kappamask.files.atomic import atomic_write
from kappamask.models import ModelCard, load_card
from kappamask.models.catalog import read_document
from kappamask.models.errors import ConversionError
from kappamask.models.mask_options import MaskOptions
from kappamask.udf import cloud_mask, inference
from kappamask.udf.prepare import prepare_inputs
from kappamask.udf.preprocess import find_valid, to_float32, to_tensor

__all__ = ["QuantisedNetwork", "quantise", "quantise_card", "quantise_on_scenes"]

#: The operators that cost something, and those that lie between them in `compact`: without these, each convolution
#: would convert its input and output, which takes half of what eight bits save.
CONVOLUTIONS: Final = ("Conv",)
OPERATORS: Final = ("Conv", "Relu", "Add", "Concat", "Resize")
#: Windows of a scene that ranges are measured on; as many others judge.
CALIBRATED: Final = 4
#: Labelled images that ranges are measured on, and the subsets of bands that each is shown with: absent bands have
#: values of their own in the network.
CALIBRATED_IMAGES: Final = 40
CALIBRATED_SUBSETS: Final = ("13", "6", "3")
#: Convolutions at each end that stay in 32 bits: the first sees reflectances, the last decides between two classes.
KEPT: Final = 4
FloatArray = NDArray[np.float32]


class _Images(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime is not typed
    def __init__(self, name: str, images: Iterable[FloatArray]) -> None:
        self.name = name
        self.images: Iterator[FloatArray] = iter(images)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        image = next(self.images, None)
        return None if image is None else {self.name: image[None]}


@dataclass(frozen=True)
class QuantisedNetwork:
    """A network of eight bits, and what it was measured to be."""

    card: ModelCard
    same_class: float
    """Share of the validation pixels that keep their class, over all subsets of bands."""
    times_faster: float
    """Seconds of the plain network by seconds of this one, for one window with one thread."""


def quantise(
    path: Path, out: Path, images: Iterable[FloatArray], kept: int = 0, operators: Sequence[str] = CONVOLUTIONS
) -> None:
    """Write the network at `path` to `out` with convolutions of eight bits.

    Their ranges are measured on `images`.

    images: float32 (channel, y, x) as the network takes them; their extremes are the ranges. kept: convolutions at each
    end that stay as they are. operators: types of the nodes that get eight bits, as ONNX names them.
    Weights are signed, one scale for each filter, and seven bits wide, because processors without VNNI add pairs of
    products in 16 bits, which eight would overflow.
    """
    whole = onnx.load(path)
    for i, node in enumerate(whole.graph.node):
        node.name = node.name or f"node_{i}"
    with atomic_write(out) as draft:
        quantize_static(
            whole, str(draft), _Images(whole.graph.input[0].name, images), QuantFormat.QDQ, list(operators),
            per_channel=True, reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            nodes_to_exclude=_list_kept(whole.graph, kept),
        )  # fmt: skip
        model = onnx.load(draft)
        model.ir_version = whole.ir_version
        onnx.helper.set_model_props(model, {one.key: one.value for one in whole.metadata_props})
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, draft)


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
    document["assets"]["weights"] |= _describe_asset(data)
    small = put_card(folder, document)
    return small, _compare_classes(card, small, images[1::2])


def quantise_on_scenes(card: ModelCard, patches: Sequence[Patch], folder: Path, kept: int = KEPT) -> QuantisedNetwork:
    """Quantise the network of `card` on labelled scenes to ID-int8.onnx, with a card.

    patches: those of the part `train` give the ranges, those of `validation` judge, with every subset of bands.
    kept: convolutions at each end that stay in 32 bits. The new card has scores of its own.
    Raises ConversionError where one of the two parts is empty.
    """
    train, judged = (_list_part(patches, part) for part in ("train", "validation"))
    images, path = _list_images(card, train), folder / f"{card.id}-int8.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    quantise(card.folder / card.file, path, images, kept, OPERATORS)
    document = _describe_quantised(card, path)
    small = _write_named_card(path, document)
    (_, exact), (figures, rough) = (_judge_classes(one, judged) for one in (card, small))
    same = sum(int((a == b).sum()) for a, b in zip(exact, rough, strict=True)) / sum(a.size for a in exact)
    document["properties"] |= {
        "kappamask:scenes": figures,
        "kappamask:quantised": {"sha256": card.sha256, "kept": kept, "same_class": round(same, 5)},
    }
    window = np.resize(images[0], (len(images[0]), card.window, card.window))
    slow, fast = (min(_time_inference(one, window)[1] for _ in range(3)) for one in (card, small))
    return QuantisedNetwork(_write_named_card(path, document), same, slow / fast)


def _list_part(patches: Sequence[Patch], part: str) -> list[Patch]:
    if found := [patch for patch in patches if patch.split == part]:
        return found
    raise ConversionError(f"No labelled scene is of the part {part}; needed are some of train and of validation.")


def _describe_quantised(card: ModelCard, path: Path) -> dict[str, Any]:
    """Make the document of the eight-bit network at `path` from its card, without scores."""
    document = read_document(card)
    document["id"] = path.stem
    document["assets"]["weights"] |= _describe_asset(path.read_bytes(), path.name)
    document["properties"].pop("kappamask:accuracy", None)
    document["properties"]["mlm:name"] += ", convolutions of eight bits"
    return document


def _write_named_card(network: Path, document: dict[str, Any]) -> ModelCard:
    """Write the card of a network next to it, and read it."""
    with atomic_write(network.with_suffix(".json")) as draft:
        draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return load_card(network.with_suffix(".json"))


def _list_images(card: ModelCard, patches: Sequence[Patch]) -> list[FloatArray]:
    """List evenly spread patches, each with the bands of every calibrated subset, as network input."""
    chosen = patches[:: max(1, len(patches) // CALIBRATED_IMAGES)]
    shown = (show_bands(patch, subset) for patch in chosen for subset in CALIBRATED_SUBSETS)
    return [_to_image(card, patch) for patch in shown if patch is not None]


def _to_image(card: ModelCard, patch: Patch) -> FloatArray:
    """Make network input of a patch, without what its stride leaves over."""
    height, width = (length // card.stride * card.stride for length in patch.truth.shape)
    cube = _to_cube(patch)[:, :height, :width]
    prepared = prepare_inputs(cube, MaskOptions(model=card, level=patch.level, radiometry="reflectance"))
    values = to_float32(prepared.cube.values)
    return to_tensor(values, find_valid(values, prepared.spec), prepared.spec)


def _judge_classes(card: ModelCard, patches: Sequence[Patch]) -> tuple[list[dict[str, Any]], list[NDArray[np.uint8]]]:
    """Score a network as a card has it; also return every mask that it made."""
    made: list[NDArray[np.uint8]] = []

    def classify(patch: Patch) -> NDArray[np.uint8]:
        mask = cloud_mask(_to_cube(patch), level=patch.level, model=card, radiometry="reflectance")
        made.append(np.asarray(mask.values, np.uint8))
        return made[-1]

    return list_scores(summarise_figures(score_scenes(classify, patches))), made


def _to_cube(patch: Patch) -> xr.DataArray:
    return xr.DataArray(patch.reflectance, dims=("bands", "y", "x"), coords={"bands": list(patch.bands)})


def _describe_asset(data: bytes, name: str = "model.onnx") -> dict[str, Any]:
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
