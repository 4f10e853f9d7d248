"""Progress callbacks of long tasks: how much is done, and how much there is."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kappamask.openeo_process.jobs.journal import Part

__all__ = ["BatchProgress", "Say", "Shown", "Telling", "of_dask", "unheard", "unseen"]

Shown = Callable[[int, int], None]
"""Is told how much is done, and how much there is."""
Telling = Callable[[str], AbstractContextManager[Shown]]
"""Given the name of a task, yields the callback for it; such as `unseen`."""
Say = Callable[[str], None]
"""Called with a sentence for the user."""
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
    """Progress that is not shown."""
    yield lambda _done, _total: None


def unheard(_message: str) -> None:
    """Drop a message."""


@contextmanager
def unwatched(_parts: "Iterable[Part]") -> "Iterator[Callable[[Part], None]]":
    """Drop the changes of jobs."""
    yield lambda _part: None


@dataclass(frozen=True)
class BatchProgress:
    """How a batch says where it stands."""

    say: Say = unheard
    watch: "Callable[[Iterable[Part]], AbstractContextManager[Callable[[Part], None]]]" = unwatched
    """Given the jobs, yields a callback for each job whose state has changed."""
