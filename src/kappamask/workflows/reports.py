"""Write the page of a mask or a series, with style and STAC item."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from kappamask.models import KappaMaskError, SceneError
from kappamask.reports import (
    count_shares,
    is_series,
    make_rows,
    make_stac_item,
    match_scenes,
    read_series,
    write_page,
    write_series,
    write_stac,
    write_style,
    write_table,
)
from kappamask.reports.provenance import find_sensing_time
from kappamask.reports.series import Dated
from kappamask.scenes import open_scene, read_mask
from kappamask.scenes.readers.open import read_scl
from kappamask.workflows.progress import dask_progress_bar, print_line, progress_bar

__all__ = ["is_series", "report_mask", "report_series"]


def _open_scene(scene: Path | None, bands: list[str] | None) -> tuple[xr.DataArray | None, xr.DataArray | None]:
    """Open the scene's cube, and the classes that its product comes with."""
    if scene is None:
        return None, None
    cube = open_scene(scene, bands=bands)
    return cube, read_scl(scene, cube)


def report_mask(
    mask: Path,
    output: Path,
    scene: Path | None,
    bands: list[str] | None,
    scores: Path | None,
    extras: Collection[str] = (),
) -> tuple[dict[str, Any], str | None]:
    """Write the page of a mask, and its style and STAC item if asked for.

    scene: the scene that was masked; bands: its bands in order, where it does not name them. scores: the mask's scores.
    extras: "stac" and "style" where those are wanted.
    Returns what is written and found, and a sentence on what could not be written.
    """
    cube, scl = _open_scene(scene, bands)
    lost = _lacking_time(mask, cube) if "stac" in extras else None
    if "stac" in extras and not lost:
        make_stac_item(mask, scene=cube)  # what else it lacks must not come out after the page is written
    with dask_progress_bar("draw the page"):
        files = {"page": write_page(output, mask, scene=cube, scl=scl, scores_file=scores)}
    files |= {"style": write_style(mask)} if "style" in extras else {}
    given = {"scores": scores} if scores else {}
    item = [write_stac(mask, scene=cube, files=files | given)] if "stac" in extras and not lost else []
    counted = count_shares(read_mask(mask))
    figures = {"cloud_cover": counted.cloud_cover, "classes": counted.percentages}
    return {"files": [str(path) for path in [*files.values(), *item]], **figures}, lost


def _lacking_time(mask: Path, scene: xr.DataArray | None) -> str | None:
    """Explain why no STAC item can be made, which must have a date; else None."""
    try:
        find_sensing_time(mask.name, {**(scene.attrs if scene is not None else {}), **read_mask(mask).attrs})
    except SceneError as error:
        return f"No STAC item is written, all else is: {error}"
    return None


def report_series(
    masks: Path, output: Path, scenes: Path | None, bands: list[str] | None, table: Path | None
) -> tuple[dict[str, Any], str | None]:
    """Write the page of a series of masks, and its table if asked for.

    scenes: folder or cube of the scenes. Returns what is written and found, and a sentence on the masks and scenes that
    could not be read; each of them is named on stderr.
    """
    failed: dict[str, str] = {}
    with progress_bar("count the classes") as show:
        dates = read_series(masks, report=show, failed=partial(_note_failure, failed))
    found, lost = _match_scenes(dates, scenes, bands) if scenes else (None, None)
    written = [write_table(table, dates)] if table else []
    written.append(write_series(output, dates, scenes=found))
    result = {"files": [str(path) for path in written], "dates": make_rows(dates)}
    if not failed:
        return result, lost
    reason = f"{len(failed)} of {len(failed) + len(dates)} masks could not be read: {', '.join(failed)}."
    return result | {"failed": failed}, " ".join(filter(None, [reason, lost]))


def _match_scenes(
    dates: list[Dated], scenes: Path, bands: list[str] | None
) -> tuple[list[xr.DataArray | None], str | None]:
    """Return the scenes of the masks, and a sentence on what could not be read."""
    failed: dict[str, str] = {}
    found = match_scenes(dates, scenes, bands=bands, failed=partial(_note_failure, failed))
    return found, f"Could not be read as scenes: {', '.join(failed)}." if failed else None


def _note_failure(failed: dict[str, str], name: str, error: KappaMaskError) -> None:
    failed[name] = str(error)
    print_line(f"kappamask: {name}: {error}")
