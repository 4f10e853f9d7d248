"""The card of the released network has the scores that its documentation has."""

import json

import card_scores
import pytest

CARD = json.loads(card_scores.CARD.read_text("utf-8"))
FOUND = json.loads(card_scores.FIGURES.read_text("utf-8"))


def test_the_card_has_the_scores_of_its_network() -> None:
    own = {**FOUND, "sha256": CARD["assets"]["weights"]["file:checksum"].removeprefix("1220")}
    emptied = {**CARD, "properties": {**CARD["properties"], "kappamask:scenes": []}}
    filled = card_scores.fill_card(emptied, own)
    assert len(filled["properties"]["kappamask:scenes"]) > 30
    if own == FOUND:  # a new network has none there until its scenes are scored
        assert filled == CARD, "run tools/docs/card_scores.py"


def test_scores_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="ffff"):
        card_scores.fill_card(CARD, {**FOUND, "sha256": "ffff"})
