"""Plan, submit and drive the jobs of a batch."""

import platform
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kappamask.models import JobError
from kappamask.models.errors import require_extra
from kappamask.workflows.batch_results import attributes_of, driver_of
from kappamask.workflows.progress import BatchProgress, Say, unheard

if TYPE_CHECKING:
    import openeo

    from kappamask.openeo_process.jobs.areas import Cell
    from kappamask.openeo_process.jobs.cost import Plan
    from kappamask.openeo_process.jobs.journal import Journal, Part
    from kappamask.openeo_process.jobs.request import Request

__all__ = ["NO_ARCHIVE", "Submission", "archive_for", "by_backend", "drive", "moved", "run_parts", "runtime_of"]

NO_ARCHIVE, UPLOAD = "none", "upload"
"""Given where the back-end's workers have the package, and where it keeps files for its users."""

QUIET = BatchProgress()


def drive(
    book: "Journal", batches: "Sequence[Sequence[Part]]", at_once: int, partly: bool = False, most: float | None = None,
    progress: BatchProgress = QUIET,
) -> None:  # fmt: skip
    """Take every part of these batches as far as it goes.

    Of each batch the canary goes first, or the first part where there is none. Unless it came back whole, and by what
    it cost the batch stays within its `max_credits`, nothing else of the batch is started; what was started before is
    watched and fetched all the same. partly: masks that do not cover their part are taken as well. most: credits, in
    place of those that the batches were submitted with.
    """
    first = [_pilot(parts) for parts in batches]
    run_parts(book, first, first, at_once, partly, progress=progress)
    rest = [part for parts in batches for part in _allowed(book, parts, most, progress.say)]
    shown = [book.get(part.fingerprint) for parts in batches for part in parts]
    run_parts(book, rest, shown, at_once, partly, progress=progress)


def run_parts(
    book: "Journal", parts: "Sequence[Part]", shown: "Sequence[Part]", at_once: int, partly: bool, once: bool = False,
    progress: BatchProgress = QUIET,
) -> None:  # fmt: skip
    """Drive those parts that have not ended. shown: parts of which the progress is told. once: see `Driver.run`."""
    waiting = [part for part in parts if not part.state.ended]
    if not waiting:
        return
    with require_extra("client"), progress.watch(shown) as tell:
        for backend, own in by_backend(waiting).items():
            driver_of(book, backend, at_once, tell, partly).run([part.fingerprint for part in own], once=once)


def by_backend(parts: "Iterable[Part]") -> "dict[str, list[Part]]":
    """The parts of each back-end, by its URL."""
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(part.backend, []).append(part)
    return found


def _pilot(parts: "Sequence[Part]") -> "Part":
    from kappamask.openeo_process.jobs.request import CANARY

    return next((part for part in parts if part.name == CANARY), parts[0])


def _allowed(book: "Journal", parts: "Sequence[Part]", most: float | None, say: Say) -> "list[Part]":
    """Those of a batch that may go on, now that its pilot has been driven; others are told why not."""
    from kappamask.openeo_process.jobs.journal import State

    now = [book.get(part.fingerprint) for part in parts]
    pilot = _pilot(now)
    others = [part for part in now if part is not pilot and not part.state.ended]
    refusal = _refusal(pilot, now, most, say) if others and pilot.state is State.FETCHED else None
    if pilot.state is State.FETCHED and refusal is None:
        return others
    held = [part for part in others if not part.state.under_way]
    if refusal and held:
        book.change(held[0], message=f"left for resume: {refusal}")
    return [part for part in others if part.state.under_way]


def _refusal(pilot: "Part", parts: "Sequence[Part]", most: float | None, say: Say) -> str | None:
    """Why the batch is too dear by what its pilot cost; None if it is not, or nobody knows."""
    from kappamask.openeo_process.jobs.cost import SEEN, check_credits, seen_credits
    from kappamask.openeo_process.jobs.download import fetched
    from kappamask.openeo_process.results import collect_dates

    dates = len(collect_dates(fetched(Path(pilot.folder), str(pilot.job))))
    price = seen_credits(pilot, parts, dates)
    if price is None:
        return None
    say(f"about {price:.0f} credits for {len(parts)} jobs, {SEEN}")
    try:
        check_credits(price, SEEN, pilot.max_credits if most is None else most)
    except JobError as error:
        return str(error)
    return None


