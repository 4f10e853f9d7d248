"""Thresholds of scores, for who wants more or less of a class than the best score gives."""

from collections.abc import Mapping
from typing import Any

from kappamask.models.card import ModelCard
from kappamask.models.errors import CubeError

__all__ = ["Thresholds", "check_thresholds"]

Thresholds = tuple[tuple[str, float], ...]
"""Class names of a card, each with the score, above 0 and up to 1, from which a pixel is of that class."""


def check_thresholds(card: ModelCard, given: Mapping[str, Any] | None) -> Thresholds:
    """`given` (class name -> score) in the card's order. Raises CubeError for another class or score."""
    names = card.output_names
    unknown = sorted(map(str, set(given or {}) - set(names)))
    if unknown:
        raise CubeError(f"No threshold can be set for {', '.join(unknown)}: {card.id} scores {', '.join(names)}.")
    for name, value in (given or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise CubeError(f"The threshold of {name} is {value!r}; needed is a score above 0 and up to 1, as 0.5.")
    return tuple((name, float((given or {})[name])) for name in names if name in (given or {}))
