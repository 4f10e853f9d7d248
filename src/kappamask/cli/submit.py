"""`kappamask submit`: an area and a period in, masks out, through an openEO back-end."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kappamask.cli.jobs import finish
from kappamask.cli.mask import Buffer, FillHoles, MinObject, Scheme
from kappamask.cli.options import (
    AllowHoles,
    AsJson,
    AtOnce,
    JournalFile,
    Level,
    Model,
    bands_of,
    cleaning_of,
    say,
    scheme_of,
)
from kappamask.cli.progress import BATCH_PROGRESS, echo
from kappamask.models import JobError, ModelCard, load_card
from kappamask.models.errors import require_extra
from kappamask.workflows.batch import drive, moved
from kappamask.workflows.batch_results import HOME, journal_at, whole_or_fetched_again

if TYPE_CHECKING:
    import openeo

    from kappamask.openeo_process.jobs.cost import Sparing
    from kappamask.openeo_process.jobs.request import Request
    from kappamask.workflows.batch import Submission

__all__ = ["submit"]

EXAMPLE = (
    "kappamask submit --backend openeo.dataspace.copernicus.eu --collection SENTINEL2_L1C --bbox 5.00,51.20,5.05,51.23 "
    "--dates 2018-02-01/2018-02-28 --archive https://example.org/kappamask-deps-compact-cp311.zip -o masks --plan"
)
Area = Annotated[
    str, typer.Option("--bbox", "--area", help="W,S,E,N, WKT, or a GeoJSON or GeoPackage file.", show_default=False)
]
Archive = Annotated[
    str | None,
    typer.Option(help="URL at which the back-end finds what `kappamask archive` made, upload, or none."),
]
Cover = Annotated[
    float | None, typer.Option(min=0, max=100, help="Leave out products that say they are cloudier, percent.")
]
Options = Annotated[list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="A job option; repeatable.")]


def submit(
    backend: Annotated[str, typer.Option(help="URL of the back-end.", show_default=False)],
    collection: Annotated[str, typer.Option(help="Such as SENTINEL2_L2A.", show_default=False)],
    area: Area,
    dates: Annotated[str, typer.Option(metavar="A/B", help="From day A to before day B.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the masks.", show_default=False)],
    crs: Annotated[str | None, typer.Option(help="Of the area's coordinates; EPSG:4326 if left out.")] = None,
    model: Model = "compact",
    level: Annotated[
        Level | None, typer.Option(help="Product level, if neither the collection's name nor the bands tell.")
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Bands to load, B02,B03,…; all that the network takes.")] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Also the score of each class, in percent.")] = False,
    scheme: Scheme = "KappaMask",
    buffer_m: Buffer = None,
    min_object_m2: MinObject = 0.0,
    fill_holes_m2: FillHoles = 0.0,
    only: Annotated[list[str] | None, typer.Option(help="A day that is wanted, 2018-02-02; repeatable.")] = None,
    max_cloud_cover: Cover = None,
    archive: Archive = None,
    python: Annotated[str | None, typer.Option(help="Python of the back-end's UDFs; 3.11, or this one's here.")] = None,
    max_jobs: Annotated[
        int, typer.Option(min=1, help="Refuse an area that takes more; one that is larger than meant takes thousands.")
    ] = 250,
    part_km: Annotated[float, typer.Option(min=1, max=120, help="Largest side of a job's area, km.")] = 50,
    option: Options = None,
    journal: JournalFile = HOME,
    at_once: AtOnce = 2,
    canary: Annotated[bool, typer.Option(help="Prove UDF and archive by a job on one chunk first.")] = True,
    allow_holes: AllowHoles = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it would take, and show the graph.")] = False,
    max_credits: Annotated[float | None, typer.Option(min=0, help="Refuse if it would cost more.")] = None,
    as_json: AsJson = False,
) -> None:
    """Mask an area on an openEO back-end: plan, prove, submit, watch, fetch, verify; Ctrl-C, then `kappamask resume`.

    Each part of the area is a batch job in its own UTM zone. What is done is written down before it is done, so the
    same command typed again goes on and pays nothing twice.
    """
    with require_extra("client"):
        from kappamask.openeo_process.connection import probe, reached
        from kappamask.openeo_process.jobs.areas import cells, read_area
        from kappamask.openeo_process.jobs.request import Request
        from kappamask.workflows.batch import Submission, archive_for, runtime_of

    card, pieces, runtime = load_card(model), cells(read_area(area, crs), part_km), python or runtime_of(backend)
    if not plan:
        _check_number(len(pieces), max_jobs)
    changes = tuple(_pair(text) for text in option or [])
    cleaning, wanted = cleaning_of(buffer_m or (), min_object_m2, fill_holes_m2, 0.0), bands_of(bands)
    request = Request(
        backend, collection, _period(dates), card, runtime, level or told_by(collection), scores, wanted or card.bands,
        options=changes, only=tuple(only or ()), max_cloud_cover=max_cloud_cover, scheme=scheme_of(scheme),
        cleaning=tuple(cleaning.items()),
    )  # fmt: skip
    asked = Submission(request, pieces, max_credits, canary)
    if not plan:
        asked.plan().check(max_credits)
    connection = reached(backend)
    offered = tuple(probe(connection, collection, card, runtime, days=bool(only)))
    request = replace(request, bands=_chosen(wanted or offered, offered, card))
    if plan:
        asked = replace(asked, request=request)
        _print_plan(asked, connection, offered, as_json)
        asked.plan().check(max_credits)
        return
    asked = replace(asked, request=archive_for(archive, request, connection, output))
    book = journal_at(journal, new=True)
    jobs = asked.parts(connection, output)
    parts = [whole_or_fetched_again(book, part) for part in moved(book, book.plan(jobs), jobs, echo)]
    drive(book, [parts], at_once, allow_holes, progress=BATCH_PROGRESS)
    finish(book, [parts], as_json, allow_holes)


def _check_number(jobs: int, most: int) -> None:
    """Ask before thousands of jobs are paid: an area that is not cut at the antimeridian spans the world."""
    if jobs > most:
        raise JobError(
            f"The area would become {jobs} jobs; look at it with --plan, and if it is meant say --max-jobs {jobs}. "
            "Across the antimeridian a box has its west larger than its east (179,-18,-179,-16), and a polygon is cut "
            "at 180 degrees."
        )


def told_by(collection: str) -> Level | None:
    """The level that a collection's name holds, as SENTINEL2_L1C does; None if it holds none, or both."""
    named = [level for level in Level if level.value in collection.upper()]
    return named[0] if len(named) == 1 else None


