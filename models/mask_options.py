"""Options of a mask, shared by Python, the command and the UDF."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kappamask.models.card import ModelCard
from kappamask.models.errors import CubeError

__all__ = ["MaskOptions", "Thresholds", "check_thresholds", "parse_level"]

Thresholds = tuple[tuple[str, float], ...]
"""Class names of a card, each with the score, above 0 and up to 1, from which a pixel is of that class."""
_LEVEL = re.compile(r"(?:S2MSI|LEVEL[ _-]?|L)(1C|2A)P?", re.IGNORECASE)
"""Ways to write a level: L2A, l2a, Level-2A as in products (Level-2Ap in early ones), S2MSI2A as in catalogues."""


def parse_level(text: Any) -> Any:
    """Return "L1C" or "L2A" for a text that means it, else what was given."""
    found = _LEVEL.fullmatch(text.strip()) if isinstance(text, str) else None
    return f"L{found[1].upper()}" if found else text


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """Options that decide the class of every pixel.

    The command and the UDF extend it with what only they know. All fields may be left out.
    """

    level: str | None = None
    """Product level, "L1C" or "L2A"; None where bands, the attribute `level` or the card decide."""
    model: str | Path | ModelCard = "compact"
    """Id of a card, path of a card, or the card itself."""
    radiometry: str = "auto"
    """What the numbers mean: "auto", "reflectance", "dn_harmonized" or "dn_offset"."""
    bands: tuple[str, ...] | None = None
    """Names of the bands in order, where a cube has none; of a cube with names, the bands to use."""
    scores: bool = False
    """Return the score of each class, too."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Class name to the score from which a pixel is of that class."""
    mosaic: str = "blended"
    """How windows are joined: "blended", or "vendor" as the network's own tool does ("own" is its earlier name)."""
    threads: int = 0
    """Threads of ONNX Runtime; 0 is one for each core. The mask does not depend on it."""
    device: str = "cpu"
    """What runs the network: "cpu", "cuda", "openvino", or "auto" for the first of these two that is installed."""


def check_thresholds(card: ModelCard, given: Mapping[str, Any] | None) -> Thresholds:
    """Check thresholds (class name -> score) and bring them to the card's order.

    Raises CubeError for another class or score.
    """
    names = card.output_names
    unknown = sorted(map(str, set(given or {}) - set(names)))
    if unknown:
        raise CubeError(f"No threshold can be set for {', '.join(unknown)}: {card.id} scores {', '.join(names)}.")
    for name, value in (given or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise CubeError(f"The threshold of {name} is {value!r}; needed is a score above 0 and up to 1, as 0.5.")
    return tuple((name, float((given or {})[name])) for name in names if name in (given or {}))
