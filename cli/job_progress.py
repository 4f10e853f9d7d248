"""Progress of a batch's parts: a table on a terminal, a line for each change elsewhere, always on stderr."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from kappamask.openeo_process.journal import Part

__all__ = ["shown_parts"]

ROWS = 20
"""Parts listed on a terminal; of larger batches those that changed last."""


@contextmanager
def shown_parts(parts: Iterable["Part"]) -> Iterator[Callable[["Part"], None]]:
    """Yield a function that shows a part's new state."""
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.live import Live

    known = {part.fingerprint: part for part in parts}
    with Live(_table(known), console=Console(stderr=True), refresh_per_second=4) as live:

        def show(part: "Part") -> None:
            known.pop(part.fingerprint, None)
            known[part.fingerprint] = part
            live.update(_table(known))

        yield show


def _line(part: "Part") -> None:
    message = f": {part.message}" if part.message else ""
    typer.echo(f"{part.name} {part.state} {part.job or ''}".rstrip() + message, err=True)


def _table(known: dict[str, "Part"]) -> "Table":
    from rich.table import Table

    parts = list(known.values())
    counts = ", ".join(f"{count} {state}" for state, count in Counter(part.state.value for part in parts).items())
    spent = sum(part.costs or 0 for part in parts)
    table = Table("part", "state", "job", "credits", "", caption=f"{counts}; {spent:g} credits so far")
    for part in parts[-ROWS:]:
        table.add_row(part.name, part.state, part.job or "", f"{part.costs or 0:g}", part.message)
    return table