def _period(text: str) -> tuple[str, str]:
    first, _, last = text.partition("/")
    return first, last


def _pair(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise typer.BadParameter(f"{text!r} is no NAME=VALUE, such as executor-memory=3G", param_hint="--option")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _chosen(wanted: tuple[str, ...], offered: tuple[str, ...], card: ModelCard) -> tuple[str, ...]:
    unknown = [band for band in wanted if band not in offered]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)} not among {', '.join(offered)}", param_hint="--bands")
    if lacking := sorted(card.required - {*wanted}):
        raise typer.BadParameter(f"{card.id} needs {', '.join(lacking)} as well", param_hint="--bands")
    return wanted


def _print_plan(asked: "Submission", connection: "openeo.Connection", offered: Sequence[str], as_json: bool) -> None:
    """Print the plan, and the graph of the first job; offered: bands that the network takes and there are."""
    from kappamask.openeo_process.jobs.cost import sparing
    from kappamask.openeo_process.jobs.journal import unsigned

    plan, options = asked.plan(), unsigned(json.dumps(asked.request.job_options))
    spared = sparing(asked.cells, asked.request, offered)
    graph = asked.request.graph(connection, asked.cells[0])
    load = asked.request.load
    result = {
        **asdict(plan),
        "worker_gigabytes": round(load.python / 2**30, 2),
        "bands": asked.request.bands,
        "job_options": json.loads(options),
        "graph": graph,
    }
    zones = ", ".join(sorted({f"EPSG:{cell.epsg}" for cell in asked.cells}))
    size = f"{plan.chunks} chunks, {plan.megapixels:.1f} Mpx, about {plan.dates} dates"
    first = ", one on a single chunk first" if plan.parts > len(asked.cells) else ""
    lines = [
        f"{plan.parts} jobs in {zones}{first}: {size}",
        f"about {plan.credits:.0f} credits, {plan.basis}",
        *_about_bands(asked.request, offered, spared),
        f"a worker needs about {load.python / 2**30:.1f} GB for {load.pixels**0.5:.0f} px, {load.bands} bands and "
        f"{load.weights / 1e6:.0f} MB of weights",
        f"job options {options}",
        f"graph of the first job {json.dumps(graph)}",
    ]
    say({**result, "sparing": asdict(spared)}, lines, as_json)


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
        lost = ", ".join(f"{name} {value:.3f}" for name, value in spared.measured.dice_loss(spared.best).items())
        yield f"lower than with {','.join(spared.best.bands)} by: {lost}"
