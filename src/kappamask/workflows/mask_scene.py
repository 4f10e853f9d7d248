"""Mask one scene in bounded memory, with quicklook, page, style and STAC item."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from kappamask.models.errors import require_extra
from kappamask.workflows.mask_options import EXTRAS, Asked
from kappamask.workflows.progress import Say, Telling, of_dask, unseen

if TYPE_CHECKING:
    import xarray as xr

    from kappamask.scenes.writers.quicklook import Preview
    from kappamask.scenes.writers.spool import SpooledMask
    from kappamask.udf.stream import Stream

__all__ = [
    "add_extras",
    "check_cleaning",
    "check_extras",
    "lacking",
    "make",
    "opened",
    "pixel_size_warning",
    "streamed",
]

PIXEL = 10.0
"""Metres: the grid that KappaMask's networks are trained on (Domnich et al. 2021), Sentinel-2's finest."""
NEAR = 0.5
"""Metres by which pixels may differ from that, or from what was asked for, without a warning, as after a resampling."""
KEYS = {"report": "page"}
"""Keys of assets in the item, where they are not the words."""
TOLD = ("level", "model_id", "model_sha256", "radiometry", "radiometry_reason")


def pixel_size_warning(cube: "xr.DataArray", asked: float) -> str | None:
    """Return a warning if the pixels of a cube have another size than was `asked` for, in metres, else None."""
    from kappamask.scenes.grid import pixel_size

    size = pixel_size(cube)
    if size is None or (size[2] != "degree" and all(abs(side - asked) <= NEAR for side in size[:2])):
        return None
    told = f"{size[0]:.6g} x {size[1]:.6g} {size[2] or '(no CRS tells the unit)'}"
    return f"pixels are {told}; networks are made for {PIXEL:g} m, expect errors."


def check_extras(wanted: Sequence[str], output: Path, cube: "xr.DataArray") -> None:
    """Raises SceneError, before a mask is made, for what could not be made beside it: no item without a date."""
    if "stac" in wanted:
        with require_extra("report"):
            from kappamask.reports.provenance import sensing_time

        sensing_time(output.name, cube.attrs)


def lacking(output: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """Those that are not there yet."""
    return tuple(word for word in wanted if not output.with_suffix(EXTRAS[word]).exists())


def add_extras(wanted: Sequence[str], scene: str, cube: "xr.DataArray", files: list[Path]) -> list[Path]:
    """Write what is wanted beside the mask `files[0]`, whose scores are `files[1]` if there are any; the new files.

    cube: the scene that was masked, or a picture of it in the same size.
    """
    made: dict[str, Path] = {}
    for word in (word for word in EXTRAS if word in wanted):
        made[KEYS.get(word, word)] = _add(word, scene, cube, files, made)
    return [*made.values()]


def _add(word: str, scene: str, cube: "xr.DataArray", files: list[Path], made: dict[str, Path]) -> Path:
    mask, scores = files[0], files[1] if len(files) > 1 else None
    if word == "quicklook":
        from kappamask.scenes import quicklook, read_mask

        return quicklook(cube, read_mask(mask), mask.with_suffix(EXTRAS[word]))
    with require_extra("report"):
        from kappamask.reports import write_page, write_stac, write_style
    if word == "report":
        from kappamask.scenes.readers.open import read_scl

        scl = read_scl(scene, cube)
        return write_page(mask.with_suffix(EXTRAS[word]), mask, scene=cube, scl=scl, scores_file=scores)
    if word == "style":
        return write_style(mask)
    return write_stac(mask, scene=cube, files=made | ({"scores": scores} if scores else {}))


def make(
    scene: str, output: Path, asked: Asked, tell: Telling = unseen, *, anew: bool = False, warn: Say = warnings.warn
) -> dict[str, Any]:
    """Write the mask of a scene, unless `output` is that mask already and `anew` is not said; what there is to tell.

    tell: shows the progress. warn: called with a warning about the pixels' size.
    Raises the errors of `open_scene`, `cloud_mask` and `write_mask`.
    """
    from kappamask.scenes.writers.masks import outputs
    from kappamask.workflows.mask_options import is_finished

    started = perf_counter()
    files = outputs(output, scores=asked.scores)
    record = asked.recorded(scene)
    done = not anew and is_finished(scene, files, record)
    if not done:
        files = _made(scene, output, asked, tell, warn, record)
    elif wanted := lacking(output, asked.extras):
        files += add_extras(wanted, scene, opened(scene, asked), files)
    return _told(scene, files, perf_counter() - started) | ({"skipped": True} if done else {})


def opened(scene: str, asked: Asked) -> "xr.DataArray":
    """The scene as a lazy cube."""
    from kappamask.scenes import open_scene

    return open_scene(
        scene,
        bands=asked.bands,
        level=asked.level,
        resampling=asked.resampling,
        resolution=asked.resolution,
        pixel_m=asked.pixel_m,
    )


def streamed(cube: "xr.DataArray", asked: Asked, radiometry: str | None = None) -> "Stream":
    """The `Stream` of a cube; `radiometry` goes before what is asked."""
    from kappamask.udf.options import MaskOptions
    from kappamask.udf.stream import stream

    options = MaskOptions(
        level=asked.level, model=asked.model, radiometry=radiometry or asked.radiometry, scores=asked.scores,
        thresholds=asked.thresholds, mosaic=asked.mosaic, threads=asked.threads,
    )  # fmt: skip
    return stream(cube, options)


def _made(scene: str, output: Path, asked: Asked, tell: Telling, warn: Say, record: str) -> list[Path]:
    from kappamask.files.atomic import scratch_dir
    from kappamask.scenes import write_mask
    from kappamask.scenes.readers.raster import GDAL_ERRORS
    from kappamask.scenes.writers.masks import check_mask
    from kappamask.scenes.writers.spool import spool_to_disk

    os.environ["GDAL_NUM_THREADS"] = str(asked.threads)  # of decoders, in whatever thread they are called
    cube = opened(scene, asked)
    check_extras(asked.extras, output, cube)
    preview = _preview(cube, asked)
    stream = streamed(preview.watched if preview else cube, asked)
    check_mask(stream.template()["mask"], output)
    check_cleaning(stream, asked)
    if asked.pixel_m is None and (warning := pixel_size_warning(cube, asked.resolution)):
        warn(warning)
    with scratch_dir(output, GDAL_ERRORS) as folder:
        with tell("mask") as show:
            made = spool_to_disk(stream, folder, scores=asked.scores, show=show)
        mask = _finished(made, asked).assign_attrs(options=record)
        with tell("write") as show, of_dask(show):
            files = write_mask(mask, output, scores=made.score)
    return files + add_extras(asked.extras, scene, preview.cube() if preview else cube, files)


def check_cleaning(stream: "Stream", asked: Asked) -> None:
    """CubeError, before a mask is made, if it could not be cleaned because its pixels' size is not known."""
    from kappamask.udf.cleaning import infer_pixel_m

    if asked.cleaning and asked.pixel_m is None:
        infer_pixel_m(stream.template()["mask"])


def _preview(cube: "xr.DataArray", asked: Asked) -> "Preview | None":
    """What draws the pictures that are asked for, without which matplotlib is not loaded."""
    if not {"quicklook", "report"} & set(asked.extras):
        return None
    from kappamask.scenes.writers.quicklook import Preview

    return Preview(cube)


def _finished(made: "SpooledMask", asked: Asked) -> "xr.DataArray":
    """The mask, cleaned and in the scheme that is asked for."""
    from kappamask.udf import clean, to_bits, to_scheme

    mask = clean(made.mask, **asked.cleaning, pixel_m=asked.mask_pixel_m) if asked.cleaning else made.mask
    if asked.scheme.casefold() == "bits":
        return to_bits(mask, before=made.mask)
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
    from kappamask.scenes.statistics import class_pixels

    counted, _ = class_pixels(mask)
    area = max(sum(counted.values()), 1)
    return {one.name: pixels / area for one, pixels in counted.items()}
