"""Read docstrings for mkdocstrings: lines `name: what it is` become a list, examples code."""

import re
from textwrap import dedent
from typing import Any

import griffe

_ENTRY = re.compile(r"(?:^|(?<=\. ))(`?\w+`?(?:, `?\w+`?)*): (?=\S)", re.MULTILINE)
"""At the start of a line, or behind the end of a sentence: short entries share a line."""
_ENDING = re.compile(r"^(?=(?:Coordinates|Attributes)\b)|(?:^|(?<=\. ))(?=(?:Returns|Yields|Raises)\b)", re.MULTILINE)
"""A line or sentence that begins a matter of its own."""
_EXAMPLE = re.compile(r"^( {4,}>>> .*(?:\n {4,}.*)*)", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites every docstring before it is shown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Words that are no parameter stay text."""
        if obj.docstring:
            known = {parameter.name for parameter in getattr(obj, "parameters", ())}
            pieces = _EXAMPLE.split(obj.docstring.value)
            obj.docstring.value = "\n".join(
                _code(piece) if i % 2 else _list_parameters(piece, known) for i, piece in enumerate(pieces)
            )


def _code(example: str) -> str:
    return f"\n```pycon\n{dedent(example)}\n```\n"


def _list_parameters(text: str, known: set[str]) -> str:
    def item(match: re.Match[str]) -> str:
        names = match[1].replace("`", "").split(", ")
        return f"\n\n- {', '.join(f'**`{name}`**' for name in names)}: " if set(names) <= known else match[0]

    flat = "\n".join(line.strip() for line in text.splitlines())
    return _ENDING.sub("\n\n", _ENTRY.sub(item, flat))
