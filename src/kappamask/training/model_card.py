"""Write the card of a network that was trained with this project."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kappamask.files.atomic import atomic_write
from kappamask.models.card_document import DIMENSIONS, EXTENSIONS
from kappamask.models.catalog import DEFAULT_COLORS, SHA256_MULTIHASH, load_card

__all__ = ["MOMENTS", "build_card", "write_card"]

MOMENTS: dict[str, tuple[int, int]] = {
    "B01": (2104, 1612), "B02": (1861, 1638), "B03": (1697, 1645), "B04": (1612, 1822), "B05": (1848, 1815),
    "B06": (2621, 1861), "B07": (2969, 1966), "B08": (2877, 1914), "B8A": (3172, 2025), "B09": (1232, 1101),
    "B10": (157, 295), "B11": (1887, 1396), "B12": (1291, 1147),
}  # fmt: skip
"""Mean and standard deviation of each band in digital numbers, over the labelled L1C scenes that KappaZeta's U-Net
was trained on (published with km_predict, data_generator.py); used for both levels."""

QUANTIFICATION = 10_000
FILL = -2.0
"""Below every z-score that a reflectance of 0 or more can have (the lowest is -1.57, of B8A at 0)."""
SUBSTITUTES: Final = {"B08": "B8A"}
"""Absent band -> band whose values it takes. Without, networks hardly used B8A alone: shadow dice with B02 B03 B04 and
B8A, mean of 11 validation places, was 0.78; it is 0.93 with B8A for B08, and 0.92 with B08 itself."""
ARCHITECTURES = {"compact": "U-Net with space-to-depth stem and sub-pixel head"}
WINDOW, LOCAL_WINDOW = 640, 1152
OVERLAP = 64
"""A payload of 512 px. Measured against one window over a whole scene of 1200 px, 0.6 % of the pixels differ, and 0.8 %
where chunks are cropped; with 512 and 32 it was 2.1 and 2.4 %, for a fifth less work."""

CLASSES = (
    (0, "undefined", DEFAULT_COLORS[0], "not labelled"),
    (1, "clear", DEFAULT_COLORS[1], "neither cloud nor its shadow; snow, water and dark land included"),
    (2, "cloud_shadow", DEFAULT_COLORS[2], "shadow of a cloud"),
    (3, "semi_transparent_cloud", DEFAULT_COLORS[3], "cloud through which the land is seen, cirrus included"),
    (4, "cloud", DEFAULT_COLORS[4], "opaque cloud"),
    (5, "missing", DEFAULT_COLORS[5], "no data in a required band; from validity, not from the network"),
)
OUTPUT_CODES = (1, 2, 3, 4)
NOT_KAPPAZETA = "they are not KappaZeta's weights and KappaZeta has not endorsed them."
UNKNOWN_LICENCE = "other"
"""What STAC says where a licence has no SPDX name or nobody stated one."""


@dataclass(frozen=True)
class Owner:
    """Title, author and licence of a network."""

    title: str = ""
    """Left out, the id of the network."""
    author: str = ""
    licence: str = UNKNOWN_LICENCE
    """An SPDX name, or `other`."""

    @property
    def provenance(self) -> str:
        """Say who trained the weights, and that KappaZeta did not."""
        who = f"Weights of {self.author}, trained" if self.author else "Weights trained"
        return f"{who} with kappamask-openeo under KappaMask's class scheme; {NOT_KAPPAZETA}"


NOBODY: Final = Owner()
"""Of networks whose makers have not said who they are."""


def build_card(network: bytes, name: str, facts: dict[str, Any], date: str, owner: Owner) -> dict[str, Any]:
    """Describe `network`, stored as `name`.onnx, as a STAC Item with the MLM extension.

    facts: the trainer's, as `export.collect_facts` returns them.
    """
    weights = {
        "href": f"./{name}.onnx",
        "title": "Network with trained weights",
        "type": "application/octet-stream; framework=onnx",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "onnx",
        "file:size": len(network),
        "file:checksum": SHA256_MULTIHASH + hashlib.sha256(network).hexdigest(),
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(EXTENSIONS),
        "id": name,
        "geometry": None,
        "properties": {"datetime": f"{date}T00:00:00Z", **_build_properties(facts, name, owner)},
        "links": [],
        "assets": {"weights": weights},
    }


def _build_properties(facts: dict[str, Any], name: str, owner: Owner) -> dict[str, Any]:
    return {
        "description": owner.provenance,
        "license": owner.licence,
        **({"providers": [{"name": owner.author, "roles": ["producer"]}]} if owner.author else {}),
        "mlm:name": owner.title or name,
        "mlm:architecture": ARCHITECTURES.get(facts["architecture"], facts["architecture"]),
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "ONNX",
        "mlm:total_parameters": facts["parameters"],
        "mlm:pretrained": True,
        "mlm:accelerator": None,
        "mlm:input": [_describe_input()],
        "mlm:output": [_describe_output()],
        "kappamask:levels": ["L1C", "L2A"],
        "kappamask:required_bands": ["B02", "B03", "B04"],
        "kappamask:fill": FILL,
        "kappamask:level_plane": True,
        "kappamask:substitutes": dict(SUBSTITUTES),
        "kappamask:window": WINDOW,
        "kappamask:local_window": LOCAL_WINDOW,
        "kappamask:overlap": OVERLAP,
        "kappamask:stride": facts["stride"],
        "kappamask:output_values": list(OUTPUT_CODES),
        "kappamask:provenance": owner.provenance,
        "kappamask:accuracy": facts.get("accuracy", []),
        "kappamask:scenes": facts.get("scenes", []),
        "kappamask:training": {key: value for key, value in facts.items() if key not in ("accuracy", "scenes")},
    }


def _describe_input() -> dict[str, Any]:
    shape = [-1, len(MOMENTS) + 1, -1, -1]
    return {
        "name": "Sentinel-2 reflectance, L1C or L2A",
        "bands": list(MOMENTS),
        "input": {"shape": shape, "dim_order": list(DIMENSIONS), "data_type": "float32"},
        "value_scaling": [{"type": "z-score", "mean": mean, "stddev": stddev} for mean, stddev in _list_moments()],
        "pre_processing_function": None,
    }


def _describe_output() -> dict[str, Any]:
    shape = [-1, len(OUTPUT_CODES), -1, -1]
    return {
        "name": "softmax score of each class",
        "tasks": ["semantic-segmentation"],
        "result": {"shape": shape, "dim_order": list(DIMENSIONS), "data_type": "float32"},
        "classification:classes": [
            {"value": v, "name": n, "color_hint": c, "description": d} for v, n, c, d in CLASSES
        ],
    }


def _list_moments() -> list[tuple[float, float]]:
    """List mean and standard deviation of each band, in reflectance."""
    return [(mean / QUANTIFICATION, stddev / QUANTIFICATION) for mean, stddev in MOMENTS.values()]


def write_card(network: Path, facts: dict[str, Any], folder: Path, date: str, name: str, owner: Owner) -> Path:
    """Write network and card to `folder`, check the card, and return its path."""
    data = network.read_bytes()
    document = build_card(data, name, facts, date, owner)
    path = folder / f"{name}.json"
    for target, content in ((folder / f"{name}.onnx", data), (path, (json.dumps(document, indent=2) + "\n").encode())):
        with atomic_write(target) as draft:
            draft.write_bytes(content)
    load_card(path)
    return path
