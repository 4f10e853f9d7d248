"""From a card to the bytes of its network, checked.

Networks are loaded from bytes whose hash was compared, never from a path: what was checked is what runs.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

from kappamask.models.card import ModelCard
from kappamask.models.catalog import load_card
from kappamask.models.errors import WeightsError
from kappamask.models.guard import check_onnx

__all__ = ["read_weights"]

MAX_BYTES = 1_500_000_000
"""Below the 2 GiB that one Protocol Buffers message may have; the largest official network has 124 MB."""


def read_weights(model: str | Path | ModelCard = "compact") -> bytes:
    """The network's file, verified against the sha256 in its card; read once per process.

    Raises WeightsError if the file is missing, has another hash, is no ONNX, or is not self-contained.
    """
    card = load_card(model)
    return _read(card.folder / card.file, card.sha256)


@lru_cache(maxsize=8)
def _read(path: Path, sha256: str) -> bytes:
    if not path.is_file():
        raise WeightsError(f"No weights: there is no file {path.name} beside its card. Install the package again.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise WeightsError(f"No weights: {path.name} is not readable beside its card ({error.strerror}).") from error
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
