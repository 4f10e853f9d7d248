"""Convert HDF5 weights to a folder with `model.onnx` and `card.json`.

Those of KappaZeta, or of DL_L8S2_UV.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Final

from kappamask.conversion import deeplab, dl_l8s2_uv, unet
from kappamask.conversion.cards import describe_for_deepness, write_document
from kappamask.conversion.keras_file import read_layers
from kappamask.conversion.onnx_graph import Graph, WeightReader
from kappamask.conversion.releases import OFFICIAL
from kappamask.files.atomic import atomic_write
from kappamask.models import ModelCard, load_card
from kappamask.models.errors import ConversionError

ARCHITECTURES: Final[dict[str, ModuleType]] = {"unet": unet, "deeplabv3plus": deeplab, dl_l8s2_uv.NAME: dl_l8s2_uv}


def convert(weights: Path, architecture: str, level: str, folder: Path, *, plain: bool = False) -> ModelCard:
    """Write `folder`/model.onnx and `folder`/card.json of the official network in the HDF5 file `weights`.

    architecture: "unet", "deeplabv3plus", or "dl-l8s2-uv", which is not KappaZeta's. level: "L1C" or "L2A", which
        decides the bands and their scaling; of dl-l8s2-uv L1C, and its weights decide the bands.
    plain: leave convolutions as they are, slower, but fit for `quantise_card`.
    Returns the card. Raises ConversionError if the file is damaged, or not of that architecture and level.
    """
    if architecture == dl_l8s2_uv.NAME:
        return _write_files(folder, *dl_l8s2_uv.convert_weights(weights, level))
    if (architecture, level) not in OFFICIAL:
        known = ", ".join(f"{a} {lv}" for a, lv in OFFICIAL)
        raise ConversionError(f"No official network {architecture} {level}; there are {known}.")
    release, built = OFFICIAL[architecture, level], ARCHITECTURES[architecture]
    reader, graph = WeightReader(weights.name, read_layers(weights), built.LAYERS), Graph(plain=plain)
    scores = built.add_network(graph, reader, len(release.bands))
    source = hashlib.sha256(weights.read_bytes()).hexdigest()
    facts = {"source_sha256": source, "architecture": architecture, "level": level, "head": str(built.HEAD)}
    facts |= describe_for_deepness(release)
    data = graph.model(scores, len(release.bands), built.CLASSES, facts).SerializeToString()
    return _write_files(folder, data, write_document(data, architecture, level, release, built, source))


def _write_files(folder: Path, data: bytes, card: dict[str, object]) -> ModelCard:
    """Write the network, then the card."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "model.onnx") as draft:
        draft.write_bytes(data)
    return put_card(folder, card)


def put_card(folder: Path, card: dict[str, object]) -> ModelCard:
    """Write `folder`/card.json, whole or not at all, and read it."""
    with atomic_write(folder / "card.json") as draft:
        draft.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return load_card(folder / "card.json")
