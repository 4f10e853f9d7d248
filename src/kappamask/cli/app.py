"""All commands in one place, and the spellings that their options had in earlier versions."""

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from importlib import import_module
from textwrap import indent
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

import kappamask
from kappamask.cli.models import models

__all__ = ["Command", "app", "translate"]

MODULES = (
    "demo",
    "mask",
    "submit",
    "jobs",
    "publish",
    "serve",
    "evaluate",
    "report",
    "simulate",
    "train",
    "doctor",
)
"""Modules of this package: each has a function for each command in its `EXAMPLES`, or one of its own name and an
`EXAMPLE`. They import heavy things late."""
OPTIONS = {"--plan": "--dry-run", "--out": "--output", "--canary": "--test-job", "--no-canary": "--no-test-job"}
"""Earlier spelling -> today's."""
VALUES = {"--engine": {"here": "local", "serial": "local"}}
"""Option -> earlier spelling of a value -> today's."""
LINE = 78
"""Characters of a line of help in a terminal of 80."""
LIST = re.compile(r"list\[(.*?)\]")
"""Type of several values, as some versions of typer show it."""
PLAINLY = {
    r"Value error, ": "",
    r"Input should be greater than or equal to ([\d.]+)": r"needed is \1 or more",
    r"Input should be less than or equal to ([\d.]+)": r"needed is \1 or less",
    r"Input should be greater than ([\d.]+)": r"needed is more than \1",
    r"Input should be less than ([\d.]+)": r"needed is less than \1",
    r"Input should be a valid integer\b.*": "needed is a whole number",
    r"Input should be a valid number\b.*": "needed is a number",
}
"""What some versions of typer say is wrong with a value, and how it is said here."""


class _PlainTypes:
    """Show no type behind flags in help, and one value's type for lists.

    Some versions of typer show <bool>, as if a value followed, and <list[str]>, as if brackets were typed.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """Return all parameters, those for completion and help among them."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in found:
            if getattr(parameter, "is_flag", False) and parameter.metavar is None:
                parameter.metavar = ""
            if hasattr(parameter, "display_type"):
                parameter.display_type = partial(_show_type_of_one, parameter)
        return found


def _show_type_of_one(parameter: Any, ctx: Any) -> str:
    return LIST.sub(r"\1", type(parameter).display_type(parameter, ctx))


class Group(_PlainTypes, TyperGroup):
    """A group of commands."""


class Command(_PlainTypes, TyperCommand):
    """A command that takes earlier spellings, which its help does not show, and any case."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, and the example as it is.

        Rich would fill its lines with spaces, and a backslash before a space continues no line.
        """
        example, self.epilog = self.epilog, None
        try:
            super().format_help(ctx, formatter)
        finally:
            self.epilog = example
        formatter.write(indent(f"{example}\n", " "))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments after translating earlier spellings."""
        known = {name for parameter in self.params for name in (*parameter.opts, *parameter.secondary_opts)}
        listed = list_choices(self.callback)
        choices = {name: listed[one.name] for one in self.params if one.name in listed for name in one.opts}
        try:
            return super().parse_args(ctx, [*translate(args, known, choices)])
        except typer.BadParameter as error:
            for theirs, ours in PLAINLY.items():
                error.message = re.sub(f"^{theirs}", ours, error.message)
            raise


def translate(
    words: Sequence[str], known: Collection[str], choices: Mapping[str, Collection[str]] = MappingProxyType({})
) -> Iterator[str]:
    """Yield the words of a command line in today's spelling.

    known: options of the command; an earlier spelling counts where its successor is one, and it itself is not.
    choices: option -> the words that it takes, which may be given in any case.
    """
    before = ""
    for word in words:
        name, sign, value = word.partition("=")
        if name not in known and OPTIONS.get(name) in known:
            name = OPTIONS[name]
        if sign:
            yield f"{name}={_spell(value, name, choices)}"
        else:
            yield _spell(word, before, choices) if before in VALUES or before in choices else name
        before = name


def _spell(value: str, option: str, choices: Mapping[str, Collection[str]]) -> str:
    """Return a value as the option's help writes it; another word as it is."""
    known = {word.lower(): word for word in choices.get(option, ())}
    return known.get(value.lower(), VALUES.get(option, {}).get(value, value))


def list_choices(function: Callable[..., Any] | None) -> dict[str, list[str]]:
    """List the words that a command's parameters take, of those that take some words only."""
    hints = get_type_hints(inspect.unwrap(function)) if function else {}
    kinds = {name: _find_choice(hint) for name, hint in hints.items()}
    return {name: [word.value for word in kind] for name, kind in kinds.items() if kind}


def _find_choice(hint: Any) -> type[StrEnum] | None:
    """Find the words in a type such as Level or list[Level] | None."""
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint
    return next(filter(None, map(_find_choice, get_args(hint))), None)


def unwrap_help(function: Callable[..., Any]) -> str:
    """Return the docstring of a command with each paragraph on one line.

    Then it fills a terminal of any width.
    """
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def fold_example(command: str) -> str:
    """Return `Example: COMMAND`, in lines that can be copied from a terminal.

    A command that is longer than `LINE` goes on in the next line, in front of an option, as a shell reads it.
    What is folded already stays as it is: the reference's tool loads this module a second time.
    """
    command = " ".join(command.removeprefix("Example:").replace(" \\\n", " ").split())
    whole = f"Example: {command}"
    return whole if len(whole) <= LINE else "Example:\n" + " \\\n    ".join(_fold_options(command))


def _fold_options(command: str) -> Iterator[str]:
    """Yield lines of at most `LINE` characters, cut in front of options only."""
    line = ""
    for option in re.split(r" (?=--?[a-z])", command):
        if line and len(f"    {line} {option} \\") > LINE:
            yield line
            line = ""
        line = f"{line} {option}".strip()
    yield line


app = typer.Typer(
    name="kappamask",
    cls=Group,
    help="Cloud masks for Sentinel-2 in KappaMask's classes: on this machine, and on openEO back-ends.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(kappamask.__version__)
        raise typer.Exit


@app.callback()
def _handle_options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Handle the options in front of the command."""


for _module in (import_module(f"kappamask.cli.{name}") for name in MODULES):
    _own = _module.__name__.rpartition(".")[2]
    for _name, _example in getattr(_module, "EXAMPLES", {_own: getattr(_module, "EXAMPLE", "")}).items():
        _function = getattr(_module, _name)
        app.command(_name, cls=Command, help=unwrap_help(_function), epilog=fold_example(_example))(_function)
import_module("kappamask.cli.conversion")  # adds its commands to those of `models`
for _command in models.registered_commands:
    _command.cls = Command
    _command.help = unwrap_help(_command.callback) if _command.callback else None
    _command.epilog = fold_example(_command.epilog or "")
app.add_typer(models, name="models", cls=Group)
