"""Files that `kappamask compare` and `kappamask evaluate` leave: JSON, tables, a page."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kappamask.cli.options import extra

if TYPE_CHECKING:
    from kappamask.evaluation.judge import Judged

__all__ = ["check_folder", "document", "write_files"]


def check_folder(output: Path) -> None:
    """What would fail after all masks were made: typer.BadParameter where no folder can be written."""
    there = next(path for path in (output, *output.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise typer.BadParameter(f"{there} is no folder that can be written to", param_hint="--output")


def document(judged: "Sequence[Judged]") -> dict[str, Any]:
    """What was found, as JSON holds it."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    software = f"kappamask-openeo {version('kappamask-openeo')}"
    return {"software": software, "made": made, "sets": [one.found for one in judged]}


def write_files(folder: Path, name: str, judged: "Sequence[Judged]", *, title: str, command: str) -> list[Path]:
    """Write NAME.html, .json, .md, .csv and .tex into the folder, which is made; returns their paths."""
    from kappamask.evaluation.tables import csv_text, latex, markdown
    from kappamask.scenes.atomic import written_whole

    with extra("report"):
        from kappamask.reports.comparison import write_comparison
    folder.mkdir(parents=True, exist_ok=True)
    page = write_comparison(folder / f"{name}.html", judged, title=title, eyebrow=command)
    found = [one.found for one in judged]
    texts = {
        "json": json.dumps(document(judged), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "md": markdown(found), "csv": csv_text(found), "tex": latex(found),
    }  # fmt: skip
    for suffix, text in texts.items():
        with written_whole(folder / f"{name}.{suffix}") as draft:
            draft.write_text(text, encoding="utf-8")
    return [page, *(folder / f"{name}.{suffix}" for suffix in texts)]
