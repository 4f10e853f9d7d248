"""`kappamask report`: a page about one mask, or about masks over time."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kappamask.cli.options import AsJson, print_result
from kappamask.models import SceneError
from kappamask.models.errors import require_extra

__all__ = ["report"]

EXAMPLE = "kappamask report mask.tif --scene S2_L1C_20210527.tif -o report.html"
Mask = Annotated[
    Path,
    typer.Argument(
        help="A mask that kappamask mask or a job made; for a series a folder of them, or a netCDF or Zarr with t.",
        show_default=False,
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The page to write: .html.", show_default=False)]
Scene = Annotated[
    Path | None, typer.Option(help="The scene that was masked; of a series the folder of the scenes, or their cube.")
]
Scores = Annotated[Path | None, typer.Option(help="The scores next to one mask, to draw them: MASK_scores.tif.")]
Bands = Annotated[str | None, typer.Option(help="Bands of the scene, in order, if it does not name them: B02,B03,….")]
Table = Annotated[Path | None, typer.Option("--csv", help="Also write a series as a table: one row a mask.")]
Stac = Annotated[bool, typer.Option("--stac", help="Also write a STAC item of one mask: MASK.json.")]
Style = Annotated[bool, typer.Option("--style", help="Also write a QGIS style of one mask: MASK.qml.")]


def report(
    mask: Mask,
    output: Output,
    scene: Scene = None,
    bands: Bands = None,
    scores: Scores = None,
    table: Table = None,
    stac: Stac = False,
    style: Style = False,
    as_json: AsJson = False,
) -> None:
    """Write a self-contained HTML page about one mask, or a time series of masks.

    One mask: pictures, share of each class, scores, radiometric scaling, provenance, and how far it agrees with
    the product's own mask, where --scene has one. A series: cloud cover over time, a contact sheet, a table.
    """
    with require_extra("scenes"):
        from kappamask.workflows.reports import is_series, report_mask, report_series

    if output.suffix.lower() != ".html":
        raise typer.BadParameter(f"{output} must end in .html", param_hint="--output")
    named = bands.split(",") if bands else None
    if is_series(mask):
        _refuse_options({"--scores": scores, "--stac": stac, "--style": style}, "one mask, not for a series")
        result, lost = report_series(mask, output, scene, named, table)
    else:
        extras = [word for word, wanted in (("stac", stac), ("style", style)) if wanted]
        _refuse_options({"--csv": table}, "a series: a folder of masks, or a cube with t")
        result, lost = report_mask(mask, output, scene, named, scores, extras)
    print_result(result, _format_lines(result), as_json)
    if lost:
        raise SceneError(lost)


def _refuse_options(given: dict[str, Any], needed: str) -> None:
    for option, value in given.items():
        if value:
            raise typer.BadParameter(f"this is for {needed}", param_hint=option)


def _format_lines(result: dict[str, Any]) -> list[str]:
    rows = result.get("dates", [])
    covers = [
        f"{row['datetime'][:10]}  cloud cover {_format_percent(row['cloud_cover'])}  {row['file']}" for row in rows
    ]
    whole = [] if rows else [f"cloud cover {_format_percent(result['cloud_cover'])}"]
    return [*covers, *whole, *result["files"]]


def _format_percent(value: float | None) -> str:
    return "unknown, for no pixel is valid" if value is None else f"{value:.1f} %"
