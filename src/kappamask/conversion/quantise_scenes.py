"""Quantise a network on labelled scenes, which measure its ranges and what it loses."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.conversion.quantise import FloatArray, describe_asset, quantise, time_inference
from kappamask.datasets import Patch
from kappamask.evaluation.scene_kinds import list_scores, score_scenes, show_bands, summarise_figures
from kappamask.files.atomic import atomic_write
from kappamask.models import ModelCard, load_card
from kappamask.models.catalog import read_document
from kappamask.models.errors import ConversionError
from kappamask.models.mask_options import MaskOptions
from kappamask.udf import cloud_mask
from kappamask.udf.prepare import prepare_inputs
from kappamask.udf.preprocess import find_valid, to_float32, to_tensor

__all__ = ["QuantisedNetwork", "quantise_on_scenes"]

#: Operators that get eight bits: those that cost something, and those that lie between them in `compact`, without which
#: each convolution would convert its input and output and lose half of what eight bits save.
OPERATORS: Final = ("Conv", "Relu", "Add", "Concat", "Resize")
#: Labelled images that ranges are measured on, and the subsets of bands that each is shown with: absent bands have
#: values of their own in the network.
CALIBRATED_IMAGES: Final = 40
CALIBRATED_SUBSETS: Final = ("13", "6", "3")
#: Convolutions at each end that stay in 32 bits. Of the classes of all validation scenes and subsets of bands 0.26 %
#: change with 3 (`compact` of 2026-11-30); of the network before 0.20 % with 4, 0.27 % with 3 and 0.39 % with 2.
KEPT: Final = 3


@dataclass(frozen=True)
class QuantisedNetwork:
    """A network of eight bits, and what it was measured to be."""

    card: ModelCard
    same_class: float
    """Share of the validation pixels that keep their class, over all subsets of bands."""
    times_faster: float
    """Seconds of the plain network by seconds of this one, for one window with one thread."""


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
    slow, fast = (min(time_inference(one, window)[1] for _ in range(3)) for one in (card, small))
    return QuantisedNetwork(_write_named_card(path, document), same, slow / fast)


def _list_part(patches: Sequence[Patch], part: str) -> list[Patch]:
    if found := [patch for patch in patches if patch.split == part]:
        return found
    raise ConversionError(f"No labelled scene is of the part {part}; needed are some of train and of validation.")


def _describe_quantised(card: ModelCard, path: Path) -> dict[str, Any]:
    """Make the document of the eight-bit network at `path` from its card, without scores."""
    document = read_document(card)
    document["id"] = path.stem
    document["assets"]["weights"] |= describe_asset(path.read_bytes(), path.name)
    for measured in ("kappamask:accuracy", "kappamask:scenes"):
        document["properties"].pop(measured, None)
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
