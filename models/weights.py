"""Read the network of a card, after checking its hash and its ONNX graph.

ONNX is Protocol Buffers. Only the wire format and the few fields below are needed to refuse what a network
from an untrusted source must not carry: tensors in other files, operators from other libraries, local functions.

Networks are loaded from bytes whose hash was compared, never from a path: what was checked is what runs.
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from kappamask.models.card import ModelCard
from kappamask.models.catalog import load_card
from kappamask.models.errors import WeightsError

__all__ = ["check_onnx", "read_weights"]

STANDARD_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
MAX_GRAPH_DEPTH = 32
_CHECKED_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "refused:training info", 25: "refused:a local function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute", 7: "domain"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "refused:external data", 14: "location"},
    "opset": {1: "domain"},
}
"""Message -> field number -> what that field holds (onnx.proto3); other fields are skipped."""
MAX_BYTES = 1_500_000_000
"""Below the 2 GiB that one Protocol Buffers message may have; the largest official network has 124 MB."""


def check_onnx(data: bytes) -> None:
    """Raise WeightsError unless `data` is a self-contained ONNX model of standard operators."""
    try:
        fields = _check_message(memoryview(data), "model", 0)
        if not {"graph", "opset"} <= fields:
            raise ValueError("it has no graph")
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise WeightsError(f"The file is not a whole ONNX network ({error}); fetch or convert it again.") from error


def _check_message(data: memoryview, message: str, depth: int) -> set[str]:
    """Check one message; return the kinds of field in it."""
    if depth > MAX_GRAPH_DEPTH:
        raise ValueError("graphs are nested too deeply")
    seen = set()
    for number, value in _read_fields(data):
        kind = _CHECKED_FIELDS[message].get(number, "")
        seen.add(kind)
        if kind in _CHECKED_FIELDS and isinstance(value, memoryview):
            _check_message(value, kind, depth + 1)
        elif kind:
            _check_field(kind, value)
    return seen


def _check_field(kind: str, value: memoryview | int) -> None:
    if kind.startswith("refused:"):
        raise WeightsError(f"The network holds {kind.removeprefix('refused:')}, which is not loaded: use one file.")
    if kind == "location" and value != 0:
        raise WeightsError("The network keeps tensors in other files (external data): save it as one file.")
    if kind == "domain" and isinstance(value, memoryview):
        domain = bytes(value).decode()
        if domain not in STANDARD_DOMAINS:
            raise WeightsError(f"The network uses operators of '{domain}': only standard ONNX operators are run.")


def _read_fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        wire = key & 7
        if wire == 0:
            value, position = _read_varint(data, position)
            yield key >> 3, value
            continue
        size, position = _read_varint(data, position) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), position)
        if size < 0 or position + size > len(data):
            raise ValueError("it is cut short or no Protocol Buffers message")
        yield key >> 3, data[position : position + size]
        position += size


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number in it is too long")


def read_weights(model: str | Path | ModelCard = "compact") -> bytes:
    """Read the network's file, verified by its card's sha256; once per process.

    Raises WeightsError if the file is missing, has another hash, is no ONNX, or is not self-contained.
    """
    card = load_card(model)
    return _read_verified(card.folder / card.file, card.sha256)


@lru_cache(maxsize=8)
def _read_verified(path: Path, sha256: str) -> bytes:
    if not path.is_file():
        raise WeightsError(f"No weights: there is no file {path.name} next to its card. Install the package again.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise WeightsError(f"No weights: {path.name} is not readable next to its card ({error.strerror}).") from error
    if len(data) > MAX_BYTES:
        raise WeightsError(f"{path.name} has more than {MAX_BYTES / 1e9} GB; ONNX files have at most 2.")
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise WeightsError(
            f"{path.name} is not the network of its card: sha256 is {found[:12]}…, the card says {sha256[:12]}…. "
            "Install the package again, or restore the file."
        )
    check_onnx(data)
    return data
