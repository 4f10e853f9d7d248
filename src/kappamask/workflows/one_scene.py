"""Mask one scene in bounded memory, with quicklook, page, style and STAC item."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from kappamask.models import SceneError
from kappamask.models.errors import require_extra
from kappamask.workflows.progress import Notify, ProgressFactory, dask_progress, progress_bar
from kappamask.workflows.scene_options import EXTRAS, SceneOptions, is_finished, list_targets

if TYPE_CHECKING:
    import xarray as xr

    from kappamask.scenes.writers.masks import SpooledMask
    from kappamask.scenes.writers.quicklook import Preview
    from kappamask.udf.stream import Stream

__all__ = [
    "DEFAULTS",
    "Result",
    "check_cleaning",
    "count_cores",
    "mask_scene",
    "open_cube",
    "prepare_scene_stream",
    "require_date_for_stac",
    "write_mask_files",
]

DEFAULTS = SceneOptions()
Result = dict[str, Any]
ASSET_KEYS = {"report": "page"}
"""Keys of assets in the item, where they are not the words."""
FACTS = ("level", "model_id", "model_sha256", "radiometry", "radiometry_reason")


def require_date_for_stac(wanted: Sequence[str], output: Path, cube: "xr.DataArray") -> None:
    """Raise SceneError if a STAC item is wanted and the scene has no date."""
    if "stac" in wanted:
        with require_extra("scenes"):
            from kappamask.reports.provenance import find_sensing_time

        find_sensing_time(output.name, cube.attrs)


def _missing_extras(output: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the extras whose files do not exist."""
    return tuple(word for word in wanted if not output.with_suffix(EXTRAS[word]).exists())


def _add_extras(wanted: Sequence[str], scene: str, cube: "xr.DataArray", files: list[Path]) -> list[Path]:
    """Write the extras next to a mask and return their paths.

    files: the mask, then its scores if there are any. cube: the scene that was masked, or a preview of the same size.
    """
    written: dict[str, Path] = {}
    for word in (word for word in EXTRAS if word in wanted):
        written[ASSET_KEYS.get(word, word)] = _add_extra(word, scene, cube, files, written)
    return [*written.values()]


def _add_extra(word: str, scene: str, cube: "xr.DataArray", files: list[Path], written: dict[str, Path]) -> Path:
    from kappamask.scenes.writers.captions import name_scene

    mask, scores = files[0], files[1] if len(files) > 1 else None
    if word == "quicklook":
        from kappamask.scenes import read_mask, write_quicklook

        title = name_scene(cube.attrs, scene)
        return write_quicklook(cube, read_mask(mask), mask.with_suffix(EXTRAS[word]), title=title)
    with require_extra("scenes"):
        from kappamask.reports import write_page, write_stac, write_style
    if word == "report":
        from kappamask.scenes.readers.open import read_scl

        scl, title = read_scl(scene, cube), name_scene(cube.attrs, scene)
        return write_page(mask.with_suffix(EXTRAS[word]), mask, scene=cube, scl=scl, scores_file=scores, title=title)
    if word == "style":
        return write_style(mask)
    return write_stac(mask, scene=cube, files=written | ({"scores": scores} if scores else {}))


def mask_scene(
    scene: str | Path,
    output: str | Path,
    options: SceneOptions = DEFAULTS,
    *,
    overwrite: bool = False,
    progress: ProgressFactory = progress_bar,
    warn: Notify = warnings.warn,
    **changes: Any,
) -> Result:
    """Mask one scene of any size within 2 GB of memory, as `kappamask mask` does.

    scene: path or address of what `kappamask.scenes.open_scene` reads. output: the mask, .tif or .nc, uint8.
    changes: fields of `SceneOptions`, or options of `kappamask.udf.clean`, in place of those of `options`.
    overwrite: also write a mask that is there already, made of this scene with these options.
    progress: shows how far it is; a bar on a terminal, lines elsewhere, nothing with `no_progress`.
    warn: called with a warning, as about the pixels' size.

    Returns what the command prints as JSON: scene, files, level, model_id, model_sha256, radiometry, its reason, width,
    height, seconds, the share of each class, and its percentage of the valid pixels; with `skipped` where the mask was
    there.
    Raises the errors of `open_scene`, `cloud_mask` and `write_mask`, and SceneError for an unknown option or where the
    mask would replace the scene.
    """
    options = options.with_changes(**changes)
    targets = list_targets([str(scene)], Path(output), options)
    if len(targets) != 1:
        raise SceneError(f"{scene} holds {len(targets)} scenes: name one of them, or use mask_many.")
    ((path, target),) = targets
    return write_mask_files(path, target, options, progress, overwrite=overwrite, warn=warn)


