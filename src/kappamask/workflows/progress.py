"""Report the progress of long tasks: callbacks, and a bar, table or lines on stderr."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from kappamask.openeo_process.jobs.journal import JobRecord

__all__ = [
    "BATCH_PROGRESS",
    "BatchProgress",
    "Notify",
    "Progress",
    "ProgressFactory",
    "dask_progress",
    "dask_progress_bar",
    "ignore_message",
    "no_progress",
    "print_line",
    "print_warning",
    "progress_bar",
    "render_jobs",
    "show_job_table",
]

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""
ProgressFactory = Callable[[str], AbstractContextManager[Progress]]
"""Given the name of a task, yields the callback for it, as `no_progress` does."""
Notify = Callable[[str], None]
"""Called with a sentence for the user."""
STATES = ("ready", "waiting", "running")
STEP_PERCENT = 25
"""Percent between two plain lines."""
ROWS, AROUND = 20, 10
"""Parts listed on a terminal, those that changed last; and lines that the rest needs, in which no part has place."""
MESSAGES = 3
"""Shown in full below the table."""
STYLES = {"failed": "red", "canceled": "yellow", "fetched": "green"}
COLUMNS = ("part", "state", "for", "credits")
"""Never cut; the job's id is, where the terminal is narrower than 80 characters."""
INTERRUPTED = (
    "Interrupted. Jobs that were started run on. kappamask resume goes on with them, kappamask cancel ends them; "
    "with the same --journal, if you gave one."
)


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


def print_line(message: str) -> None:
    """Print a line on stderr."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def print_warning(message: str) -> None:
    """Print a warning on stderr."""
    print_line(f"kappamask: warning: {message}")


@contextmanager
def dask_progress_bar(label: str) -> Iterator[None]:
    """Show a bar of the dask computations inside the block."""
    with progress_bar(label) as show, dask_progress(show):
        yield


def _has_terminal() -> bool:
    """Tell whether a bar can be drawn: on a terminal, with rich installed."""
    return sys.stderr.isatty() and find_spec("rich") is not None


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Yield a callback that draws a bar on a terminal, and prints lines elsewhere."""
    if not _has_terminal():
        yield _Lines(label)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    """Prints one line for every `STEP_PERCENT` percent."""

    def __init__(self, label: str) -> None:
        self.label, self.next = label, STEP_PERCENT

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // max(total, 1)
        if percent >= self.next:
            print_line(f"{self.label}: {percent} %")
            self.next = percent - percent % STEP_PERCENT + STEP_PERCENT


@contextmanager
def show_job_table(parts: Iterable["JobRecord"]) -> Iterator[Callable[["JobRecord"], None]]:
    """Yield a callback that shows a job's new state; Ctrl-C prints how to go on."""
    try:
        if not _has_terminal():
            yield _print_job
        else:
            with _show_live({part.fingerprint: part for part in parts}) as show:
                yield show
    except KeyboardInterrupt:
        print_line(INTERRUPTED)
        raise


@contextmanager
def _show_live(known: dict[str, "JobRecord"]) -> Iterator[Callable[["JobRecord"], None]]:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)

    def draw() -> "Group":
        return render_jobs(list(known.values()), min(ROWS, max(1, console.height - AROUND)))

    def show(part: "JobRecord") -> None:
        known[part.fingerprint] = part

    with Live(get_renderable=draw, console=console, refresh_per_second=4):
        yield show


def _print_job(part: "JobRecord") -> None:
    message = f": {part.message}" if part.message else ""
    print_line(f"{part.label} {part.state} {part.job or ''}".rstrip() + message)


def render_jobs(parts: "Sequence[JobRecord]", rows: int) -> "Group":
    """Render counts, costs, the `rows` jobs that changed last, and the last messages."""
    from rich.console import Group
    from rich.text import Text

    ordered = sorted(parts, key=lambda part: (part.state != "planned", part.changed))
    messages = [Text(f"{part.label}: {part.message}") for part in ordered if part.message][-MESSAGES:]
    return Group(Text(_format_summary(parts), style="bold"), _make_table(ordered[-rows:]), *messages)


def _format_summary(parts: "Sequence[JobRecord]") -> str:
    counts = ", ".join(f"{count} {state}" for state, count in Counter(part.state.value for part in parts).items())
    costs = [part.costs for part in parts if part.costs is not None]
    spent = f"{sum(costs):g} credits so far" if costs else "no credits reported yet"
    return f"{len(parts)} job{'s' * (len(parts) != 1)}: {counts}; {spent}"


def _make_table(parts: "Sequence[JobRecord]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        table.add_column(name, no_wrap=True, justify="right" if name in ("for", "credits") else "left")
    table.add_column("job", overflow="ellipsis")
    for part in parts:
        state = Text(part.state.value, style=STYLES.get(part.state.value, ""))
        costs = "" if part.costs is None else f"{part.costs:g}"
        table.add_row(Text(part.label), state, _format_duration(part), costs, Text(part.job or ""))
    return table


def _format_duration(part: "JobRecord") -> str:
    """Format how long a job has been in its state, where it is under way."""
    if part.state.is_final or part.state == "planned":
        return ""
    seconds = max(0.0, time.time() - part.changed)
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


BATCH_PROGRESS = BatchProgress(print_line, show_job_table)
"""Of batches: messages as lines, jobs as a table or lines."""
