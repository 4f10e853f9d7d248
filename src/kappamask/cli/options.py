"""Options that several commands share, and what they print."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

from kappamask.models import MissingExtraError

__all__ = ["AsJson", "Level", "Model", "Radiometry", "extra", "say"]


class Level(StrEnum):
    """Product levels."""

    L1C = "L1C"
    L2A = "L2A"


class Radiometry(StrEnum):
    """Readings of the numbers, as `kappamask.udf.cloud_mask` takes them."""

    AUTO = "auto"
    REFLECTANCE = "reflectance"
    DN_HARMONIZED = "dn_harmonized"
    DN_OFFSET = "dn_offset"


Model = Annotated[
    str, typer.Option("--model", help="A model's id, or the path of a card (see: kappamask models list).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Where imports need an optional library: if it is missing, say which extra brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"This command needs {error.name}: pip install 'kappamask-openeo[{name}]'.") from error


def say(result: dict[str, Any] | list[Any], lines: list[str], as_json: bool) -> None:
    """Print `result` as JSON, or `lines` for people."""
    typer.echo(json.dumps(result, indent=2) if as_json else "\n".join(lines))
