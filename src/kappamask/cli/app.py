"""All commands in one place; each lives in the module of its name."""

from importlib import import_module
from typing import Annotated

import typer

import kappamask
from kappamask.cli.models import models
from kappamask.cli.spellings import Command, Group

__all__ = ["app"]

MODULES = (
    "demo",
    "mask",
    "submit",
    "jobs",
    "publish",
    "serve",
    "archive",
    "evaluate",
    "compare",
    "report",
    "simulate",
    "train",
    "doctor",
)
"""Modules of this package: each has a function for each command in its `EXAMPLES`, or one of its own name and an
`EXAMPLE`. They import heavy things late."""

app = typer.Typer(
    name="kappamask",
    cls=Group,
    help="KappaMask cloud masks for Sentinel-2: here, and on openEO back-ends.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(kappamask.__version__)
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that stand before the command."""


for _module in (import_module(f"kappamask.cli.{name}") for name in MODULES):
    _own = _module.__name__.rpartition(".")[2]
    for _name, _example in getattr(_module, "EXAMPLES", {_own: getattr(_module, "EXAMPLE", "")}).items():
        app.command(_name, cls=Command, epilog=f"Example: {_example}")(getattr(_module, _name))
app.add_typer(models, name="models")
