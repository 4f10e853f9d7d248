"""Write docs/explanation/which-mask.md from docs/results/*.json: `make results`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from real_scenes import FIGURES, make_templates, read_figures

from kappamask.evaluation.scene_kinds import summarise_figures

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "explanation" / "which-mask.md"
TEMPLATE: Final = "which-mask.md.jinja"
PIXELS: Final = "labelled_l1c_pixels_13band.csv"
Json = Mapping[str, Any]


def main() -> None:
    """Write the page."""
    found, accuracy, times = (
        json.loads(path.read_text("utf-8"))
        for path in (FIGURES, DOCS / "results" / "accuracy.json", DOCS / "results" / "times.json")
    )
    PAGE.write_text(make_page(found, accuracy, times), encoding="utf-8")


def make_page(found: Json, accuracy: Json, times: Json) -> str:
    """Make the page, Markdown, from scores of real scenes, of labelled files, and times."""
    facts = {"scores": _read_scores(found), "pixels": _read_pixels(accuracy), "seconds": _read_seconds(times)}
    return make_templates().get_template(TEMPLATE).render(facts)


def _read_scores(found: Json) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean of each mask, measure and band subset."""
    return {
        name: {
            measure: {subset: mean for subset, (mean, _) in subsets.items()}
            for measure, subsets in summarise_figures(figures).items()
        }
        for name, figures in read_figures(found).items()
    }


def _read_pixels(accuracy: Json) -> dict[str, float]:
    """Return the dice of cloud of each mask on the set of single pixels."""
    peers = next(one["peers"] for one in accuracy["sets"] if one["file"] == PIXELS)
    return {peer["name"]: peer["views"]["classes"]["dice"]["cloud"] for peer in peers}


def _read_seconds(times: Json) -> dict[str, float]:
    """Return the seconds that each mask takes for the largest size that was timed."""
    return {row["peer"]: row["sizes"][-1]["median"] for row in times["rows"]}


if __name__ == "__main__":
    main()
