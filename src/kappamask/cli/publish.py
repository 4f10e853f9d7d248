"""`kappamask publish` and `archive`: KappaMask as an openEO process, and its dependencies."""

from pathlib import Path
from typing import Annotated

import typer

from kappamask.cli.options import AsJson, Model, print_result
from kappamask.models import load_card
from kappamask.models.cleaning import MAX_BUFFER_M
from kappamask.models.errors import require_extra
from kappamask.models.package import compute_package_hash, list_package_files

__all__ = ["archive", "publish"]

EXAMPLES = {
    "publish": (
        "kappamask publish -o catalogue --namespace https://example.org/openeo_udp/kappamask.json "
        "--archive https://example.org/kappamask-deps-compact-cp311.zip"
    ),
    "archive": "kappamask archive -o build/",
}
CDSE = "https://openeo.dataspace.copernicus.eu"


def publish(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.", show_default=False)],
    namespace: Annotated[str, typer.Option(help="URL at which the process definition will be.", show_default=False)],
    archive: Annotated[str, typer.Option(help="URL of what `kappamask archive` made.", show_default=False)],
    model: Model = "compact",
    backend: Annotated[str, typer.Option(help="Where the benchmark runs.")] = CDSE,
    python: Annotated[str | None, typer.Option(help="Python of the back-end's UDFs.")] = None,
    largest_buffer: Annotated[
        float, typer.Option(min=0, help="Metres up to which callers may give `buffer`; chunks overlap for it.")
    ] = MAX_BUFFER_M,
    store: Annotated[bool, typer.Option("--store", help="Also keep the process in your account there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the user-defined process, its APEx record and a benchmark scenario.

    With --store, also keep the process on a back-end. Then:
    connection.datacube_from_process("kappamask", namespace=URL, spatial_extent=…, temporal_extent=…).
    """
    with require_extra("client"):
        from kappamask.openeo_process.connection import connect_or_explain
        from kappamask.openeo_process.graph import PYTHON
        from kappamask.openeo_process.publish import PROCESS_ID, make_publication, write_publication

    made = make_publication(
        load_card(model), namespace=namespace, archive=archive, backend=backend, python=python or PYTHON,
        largest_buffer_m=largest_buffer,
    )  # fmt: skip
    written = write_publication(made, output)
    if store:
        connect_or_explain(backend).put(f"/process_graphs/{PROCESS_ID}", json=made.process, expected_status=200)
    print_result({"files": [str(path) for path in written], "stored": store}, [str(path) for path in written], as_json)


def archive(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.", show_default=False)],
    model: Model = "compact",
    python: Annotated[str | None, typer.Option(help="Python of the back-end, such as 3.11; default: this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Build the dependency archive of the UDF: ONNX Runtime, this package and the network.

    Each release has the archive of `compact` for Python 3.11, which `kappamask submit` uses by itself. An archive for
    this Python is tried where only numpy 2 and xarray are installed, as on a back-end's worker.
    """
    with require_extra("client"):
        from kappamask.openeo_process.archive import build, is_for_here, run_smoke_test

    path = build(output, model=model, python=python, hashed=False)
    if tried := is_for_here(python):
        card = load_card(model)
        run_smoke_test(path, card.id, package=compute_package_hash(list_package_files(card)))
    size = path.stat().st_size
    trial = "tried in a clean environment" if tried else "not tried: it is for another Python or platform"
    result = {"archive": str(path), "bytes": size, "model": model, "tried": tried}
    print_result(result, [f"{path}: {size / 1e6:.1f} MB, {trial}"], as_json)
