"""Batches taken to their end: one part of each goes first, and proves it before the rest is paid for."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kappamask.cli.batches import driver_of
from kappamask.cli.job_progress import shown_parts
from kappamask.cli.options import extra
from kappamask.models import JobError

if TYPE_CHECKING:
    from kappamask.openeo_process.journal import Journal, Part

__all__ = ["by_backend", "drive", "run_parts"]


def drive(
    book: "Journal", batches: "Sequence[Sequence[Part]]", at_once: int, partly: bool = False, most: float | None = None
) -> None:
    """Take every part of these batches as far as it goes.

    Of each batch the canary goes first, or the first part where there is none. Unless it came back whole, and by what
    it cost the batch stays within its `max_credits`, nothing else of the batch is started; what was started before is
    watched and fetched all the same. partly: masks that do not cover their part are taken as well. most: credits, in
    place of those that the batches were submitted with.
    """
    first = [_pilot(parts) for parts in batches]
    run_parts(book, first, first, at_once, partly)
    rest = [part for parts in batches for part in _allowed(book, parts, most)]
    shown = [book.get(part.fingerprint) for parts in batches for part in parts]
    run_parts(book, rest, shown, at_once, partly)


def run_parts(
    book: "Journal", parts: "Sequence[Part]", shown: "Sequence[Part]", at_once: int, partly: bool, once: bool = False
) -> None:
    """Drive those parts that have not ended. shown: parts of which the progress is told. once: see `Driver.run`."""
    waiting = [part for part in parts if not part.state.ended]
    if not waiting:
        return
    with extra("client"), shown_parts(shown) as tell:
        for backend, own in by_backend(waiting).items():
            driver_of(book, backend, at_once, tell, partly).run([part.fingerprint for part in own], once=once)


def by_backend(parts: "Iterable[Part]") -> "dict[str, list[Part]]":
    """The parts of each back-end, by its URL."""
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(part.backend, []).append(part)
    return found


def _pilot(parts: "Sequence[Part]") -> "Part":
    from kappamask.openeo_process.batch import CANARY

    return next((part for part in parts if part.name == CANARY), parts[0])


def _allowed(book: "Journal", parts: "Sequence[Part]", most: float | None) -> "list[Part]":
    """Those of a batch that may go on, now that its pilot has been driven; others are told why not."""
    from kappamask.openeo_process.journal import State

    now = [book.get(part.fingerprint) for part in parts]
    pilot = _pilot(now)
    others = [part for part in now if part is not pilot and not part.state.ended]
    refusal = _refusal(pilot, now, most) if others and pilot.state is State.FETCHED else None
    if pilot.state is State.FETCHED and refusal is None:
        return others
    held = [part for part in others if not part.state.under_way]
    if refusal and held:
        book.change(held[0], message=f"left for resume: {refusal}")
    return [part for part in others if part.state.under_way]


def _refusal(pilot: "Part", parts: "Sequence[Part]", most: float | None) -> str | None:
    """Why the batch is too dear by what its pilot cost; None if it is not, or nobody knows."""
    from kappamask.openeo_process.download import fetched
    from kappamask.openeo_process.plan import SEEN, check_credits, seen_credits
    from kappamask.openeo_process.results import collect_dates

    dates = len(collect_dates(fetched(Path(pilot.folder), str(pilot.job))))
    price = seen_credits(pilot, parts, dates)
    if price is None:
        return None
    typer.echo(f"about {price:.0f} credits for {len(parts)} jobs, {SEEN}", err=True)
    try:
        check_credits(price, SEEN, pilot.max_credits if most is None else most)
    except JobError as error:
        return str(error)
    return None
