"""Progress on stderr: a bar or a table on a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from kappamask.workflows.progress import BatchProgress, Shown, of_dask

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from kappamask.openeo_process.jobs.journal import Part

__all__ = ["BATCH_PROGRESS", "dask_progress", "echo", "shown", "shown_parts", "view", "warn"]

STEP = 25
"""Percent between two plain lines."""
ROWS, AROUND = 20, 10
"""Parts listed on a terminal, those that changed last; and lines that the rest needs, in which no part has place."""
MESSAGES = 3
"""Told in full below the table."""
STYLES = {"failed": "red", "canceled": "yellow", "fetched": "green"}
COLUMNS = ("part", "state", "for", "credits")
"""Never cut; the job's id is, where the terminal is narrower than 80 characters."""
INTERRUPTED = (
    "Interrupted. Jobs that were started run on. kappamask resume goes on with them, kappamask cancel ends them; "
    "with the same --journal, if you gave one."
)


def echo(message: str) -> None:
    """Print a line on stderr."""
    typer.echo(message, err=True)


def warn(message: str) -> None:
    """Print a warning on stderr."""
    echo(f"kappamask: warning: {message}")


@contextmanager
def dask_progress(label: str) -> Iterator[None]:
    """Both together."""
    with shown(label) as show, of_dask(show):
        yield


@contextmanager
def shown(label: str) -> Iterator[Shown]:
    """Yield a function of how much is done and how much there is."""
    if not sys.stderr.isatty():
        yield _Lines(label)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    """One line for every `STEP` percent."""

    def __init__(self, label: str) -> None:
        self.label, self.next = label, STEP

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // max(total, 1)
        if percent >= self.next:
            typer.echo(f"{self.label}: {percent} %", err=True)
            self.next = percent - percent % STEP + STEP


@contextmanager
def shown_parts(parts: Iterable["Part"]) -> Iterator[Callable[["Part"], None]]:
    """Yield a function that shows a part's new state; who interrupts the block is told how to go on."""
    try:
        if not sys.stderr.isatty():
            yield _line
        else:
            with _live({part.fingerprint: part for part in parts}) as show:
                yield show
    except KeyboardInterrupt:
        typer.echo(INTERRUPTED, err=True)
        raise


@contextmanager
def _live(known: dict[str, "Part"]) -> Iterator[Callable[["Part"], None]]:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)

    def drawn() -> "Group":
        return view(list(known.values()), min(ROWS, max(1, console.height - AROUND)))

    def show(part: "Part") -> None:
        known[part.fingerprint] = part

    with Live(get_renderable=drawn, console=console, refresh_per_second=4):
        yield show


def _line(part: "Part") -> None:
    message = f": {part.message}" if part.message else ""
    typer.echo(f"{part.name} {part.state} {part.job or ''}".rstrip() + message, err=True)


def view(parts: "Sequence[Part]", rows: int) -> "Group":
    """How many stand where and what they cost, then `rows` that changed last, then what the last ones say."""
    from rich.console import Group
    from rich.text import Text

    ordered = sorted(parts, key=lambda part: (part.state != "planned", part.changed))
    said = [Text(f"{part.name}: {part.message}") for part in ordered if part.message][-MESSAGES:]
    return Group(Text(_summary(parts), style="bold"), _table(ordered[-rows:]), *said)


def _summary(parts: "Sequence[Part]") -> str:
    counts = ", ".join(f"{count} {state}" for state, count in Counter(part.state.value for part in parts).items())
    costs = [part.costs for part in parts if part.costs is not None]
    spent = f"{sum(costs):g} credits so far" if costs else "no credits told yet"
    return f"{len(parts)} part{'s' * (len(parts) != 1)}: {counts}; {spent}"


def _table(parts: "Sequence[Part]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        table.add_column(name, no_wrap=True, justify="right" if name in ("for", "credits") else "left")
    table.add_column("job", overflow="ellipsis")
    for part in parts:
        state = Text(part.state.value, style=STYLES.get(part.state.value, ""))
        costs = "" if part.costs is None else f"{part.costs:g}"
        table.add_row(Text(part.name), state, _since(part), costs, Text(part.job or ""))
    return table


def _since(part: "Part") -> str:
    """How long it has stood so, where it is under way."""
    if part.state.ended or part.state == "planned":
        return ""
    seconds = max(0.0, time.time() - part.changed)
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


BATCH_PROGRESS = BatchProgress(echo, shown_parts)
"""Of batches: messages as lines, jobs as a table or lines."""
