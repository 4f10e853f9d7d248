"""One hash of all that a card says, by which masks and jobs tell whether they are of the same network."""

import hashlib
import json
from dataclasses import asdict

from kappamask.models.card import ModelCard

__all__ = ["card_digest"]

PLACE = ("folder", "document")
"""Where a card lies, which changes nothing that it says."""


def card_digest(card: ModelCard) -> str:
    """Sha256, 64 hex digits, over every field of the card but where it lies; the same in any process."""
    said = {key: value for key, value in asdict(card).items() if key not in PLACE}
    text = json.dumps(said, sort_keys=True, default=sorted)  # sets, whose order Python changes with each process
    return hashlib.sha256(text.encode()).hexdigest()
