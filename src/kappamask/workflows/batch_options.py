"""Options of a batch, and the request and archive that follow from them."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappamask.models import JobError, load_card, parse_level
from kappamask.models.band_names import choose_labels, find_labels
from kappamask.models.errors import require_extra
from kappamask.models.hints import option
from kappamask.models.schemes import KAPPAMASK
from kappamask.workflows.batch_results import JOB_FILES, describe_classes

if TYPE_CHECKING:
    import openeo

    from kappamask.models import ModelCard
    from kappamask.openeo_process.jobs.cells import Cell
    from kappamask.openeo_process.jobs.cost import Plan
    from kappamask.openeo_process.jobs.record import JobRecord
    from kappamask.openeo_process.jobs.request import Request

__all__ = ["BatchOptions", "OptionError", "Submission", "choose_bands", "prepare_submission", "resolve_archive",
           "state_archive"]  # fmt: skip

NO_ARCHIVE, UPLOAD = "none", "upload"
"""Values of `archive`: the back-end's workers have the package; the archive is uploaded to the back-end's store."""


class OptionError(JobError):
    """A wrong value of an option."""

    def __init__(self, message: str, option: str) -> None:
        super().__init__(message)
        self.option = option
        """Its name on the command line."""


@dataclass(frozen=True)
class BatchOptions:
    """What is asked of which back-end, and how the jobs are run."""

    backend: str
    """URL."""
    collection: str
    """Such as SENTINEL2_L2A."""
    model: str = "compact"
    level: str | None = None
    """L1C or L2A; left out, the collection's name or the bands decide."""
    bands: tuple[str, ...] | None = None
    """To load; left out, all that the network takes and the collection has."""
    scores: bool = False
    """Also the score of each class, in percent."""
    scheme: str = KAPPAMASK
    cleaning: dict[str, Any] = field(default_factory=dict)
    """Options of `kappamask.udf.clean`, such as {"buffer_m": 60}."""
    only: tuple[str, ...] = ()
    """Days, as 2018-02-02, of which the others are left out."""
    max_cloud_cover: float | None = None
    """Percent, by the products' own metadata."""
    crs: str | None = None
    """Of the area's coordinates; EPSG:4326 if left out."""
    archive: str | None = None
    """URL of the dependency archive as the back-end sees it, "upload", or "none"; left out, that of the release, or one
    that is built for a back-end on this machine."""
    python: str | None = None
    """Version of the back-end's UDF runtime."""
    job_options: dict[str, Any] = field(default_factory=dict)
    """In place of those of `kappamask.openeo_process.job.JOB_OPTIONS`."""
    part_km: float = 50
    """Largest side of a job's area."""
    max_jobs: int = 250
    """An area that takes more is refused."""
    test_job: bool = True
    """Run a job on one chunk first."""
    max_credits: float | None = None
    """A batch that is estimated to cost more is refused, or stopped after its test job."""
    at_once: int = 2
    """Jobs that may run at the same time."""
    allow_holes: bool = False
    """Accept masks that lack data, or a part of their area."""
    journal: Path | None = None
    """File in which jobs are recorded; left out, the user's."""


@dataclass(frozen=True)
class Submission:
    """One batch, before it is driven."""

    request: "Request"
    cells: "Sequence[Cell]"
    max_credits: float | None
    test_job: bool
    """Whether a job on one chunk goes first."""

    def plan(self) -> "Plan":
        """Estimate chunks, dates and credits, the test job included."""
        from kappamask.openeo_process.jobs.cost import make_plan
        from kappamask.openeo_process.jobs.request import name_cells

        jobs = [cell for cell, _ in name_cells(self.cells, self.request, self.test_job)]
        return make_plan(jobs, self.request)

    def records(self, connection: "openeo.Connection", output: Path) -> "list[JobRecord]":
        """Make the records of the jobs.

        With `test_job` the first is of one chunk, or of the first cell where that is no larger, and it fails unless the
        archive is the right one.
        """
        from kappamask.openeo_process.jobs import request as batch

        key, folder = batch.compute_batch_id(self.cells, self.request), output.resolve() / JOB_FILES
        named = batch.name_cells(self.cells, self.request, self.test_job)
        records = [
            batch.make_record(self.request, connection, cell, folder / name, key, proves=self.test_job and not place)
            for place, (cell, name) in enumerate(named)
        ]
        attributes = describe_classes(self.request.card, self.request.scheme)
        return [replace(one, attributes=attributes, max_credits=self.max_credits) for one in records]