def write_mask_files(
    scene: str,
    output: Path,
    options: SceneOptions,
    progress: ProgressFactory,
    *,
    overwrite: bool = False,
    warn: Notify = warnings.warn,
) -> Result:
    """Write the mask of a scene, or what it lacks, and summarise it; see `mask_scene`."""
    from kappamask.scenes.writers.masks import list_output_files

    started = perf_counter()
    options = replace(options, threads=options.threads or count_cores())
    files = list_output_files(output, scores=options.scores)
    record = options.make_record(scene)
    skipped = not overwrite and is_finished(scene, files, record)
    if not skipped:
        files = _write_all(scene, output, options, progress, warn, record)
    elif missing := _missing_extras(output, options.extras):
        files += _add_extras(missing, scene, open_cube(scene, options), files)
    return _summarise_mask(scene, files, perf_counter() - started) | ({"skipped": True} if skipped else {})


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def open_cube(scene: str, options: SceneOptions) -> "xr.DataArray":
    """Open a scene as a lazy cube, dims (bands, y, x)."""
    from kappamask.scenes import open_scene

    return open_scene(
        scene,
        bands=options.bands,
        level=options.level,
        resampling=options.resampling,
        resolution=options.resolution,
        pixel_m=options.pixel_m,
    )


def prepare_scene_stream(cube: "xr.DataArray", options: SceneOptions, radiometry: str | None = None) -> "Stream":
    """Prepare the `Stream` of a cube; `radiometry` takes precedence over that of `options`."""
    from kappamask.udf.stream import prepare_stream

    return prepare_stream(cube, replace(options, radiometry=radiometry or options.radiometry, bands=None))


def _write_all(
    scene: str, output: Path, options: SceneOptions, progress: ProgressFactory, warn: Notify, record: str
) -> list[Path]:
    """Write the mask, its scores and its extras."""
    from kappamask.files.atomic import scratch_dir
    from kappamask.scenes import write_mask
    from kappamask.scenes.grid import explain_pixel_size
    from kappamask.scenes.readers.raster import GDAL_ERRORS
    from kappamask.scenes.writers.masks import check_mask, spool_to_disk

    os.environ["GDAL_NUM_THREADS"] = str(options.threads)  # of decoders, in whatever thread they are called
    cube = open_cube(scene, options)
    require_date_for_stac(options.extras, output, cube)
    preview = _make_preview(cube, options)
    stream = prepare_scene_stream(preview.watched if preview else cube, options)
    check_mask(stream.make_template()["mask"], output)
    check_cleaning(stream, options)
    if options.pixel_m is None and (warning := explain_pixel_size(cube, options.resolution)):
        warn(warning)
    with scratch_dir(output, GDAL_ERRORS) as folder:
        with progress("mask") as show:
            spooled = spool_to_disk(stream, folder, scores=options.scores, show=show)
        mask = _clean_and_convert(spooled, options).assign_attrs(options=record)
        with progress("write") as show, dask_progress(show):
            files = write_mask(mask, output, scores=spooled.score)
    return files + _add_extras(options.extras, scene, preview.cube() if preview else cube, files)


def check_cleaning(stream: "Stream", options: SceneOptions) -> None:
    """Raise CubeError if the mask is to be cleaned and its pixels' size is unknown."""
    from kappamask.udf.pixel_size import infer_pixel_m

    if options.cleaning and options.pixel_m is None:
        infer_pixel_m(stream.make_template()["mask"])


def _make_preview(cube: "xr.DataArray", options: SceneOptions) -> "Preview | None":
    """Return the preview that pictures need, or None; without it matplotlib is not loaded."""
    if not {"quicklook", "report"} & set(options.extras):
        return None
    from kappamask.scenes.writers.quicklook import Preview

    return Preview(cube)


def _clean_and_convert(spooled: "SpooledMask", options: SceneOptions) -> "xr.DataArray":
    """Clean the mask and convert it to the scheme of `options`."""
    from kappamask.udf import clean, to_bits, to_scheme

    mask = clean(spooled.mask, **options.cleaning, pixel_m=options.mask_pixel_m) if options.cleaning else spooled.mask
    if options.scheme.casefold() == "bits":
        return to_bits(mask, before=spooled.mask)
    return to_scheme(mask, options.scheme)


def _summarise_mask(scene: str, files: list[Path], seconds: float) -> Result:
    """Summarise a mask from its file as it was written."""
    from kappamask.scenes import read_mask

    mask = read_mask(files[0])
    size = {"width": mask.sizes["x"], "height": mask.sizes["y"], "seconds": round(seconds, 3)}
    facts = {key: mask.attrs[key] for key in FACTS}
    return {"scene": scene, "files": [str(path) for path in files], **facts, **size, **_count_classes(mask)}


def _count_classes(mask: "xr.DataArray") -> dict[str, dict[str, float]]:
    """Return the share of each class, and its percentage as pictures and reports give it.

    Of bits, those of KappaMask's classes.
    """
    from kappamask.scenes.statistics import compute_class_percentages, count_class_pixels

    counts, _ = count_class_pixels(mask)
    area = max(sum(counts.values()), 1)
    shares = {one.name: pixels / area for one, pixels in counts.items()}
    return {
        "classes": shares,
        "percent_of_valid": {one.name: x for one, x in compute_class_percentages(mask, counts).items()},
    }
