"""`kappamask mask`: a scene file in, a mask file out."""

import os
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kappamask.cli.options import AsJson, Level, Model, Radiometry, say

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["mask"]

EXAMPLE = "kappamask mask S2_L1C_20210527.tif -o mask.tif"
PIXEL = 10.0
"""Metres: the grid that KappaMask's networks are trained on (Domnich et al. 2021), Sentinel-2's finest."""
NEAR = 0.5
"""Metres by which pixels may differ from that without a warning, as they do after a resampling."""
TOLD = ("level", "model_id", "model_sha256", "radiometry", "radiometry_reason")

Scene = Annotated[
    Path, typer.Argument(help="A GeoTIFF with band descriptions, a netCDF, or a folder of JP2s.", show_default=False)
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The mask to write: .tif or .nc.", show_default=False)]
Bands = Annotated[
    str | None, typer.Option(help="Bands to use, B02,B03,…; names them, in order, if the scene does not.")
]
Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        help="CLASS=SCORE: take the class from that score on, as cloud=0.3; may be repeated.", metavar="CLASS=SCORE"
    ),
]
Resampling = Annotated[
    str, typer.Option(help="Of 20 and 60 m JP2s: nearest, bilinear, cubic, sinc (KappaZeta's tool's).", metavar="WORD")
]
Mosaic = Annotated[str, typer.Option(help="blended, or own: as the network's own tool does.", metavar="WORD")]
Scores = Annotated[bool, typer.Option("--scores", help="Also write the score of each class (OUT_scores.tif).")]


def mask(
    scene: Scene,
    output: Output,
    level: Annotated[Level | None, typer.Option(help="Product level, if the scene does not say.")] = None,
    model: Model = "compact",
    radiometry: Annotated[Radiometry, typer.Option(help="What the numbers mean.")] = Radiometry.AUTO,
    bands: Bands = None,
    scores: Scores = False,
    threshold: Thresholds = None,
    mosaic: Mosaic = "blended",
    resampling: Resampling = "bilinear",
    as_json: AsJson = False,
) -> None:
    """Write the cloud mask of a scene: 1 clear, 2 cloud shadow, 3 semi-transparent cloud, 4 cloud, 5 missing."""
    from kappamask.cli.progress import dask_progress
    from kappamask.scenes import open_scene, write_mask
    from kappamask.udf import cloud_mask

    started = perf_counter()
    limits = dict(map(_limit, threshold or []))
    _check(scene, output, scores)
    cube = open_scene(scene, bands=_bands(bands), level=level, resampling=resampling)
    made: Any = cloud_mask(
        cube, level=level, model=model, radiometry=radiometry, scores=scores, thresholds=limits, mosaic=mosaic
    )
    codes, score = (made["mask"], made["score"]) if scores else (made, None)
    _warn_of_pixels(cube)
    with dask_progress("mask"):
        files = write_mask(codes, output, scores=score)
    result = _result(files, codes, perf_counter() - started)
    say(result, _lines(result), as_json)


def _check(scene: Path, output: Path, scores: bool) -> None:
    from kappamask.scenes.masks import MASK_SUFFIXES, outputs

    if output.suffix.lower() not in MASK_SUFFIXES:
        raise typer.BadParameter(f"{output} must end in {' or '.join(MASK_SUFFIXES)}", param_hint="--output")
    if any(os.path.realpath(path) == os.path.realpath(scene) for path in outputs(output, scores=scores)):
        raise typer.BadParameter("the mask, or its scores, must not replace the scene", param_hint="--output")


def _warn_of_pixels(cube: "xr.DataArray") -> None:
    from kappamask.scenes.grid import pixel_size

    size = pixel_size(cube)
    if size is None or (size[2] != "degree" and all(abs(side - PIXEL) <= NEAR for side in size[:2])):
        return
    told = f"{size[0]:.6g} x {size[1]:.6g} {size[2] or '(no CRS tells the unit)'}"
    typer.echo(f"kappamask: warning: pixels are {told}; networks are made for {PIXEL:g} m, expect errors.", err=True)


def _bands(text: str | None) -> list[str] | None:
    from kappamask.models import SceneError
    from kappamask.scenes.names import normalise

    if text is None:
        return None
    try:
        return normalise(word.strip() for word in text.split(","))
    except SceneError as error:
        raise typer.BadParameter(str(error), param_hint="--bands") from error


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no CLASS=SCORE, such as cloud=0.3", param_hint="--threshold") from None


def _result(files: list[Path], codes: "xr.DataArray", seconds: float) -> dict[str, Any]:
    told = {key: codes.attrs[key] for key in TOLD}
    size = {"width": codes.sizes["x"], "height": codes.sizes["y"], "seconds": round(seconds, 3)}
    return {"files": [str(path) for path in files], **told, **size, "classes": _shares(files[0])}


def _shares(path: Path) -> dict[str, float]:
    """Share of each class, from the file as it was written."""
    import numpy as np

    from kappamask.scenes import read_mask
    from kappamask.scenes.legend import legend

    written = read_mask(path)
    counts = np.bincount(np.asarray(written.values).ravel(), minlength=256) / written.size
    return {c.name: float(counts[c.value]) for c in legend(written)}


def _lines(result: dict[str, Any]) -> list[str]:
    size = f"{result['width']} x {result['height']} px in {result['seconds']:.1f} s"
    reading = f"{result['radiometry']} ({result['radiometry_reason']})"
    shares = ", ".join(f"{name} {share:.1%}" for name, share in result["classes"].items() if share)
    return [f"{', '.join(result['files'])}: {size}, {result['level']}, {result['model_id']}, {reading}", shares]
