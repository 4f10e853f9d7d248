"""All commands in one place, and the spellings that their options had in earlier versions."""

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from importlib import import_module
from textwrap import indent
from typing import Annotated, Any

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
    """A command that takes earlier spellings too, which its help does not show."""

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
        try:
            return super().parse_args(ctx, [*translate(args, known)])
        except typer.BadParameter as error:
            for theirs, ours in PLAINLY.items():
                error.message = re.sub(f"^{theirs}", ours, error.message)
            raise


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


def unwrap_help(function: Callable[..., Any]) -> str:
    """Return the docstring of a command with each paragraph on one line.

    Then it fills a terminal of any width.
    """
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def fold_example(command: str) -> str:
    """Return `Example: COMMAND`, in lines that can be copied from a terminal.

    A command that is longer than `LINE` goes on in the next line, in front of an option, as a shell reads it.
    """
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
    _command.epilog = fold_example((_command.epilog or "").removeprefix("Example: "))
app.add_typer(models, name="models", cls=Group)
