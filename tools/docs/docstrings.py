"""Docstrings as this project writes them, for mkdocstrings: lines `name: what it is` become a list."""

import re
from typing import Any

import griffe

_ENTRY = re.compile(r"(?:^|(?<=\. ))(`?\w+`?(?:, `?\w+`?)*): (?=\S)", re.MULTILINE)
"""At the start of a line, or behind the end of a sentence: short entries share a line."""
_ENDING = re.compile(r"^(?=(?:Returns|Yields|Raises|Coordinates|Attributes)\b)", re.MULTILINE)
"""A line that begins a matter of its own."""


class Parameters(griffe.Extension):
    """Rewrites the docstring of every function before it is shown."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Make items of what is said about parameters; words that are no parameter stay text."""
        if func.docstring:
            known = {parameter.name for parameter in func.parameters}
            func.docstring.value = _listed(func.docstring.value, known)


def _listed(text: str, known: set[str]) -> str:
    def item(match: re.Match[str]) -> str:
        names = match[1].replace("`", "").split(", ")
        return f"\n- {', '.join(f'**`{name}`**' for name in names)}: " if set(names) <= known else match[0]

    flat = "\n".join(line.strip() for line in text.splitlines())
    return _ENDING.sub("\n", _ENTRY.sub(item, flat))
