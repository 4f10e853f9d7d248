"""Write docs/results.md and the made part of docs/weaknesses.md from docs/results/*.json: `make results`.

Needs no data. A figure of another network than the one that comes with the package is marked as such.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import figures
import jinja2
from weaknesses import replace_section

from kappamask.evaluation.paper import read_paper
from kappamask.models import load_card

DOCS: Final = Path(__file__).parents[2] / "docs"
ACCURACY, TIMES = DOCS / "results" / "accuracy.json", DOCS / "results" / "times.json"
TEMPLATE: Final = "results.md.jinja"
OURS: Final = "compact"
VALENCIA: Final = ("dl-l8s2-uv-4b", "dl-l8s2-uv-6b")
Json = Mapping[str, Any]


def main() -> None:
    """Write both pages."""
    accuracy, times = (json.loads(path.read_text("utf-8")) if path.exists() else None for path in (ACCURACY, TIMES))
    shipped = load_card(OURS).sha256
    (DOCS / "results.md").write_text(page(accuracy, times, shipped), encoding="utf-8")
    weak = DOCS / "weaknesses.md"
    weak.write_text(
        replace_section(weak.read_text(encoding="utf-8"), drop_trained_sets(accuracy), shipped), encoding="utf-8"
    )


def drop_trained_sets(accuracy: Json) -> Json:
    """Keep the sets that the network was not trained on."""
    return {**accuracy, "sets": [one for one in accuracy["sets"] if not one["trained_on"]]}


def page(accuracy: Json, times: Json | None, shipped: str) -> str:
    """The page of results, Markdown. shipped: sha256 of the network that comes with the package."""
    networks = {"accuracy": _network(accuracy["sets"][0]["peers"], "name"), "times": _network(_rows(times), "peer")}
    given = {"accuracy": "Figures of accuracy", "times": "Times"}
    stale = [words for key, words in given.items() if networks[key] not in (None, shipped)]
    facts = {
        "accuracy": accuracy, "times": times, "shipped": shipped, "networks": networks,
        "paper": read_paper()["seconds"],
        "valencia": sorted({peer["name"] for one in accuracy["sets"] for peer in one["peers"]} & {*VALENCIA}),
        "stale": " and ".join(stale).capitalize(),
        "points_of": sum(one["groups"] for one in accuracy["sets"] if one["dataset"] == "pixels"),
    }  # fmt: skip
    return _templates().get_template(TEMPLATE).render(facts)


def _rows(times: Json | None) -> Sequence[Json]:
    return times["rows"] if times else ()


def _network(rows: Iterable[Json], key: str) -> str | None:
    """Find the sha256 of our network: "" where unknown, None where it was not run."""
    return next((row.get("sha256", "") for row in rows if row[key] == OURS), None)


def _templates() -> jinja2.Environment:
    found = jinja2.Environment(  # noqa: S701  Markdown, of our own figures
        loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    named = (
        "has_blocks",
        "clock",
        "cost",
        "dice",
        "describe_samples",
        "further_tables",
        "name_classes",
        "format_markdown",
        "points",
        "sizes",
        "versions",
    )
    found.globals |= {name: getattr(figures, name) for name in named}
    return found


if __name__ == "__main__":
    main()
