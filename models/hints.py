"""Name options in messages as the caller would type them.

The caller uses Python, the command line, or a UDF's context.

A message holds a mark for each option. It becomes text when the message is shown, for the door that shows it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

__all__ = ["Door", "by_door", "option", "render_hints", "use_door"]


class Door(StrEnum):
    """Ways to ask for a mask."""

    PYTHON = "python"
    COMMAND = "command"
    CONTEXT = "context"
    """The context of a UDF."""


FLAGS = {"thresholds": "--threshold"}
"""Flags that are not `--` and the parameter's name."""
FUNCTION_ONLY = frozenset({"mosaic", "pixel_m", "resampling", "resolution"})
"""Options that a context does not have."""
START, END = "\x1e", "\x1f"
"""Around a mark, which is JSON between them."""
_MARK = re.compile(f"{START}(.*?){END}", re.DOTALL)
_current = Door.PYTHON


def by_door(*, python: str, command: str, context: str | None = None) -> str:
    """Mark a part of a message that differs between doors.

    `context` is as `python` if left out.
    """
    texts = {Door.PYTHON: python, Door.COMMAND: command, Door.CONTEXT: python if context is None else context}
    return f"{START}{json.dumps(texts)}{END}"


def option(name: str, value: Any = None) -> str:
    """Mark an option by its name in Python, and the value to give it.

    option("level", "L1C") becomes level='L1C', --level L1C or "level": "L1C".
    """
    key = None if name in FUNCTION_ONLY else _as_key(name, value)
    return by_door(python=_as_parameter(name, value), command=_as_flag(name, value), context=key)


def render_hints(message: str, door: Door | None = None) -> str:
    """Replace the marks of a message by what is typed at `door`.

    None is the door in use.
    """
    chosen = door or _current
    return _MARK.sub(lambda mark: _render_mark(mark, chosen), message)


def _render_mark(mark: re.Match[str], door: Door) -> str:
    """Return the text of a mark at `door`.

    What only looks like a mark, as in a hostile name, stays as it is.
    """
    try:
        return str(json.loads(mark[1])[door])
    except (ValueError, TypeError, KeyError, RecursionError):
        return mark[0]


@contextmanager
def use_door(door: Door) -> Iterator[None]:
    """Show messages of this process as `door` has them, until the end of the block."""
    global _current
    before, _current = _current, door
    try:
        yield
    finally:
        _current = before


def _as_parameter(name: str, value: Any) -> str:
    return name if value is None else f"{name}={value!r}"


def _as_flag(name: str, value: Any) -> str:
    flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
    if value is None or value is True:
        return flag
    if isinstance(value, Mapping):
        return " ".join(f"{flag} {key}={number}" for key, number in value.items())
    return f"{flag} {','.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def _as_key(name: str, value: Any) -> str:
    return name if value is None else f'"{name}": {json.dumps(value, ensure_ascii=False)}'
