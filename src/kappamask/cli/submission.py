"""What `kappamask submit` does once it knows what is asked: say the plan, and make the parts."""

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kappamask.cli.assemble import attributes_of
from kappamask.cli.options import say
from kappamask.models import JobError

if TYPE_CHECKING:
    import openeo

    from kappamask.openeo_process.areas import Cell
    from kappamask.openeo_process.batch import Request
    from kappamask.openeo_process.journal import Part
    from kappamask.openeo_process.plan import Plan, Sparing

__all__ = ["NO_ARCHIVE", "Submission", "archive_for", "runtime_of"]

NO_ARCHIVE, UPLOAD = "none", "upload"
"""Given where the back-end's workers have the package, and where it keeps files for its users."""


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
        from kappamask.openeo_process.batch import named_cells
        from kappamask.openeo_process.plan import make_plan

        jobs = [cell for cell, _ in named_cells(self.cells, self.request, self.proven)]
        return make_plan(jobs, self.request)

    def say(self, connection: "openeo.Connection", offered: Sequence[str], as_json: bool) -> None:
        """Print the plan, and the graph of the first job; offered: bands that the network takes and there are."""
        from kappamask.openeo_process.journal import unsigned
        from kappamask.openeo_process.plan import sparing

        plan, options = self.plan(), unsigned(json.dumps(self.request.job_options))
        spared = sparing(self.cells, self.request, offered)
        graph = self.request.graph(connection, self.cells[0])
        load = self.request.load
        result = {
            **asdict(plan),
            "worker_gigabytes": round(load.python / 2**30, 2),
            "bands": self.request.bands,
            "job_options": json.loads(options),
            "graph": graph,
        }
        zones = ", ".join(sorted({f"EPSG:{cell.epsg}" for cell in self.cells}))
        size = f"{plan.chunks} chunks, {plan.megapixels:.1f} Mpx, about {plan.dates} dates"
        first = ", one on a single chunk first" if plan.parts > len(self.cells) else ""
        lines = [
            f"{plan.parts} jobs in {zones}{first}: {size}",
            f"about {plan.credits:.0f} credits, {plan.basis}",
            *_about_bands(self.request, offered, spared),
            f"a worker needs about {load.python / 2**30:.1f} GB for {load.pixels**0.5:.0f} px, {load.bands} bands and "
            f"{load.weights / 1e6:.0f} MB of weights",
            f"job options {options}",
            f"graph of the first job {json.dumps(graph)}",
        ]
        say({**result, "sparing": asdict(spared)}, lines, as_json)

    def parts(self, connection: "openeo.Connection", output: Path) -> "list[Part]":
        """The batch's parts; if `proven`, the first is of one chunk, and fails unless the archive is the right one.

        It is the canary, or the first cell where that is no larger.
        """
        from kappamask.openeo_process import batch

        key, folder = batch.batch_id(self.cells, self.request), output.resolve()
        named = batch.named_cells(self.cells, self.request, self.proven)
        parts = [
            batch.part_of(self.request, connection, cell, folder, name, key, proves=self.proven and not place)
            for place, (cell, name) in enumerate(named)
        ]
        attributes = attributes_of(self.request.card, self.request.scheme)
        return [replace(part, attributes=attributes, max_credits=self.max_credits) for part in parts]


def _about_bands(request: "Request", offered: Sequence[str], spared: "Sparing") -> "Iterator[str]":
    """Which bands are loaded, what that saves, and what it costs in accuracy."""
    fewer = len(offered) - len(request.bands)
    saved = f" ({fewer} fewer than there are: saves about {spared.credits:.0f} credits)" if fewer else ""
    yield f"bands {','.join(request.bands)}{saved}"
    if spared.measured is None or spared.best is None:
        yield f"accuracy of {request.card.id} with these bands was not measured"
        return
    yield f"accuracy on {spared.measured.scene} with {','.join(spared.measured.bands)}, dice: {spared.measured}"
    if spared.measured != spared.best:
        lost = ", ".join(f"{name} {value:.3f}" for name, value in spared.measured.lost(spared.best).items())
        yield f"lower than with {','.join(spared.best.bands)} by: {lost}"


def archive_for(given: str | None, request: "Request", connection: "openeo.Connection", output: Path) -> "Request":
    """The request with the archive that was given, or with one that is made for a back-end here, or uploaded."""
    from kappamask.openeo_process.archive import build
    from kappamask.openeo_process.login import is_local
    from kappamask.openeo_process.upload import upload

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
    from kappamask.openeo_process.graph import PYTHON
    from kappamask.openeo_process.login import is_local

    return platform.python_version().rpartition(".")[0] if is_local(backend) else PYTHON
