"""Write the scores of docs/results/real-scenes.json into the card of the released network.

`benchmarks/real_scenes.py score` makes that file. The card's key `kappamask:scenes` has mean and worst place by measure
and bands; `kappamask models show` prints it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kappamask.evaluation.scene_kinds import Figure, summarise_figures
from kappamask.files.atomic import atomic_write
from kappamask.models.card_document import SHA256_MULTIHASH

ROOT: Final = Path(__file__).parents[2]
FIGURES, CARD = ROOT / "docs" / "results" / "real-scenes.json", ROOT / "models" / "compact.json"
NETWORK: Final = "compact"


def main() -> None:
    """Update the card."""
    filled = fill_card(json.loads(CARD.read_text("utf-8")), json.loads(FIGURES.read_text("utf-8")))
    with atomic_write(CARD) as draft:
        draft.write_text(json.dumps(filled, indent=2) + "\n", encoding="utf-8")


def fill_card(card: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card with the scores `found`.

    Raises ValueError if they are of another network than the card's.
    """
    sha256 = card["assets"]["weights"]["file:checksum"].removeprefix(SHA256_MULTIHASH)
    if found["sha256"] != sha256:
        raise ValueError(f"The scores are of the network {found['sha256']}, the card of {sha256}: score it again.")
    table = summarise_figures(Figure(**one) for one in found["masks"][NETWORK])
    scenes = [
        {"measure": measure, "bands": subset, "mean": round(mean, 4), "worst": round(worst, 4)}
        for measure, subsets in table.items()
        for subset, (mean, worst) in subsets.items()
    ]
    return {**card, "properties": {**card["properties"], "kappamask:scenes": scenes}}


if __name__ == "__main__":
    main()
