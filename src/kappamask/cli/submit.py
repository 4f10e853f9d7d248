"""`kappamask submit`: an area and a period in, masks out, through an openEO back-end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from kappamask.cli.jobs import print_batch
from kappamask.cli.options import (
    JOURNAL,
    PIXELS,
    RUNNING,
    AllowHoles,
    AsJson,
    AtOnce,
    Buffer,
    FillHoles,
    JournalFile,
    Level,
    MinObject,
    Model,
    Scheme,
    parse_bands,
    parse_cleaning,
    parse_scheme,
    print_result,
)
from kappamask.workflows import BatchOptions, BatchPlan, OptionError, plan_batch, submit_batch

__all__ = ["submit"]

EXAMPLE = (
    "kappamask submit --backend openeo.dataspace.copernicus.eu --collection SENTINEL2_L1C --bbox 5.00,51.20,5.05,51.23 "
    "--dates 2018-02-01/2018-02-28 --archive https://example.org/kappamask-deps-compact-cp311.zip -o masks --dry-run"
)
Area = Annotated[
    str, typer.Option("--bbox", "--area", help="W,S,E,N, WKT, or a GeoJSON or GeoPackage file.", show_default=False)
]
Archive = Annotated[
    str | None,
    typer.Option(
        help="URL at which the back-end finds what `kappamask archive` made, upload, or none; that of this version's "
        "release if left out.",
        show_default=False,
    ),
]
Cover = Annotated[
    float | None,
    typer.Option(
        min=0, max=100, help="Leave out products that say they are cloudier, percent.", rich_help_panel=PIXELS
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="A job option; repeatable.", rich_help_panel=RUNNING),
]


def submit(
    backend: Annotated[str, typer.Option(help="URL of the back-end.", show_default=False)],
    collection: Annotated[str, typer.Option(help="Such as SENTINEL2_L2A.", show_default=False)],
    area: Area,
    dates: Annotated[str, typer.Option(metavar="A/B", help="From day A to before day B.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the masks.", show_default=False)],
    crs: Annotated[
        str | None, typer.Option(help="Of the area's coordinates; EPSG:4326 if left out.", rich_help_panel=PIXELS)
    ] = None,
    model: Model = "compact",
    level: Annotated[
        Level | None,
        typer.Option(
            help="Product level, if neither the collection's name nor the bands tell.",
            rich_help_panel=PIXELS,
        ),
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="Bands to load, B02,B03,…; all that the network takes.", rich_help_panel=PIXELS)
    ] = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="Also the score of each class, in percent.", rich_help_panel=PIXELS)
    ] = False,
    scheme: Scheme = "KappaMask",
    buffer_m: Buffer = None,
    min_object_m2: MinObject = 0,
    fill_holes_m2: FillHoles = 0,
    only: Annotated[
        list[str] | None, typer.Option(help="A day that is wanted, 2018-02-02; repeatable.", rich_help_panel=PIXELS)
    ] = None,
    max_cloud_cover: Cover = None,
    archive: Archive = None,
    python: Annotated[
        str | None,
        typer.Option(
            help="Python of the back-end's UDFs; left out, 3.11, or this one's if the back-end is local.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    max_jobs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Refuse an area that takes more; one that is larger than meant takes thousands.",
            rich_help_panel=RUNNING,
        ),
    ] = 250,
    part_km: Annotated[
        float, typer.Option(min=1, max=120, help="Largest side of a job's area, km.", rich_help_panel=RUNNING)
    ] = 50,
    option: Options = None,
    journal: JournalFile = JOURNAL,
    at_once: AtOnce = 2,
    test_job: Annotated[bool, typer.Option(help="Run a job on one chunk first.", rich_help_panel=RUNNING)] = True,
    allow_holes: AllowHoles = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only estimate jobs and credits; with --json also the graph.")
    ] = False,
    max_credits: Annotated[float | None, typer.Option(min=0, help="Refuse if it would cost more.")] = None,
    as_json: AsJson = False,
) -> None:
    """Mask an area on an openEO back-end: plan, test, submit, watch, fetch, verify.

    Each part of the area is a batch job in its own UTM zone. Each step is recorded before it is taken: after Ctrl-C
    `kappamask resume`, or the same command, continues, and no job is paid twice.

    To log in: OPENEO_AUTH_METHOD=client_credentials with OPENEO_AUTH_CLIENT_ID, OPENEO_AUTH_CLIENT_SECRET and
    OPENEO_AUTH_PROVIDER_ID; for `kappamask serve` KAPPAMASK_USER and KAPPAMASK_PASSWORD; else a code to type in a
    browser.
    """
    options = BatchOptions(
        backend=backend, collection=collection, model=model, level=level.value if level else None,
        bands=parse_bands(bands), scores=scores, scheme=parse_scheme(scheme),
        cleaning=parse_cleaning(buffer_m or (), min_object_m2, fill_holes_m2, 0.0), only=tuple(only or ()),
        max_cloud_cover=max_cloud_cover, crs=crs, archive=archive, python=python,
        job_options=dict(_parse_option(text) for text in option or []), part_km=part_km, max_jobs=max_jobs,
        test_job=test_job, max_credits=max_credits, at_once=at_once, allow_holes=allow_holes, journal=journal,
    )  # fmt: skip
    try:
        if dry_run:
            found = plan_batch(area, dates, options)
            print_result(found.as_json(), [*_format_plan(found)], as_json)
            found.cost.check(max_credits)
        else:
            print_batch(lambda: submit_batch(area, dates, output, options), as_json)
    except OptionError as error:
        raise typer.BadParameter(str(error), param_hint=error.option) from error


def _parse_option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise typer.BadParameter(f"{text!r} is no NAME=VALUE, such as executor-memory=3G", param_hint="--option")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _format_plan(found: BatchPlan) -> Iterator[str]:
    cost, request = found.cost, found.submission.request
    zones = ", ".join(sorted({f"EPSG:{cell.epsg}" for cell in found.submission.cells}))
    first = ", one on a single chunk first" if cost.parts > len(found.submission.cells) else ""
    dates = f"about {_format_count(cost.dates, 'date')}"
    size = f"{_format_count(cost.chunks, 'chunk')}, {cost.megapixels:.1f} Mpx, {dates}"
    yield f"{_format_count(cost.parts, 'job')} in {zones}{first}: {size}"
    yield f"about {_format_count(round(cost.credits), 'credit')}, {cost.basis}"
    yield from _format_bands(found)
    load = request.load
    yield (
        f"a worker needs about {load.python / 2**30:.1f} GB for {load.pixels**0.5:.0f} px, {load.bands} bands and "
        f"{load.weights / 1e6:.0f} MB of weights"
    )
    if found.archive_fault:
        yield f"the archive {request.archive} is not there ({found.archive_fault}): name one with --archive"
    yield "job options:"
    yield from (f"  {name}={_format_value(value)}" for name, value in request.public_job_options.items())
    yield f"graph, which --json prints: {', '.join(node['process_id'] for node in found.graph.values())}"


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _format_value(value: Any) -> str:
    """Format the value of a job option as --option takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _format_bands(found: BatchPlan) -> Iterator[str]:
    """Format which bands are loaded, what that saves, and what it costs in accuracy."""
    request, savings = found.submission.request, found.savings
    fewer = len(found.offered) - len(request.bands)
    saved = f" ({fewer} fewer than there are: saves about {savings.credits:.0f} credits)" if fewer else ""
    yield f"bands {','.join(request.bands)}{saved}"
    if savings.measured is None or savings.best is None:
        yield f"accuracy of {request.card.id} with these bands was not measured"
        return
    yield f"accuracy on {savings.measured.scene} with {','.join(savings.measured.bands)}, dice: {savings.measured}"
    if savings.measured != savings.best:
        lost = ", ".join(f"{name} {value:.3f}" for name, value in savings.measured.dice_loss(savings.best).items())
        yield f"lower than with {','.join(savings.best.bands)} by: {lost}"
