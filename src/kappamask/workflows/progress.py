"""Progress callbacks of long tasks: how much is done, and how much there is."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

__all__ = ["Shown", "Telling", "of_dask", "unseen"]

Shown = Callable[[int, int], None]
"""Is told how much is done, and how much there is."""
Telling = Callable[[str], AbstractContextManager[Shown]]
"""`shown`, or the like."""
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
def unseen(_label: str) -> Iterator[Shown]:
    """What `shown` is where nobody looks."""
    yield lambda _done, _total: None
