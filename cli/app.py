"""All commands in one place; each lives in the module of its name."""

from importlib import import_module

import typer

from kappamask.cli.models import models

__all__ = ["app"]

COMMANDS = ("demo", "mask", "serve", "archive", "evaluate", "simulate", "train", "doctor")
"""Modules of this room; each has a function of the same name, and an `EXAMPLE`. They import heavy things late."""

app = typer.Typer(
    name="kappamask",
    help="KappaMask cloud masks for Sentinel-2: here, and on openEO back-ends.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name in COMMANDS:
    _module = import_module(f"kappamask.cli.{_name}")
    app.command(_name, epilog=f"Example: {_module.EXAMPLE}")(getattr(_module, _name))
app.add_typer(models, name="models")
