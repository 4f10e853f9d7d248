"""`kappamask jobs`, `resume`, `fetch`, `cancel`: what was submitted, from any process on any day."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from kappamask.cli.options import AllowHoles, AsJson, AtOnce, JournalFile, say
from kappamask.cli.progress import BATCH_PROGRESS
from kappamask.models import JobError
from kappamask.models.errors import require_extra
from kappamask.workflows.batch import by_backend, drive, run_parts
from kappamask.workflows.batch_results import (
    HOME,
    assemble,
    check_holes,
    driver_of,
    holes,
    journal_at,
    rows,
    whole_or_fetched_again,
)

if TYPE_CHECKING:
    from kappamask.openeo_process.jobs.journal import Journal, Part

__all__ = [
    "cancel",
    "fetch",
    "finish",
    "jobs",
    "resume",
]

EXAMPLES = {
    "jobs": "kappamask jobs",
    "resume": "kappamask resume",
    "fetch": "kappamask fetch 3f2a9c41",
    "cancel": "kappamask cancel 3f2a9c41",
}
Batch = Annotated[str | None, typer.Argument(help="A batch, as `kappamask jobs` lists it; all if left out.")]


def jobs(batch: Batch = None, journal: JournalFile = HOME, as_json: AsJson = False) -> None:
    """List what was submitted and where it stands, as the journal knows it."""
    parts = _parts(journal_at(journal), batch)
    say(rows(parts), [_line(part) for part in parts] or ["nothing was submitted"], as_json)


def resume(
    batch: Batch = None,
    journal: JournalFile = HOME,
    at_once: AtOnce = 2,
    max_credits: Annotated[
        float | None, typer.Option(min=0, help="What a batch may cost, if not what submit was told.")
    ] = None,
    allow_holes: AllowHoles = False,
    as_json: AsJson = False,
) -> None:
    """Go on with all that has not ended: create, start, watch, fetch. Nothing is created or paid twice."""
    book = journal_at(journal)
    batches = _batches(book, batch)
    drive(book, batches, at_once, allow_holes, max_credits, BATCH_PROGRESS)
    finish(book, batches, as_json, allow_holes)


def fetch(
    batch: Batch = None, journal: JournalFile = HOME, allow_holes: AllowHoles = False, as_json: AsJson = False
) -> None:
    """Download what is finished on the back-end and not yet here; nothing is started."""
    book = journal_at(journal)
    batches = _batches(book, batch)
    parts = [*chain.from_iterable(batches)]
    run_parts(book, parts, parts, 1, allow_holes, once=True, progress=BATCH_PROGRESS)
    finish(book, batches, as_json, allow_holes, all_ended=False)


def cancel(batch: Batch = None, journal: JournalFile = HOME, as_json: AsJson = False) -> None:
    """End jobs on the back-end that have not ended; what is fetched stays."""
    book = journal_at(journal)
    ended: list[Part] = []
    with require_extra("client"):
        for backend, parts in by_backend([part for part in _parts(book, batch) if not part.state.ended]).items():
            ended += driver_of(book, backend, 1, lambda _: None).cancel(part.fingerprint for part in parts)
    say(rows(ended), [_line(part) for part in ended] or ["nothing is left to cancel"], as_json)


def finish(
    book: "Journal",
    batches: "Sequence[Sequence[Part]]",
    as_json: bool,
    allow_holes: bool = False,
    *,
    all_ended: bool = True,
) -> None:
    """Put the masks of whole batches together and tell.

    JobError unless every part was fetched, or if a mask has holes. all_ended: False where parts may still run.
    """
    from kappamask.openeo_process.jobs.journal import State

    now = [[book.get(part.fingerprint) for part in parts] for parts in batches]
    whole = [parts for parts in now if all(part.state is State.FETCHED for part in parts)]
    if whole:
        typer.echo("putting the masks together", err=True)
    files = [file for parts in whole for file in assemble(parts)]
    parts, open_places = [*chain.from_iterable(now)], holes(chain.from_iterable(whole))
    result = {"parts": rows(parts), "files": [str(file) for file in files], "holes": open_places}
    told = [f"{share:.2%} of {path} have no data though the satellite saw them" for path, share in open_places.items()]
    lines = [*(_line(part) for part in parts), *map(str, files), *told]
    say(result, lines or ["nothing was submitted"], as_json)
    _check_came(parts, all_ended)
    if not allow_holes:
        check_holes(open_places)


def _check_came(parts: "Sequence[Part]", all_ended: bool) -> None:
    from kappamask.openeo_process.jobs.journal import State

    missing = [part for part in parts if part.state is not State.FETCHED and (all_ended or _went_wrong(part))]
    if missing:
        first = next((part for part in missing if part.message), missing[0])
        why = first.message or f"it is {first.state}"
        raise JobError(f"{len(missing)} of {len(parts)} parts did not come: {first.name}: {why}")


def _went_wrong(part: "Part") -> bool:
    """Whether it failed, or was left though it was started."""
    return part.state == "failed" or (part.state.under_way and part.message != "")


def _parts(book: "Journal", batch: str | None) -> "list[Part]":
    parts = book.parts(batch=batch) if batch else book.parts()
    if batch and not parts:
        raise JobError(f"The journal {book.path} knows no batch {batch}; kappamask jobs lists them.")
    return parts


def _batches(book: "Journal", batch: str | None) -> "list[list[Part]]":
    """The parts of each batch; those whose files are not whole any more are to be fetched again."""
    found: dict[str, list[Part]] = {}
    for part in _parts(book, batch):
        found.setdefault(part.batch, []).append(whole_or_fetched_again(book, part))
    return [*found.values()]


def _line(part: "Part") -> str:
    costs = "" if part.costs is None else f" {part.costs:g} credits"
    message = f"  {part.message}" if part.message else ""
    return f"{part.batch} {part.name:<20} {part.state:<8} {part.job or '-'}{costs}{message}"
