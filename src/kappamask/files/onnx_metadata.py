"""Write the metadata by which QGIS's Deepness plugin reads an ONNX network.

Texts of JSON in the `metadata_props` of the file, as the plugin's documentation and its version 0.6.5 have them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["LEVEL_CHANNEL", "DeepnessModel", "make_deepness_metadata"]

RESOLUTION_CM: Final = 1000
"""Networks of this project are trained on pixels of 10 m."""
BYTE: Final = 255
"""Deepness divides every number by this before it subtracts the mean."""
QUANTIFICATION: Final = 10_000
"""Digital numbers of a reflectance of 1."""
LEVEL_CHANNEL: Final = (0.0, BYTE / QUANTIFICATION)
"""Mean and deviation of the channel that says the level: a band of 0 (L1C) or 255 (L2A) becomes 0 or 1."""


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
