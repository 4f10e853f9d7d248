"""Write a copy of a network that QGIS's Deepness plugin can open.

The plugin (version 0.6.5) refuses an input of variable size, and knows nothing of cards: the copy has a fixed size,
gives scores, and holds the scaling.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx

from kappamask.conversion.cards import QUANTIFICATION
from kappamask.files.atomic import atomic_write
from kappamask.models import ModelCard, read_weights
from kappamask.models.errors import ConversionError

__all__ = ["LEVEL_CHANNEL", "DeepnessModel", "make_deepness_metadata", "write_deepness_network"]

LEVEL_NAME: Final = "level (0 for L1C, 255 for L2A)"
"""Name of the input channel that says the level."""
SPATIAL_AXES: Final = (2, 3)
RESOLUTION_CM: Final = 1000
"""Networks of this project are trained on pixels of 10 m."""
BYTE: Final = 255
"""Deepness divides every number by this before it subtracts the mean."""
LEVEL_CHANNEL: Final = (0.0, BYTE / QUANTIFICATION)
"""Mean and deviation of the channel that says the level: a band of 0 (L1C) or 255 (L2A) becomes 0 or 1."""


def write_deepness_network(card: ModelCard, path: Path) -> Path:
    """Write a copy of a card's network for the plugin; return its path.

    Input: float32 (n, channel, window, window), the bands of the card, then the level if the network takes it, which
    the plugin scales from digital numbers (reflectance times 10000, no offset). Output: float32
    (n, class, window, window), scores from 0 to 1.

    Raises ConversionError for a network with more than one input or output, and CardError or WeightsError for one that
    cannot be read.
    """
    model = onnx.load_from_string(read_weights(card))
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        raise ConversionError(
            f"{card.file} has {len(model.graph.input)} inputs and {len(model.graph.output)} outputs; "
            "Deepness takes one of each."
        )
    if card.activation == "softmax":
        _append_softmax(model.graph)
    for value in (model.graph.input[0], model.graph.output[0]):
        for axis in SPATIAL_AXES:
            value.type.tensor_type.shape.dim[axis].dim_value = card.window
    onnx.helper.set_model_props(model, _describe_card(card))
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        onnx.save(model, draft)
    return path


def _append_softmax(graph: onnx.GraphProto) -> None:
    """Make scores of the logits: the plugin sets negative numbers to 0."""
    output = graph.output[0]
    logits, output.name = output.name, f"{output.name}_softmax"
    graph.node.append(onnx.helper.make_node("Softmax", [logits], [output.name], axis=1))


def _describe_card(card: ModelCard) -> dict[str, str]:
    moments = [(-one.bias / one.gain, 1 / one.gain) for one in card.scaling]
    channels = [*card.bands]
    if card.level_plane:
        moments.append(LEVEL_CHANNEL)
        channels.append(LEVEL_NAME)
    return make_deepness_metadata(DeepnessModel(card.output_names, moments, channels, card.window, card.overlap))


@dataclass(frozen=True)
class DeepnessModel:
    """What Deepness has to know of a network."""

    class_names: Sequence[str]
    """Of each output channel."""
    moments: Sequence[tuple[float, float]]
    """Of each input channel, what is subtracted and then divided by, in reflectance."""
    channels: Sequence[str]
    """Name of each input channel, for the user: Deepness takes them in this order."""
    window: int
    """Side of a tile in pixels."""
    overlap: int
    """Pixels at each side of a tile that the neighbour's tile also covers."""


def make_deepness_metadata(model: DeepnessModel) -> dict[str, str]:
    """Return the metadata, key -> JSON text.

    The scaling is that of digital numbers, reflectance times 10000 without an offset.
    """
    moments = [(mean * QUANTIFICATION / BYTE, deviation * QUANTIFICATION / BYTE) for mean, deviation in model.moments]
    facts = {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(model.class_names)),
        "resolution": RESOLUTION_CM,
        "tiles_size": model.window,
        "tile_size": model.window,  # the plugin's documentation has the other spelling, its code this one
        "tiles_overlap": -(-200 * model.overlap // model.window),  # percent, of both sides together
        "seg_thresh": 0.0,  # else pixels without a score of 0.5 get the first class
        "seg_small_segment": 0,
        "standardization_mean": [round(mean, 6) for mean, _ in moments],
        "standardization_std": [round(deviation, 6) for _, deviation in moments],
        "input_channels": list(model.channels),
    }
    return {key: json.dumps(value) for key, value in facts.items()}
