"""The tables of Domnich et al. 2021 (KappaMask) as data, and which of their cells contradict each other."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

__all__ = ["TABLES", "Contradiction", "class_mix", "contradictions", "paper"]

TABLES = ("dice", "precision", "recall", "overall_accuracy")
"""Tables of five masks, in percent."""
ROUNDING = 0.5
"""Percent that a printed figure may be off."""
Table = Mapping[str, Mapping[str, float]]


class Contradiction(NamedTuple):
    """A cell that its neighbours do not allow: percent, and the lowest and highest that they do."""

    table: str
    mask: str
    of: str
    printed: float
    low: float
    high: float


@cache
def paper() -> dict[str, Any]:
    """All tables: `TABLES` and `dice_binary` (mask, class, percent), `architectures`, `seconds`, `errata`, `source`.

    A class that a mask cannot tell has no entry. `seconds`: a whole Level-1C product.
    """
    text = files("kappamask.evaluation").joinpath("paper.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def contradictions(tables: Mapping[str, Table] | None = None) -> list[Contradiction]:
    """Cells of dice that cannot follow from precision and recall, and means of classes that are not, rounding granted.

    tables: as `paper` returns them; left out, those of the paper.
    """
    given = paper() if tables is None else tables
    return _contradicted_dice(given) + [found for name in TABLES for found in _contradicted_means(name, given[name])]


def class_mix(mask: str, tables: Mapping[str, Table] | None = None) -> dict[str, float]:
    """Share of each class in the truth of the paper's test set that a mask's precision, recall and accuracy imply.

    Of what is wrong, 1 - OA, the part (1 - R) + R (1 - P) / P for each share of the class is missed or false.
    """
    given = paper() if tables is None else tables
    listed = [name for name in given["dice"][mask] if name != "all"]
    return {name: _prevalence(*(given[key][mask][name] / 100 for key in TABLES[1:])) for name in listed}


def _prevalence(precision: float, recall: float, accuracy: float) -> float:
    return (1 - accuracy) / ((1 - recall) + recall * (1 - precision) / precision)


def _contradicted_dice(tables: Mapping[str, Table]) -> list[Contradiction]:
    found = []
    for mask, classes in tables["dice"].items():
        for name in classes.keys() - {"all"}:
            precision, recall = tables["precision"][mask][name], tables["recall"][mask][name]
            low, high = (_harmonic(precision + off, recall + off) for off in (-ROUNDING, ROUNDING))
            found.append(Contradiction("dice", mask, name, classes[name], low, high))
    return [one for one in found if _apart(one)]


def _contradicted_means(name: str, table: Table) -> list[Contradiction]:
    found = []
    for mask, classes in table.items():
        values = [value for key, value in classes.items() if key != "all"]
        mean = sum(values) / len(values)
        found.append(Contradiction(name, mask, "all", classes["all"], mean - ROUNDING, mean + ROUNDING))
    return [one for one in found if _apart(one)]


def _harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other)


def _apart(one: Contradiction) -> bool:
    return not one.low - ROUNDING <= one.printed <= one.high + ROUNDING
