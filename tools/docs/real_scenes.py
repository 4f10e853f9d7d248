"""Write docs/real-scenes.md from docs/results/real-scenes.json, which `benchmarks/real_scenes.py score` makes."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import jinja2

from kappamask.datasets.real_scenes import read_rows
from kappamask.evaluation.scene_kinds import MEASURES, SUBSETS, Figure, summarise_figures
from kappamask.models import load_card

DOCS: Final = Path(__file__).parents[2] / "docs"
FIGURES, PAGE = DOCS / "results" / "real-scenes.json", DOCS / "real-scenes.md"
SHEETS: Final = DOCS / "images" / "real-scenes"
TEMPLATE: Final = "real-scenes.md.jinja"
WEAK: Final = 0.9
"""Score of a place below which the page names it."""


def main() -> None:
    """Write the page."""
    PAGE.write_text(make_page(json.loads(FIGURES.read_text("utf-8")), load_card("compact").sha256), encoding="utf-8")


def make_page(found: Mapping[str, Any], shipped: str) -> str:
    """Make the page, Markdown. shipped: sha256 of the network that comes with the package."""
    masks = {name: [Figure(**one) for one in rows] for name, rows in found["masks"].items()}
    facts = {
        "found": found, "stale": found["sha256"] != shipped, "subsets": list(SUBSETS),
        "tables": {words: _table(masks, measure) for measure, words in MEASURES.items()},
        "weak": sorted(_find_weak(masks["compact"]), key=lambda one: one.value),
        "places": _places(), "sheets": sorted(path.name for path in SHEETS.glob("*.jpg")),
    }  # fmt: skip
    return _templates().get_template(TEMPLATE).render(facts)


def _table(masks: Mapping[str, list[Figure]], measure: str) -> dict[str, dict[str, tuple[float, float]]]:
    return {name: table for name, figures in masks.items() if (table := summarise_figures(figures)[measure])}


def _find_weak(figures: Iterable[Figure]) -> list[Figure]:
    """Return the lowest score of each place, where it is below `WEAK`."""
    lowest: dict[tuple[str, str], Figure] = {}
    for one in figures:
        key = (one.measure, one.place)
        if one.value < WEAK and one.value < lowest.get(key, one._replace(value=2.0)).value:
            lowest[key] = one
    return list(lowest.values())


def _places() -> list[tuple[str, str, str, int]]:
    """Return part, place, kinds and number of images of every place."""
    rows = read_rows()
    out = []
    for split, place in sorted({(row.split, row.place) for row in rows}, reverse=True):
        own = [row for row in rows if row.place == place]
        kinds = sorted({kind for row in own for kind in row.kinds} - {"by_hand", "ground"})
        out.append((split, place, ", ".join(kinds).replace("_", " "), len(own)))
    return out


def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    return jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)  # noqa: S701  Markdown


if __name__ == "__main__":
    main()