def moved(book: "Journal", parts: "Sequence[Part]", asked: "Sequence[Part]", say: Say = unheard) -> "list[Part]":
    """The journal's `parts`, each with the folder of its like in `asked`; what was fetched elsewhere is copied.

    The files of the earlier folder stay; the journal knows the new ones only. A part that another client works on
    stays where that one wants it.
    """
    after = [_moved(book, part, one.folder) for part, one in zip(parts, asked, strict=True)]
    old = [part for part, now in zip(parts, after, strict=True) if part.folder != now.folder]
    if old:
        day, place, now = datetime.fromtimestamp(old[0].changed, tz=UTC).date(), old[0].folder, asked[0].folder
        say(
            f"the same was submitted before, last at work on {day}, for {Path(place).parent}: its masks come to "
            f"{Path(now).parent} as well, and nothing is paid again"
        )
    return after


def _moved(book: "Journal", part: "Part", folder: str) -> "Part":
    if part.folder == folder:
        return part
    with book.claimed(part.fingerprint) as mine:
        if mine is None:
            return part
        _copy(mine, Path(folder))
        return book.change(mine, folder=folder)


def _copy(part: "Part", folder: Path) -> None:
    """What the part has fetched, and last its manifest."""
    from kappamask.openeo_process.jobs.download import MANIFEST, fetched

    names = [path.name for path in fetched(Path(part.folder), str(part.job))]
    for name in [*names, MANIFEST] if names else []:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{name}.part"
        shutil.copyfile(Path(part.folder) / name, draft)
        draft.replace(folder / name)


@dataclass(frozen=True)
class Submission:
    """One batch, before it is driven."""

    request: "Request"
    cells: "Sequence[Cell]"
    max_credits: float | None
    proven: bool
    """Whether a job on one chunk goes first."""

    def plan(self) -> "Plan":
        """What it takes, the canary included; see `make_plan`."""
        from kappamask.openeo_process.jobs.cost import make_plan
        from kappamask.openeo_process.jobs.request import named_cells

        jobs = [cell for cell, _ in named_cells(self.cells, self.request, self.proven)]
        return make_plan(jobs, self.request)

    def parts(self, connection: "openeo.Connection", output: Path) -> "list[Part]":
        """The batch's parts; if `proven`, the first is of one chunk, and fails unless the archive is the right one.

        It is the canary, or the first cell where that is no larger.
        """
        from kappamask.openeo_process.jobs import request as batch

        key, folder = batch.batch_id(self.cells, self.request), output.resolve()
        named = batch.named_cells(self.cells, self.request, self.proven)
        parts = [
            batch.part_of(self.request, connection, cell, folder, name, key, proves=self.proven and not place)
            for place, (cell, name) in enumerate(named)
        ]
        attributes = attributes_of(self.request.card, self.request.scheme)
        return [replace(part, attributes=attributes, max_credits=self.max_credits) for part in parts]


def archive_for(given: str | None, request: "Request", connection: "openeo.Connection", output: Path) -> "Request":
    """The request with the archive that was given, or with one that is made for a back-end here, or uploaded."""
    from kappamask.openeo_process.archive import build
    from kappamask.openeo_process.connection import is_local, upload

    if given not in (None, UPLOAD):
        return replace(request, archive=None if given == NO_ARCHIVE else given)
    if given is None and not is_local(request.backend):
        raise JobError(
            "The back-end needs the dependency archive: try --archive upload, or make it (kappamask archive), "
            "put it where the back-end can read it, and give its URL with --archive."
        )
    made = build(output / "archive", model=request.card, python=request.python).resolve()
    return replace(request, archive=str(made) if given is None else upload(connection, made))


def runtime_of(backend: str) -> str:
    """The Python of the back-end's UDFs, where the user does not say."""
    from kappamask.openeo_process.connection import is_local
    from kappamask.openeo_process.graph import PYTHON

    return platform.python_version().rpartition(".")[0] if is_local(backend) else PYTHON
