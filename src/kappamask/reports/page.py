"""One page about one mask: the pictures, how much of each class, and how the mask was made."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from kappamask.models import SceneError
from kappamask.reports.agreement import COMPARED, agreement
from kappamask.reports.grids import check_grid
from kappamask.reports.images import OUTLINES, SCALE, Picture, outlined, png, score_colours
from kappamask.reports.meaning import meanings, words
from kappamask.reports.provenance import provenance, software
from kappamask.reports.render import write_html
from kappamask.reports.score_maps import read_scores
from kappamask.reports.shares import Shares, shares
from kappamask.scenes import read_mask
from kappamask.scenes.counts import in_classes
from kappamask.scenes.grid import pixel_size
from kappamask.scenes.legend import legend
from kappamask.scenes.picture import coloured, thinned, true_colour
from kappamask.udf import from_scheme

__all__ = ["write_page"]

LARGE, SMALL = 900, 320
"""Pixels of the longer side of the main pictures, and of the score maps: as wide as they are shown at 1280 px."""
NEAR = 0.01
"""By which scores may lie beyond 0 and 1: they are rounded, and blended from windows."""
READINGS = {
    "reflectance": "The numbers are reflectance.",
    "dn_harmonized": "The numbers are reflectance times 10 000, without an offset.",
    "dn_offset": "The numbers are reflectance times 10 000 plus 1000, the offset since processing baseline 04.00.",
}
"""Word of `kappamask.udf.cloud_mask` -> what it means."""


def write_page(
    target: str | Path,
    mask_file: str | Path,
    *,
    scene: xr.DataArray | None = None,
    scl: xr.DataArray | None = None,
    scores_file: str | Path | None = None,
) -> Path:
    """Write a self-contained HTML page about a mask that `write_mask` wrote; returns its path.

    scene: the cube that was masked, for a picture in true colour: (bands, y, x) with B02, B03, B04, numpy or dask.
    scl: Sen2Cor's classes, which a Level-2A product comes with, (y, x) on the same grid: the page compares the two.
    scores_file: as `read_scores` takes it, for a map of each class's score.

    Shows the shares of the classes, how the numbers were read and why, and where the mask comes from. Raises SceneError
    if a file is not what it should be, if grids differ, or if the page cannot be written; CubeError if `scl` has a code
    that Sen2Cor has not.
    """
    path = Path(mask_file)
    mask = in_classes(read_mask(path))
    for what, other in (("scene", scene), ("product's mask", scl)):
        if other is not None:
            check_grid(what, other, mask)
    counted = shares(mask)
    told = {**(scene.attrs if scene is not None else {}), **mask.attrs}
    return write_html(
        target,
        "scene.html",
        title=told.get("product") or path.stem,
        facts=_facts(mask, told),
        counted=counted,
        pictures=_pictures(mask, scene, counted),
        outlines=OUTLINES if scene is not None else {},
        scores=_scores(mask, scores_file),
        scale=SCALE,
        reading=READINGS.get(told.get("radiometry", "")),
        told=told,
        compared=COMPARED,
        agreement=agreement(mask, from_scheme(scl, "SCL")) if scl is not None else None,
        provenance=provenance(told),
        software=software(told),
    )


def _facts(mask: xr.DataArray, told: dict[str, Any]) -> list[str]:
    size = pixel_size(mask)
    pixels = f" of {size[0]:.4g} {size[2]}".rstrip() if size else ""
    crs = str(mask.rio.crs) if mask.rio.crs else ""
    size_text = f"{mask.sizes['x']} × {mask.sizes['y']} pixels{pixels}"
    return [str(one) for one in (told.get("datetime"), told.get("level"), size_text, crs) if one]


def _pictures(mask: xr.DataArray, scene: xr.DataArray | None, counted: Shares) -> list[Picture]:
    codes = np.asarray(thinned(mask, LARGE).values)
    found = ", ".join(f"{one.label} {counted.percent(one) or 0:.1f} %" for one in counted.classes if one.pixels)
    drawn = png(coloured(codes, legend(mask)), f"Cloud mask: {found}.", "Mask")
    if scene is None:
        return [drawn]
    colour = true_colour(thinned(scene, LARGE))
    over = outlined(colour, codes, meanings(mask))
    return [
        png(colour, "The scene in true colour.", "True colour (B04, B03, B02)"),
        drawn,
        png(over, "The scene in true colour with the mask's classes outlined.", "Outlines of the mask"),
    ]


def _scores(mask: xr.DataArray, path: str | Path | None) -> list[Picture]:
    if path is None:
        return []
    scores = read_scores(path)
    check_grid("scores", scores, mask)
    maps = thinned(scores, SMALL).compute()
    if not ((maps >= -NEAR) & (maps <= 1 + NEAR) | maps.isnull()).all():
        raise SceneError(f"{Path(path).name} holds no scores: its numbers are not from 0 to 1.")
    names = [words(str(name)) for name in maps["class"].values]
    return [
        png(score_colours(one), f"Map of the score of {name}.", name)
        for name, one in zip(names, maps.values, strict=True)
    ]
