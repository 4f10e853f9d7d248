"""One scene to one mask, with all that goes beside it: in this process, or in a worker of a cluster."""

import os
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from kappamask.cli.mask_extras import add_extras, check_extras, lacking
from kappamask.cli.mask_options import Asked
from kappamask.cli.mask_warnings import warn_of_pixels
from kappamask.cli.progress import Telling, of_dask

if TYPE_CHECKING:
    import xarray as xr

    from kappamask.scenes.preview import Preview
    from kappamask.scenes.strips import Made
    from kappamask.udf.stream import Stream

__all__ = ["make", "opened", "streamed"]

TOLD = ("level", "model_id", "model_sha256", "radiometry", "radiometry_reason")


def make(scene: str, output: Path, asked: Asked, tell: Telling, *, anew: bool = False) -> dict[str, Any]:
    """Write the mask of a scene, unless `output` is that mask already and `anew` is not said; what there is to tell.

    Raises the errors of `open_scene`, `cloud_mask` and `write_mask`.
    """
    from kappamask.scenes.finished import is_finished
    from kappamask.scenes.masks import outputs

    started = perf_counter()
    files = outputs(output, scores=asked.scores)
    record = asked.recorded(scene)
    done = not anew and is_finished(scene, files, record)
    if not done:
        files = _made(scene, output, asked, tell, record)
    elif wanted := lacking(output, asked.extras):
        files += add_extras(wanted, scene, opened(scene, asked), files)
    return _told(scene, files, perf_counter() - started) | ({"skipped": True} if done else {})


def opened(scene: str, asked: Asked) -> "xr.DataArray":
    """The scene as a lazy cube."""
    from kappamask.scenes import open_scene

    return open_scene(
        scene, bands=asked.bands, level=asked.level, resampling=asked.resampling, resolution=asked.resolution
    )


def streamed(cube: "xr.DataArray", asked: Asked, radiometry: str | None = None) -> "Stream":
    """The `Stream` of a cube; `radiometry` goes before what is asked."""
    from kappamask.udf.stream import stream

    return stream(
        cube, level=asked.level, model=asked.model, radiometry=radiometry or asked.radiometry,
        thresholds=asked.thresholds, mosaic=asked.mosaic, threads=asked.threads,
    )  # fmt: skip


def _made(scene: str, output: Path, asked: Asked, tell: Telling, record: str) -> list[Path]:
    from kappamask.scenes import write_mask
    from kappamask.scenes.atomic import scratch
    from kappamask.scenes.masks import check_mask
    from kappamask.scenes.strips import made_in_strips

    os.environ["GDAL_NUM_THREADS"] = str(asked.threads)  # of decoders, in whatever thread they are called
    cube = opened(scene, asked)
    check_extras(asked.extras, output, cube)
    preview = _preview(cube, asked)
    stream = streamed(preview.watched if preview else cube, asked)
    check_mask(stream.like()["mask"], output)
    warn_of_pixels(cube, asked.resolution)
    with scratch(output) as folder:
        with tell("mask") as show:
            made = made_in_strips(stream, folder, scores=asked.scores, show=show)
        mask = _finished(made, asked).assign_attrs(options=record)
        with tell("write") as show, of_dask(show):
            files = write_mask(mask, output, scores=made.score)
    return files + add_extras(asked.extras, scene, preview.cube() if preview else cube, files)


def _preview(cube: "xr.DataArray", asked: Asked) -> "Preview | None":
    """What draws the pictures that are asked for, without which matplotlib is not loaded."""
    if not {"quicklook", "report"} & set(asked.extras):
        return None
    from kappamask.scenes.preview import Preview

    return Preview(cube)


def _finished(made: "Made", asked: Asked) -> "xr.DataArray":
    """The mask, cleaned and in the scheme that is asked for."""
    from kappamask.udf import bits, clean, to_scheme

    mask = clean(made.mask, **asked.cleaning) if asked.cleaning else made.mask
    if asked.scheme.casefold() == "bits":
        return bits(mask, before=made.mask)
    return to_scheme(mask, asked.scheme)


def _told(scene: str, files: list[Path], seconds: float) -> dict[str, Any]:
    """What a mask tells, from its file as it was written."""
    from kappamask.scenes import read_mask

    mask = read_mask(files[0])
    size = {"width": mask.sizes["x"], "height": mask.sizes["y"], "seconds": round(seconds, 3)}
    facts = {key: mask.attrs[key] for key in TOLD}
    return {"scene": scene, "files": [str(path) for path in files], **facts, **size, "classes": _shares(mask)}


def _shares(mask: "xr.DataArray") -> dict[str, float]:
    """Share of each class; of bits, which combine in a pixel, that of KappaMask's classes."""
    from kappamask.scenes.counts import class_pixels

    counted, _ = class_pixels(mask)
    area = max(sum(counted.values()), 1)
    return {one.name: pixels / area for one, pixels in counted.items()}