def prepare_submission(area: str, dates: tuple[str, str], options: BatchOptions) -> Submission:
    """Split the area into cells and state the request; the back-end is not asked yet.

    Raises CubeError for an area that cannot be read, and for cleaning that chunks cannot do.
    """
    with require_extra("client"):
        from kappamask.openeo_process.jobs.areas import read_area
        from kappamask.openeo_process.jobs.cells import split_into_cells
        from kappamask.openeo_process.jobs.request import Request
        from kappamask.openeo_process.levels import level_from_collection

    card = load_card(options.model)
    pieces = split_into_cells(read_area(area, options.crs), options.part_km)
    request = Request(
        options.backend, options.collection, dates, card, options.python or _runtime_version(options.backend),
        parse_level(options.level) or level_from_collection(options.collection), options.scores,
        options.bands or card.bands,
        options=tuple(options.job_options.items()), only=tuple(options.only),
        max_cloud_cover=options.max_cloud_cover, scheme=options.scheme, cleaning=tuple(options.cleaning.items()),
    )  # fmt: skip
    return Submission(request, pieces, options.max_credits, options.test_job)


def choose_bands(wanted: Sequence[str] | None, offered: Sequence[str], card: "ModelCard") -> tuple[str, ...]:
    """Choose the labels to load: those of `wanted`, or all that are offered.

    wanted: bands as B02, or labels as the back-end has them.
    Raises OptionError for a band that the back-end lacks, or where a band that the network needs is missing.
    """
    if wanted is None:
        return tuple(offered)
    chosen = choose_labels(wanted, offered)
    if unknown := [band for band, label in zip(wanted, chosen, strict=True) if label is None]:
        raise OptionError(f"{', '.join(unknown)} not among {', '.join(offered)}", "--bands")
    found = tuple(filter(None, chosen))
    if missing := sorted(card.required - {*find_labels(found)}):
        raise OptionError(f"{card.id} needs {', '.join(missing)} as well", "--bands")
    return found


def state_archive(given: str | None, request: "Request") -> "Request":
    """Return the request with the archive that is given, or that of the release.

    Raises JobError for a file of this machine, unless the back-end runs here, too, and the file is there.
    """
    from kappamask.openeo_process.archive import locate_archive, release_url, require_url
    from kappamask.openeo_process.connection import is_local

    if given == UPLOAD or (given is None and is_local(request.backend)):
        return request
    if given == NO_ARCHIVE:
        return replace(request, archive=None)
    if given is None:
        return replace(request, archive=release_url(request.card.id, request.python))
    if is_local(request.backend):
        return replace(request, archive=locate_archive(given))
    require_url(given)
    return replace(request, archive=given)


def resolve_archive(given: str | None, request: "Request", connection: "openeo.Connection", output: Path) -> "Request":
    """Return the request with an archive: given, released, built or uploaded.

    Raises JobError if the release has none.
    """
    from kappamask.openeo_process.archive import build, find_release_fault
    from kappamask.openeo_process.connection import upload

    request = state_archive(given, request)
    if given is None and request.archive and (fault := find_release_fault(request.archive)):
        raise JobError(
            f"The back-end needs the dependency archive, and {request.archive} is not there ({fault}). Make one with "
            f"kappamask archive -o . --model {request.card.id} --python {request.python}, put it where the back-end "
            f"can read it, and give its URL with {option('archive')}; or try {option('archive', UPLOAD)}."
        )
    if given == NO_ARCHIVE or request.archive:
        return request
    built = build(output / JOB_FILES / "archive", model=request.card, python=request.python).resolve()
    return replace(request, archive=upload(connection, built) if given == UPLOAD else str(built))


def _runtime_version(backend: str) -> str:
    """Return the Python of the back-end's UDFs, where the user does not say."""
    from kappamask.openeo_process.connection import is_local
    from kappamask.openeo_process.graph import PYTHON

    return platform.python_version().rpartition(".")[0] if is_local(backend) else PYTHON
