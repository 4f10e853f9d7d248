"""Write the times of docs/how-to/cluster.md from docs/results/cluster.json: `make results`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from figures import format_markdown

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "how-to" / "cluster.md"
FIGURES: Final = DOCS / "results" / "cluster.json"
START: Final = "<!-- Times: made by make results. -->"
END: Final = "<!-- The end of what is made. -->"
Json = Mapping[str, Any]


def main() -> None:
    """Write the page, if there are figures."""
    if FIGURES.exists():
        found = json.loads(FIGURES.read_text(encoding="utf-8"))
        PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


def fill_page(text: str, found: Json) -> str:
    """Replace what stands between the two comments; ValueError where they are not there."""
    before, _, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE.name} lacks {START} or {END}")
    return f"{before}{START}\n\n{write_section(found)}\n\n{END}{after}"


def write_section(found: Json) -> str:
    """Return the table of times and its sentence, Markdown."""
    machine, scenes = found["machine"], found["scenes"]
    settings = list(dict.fromkeys((row["workers"], row["threads"]) for row in found["rows"]))
    rows = []
    for side in sorted({row["side"] for row in found["rows"]}):
        cells = {(row["workers"], row["threads"]): row for row in found["rows"] if row["side"] == side}
        size = f"{scenes} x {next(iter(cells.values()))['mpx']:.1f} Mpx"
        rows.append([size, *(_format_cell(cells.get(setting)) for setting in settings)])
    heads = [f"{_count(workers, 'worker')} of {_count(threads, 'thread')}" for workers, threads in settings]
    table = format_markdown(["scenes", *heads], rows)
    return (
        f"Seconds for {scenes} scenes of {found['bands']} bands, GeoTIFF to mask on disk, and the most memory that a "
        f"worker held; {_count_runs(found['repeat'])}. {machine['cpu']}, {machine['cores']} cores shared by the "
        f"workers, load {machine['load_at_start']} before it began; {found['date']}. Starting the workers' libraries "
        "is part of it. One worker keeps more than one core busy, for files are decoded while the network runs.\n\n"
        f"{table}"
    )


def _count_runs(repeat: int) -> str:
    return "single runs" if repeat == 1 else f"median of {repeat}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _format_cell(row: Json | None) -> str:
    return f"{row['median']:.0f} s, {row['peak_mb']} MB" if row else "–"


if __name__ == "__main__":
    main()
