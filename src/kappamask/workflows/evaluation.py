"""Write tables and page of an evaluation or a comparison."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kappamask.evaluation.comparison import DatasetResult
from kappamask.evaluation.tables import (
    format_csv,
    format_latex,
    format_markdown,
    list_shortcomings,
    make_tables,
    set_name,
)
from kappamask.files.atomic import atomic_write
from kappamask.reports.comparison import write_comparison

__all__ = ["describe_results", "format_comparison", "write_evaluation"]


def format_comparison(found: dict[str, Any]) -> list[str]:
    """Format the first table of a set, and its shortcomings, as lines."""
    title, head, rows = make_tables(found)[0]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    scenes = f"{set_name(found)}: {title.lower()}, {found['scenes']} scenes"
    return [scenes, *(_format_row(row, widths) for row in [head, *rows]), *list_shortcomings(found)]


def _format_row(cells: list[str], widths: list[int]) -> str:
    first, *others = (
        cell.ljust(width) if i == 0 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *others])


def describe_results(judged: Sequence[DatasetResult]) -> dict[str, Any]:
    """Return what was found, as JSON holds it."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    software = f"kappamask-openeo {version('kappamask-openeo')}"
    return {"software": software, "made": made, "sets": [one.found for one in judged]}


def write_evaluation(
    folder: Path, name: str, judged: Sequence[DatasetResult], *, title: str, command: str
) -> list[Path]:
    """Write NAME.html, .json, .md, .csv and .tex into a folder; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page = write_comparison(folder / f"{name}.html", judged, title=title, eyebrow=command)
    found = [one.found for one in judged]
    texts = {
        "json": json.dumps(describe_results(judged), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "md": format_markdown(found), "csv": format_csv(found), "tex": format_latex(found),
    }  # fmt: skip
    for suffix, text in texts.items():
        with atomic_write(folder / f"{name}.{suffix}") as draft:
            draft.write_text(text, encoding="utf-8")
    return [page, *(folder / f"{name}.{suffix}" for suffix in texts)]
