"""Run notebooks from top to bottom, and turn them into pages with their outputs."""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

TIMEOUT = 300
"""Seconds for one cell on a busy machine; on one that is not, all notebooks together take less than a minute."""
CLEANED = (
    (re.compile(r"<style scoped>.*?</style>\n", re.DOTALL), ""),
    (re.compile(r'<table border="1" class="dataframe">'), "<table>"),
    (re.compile(r"!\[png\]\("), "![What this code draws]("),
    (re.compile(r"\n(?:[ \t]*\n){2,}(?=    )"), "\n\n"),
)
"""Tables of pandas take the site's own style; pictures say what they are to who cannot see them; what a cell prints and
what it returns are one block, with one empty line between them."""
DOWNLOADS = "[Notebook with results]({name}.ipynb){{ .md-button }} [Plain Python]({name}.py){{ .md-button }}"


@dataclass(frozen=True)
class Notebook:
    """A notebook that has been run."""

    name: str
    page: str
    """Markdown."""
    executed: str
    """JSON of the notebook with its outputs."""
    pictures: dict[str, bytes]
    """File name next to the page -> PNG."""


def render(source: Path) -> Notebook:
    """Run a notebook (jupytext, percent format) in an empty folder; errors of cells are raised.

    Its jobs are recorded in a journal of its own, not in that of who builds the pages.
    """
    notebook = jupytext.read(source)
    with tempfile.TemporaryDirectory(prefix="kappamask-docs-") as folder:
        environment = os.environ | {"XDG_DATA_HOME": str(Path(folder, ".data"))}
        NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": folder}}).execute(env=environment)
    _without_stderr(notebook)
    notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})  # else each print is a block of its own
    name = source.stem
    page, resources = MarkdownExporter().from_notebook_node(
        notebook, {"unique_key": name, "output_files_dir": f"{name}_files"}
    )
    return Notebook(name, _clean_page(page, name), nbformat.writes(notebook), resources["outputs"])


def _without_stderr(notebook: Any) -> None:
    """Progress is for who waits, not for who reads."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]


def _clean_page(page: str, name: str) -> str:
    for pattern, clean in CLEANED:
        page = pattern.sub(clean, page)
    title, _, rest = page.lstrip().partition("\n")
    return f"{title}\n\n{DOWNLOADS.format(name=name)}\n{rest}"
