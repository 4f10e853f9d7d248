"""Convert networks published as HDF5 weights, and fetch KappaZeta's by name.

Conversion writes a folder with `model.onnx` and `card.json`, of KappaZeta's weights or DL_L8S2_UV's. What is fetched is
pinned by its hash, converted and kept.
"""

import json
import shutil
from pathlib import Path
from typing import Final

from kappamask.conversion import dl_l8s2_uv
from kappamask.conversion.cards import OFFICIAL, RELEASE, write_document
from kappamask.conversion.keras_file import read_layers
from kappamask.conversion.official_architectures import CLASSES, DEEPLAB, UNET, Architecture
from kappamask.conversion.onnx_graph import Graph, WeightReader
from kappamask.files.atomic import atomic_write
from kappamask.files.download import Show, download, hash_file
from kappamask.files.untrusted import parse_json
from kappamask.models import CACHE, ModelCard, load_card
from kappamask.models.catalog import OFFICIAL_NETWORKS
from kappamask.models.errors import ConversionError

__all__ = ["ARCHITECTURES", "BUCKET", "convert", "fetch", "list_official", "put_card"]

ARCHITECTURES: Final[dict[str, Architecture]] = {
    "unet": UNET,
    "deeplabv3plus": DEEPLAB,
    dl_l8s2_uv.NAME: dl_l8s2_uv.ARCHITECTURE,
}
#: The bucket of KappaZeta's weights; its web site speaks plain HTTP only, the storage behind it HTTPS as well.
BUCKET: Final = f"https://kappamask.s3.eu-central-1.amazonaws.com/model_weights/{RELEASE}"


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
    reader, graph = WeightReader(weights.name, read_layers(weights), built.layers), Graph(plain=plain)
    scores = built.add_network(graph, reader, len(release.bands))
    source = hash_file(weights)
    facts = {"source_sha256": source, "architecture": architecture, "level": level, "head": built.head}
    data = graph.model(scores, len(release.bands), CLASSES, facts).SerializeToString()
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


def list_official() -> dict[str, tuple[str, str]]:
    """List what can be fetched: id of the card, and its architecture and level."""
    return dict(OFFICIAL_NETWORKS)


def fetch(
    name: str, *, mirror: str = BUCKET, source: Path | None = None, insecure: bool = False,
    cache: Path = CACHE, show: Show = lambda *_: None,
) -> ModelCard:  # fmt: skip
    """Return the card of the official network `name`, downloaded and converted if needed.

    mirror: URL of the folder that holds `l1c_unet.hdf5` and the others. source: a file to take instead, for machines
    without internet. insecure: allow plain HTTP. show: called with bytes done and bytes in all.
    The sha256 of the first file that can be converted is written down; another one is refused from then on, because
    none is published. Until a file has passed both tests, nothing that was there before is changed.
    Raises DownloadError for a failed download, and ConversionError for an unknown name, or a file that has changed or
    is no such network.
    """
    if name not in list_official():
        raise ConversionError(f"No official network {name!r}; there are {', '.join(list_official())}.")
    kind, level = list_official()[name]
    weights, pins = cache / f"{level.lower()}_{kind}.hdf5", cache / "pins.json"
    if source and not source.is_file():
        raise ConversionError(f"No file {source}.")
    if not source and not weights.exists():
        download(f"{mirror.rstrip('/')}/{weights.name}", weights, insecure=insecure, show=show)
    try:
        known = _check_pin(pins, weights.name, source or weights)
        card = convert(source or weights, kind, level, cache / name)
    except ConversionError:
        if not source:
            weights.unlink(missing_ok=True)
        raise
    if source:
        _copy(source, weights)
    _write_pins(pins, known)
    return card


def _copy(source: Path, weights: Path) -> None:
    with atomic_write(weights) as draft:
        shutil.copyfile(source, draft)


def _check_pin(pins: Path, name: str, file: Path) -> dict[str, str]:
    """Compare the hash of `file` with the known one; return the known hashes.

    Raises ConversionError if another one was recorded for `name`, or the record is damaged.
    """
    try:
        known: dict[str, str] = dict(parse_json(pins.read_bytes())) if pins.exists() else {}
    except (ValueError, TypeError) as error:
        raise ConversionError(f"{pins} cannot be read ({error}); delete it, and fetch the network again.") from error
    found = hash_file(file)
    if known.setdefault(name, found) != found:
        raise ConversionError(
            f"{name} has changed: its sha256 is {found}, at first it was {known[name]}. If that is right, delete its "
            f"line in {pins}."
        )
    return known


def _write_pins(pins: Path, known: dict[str, str]) -> None:
    with atomic_write(pins) as draft:
        draft.write_text(json.dumps(known, indent=2) + "\n")
