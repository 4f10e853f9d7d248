"""The tables of Domnich et al. 2021 (KappaMask) as data, and their contradictions."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

__all__ = ["TABLES", "Contradiction", "derive_class_mix", "find_contradictions", "read_paper"]

TABLES = ("dice", "precision", "recall", "overall_accuracy")
"""Tables of five masks, in percent."""
ROUNDING = 0.5
"""Percent that a printed figure may be off."""
Table = Mapping[str, Mapping[str, float]]


class Contradiction(NamedTuple):
    """A cell that other cells do not allow: percent, and the bounds that they do."""

    table: str
    mask: str
    of: str
    printed: float
    low: float
    high: float


@cache
def read_paper() -> dict[str, Any]:
    """Read `TABLES`, `dice_binary` (mask, class, percent), `architectures`, `seconds`, `errata` and `source`.

    A class that a mask cannot tell has no entry. `seconds`: a whole Level-1C product.
    """
    text = files("kappamask.evaluation").joinpath("paper.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def find_contradictions(tables: Mapping[str, Table] | None = None) -> list[Contradiction]:
    """Find cells of dice or means that do not follow from others, rounding allowed.

    tables: as `read_paper` returns them; left out, those of the paper.
    """
    given = read_paper() if tables is None else tables
    return _find_wrong_dice(given) + [found for name in TABLES for found in _find_wrong_means(name, given[name])]


def derive_class_mix(mask: str, tables: Mapping[str, Table] | None = None) -> dict[str, float]:
    """Derive each class's share of the paper's test set from a mask's scores.

    From its precision, recall and accuracy.

    Of what is wrong, 1 - OA, the part (1 - R) + R (1 - P) / P for each share of the class is missed or false.
    """
    given = read_paper() if tables is None else tables
    listed = [name for name in given["dice"][mask] if name != "all"]
    return {name: _infer_prevalence(*(given[key][mask][name] / 100 for key in TABLES[1:])) for name in listed}


def _infer_prevalence(precision: float, recall: float, accuracy: float) -> float:
    return (1 - accuracy) / ((1 - recall) + recall * (1 - precision) / precision)


def _find_wrong_dice(tables: Mapping[str, Table]) -> list[Contradiction]:
    found = []
    for mask, classes in tables["dice"].items():
        for name in classes.keys() - {"all"}:
            precision, recall = tables["precision"][mask][name], tables["recall"][mask][name]
            low, high = (_harmonic_mean(precision + off, recall + off) for off in (-ROUNDING, ROUNDING))
            found.append(Contradiction("dice", mask, name, classes[name], low, high))
    return [one for one in found if _distance(one)]


def _find_wrong_means(name: str, table: Table) -> list[Contradiction]:
    found = []
    for mask, classes in table.items():
        values = [value for key, value in classes.items() if key != "all"]
        mean = sum(values) / len(values)
        found.append(Contradiction(name, mask, "all", classes["all"], mean - ROUNDING, mean + ROUNDING))
    return [one for one in found if _distance(one)]


def _harmonic_mean(one: float, other: float) -> float:
    return 2 * one * other / (one + other)


def _distance(one: Contradiction) -> bool:
    return not one.low - ROUNDING <= one.printed <= one.high + ROUNDING


# Earlier names, which the documentation showed.
paper = read_paper
contradictions = find_contradictions
