"""`kappamask report`: a page about one mask, or about masks over time."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kappamask.cli.options import AsJson, print_result
from kappamask.models import SceneError
from kappamask.models.errors import require_extra

if TYPE_CHECKING:
    import xarray as xr

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
        from kappamask.reports import is_series

    if output.suffix.lower() != ".html":
        raise typer.BadParameter(f"{output} must end in .html", param_hint="--output")
    named = bands.split(",") if bands else None
    if is_series(mask):
        _refuse_options({"--scores": scores, "--stac": stac, "--style": style}, "one mask, not for a series")
        result, lost = _write_series(mask, output, scene, named, table)
    else:
        _refuse_options({"--csv": table}, "a series: a folder of masks, or a cube with t")
        result, lost = _report_mask(mask, output, _open_scene(scene, named), scores, stac=stac, style=style)
    print_result(result, _format_lines(result), as_json)
    if lost:
        raise SceneError(lost)


def _open_scene(scene: Path | None, bands: list[str] | None) -> "tuple[xr.DataArray | None, xr.DataArray | None]":
    """Open the scene's cube, and the classes that its product comes with."""
    from kappamask.scenes import open_scene
    from kappamask.scenes.readers.open import read_scl

    if scene is None:
        return None, None
    cube = open_scene(scene, bands=bands)
    return cube, read_scl(scene, cube)


def _report_mask(
    mask: Path,
    output: Path,
    scene: "tuple[xr.DataArray | None, xr.DataArray | None]",
    scores: Path | None,
    *,
    stac: bool,
    style: bool,
) -> tuple[dict[str, Any], str | None]:
    """Return what is written and found, and what could not be."""
    from kappamask.reports import shares, stac_item, write_page, write_stac, write_style
    from kappamask.scenes import read_mask
    from kappamask.workflows.progress import dask_progress_bar

    cube, scl = scene
    lost = _lacking_time(mask, cube) if stac else None
    if stac and not lost:
        stac_item(mask, scene=cube)  # what else it lacks must not come out after the page is written
    with dask_progress_bar("draw the page"):
        files = {"page": write_page(output, mask, scene=cube, scl=scl, scores_file=scores)}
    files |= {"style": write_style(mask)} if style else {}
    given = {"scores": scores} if scores else {}
    item = [write_stac(mask, scene=cube, files=files | given)] if stac and not lost else []
    counted = shares(read_mask(mask))
    figures = {"cloud_cover": counted.cloud_cover, "classes": counted.percentages}
    return {"files": [str(path) for path in [*files.values(), *item]], **figures}, lost


def _lacking_time(mask: Path, scene: "xr.DataArray | None") -> str | None:
    """Explain why no STAC item can be made, which must have a date; else None."""
    from kappamask.reports.provenance import sensing_time
    from kappamask.scenes import read_mask

    try:
        sensing_time(mask.name, {**(scene.attrs if scene is not None else {}), **read_mask(mask).attrs})
    except SceneError as error:
        return f"No STAC item is written, all else is: {error}"
    return None


def _write_series(
    masks: Path, output: Path, scenes: Path | None, bands: list[str] | None, table: Path | None
) -> tuple[dict[str, Any], str | None]:
    """Return what is written and found, and which masks could not be read."""
    from kappamask.reports import read_series, rows, scenes_of, write_series, write_table
    from kappamask.workflows.progress import progress_bar

    failed: dict[str, str] = {}
    with progress_bar("count the classes") as show:
        dates = read_series(masks, report=show, failed=lambda name, error: failed.update({name: str(error)}))
    for name, why in failed.items():
        typer.echo(f"kappamask: {name}: {why}", err=True)
    found = scenes_of(dates, scenes, bands=bands) if scenes else None
    written = [write_table(table, dates)] if table else []
    written.append(write_series(output, dates, scenes=found))
    result = {"files": [str(path) for path in written], "dates": rows(dates)}
    if not failed:
        return result, None
    reason = f"{len(failed)} of {len(failed) + len(dates)} masks could not be read: {', '.join(failed)}."
    return result | {"failed": failed}, reason


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
