"""Give mkdocs the pages that are not in docs/: references, and notebooks with outputs.

All are made at every build, so that none can be older than the code.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

from commands import command_reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from notebooks import Notebook, render
from schemes import scheme_reference

NOTEBOOKS = Path("notebooks")
"""Folder of the notebooks in docs/ and on the site."""
AT_ONCE = 2
"""Notebooks that run at the same time; most of each is waiting for imports and for jobs."""
INLINE_CODE = re.compile(r"<code>([^<\n]*)</code>")
SHELL = re.compile(r'<div class="language-sh.*?</div>', re.DOTALL)
TEXT = re.compile(r"(?<=>)[^<]+")
OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
CELL = re.compile(r"<td.*?</td>")
TAG = re.compile(r"<[^>]*>")
SENTENCE = 24
"""Letters of a cell that is more than a name or a figure: on a telephone its column keeps room for some words."""
JOINT = re.compile(r"(?<=\w)[:._/](?=\w)")
"""Where a long name may go on in the next line."""
FIGURE = re.compile(r"(?<=\d) (?=%|(?:MB|GB|s|px|Mpx)\b)|(?<=\d) (?=to [+-]?\d)|(?<=\d to) (?=[+-]?\d)")
"""Spaces inside a figure with its unit, and inside an interval."""
LONG = 18
"""Letters of a name that may be cut."""


def on_page_content(html: str, **_: Any) -> str:
    """Mark options in sentences and commands: a browser breaks no line at their hyphens.

    In tables long names may break at their joints, where the style allows it, and figures keep their units.
    """
    marked = SHELL.sub(lambda block: TEXT.sub(_mark_options, block[0]), INLINE_CODE.sub(_mark_options, html))
    return CELL.sub(lambda cell: _mark_sentence(_join_figures(INLINE_CODE.sub(_add_breaks, cell[0]))), marked)


def _mark_options(found: re.Match[str]) -> str:
    return OPTION.sub(r'<span class="option">\g<0></span>', found[0])


def _mark_sentence(cell: str) -> str:
    long = len(TAG.sub("", cell)) > SENTENCE and not cell.startswith("<td class")
    return cell.replace("<td", '<td class="sentence"', 1) if long else cell


def _join_figures(cell: str) -> str:
    """Keep a figure and its unit in one line; code is copied and stays."""
    return cell if "<code>" in cell else FIGURE.sub("\u00a0", cell)


def _add_breaks(code: re.Match[str]) -> str:
    return JOINT.sub(r"\g<0><wbr>", code[0]) if len(code[1]) >= LONG else code[0]


def on_config(config: MkDocsConfig) -> None:
    """Patterns in `nav` become the pages that fit; mkdocs takes their titles from the pages."""
    config.nav = _expand_entry(config.nav, Path(config.docs_dir))


def _expand_entry(entry: Any, docs: Path) -> Any:
    if isinstance(entry, dict):
        return {title: _expand_entry(inside, docs) for title, inside in entry.items()}
    if isinstance(entry, list):
        return [page for inside in entry for page in _pages_of(inside, docs)]
    return entry


def _pages_of(entry: Any, docs: Path) -> list[Any]:
    if isinstance(entry, str) and "*" in entry:
        return [page.relative_to(docs).as_posix() for page in sorted(docs.glob(entry))]
    return [_expand_entry(entry, docs)]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are made here."""
    for name, made in {"commands": command_reference, "schemes": scheme_reference}.items():
        files.append(File.generated(config, f"reference/{name}.md", content=made()))
    sources = sorted((Path(config.docs_dir) / NOTEBOOKS).glob("*.py"))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, content in chain.from_iterable(map(_pages, pool.map(render, sources))):
            files.append(File.generated(config, str(NOTEBOOKS / name), content=content))


def _pages(notebook: Notebook) -> Iterator[tuple[str, str | bytes]]:
    yield f"{notebook.name}.md", notebook.page
    yield f"{notebook.name}.ipynb", notebook.executed
    yield from notebook.pictures.items()
