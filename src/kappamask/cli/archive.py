"""`kappamask archive`: what an openEO back-end needs to run the UDF."""

from pathlib import Path
from typing import Annotated

import typer

from kappamask.cli.options import AsJson, Model, print_result
from kappamask.models import load_card
from kappamask.models.extras import require_extra
from kappamask.models.package import package_files, package_hash

__all__ = ["archive"]

EXAMPLE = "kappamask archive -o build/"


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
        from kappamask.openeo_process.archive import build, is_for_here, smoke_test

    path = build(output, model=model, python=python, hashed=False)
    if tried := is_for_here(python):
        card = load_card(model)
        smoke_test(path, card.id, package=package_hash(package_files(card)))
    size = path.stat().st_size
    trial = "tried in a clean environment" if tried else "not tried: it is for another Python or platform"
    result = {"archive": str(path), "bytes": size, "model": model, "tried": tried}
    print_result(result, [f"{path}: {size / 1e6:.1f} MB, {trial}"], as_json)
