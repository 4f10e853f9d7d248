"""`kappamask report`: a page about one mask, or about masks over time."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kappamask.cli.options import AsJson, extra, say

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
Scores = Annotated[Path | None, typer.Option(help="The scores beside one mask, to draw them: MASK_scores.tif.")]
Table = Annotated[Path | None, typer.Option("--csv", help="Also write a series as a table: one row a mask.")]
Stac = Annotated[bool, typer.Option("--stac", help="Also write a STAC item of one mask: MASK.json.")]
Style = Annotated[bool, typer.Option("--style", help="Also write a QGIS style of one mask: MASK.qml.")]


def report(
    mask: Mask,
    output: Output,
    scene: Scene = None,
    scores: Scores = None,
    table: Table = None,
    stac: Stac = False,
    style: Style = False,
    as_json: AsJson = False,
) -> None:
    """Write an HTML page about one mask, or about a time series of masks, that needs nothing beside itself.

    One mask: pictures, share of each class, scores, how the numbers were read, provenance, and how far it agrees with
    the product's own mask, where --scene has one. A series: cloud cover over time, a contact sheet, a table.
    """
    with extra("report"):
        from kappamask.reports import is_series

    if output.suffix.lower() != ".html":
        raise typer.BadParameter(f"{output} must end in .html", param_hint="--output")
    if is_series(mask):
        _refuse({"--scores": scores, "--stac": stac, "--style": style}, "one mask, not for a series")
        result = _series(mask, output, scene, table)
    else:
        _refuse({"--csv": table}, "a series: a folder of masks, or a cube with t")
        result = _one(mask, output, scene, scores, stac=stac, style=style)
    say(result, _lines(result), as_json)


def _one(
    mask: Path, output: Path, scene: Path | None, scores: Path | None, *, stac: bool, style: bool
) -> dict[str, Any]:
    from kappamask.cli.progress import dask_progress
    from kappamask.reports import shares, stac_item, write_page, write_stac, write_style
    from kappamask.scenes import open_scene, read_mask
    from kappamask.scenes.reader import read_scl

    cube = open_scene(scene) if scene else None
    scl = read_scl(scene, cube) if scene else None
    if stac:
        stac_item(mask, scene=cube)  # what it lacks must not come out after the page is written
    with dask_progress("draw the page"):
        files = {"page": write_page(output, mask, scene=cube, scl=scl, scores_file=scores)}
    files |= {"scores": scores} if scores else {}
    files |= {"style": write_style(mask)} if style else {}
    item = [write_stac(mask, scene=cube, files=files)] if stac else []
    written = [path for key, path in files.items() if key != "scores"]
    counted = shares(read_mask(mask))
    told = {"cloud_cover": counted.cloud_cover, "classes": counted.percentages}
    return {"files": [str(path) for path in [*written, *item]], **told}


def _series(masks: Path, output: Path, scenes: Path | None, table: Path | None) -> dict[str, Any]:
    from kappamask.cli.progress import shown
    from kappamask.reports import read_series, rows, scenes_of, write_series, write_table

    with shown("count the classes") as show:
        dates = read_series(masks, report=show)
    found = scenes_of(dates, scenes) if scenes else None
    written = [write_table(table, dates)] if table else []
    written.append(write_series(output, dates, scenes=found))
    return {"files": [str(path) for path in written], "dates": rows(dates)}


def _refuse(given: dict[str, Any], needed: str) -> None:
    for option, value in given.items():
        if value:
            raise typer.BadParameter(f"this is for {needed}", param_hint=option)


def _lines(result: dict[str, Any]) -> list[str]:
    rows = result.get("dates", [])
    covers = [f"{row['datetime'][:10]}  cloud cover {_percent(row['cloud_cover'])}  {row['file']}" for row in rows]
    whole = [] if rows else [f"cloud cover {_percent(result['cloud_cover'])}"]
    return [*covers, *whole, *result["files"]]


def _percent(value: float | None) -> str:
    return "unknown, for no pixel is valid" if value is None else f"{value:.1f} %"
