"""Check that figures quoted in README and docs are those that were measured.

`python tools/checks/quotes.py` fills the sentences of `quotes.toml` from docs/results and the card of `compact`, and
prints each that its page does not have. The exit code is 1 if there is one.
"""

import json
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kappamask.evaluation.scene_kinds import Figure, summarise_figures

__all__ = ["find_wrong_quotes", "main", "read_figures"]

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_suffix(".toml")
OURS = "compact"


def read_figures(root: Path = ROOT) -> dict[str, Any]:
    """Read what was measured, by the names that `quotes.toml` explains."""
    results = root / "docs" / "results"
    found, accuracy, times = (
        json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("real-scenes", "accuracy", "times")
    )
    figures = [Figure(**one) for one in found["masks"][OURS]]
    scenes = {
        measure: {subset: SimpleNamespace(mean=mean, worst=worst) for subset, (mean, worst) in subsets.items()}
        for measure, subsets in summarise_figures(figures).items()
    }
    return {
        "scenes": _by_number(scenes),
        "missed": _by_number({name: {key: 1 - one.mean for key, one in rest.items()} for name, rest in scenes.items()}),
        "place": {place: _by_number(measures) for place, measures in _by_place(figures).items()},
        "card": _read_card(root),
        "labelled": _read_labelled(accuracy),
        "times": {row["peer"]: row["sizes"][-1]["median"] for row in times["rows"] if row["sizes"]},
        "command": SimpleNamespace(seconds=times["command"]["median"], gb=times["command"]["peak_mb"] / 1000),
    }


def find_wrong_quotes(table: Mapping[str, Any], figures: Mapping[str, Any], root: Path = ROOT) -> Iterator[str]:
    """Yield what a page should say and does not."""
    for page, rules in table.items():
        text = _join_percents((root / page).read_text(encoding="utf-8"))
        for sentence in rules["sentences"]:
            wanted = sentence.format(**figures)
            if _join_percents(wanted) not in text:
                yield f"{page}: not found: {wanted}"


def _join_percents(text: str) -> str:
    """Make white space the same: a format writes 33%, a page 33 %."""
    return " ".join(text.split()).replace(" %", "%")


def _by_number(measures: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str | int, Any]]:
    """Key subsets of bands by number: a format reads digits in brackets as one."""
    return {
        name: {int(key) if key.isdigit() else key: one for key, one in rest.items()} for name, rest in measures.items()
    }


def _by_place(figures: list[Figure]) -> dict[str, dict[str, dict[str, float]]]:
    places: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for one in figures:
        places[one.place][one.measure][one.subset] = one.value
    return places


def _read_card(root: Path) -> dict[int, SimpleNamespace]:
    """Return the dice on the validation scene, by number of bands."""
    card = json.loads((root / "models" / f"{OURS}.json").read_text(encoding="utf-8"))
    return {len(one["bands"]): SimpleNamespace(**one["dice"]) for one in card["properties"]["kappamask:accuracy"]}


def _read_labelled(accuracy: Mapping[str, Any]) -> dict[str, SimpleNamespace]:
    """Return dice of classes and recall of cloud, by labelled file."""
    found = {}
    for one in accuracy["sets"]:
        views = next(peer["views"] for peer in one["peers"] if peer["name"] == OURS)
        dice, recall = SimpleNamespace(**views["classes"]["dice"]), SimpleNamespace(**views["cloud"]["recall"])
        found[one["file"]] = SimpleNamespace(dice=dice, recall=recall)
    return found


def main() -> int:
    """Print what is not found."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    wrong = [*find_wrong_quotes(table, read_figures())]
    for one in wrong:
        print(one)
    if wrong:
        print(f"{len(wrong)} figures differ from docs/results; correct the pages, or {TABLE.relative_to(ROOT)}")
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
