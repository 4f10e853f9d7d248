"""Progress: a bar on a terminal, plain lines elsewhere, always on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import typer

__all__ = ["Shown", "Telling", "dask_progress", "of_dask", "shown", "unseen"]

Shown = Callable[[int, int], None]
"""Is told how much is done, and how much there is."""
Telling = Callable[[str], AbstractContextManager[Shown]]
"""`shown`, or the like."""


STEP = 25
"""Percent between two plain lines."""
STATES = ("ready", "waiting", "running")


@contextmanager
def of_dask(show: Shown) -> Iterator[None]:
    """Show how far the dask computations inside the block are."""
    import dask.callbacks

    callback: Any = dask.callbacks.Callback  # not annotated

    def after_task(_key: str, _result: Any, _graph: Any, state: dict[str, Any], _worker: Any) -> None:
        done = len(state["finished"])
        show(done, done + sum(len(state[name]) for name in STATES))

    with callback(posttask=after_task):
        yield


@contextmanager
def dask_progress(label: str) -> Iterator[None]:
    """Both together."""
    with shown(label) as show, of_dask(show):
        yield


@contextmanager
def unseen(_label: str) -> Iterator[Shown]:
    """What `shown` is where nobody looks."""
    yield lambda _done, _total: None


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
