"""Progress callbacks of long tasks: how much is done, and how much there is."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kappamask.openeo_process.jobs.journal import JobRecord

__all__ = ["BatchProgress", "Notify", "Progress", "ProgressFactory", "dask_progress", "ignore_message", "no_progress"]

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""
ProgressFactory = Callable[[str], AbstractContextManager[Progress]]
"""Given the name of a task, yields the callback for it, as `no_progress` does."""
Notify = Callable[[str], None]
"""Called with a sentence for the user."""
STATES = ("ready", "waiting", "running")


@contextmanager
def dask_progress(show: Progress) -> Iterator[None]:
    """Report how far the dask computations inside the block are."""
    import dask.callbacks

    callback: Any = dask.callbacks.Callback  # not annotated

    def after_task(_key: str, _result: Any, _graph: Any, state: dict[str, Any], _worker: Any) -> None:
        done = len(state["finished"])
        show(done, done + sum(len(state[name]) for name in STATES))

    with callback(posttask=after_task):
        yield


@contextmanager
def no_progress(_label: str) -> Iterator[Progress]:
    """Show nothing."""
    yield lambda _done, _total: None


def ignore_message(_message: str) -> None:
    """Ignore a message."""


@contextmanager
def ignore_jobs(_parts: "Iterable[JobRecord]") -> "Iterator[Callable[[JobRecord], None]]":
    """Ignore changes of jobs."""
    yield lambda _part: None


@dataclass(frozen=True)
class BatchProgress:
    """Callbacks by which a batch reports where it stands."""

    notify: Notify = ignore_message
    watch: "Callable[[Iterable[JobRecord]], AbstractContextManager[Callable[[JobRecord], None]]]" = ignore_jobs
    """Given the jobs, yields a callback for each job whose state changes."""
