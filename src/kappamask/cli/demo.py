"""`kappamask demo`: the whole workflow on this machine, from real pixels to a judged mask."""

from pathlib import Path
from typing import Annotated

import typer

from kappamask.cli.options import AsJson, print_result
from kappamask.models.errors import require_extra

__all__ = ["demo"]

EXAMPLE = "kappamask demo -o demo"
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the mask, quicklook and report.")]
Seed = Annotated[int, typer.Option(help="Another seed paints other clouds.")]


def demo(output: Output = Path("demo"), seed: Seed = 8, as_json: AsJson = False) -> None:
    """Paint clouds on a real Sentinel-2 scene, mask it through openEO, and score it.

    Starts the embedded openEO back-end on this machine, submits a real batch job whose graph holds
    apply_neighborhood with the UDF, downloads the mask and writes mask.tif, mask.nc, quicklook.png and report.html.
    """
    with require_extra("demo"):
        from kappamask.workflows.demo import format_demo, run_demo

    result = run_demo(output, seed)
    print_result(result, format_demo(result), as_json)
