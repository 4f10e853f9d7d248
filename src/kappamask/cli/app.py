"""All commands in one place; each lives in the module of its name."""

from importlib import import_module

import typer

from kappamask.cli.models import models

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
"""Modules of this room: each has a function for each command in its `EXAMPLES`, or one of its own name and an
`EXAMPLE`. They import heavy things late."""

app = typer.Typer(
    name="kappamask",
    help="KappaMask cloud masks for Sentinel-2: here, and on openEO back-ends.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in (import_module(f"kappamask.cli.{name}") for name in MODULES):
    _own = _module.__name__.rpartition(".")[2]
    for _name, _example in getattr(_module, "EXAMPLES", {_own: getattr(_module, "EXAMPLE", "")}).items():
        app.command(_name, epilog=f"Example: {_example}")(getattr(_module, _name))
app.add_typer(models, name="models")
