"""`kappamask jobs`, `resume`, `fetch`, `cancel`: what was submitted, from any process on any day."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kappamask.cli.assemble import assemble, check_holes, holes
from kappamask.cli.batches import HOME, AllowHoles, AtOnce, JournalFile, driver_of, journal_at, rows
from kappamask.cli.job_progress import shown_parts
from kappamask.cli.options import AsJson, extra, say
from kappamask.models import JobError

if TYPE_CHECKING:
    from kappamask.openeo_process.journal import Journal, Part

__all__ = ["cancel", "fetch", "finish", "jobs", "resume", "whole_or_fetched_again"]

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
    allow_holes: AllowHoles = False,
    as_json: AsJson = False,
) -> None:
    """Go on with all that has not ended: create, start, watch, fetch. Nothing is created or paid twice."""
    _drive(journal_at(journal), batch, at_once, allow_holes)
    _finish(journal_at(journal), batch, as_json, allow_holes)


def fetch(
    batch: Batch = None, journal: JournalFile = HOME, allow_holes: AllowHoles = False, as_json: AsJson = False
) -> None:
    """Download what is finished on the back-end and not yet here; nothing is started."""
    from kappamask.openeo_process.journal import State

    _drive(journal_at(journal), batch, 1, allow_holes, only=(State.STARTED, State.FINISHED), once=True)
    _finish(journal_at(journal), batch, as_json, allow_holes)


def cancel(batch: Batch = None, journal: JournalFile = HOME, as_json: AsJson = False) -> None:
    """End jobs on the back-end that have not ended; what is fetched stays."""
    book = journal_at(journal)
    ended: list[Part] = []
    with extra("client"):
        for backend, parts in _by_backend([part for part in _parts(book, batch) if not part.state.ended]).items():
            ended += driver_of(book, backend, 1, lambda _: None).cancel(part.fingerprint for part in parts)
    say(rows(ended), [_line(part) for part in ended] or ["nothing is left to cancel"], as_json)


def _drive(
    book: "Journal", batch: str | None, at_once: int, partly: bool, only: tuple[Any, ...] = (), once: bool = False
) -> None:
    from kappamask.openeo_process.batch import CANARY

    chosen = [whole_or_fetched_again(book, part) for part in _parts(book, batch)]
    waiting = [part for part in chosen if not part.state.ended and (not only or part.state in only)]
    with extra("client"), shown_parts(chosen) as tell:
        for backend, parts in _by_backend(waiting).items():
            driver = driver_of(book, backend, at_once, tell, partly)
            first = [part.fingerprint for part in parts if part.name == CANARY]
            driver.run(first, once=once)
            driver.run((part.fingerprint for part in parts if part.fingerprint not in first), once=once)


def _finish(book: "Journal", batch: str | None, as_json: bool, allow_holes: bool) -> None:
    finish(book, sorted({part.batch for part in _parts(book, batch)}), as_json, allow_holes)


def finish(book: "Journal", batches: list[str], as_json: bool, allow_holes: bool = False) -> None:
    """Put the masks of whole batches together and tell; JobError if a part failed or was left, or has holes."""
    from kappamask.openeo_process.journal import State

    parts = [part for batch in batches for part in book.parts(batch=batch)]
    whole = [batch for batch in batches if all(p.state is State.FETCHED for p in parts if p.batch == batch)]
    if whole:
        typer.echo("putting the masks together", err=True)
    files = [file for batch in whole for file in assemble(part for part in parts if part.batch == batch)]
    open_places = holes(part for part in parts if part.batch in whole)
    result = {"parts": rows(parts), "files": [str(file) for file in files], "holes": open_places}
    told = [f"{share:.2%} of {path} have no data though the satellite saw them" for path, share in open_places.items()]
    lines = [*(_line(part) for part in parts), *map(str, files), *told]
    say(result, lines or ["nothing was submitted"], as_json)
    bad = [part for part in parts if part.state is State.FAILED or part.message.startswith("left for resume")]
    if bad:
        raise JobError(f"{len(bad)} of {len(parts)} parts did not come: {bad[0].name}: {bad[0].message}")
    if not allow_holes:
        check_holes(open_places)


def whole_or_fetched_again(book: "Journal", part: "Part") -> "Part":
    """The part; one of whose files any is gone or changed is to be fetched again."""
    from kappamask.openeo_process.download import is_whole
    from kappamask.openeo_process.journal import State

    damaged = part.state is State.FETCHED and not is_whole(Path(part.folder), str(part.job))
    return book.change(part, state=State.FINISHED) if damaged else part


def _parts(book: "Journal", batch: str | None) -> "list[Part]":
    parts = book.parts(batch=batch) if batch else book.parts()
    if batch and not parts:
        raise JobError(f"The journal {book.path} knows no batch {batch}; kappamask jobs lists them.")
    return parts


def _by_backend(parts: "list[Part]") -> "dict[str, list[Part]]":
    return {url: [part for part in parts if part.backend == url] for url in dict.fromkeys(p.backend for p in parts)}


def _line(part: "Part") -> str:
    costs = "" if part.costs is None else f" {part.costs:g} credits"
    message = f"  {part.message}" if part.message else ""
    return f"{part.batch} {part.name:<20} {part.state:<8} {part.job or '-'}{costs}{message}"
