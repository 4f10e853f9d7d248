"""Write the scores of real scenes into docs and README from docs/results/real-scenes.json.

`benchmarks/real_scenes.py score` makes that file.
"""

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
README: Final = DOCS.parent / "README.md"
START, END = "<!-- scores -->", "<!-- /scores -->"
README_SUBSETS: Final = ("13", "6", "4", "3")
README_ROWS: Final = {
    "closed": "closed cloud found",
    "cirrus": "cirrus that B10 shows found",
    "cumulus": "cumulus called cloud, not semi-transparent",
    "clear": "clear images kept clear",
    "cloud dice": "cloud of either kind, dice",
    "shadow dice": "cloud shadow, dice",
}
NO_CLASS: Final = ("cirrus", "cumulus")
"""Measures that ukis-csmask is not asked for: it knows neither B10 nor thin cloud."""
WEAK: Final = 0.9
"""Score of a place below which the page names it."""


def main() -> None:
    """Write the page and the table of the README."""
    found = json.loads(FIGURES.read_text("utf-8"))
    PAGE.write_text(make_page(found, load_card("compact").sha256), encoding="utf-8")
    README.write_text(fill_readme(README.read_text("utf-8"), found), encoding="utf-8")


def fill_readme(text: str, found: Mapping[str, Any]) -> str:
    """Return the README with the table of scores between its marks."""
    before, rest = text.split(START)
    return "".join([before, START, "\n\n", _make_short_table(read_figures(found)), "\n", END, rest.split(END)[1]])


def _make_short_table(masks: Mapping[str, list[Figure]]) -> str:
    lines = ["| | 13 bands | B02 B03 B04 B08 B11 B12 | B02 B03 B04 B08 | B02 B03 B04 |", "|---|---|---|---|---|"]
    for measure, words in README_ROWS.items():
        tables = _table(masks, measure)
        cells = []
        for subset in README_SUBSETS:
            other = tables["ukis-csmask"].get(subset) if measure not in NO_CLASS else None
            cells.append(f"{tables['compact'][subset][0]:.2f}" + (f" ({other[0]:.2f})" if other else ""))
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def read_figures(found: Mapping[str, Any]) -> dict[str, list[Figure]]:
    return {name: [Figure(**one) for one in rows] for name, rows in found["masks"].items()}


def make_page(found: Mapping[str, Any], shipped: str) -> str:
    """Make the page, Markdown. shipped: sha256 of the network that comes with the package."""
    masks = read_figures(found)
    facts = {
        "found": found, "stale": found["sha256"] != shipped, "subsets": list(SUBSETS),
        "tables": {words: _table(masks, measure) for measure, words in MEASURES.items()},
        "measures": MEASURES, "weak": sorted(_find_weak(masks["compact"]), key=lambda one: one.value),
        "places": _places(), "sheets": sorted(path.name for path in SHEETS.glob("*.jpg")),
    }  # fmt: skip
    return make_templates().get_template(TEMPLATE).render(facts)


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


def make_templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    return jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)  # noqa: S701  Markdown


if __name__ == "__main__":
    main()
