"""KappaMask's codes and how a mask says what they mean."""

from typing import Any

import numpy as np

from kappamask.models import ModelCard

__all__ = ["CLEAR", "CLOUD", "MISSING", "SEMI_TRANSPARENT", "SHADOW", "UNDEFINED", "flag_attributes"]

UNDEFINED, CLEAR, SHADOW, SEMI_TRANSPARENT, CLOUD, MISSING = range(6)
"""As KappaZeta's code and KappaSet have them (0 undefined, 5 missing; some summaries swap these two)."""


def flag_attributes(card: ModelCard) -> dict[str, Any]:
    """CF flag attributes (CF conventions 3.5) for a mask with the classes of `card`."""
    return {
        "flag_values": np.array([c.value for c in card.classes], dtype=np.uint8),
        "flag_meanings": " ".join(c.name for c in card.classes),
        "flag_colors": " ".join(f"#{c.color_hint}" for c in card.classes),
    }
