"""Accept the spellings that options and their values had in earlier versions."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["Command", "Group", "translate"]

OPTIONS = {"--plan": "--dry-run", "--out": "--output"}
"""Earlier spelling -> today's."""
VALUES = {"--engine": {"here": "local", "serial": "local"}}
"""Option -> earlier spelling of a value -> today's."""


class _PlainFlags:
    """Show no type behind flags in help.

    Some versions of typer show <bool>, as if a value followed.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """Return all parameters, those for completion and help among them."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in found:
            if getattr(parameter, "is_flag", False) and parameter.metavar is None:
                parameter.metavar = ""
        return found


class Group(_PlainFlags, TyperGroup):
    """A group of commands."""


class Command(_PlainFlags, TyperCommand):
    """A command that takes earlier spellings too, which its help does not show."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments after translating earlier spellings."""
        known = {name for parameter in self.params for name in parameter.opts}
        return super().parse_args(ctx, [*translate(args, known)])


def translate(words: Sequence[str], known: Collection[str]) -> Iterator[str]:
    """Yield the words of a command line in today's spelling.

    known: options of the command; an earlier spelling counts where its successor is one, and it itself is not.
    """
    before = ""
    for word in words:
        name, sign, value = word.partition("=")
        if name not in known and OPTIONS.get(name) in known:
            name = OPTIONS[name]
        value = VALUES.get(name, {}).get(value, value)
        yield VALUES.get(before, {}).get(word, name + sign + value) if not sign else name + sign + value
        before = name
