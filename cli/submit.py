"""`kappamask submit`: an area and a period in, masks out, through an openEO back-end."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kappamask.cli.batches import HOME, AllowHoles, AtOnce, JournalFile, driver_of, journal_at
from kappamask.cli.job_progress import shown_parts
from kappamask.cli.jobs import finish, whole_or_fetched_again
from kappamask.cli.options import AsJson, Level, Model, extra, say
from kappamask.models import JobError, load_card

if TYPE_CHECKING:
    import openeo

    from kappamask.openeo_process.areas import Cell
    from kappamask.openeo_process.batch import Request
    from kappamask.openeo_process.journal import Journal, Part
    from kappamask.openeo_process.plan import Plan

__all__ = ["submit"]

EXAMPLE = (
    "kappamask submit --backend openeo.dataspace.copernicus.eu --collection SENTINEL2_L1C --bbox 5.00,51.20,5.05,51.23 "
    "--dates 2018-02-01/2018-02-28 --archive https://example.org/kappamask-deps-compact-cp311.zip -o masks --plan"
)
NO_ARCHIVE = "none"
"""Given where the back-end's workers have the package."""
Area = Annotated[
    str, typer.Option("--bbox", "--area", help="W,S,E,N, WKT, or a GeoJSON or GeoPackage file.", show_default=False)
]
Archive = Annotated[
    str | None,
    typer.Option(help="URL at which the back-end finds what `kappamask archive` made, or none; made if it runs here."),
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
    level: Annotated[Level | None, typer.Option(help="Product level, if the bands do not tell.")] = None,
    bands: Annotated[str | None, typer.Option(help="Bands to load, B02,B03,…; all that the network takes.")] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Also the score of each class, in percent.")] = False,
    archive: Archive = None,
    python: Annotated[str | None, typer.Option(help="Python of the back-end's UDFs; 3.11, or this one's here.")] = None,
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
    with extra("client"):
        from kappamask.openeo_process.areas import cells, read_area
        from kappamask.openeo_process.batch import Request
        from kappamask.openeo_process.job import job_options
        from kappamask.openeo_process.login import connect
        from kappamask.openeo_process.plan import make_plan
        from kappamask.openeo_process.probe import probe

    card, pieces, period = load_card(model), cells(read_area(area, crs), part_km), _period(dates)
    changes = tuple(_pair(text) for text in option or [])
    planned = make_plan(pieces, card, period, job_options(**dict(changes)))
    connection = connect(backend)
    runtime = python or _python(backend)
    offered = probe(connection, collection, card, runtime)
    request = Request(
        backend, collection, period, tuple(_bands(bands, offered)), card, runtime,
        archive if plan else _archive(archive, backend, output, model, runtime), level, scores, changes,
    )  # fmt: skip
    if plan:
        _say_plan(planned, request, connection, pieces, as_json)
        planned.check(max_credits)
        return
    planned.check(max_credits)
    book = journal_at(journal, new=True)
    parts = _parts(request, connection, pieces, output, canary and planned.chunks > 1)
    _drive(book, [whole_or_fetched_again(book, part) for part in book.plan(parts)], request, at_once)
    finish(book, [parts[0].batch], as_json, allow_holes)


def _drive(book: "Journal", parts: "list[Part]", request: "Request", at_once: int) -> None:
    """The canary first, then the others."""
    from kappamask.openeo_process.batch import CANARY
    from kappamask.openeo_process.journal import State

    with shown_parts(parts) as tell:
        driver = driver_of(book, request.backend, at_once, tell)
        first = driver.run(part.fingerprint for part in parts if part.name == CANARY)
        if all(part.state is State.FETCHED for part in first):
            driver.run(part.fingerprint for part in parts if part.name != CANARY)


def _parts(
    request: "Request", connection: "openeo.Connection", pieces: "list[Cell]", output: Path, proven: bool
) -> "list[Part]":
    from kappamask.openeo_process import batch

    key, folder = batch.batch_id(pieces, request), output.resolve()
    named = [(cell, cell.name) for cell in pieces]
    if proven:
        named = [(batch.canary(pieces[0], request.card), batch.CANARY), *named]
    return [batch.part_of(request, connection, cell, folder, name, key) for cell, name in named]


def _say_plan(
    plan: "Plan", request: "Request", connection: "openeo.Connection", pieces: "list[Cell]", as_json: bool
) -> None:
    from kappamask.openeo_process.job import job_options

    options = job_options(request.archive, **dict(request.options))
    graph = request.graph(connection, pieces[0])
    result: dict[str, Any] = {**asdict(plan), "bands": request.bands, "job_options": options, "graph": graph}
    zones = ", ".join(sorted({f"EPSG:{cell.epsg}" for cell in pieces}))
    lines = [
        f"{plan.parts} jobs in {zones}: {plan.chunks} chunks, {plan.megapixels:.1f} Mpx, about {plan.dates} dates",
        f"bands {','.join(request.bands)}",
        f"about {plan.credits:.0f} credits, {plan.basis}",
        "job options " + json.dumps(options),
        "graph of the first job " + json.dumps(graph),
    ]
    say(result, lines, as_json)


def _archive(given: str | None, backend: str, output: Path, model: str, python: str) -> str | None:
    from kappamask.openeo_process.archive import build
    from kappamask.openeo_process.login import is_local

    if given is not None:
        return None if given == NO_ARCHIVE else given
    if not is_local(backend):
        raise JobError(
            "The back-end needs the dependency archive: make it with `kappamask archive -o .`, put it where the "
            "back-end can read it, and give its URL with --archive."
        )
    return str(build(output / "archive", model=model, python=python).resolve())


def _python(backend: str) -> str:
    import platform

    from kappamask.openeo_process.graph import PYTHON
    from kappamask.openeo_process.login import is_local

    return platform.python_version().rpartition(".")[0] if is_local(backend) else PYTHON


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


def _bands(text: str | None, offered: list[str]) -> list[str]:
    wanted = [word.strip() for word in text.split(",")] if text else offered
    unknown = [band for band in wanted if band not in offered]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)} not among {', '.join(offered)}", param_hint="--bands")
    return wanted
