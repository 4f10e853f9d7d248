"""Mask many scenes, here or on a dask cluster; one failure stops no other."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappamask.models import RadiometryError, SceneError
from kappamask.models.errors import describe_error
from kappamask.models.hints import option
from kappamask.workflows.dask_scenes import iter_dask_results
from kappamask.workflows.one_scene import (
    DEFAULTS,
    Result,
    check_cleaning,
    open_cube,
    prepare_scene_stream,
    require_date_for_stac,
    write_mask_files,
)
from kappamask.workflows.progress import Notify, Progress, ProgressFactory, print_line, progress_bar
from kappamask.workflows.scene_options import EXTRAS, SceneOptions, is_finished, list_targets

if TYPE_CHECKING:
    from kappamask.udf.stream import Stream

__all__ = ["RunOptions", "ScenesFailedError", "mask_many", "plan_mask"]

FIXED_MB = 950
"""What a process takes besides the scene's rows: libraries, the running network, decoded blocks in the cache, blocks
read ahead; with it the estimate is the peak of a whole product (benchmarks/product.py)."""
ROWS_IN_MEMORY = 2048
"""Of the scene, in memory at once: two blocks of a product's JP2s."""
Target = tuple[str, Path]
"""A scene, by path or address, and its mask."""


@dataclass(frozen=True)
class RunOptions:
    """Where and how many scenes are masked."""

    overwrite: bool = False
    """Also write masks that are there already."""
    dry_run: bool = False
    """Only say what would be done; no pixel is read."""
    dask: bool = False
    """One task for each scene, on dask workers."""
    scheduler: str | None = None
    """Address of a dask scheduler, tcp://HOST:PORT; left out, workers of this machine."""
    notify: Notify = print_line
    """Called with the error of each scene that fails."""
    warn: Notify = warnings.warn
    """Called with warnings."""


RUN = RunOptions()


def plan_mask(scene: str, output: Path, options: SceneOptions, *, overwrite: bool = False) -> Result:
    """Describe the mask that would be made; no pixel is read.

    Raises what `open_scene` and `cloud_mask` would.
    """
    from kappamask.scenes.writers.masks import list_output_files

    cube = open_cube(scene, options)
    require_date_for_stac(options.extras, output, cube)
    radiometry = _describe_radiometry(cube.attrs, cube.encoding, options)
    stream = prepare_scene_stream(cube, options, radiometry["radiometry"] or "dn_harmonized")
    check_cleaning(stream, options)
    files = list_output_files(output, scores=options.scores)
    skipped = not overwrite and is_finished(scene, files, options.make_record(scene), verify_pixels=False)
    size = {"width": cube.sizes["x"], "height": cube.sizes["y"], "dates": cube.sizes.get("t", 1)}
    return {
        "scene": scene, "level": stream.first_part.spec.level, "bands": [str(band) for band in cube["bands"].values],
        "used_bands": list(stream.first_part.spec.bands), **radiometry, **size, "windows": stream.window_count,
        "megapixels": round(size["width"] * size["height"] * size["dates"] / 1e6, 3),
        "memory_mb": _estimate_memory_mb(stream),
        "files": [str(path) for path in (*files, *(output.with_suffix(EXTRAS[word]) for word in options.extras))],
        "skipped": skipped,
    }  # fmt: skip


def _describe_radiometry(attributes: Any, encoding: Any, options: SceneOptions) -> dict[str, str | None]:
    from kappamask.udf.radiometry import decide_radiometry, read_radiometry

    if options.radiometry == "auto" and read_radiometry(attributes, encoding) is None:
        return {"radiometry": None, "radiometry_reason": "the pixels will tell"}
    decision = decide_radiometry(options.radiometry, attributes, encoding, [])
    return {"radiometry": decision.mode, "radiometry_reason": decision.reason}


def _estimate_memory_mb(stream: "Stream") -> int:
    cube = stream.first_part.cube
    rows = min(ROWS_IN_MEMORY, cube.sizes["y"]) * cube.sizes["x"] * cube.sizes["bands"] * cube.dtype.itemsize
    return int(FIXED_MB + rows / 2**20)


class ScenesFailedError(SceneError):
    """Some of many scenes could not be masked; the others were."""

    def __init__(self, message: str, results: list[Result]) -> None:
        super().__init__(message)
        self.results = results
        """Of every scene that was masked, then scene and error of each that was not."""


class _Errors:
    """Collects the errors of scenes, and raises one for all at the end."""

    def __init__(self, total: int, notify: Notify) -> None:
        self.total, self.notify, self.found = total, notify, list[Result]()
        self.doubtful = 0
        """Scenes whose radiometry is in doubt."""

    @contextmanager
    def collect(self, scene: str) -> Iterator[None]:
        """Go on after an error; that of a single scene is raised."""
        try:
            yield
        except Exception as error:
            if self.total == 1:
                raise
            self.doubtful += isinstance(error, RadiometryError)
            self.found.append({"scene": scene, "error": describe_error(error)})
            self.notify("{scene}: {error}".format(**self.found[-1]))

    def raise_if_any(self, done: list[Result]) -> None:
        """Raise ScenesFailedError if a scene failed. done: results of the others."""
        if self.found:
            names = ", ".join(Path(one["scene"]).name for one in self.found)
            message = f"{len(self.found)} of {self.total} scenes failed: {names}."
            if self.doubtful:
                message += (
                    f" Of {self.doubtful} the scaling is in doubt: repeat the command with {option('radiometry')} and "
                    "what the scenes hold, such as dn_harmonized."
                )
            raise ScenesFailedError(message, [*done, *self.found])


def mask_many(
    scenes: Sequence[str | Path],
    output: str | Path,
    options: SceneOptions = DEFAULTS,
    *,
    run: RunOptions = RUN,
    progress: ProgressFactory = progress_bar,
    **changes: Any,
) -> list[Result]:
    """Mask several scenes, as `kappamask mask` does; one failure stops no other.

    scenes: paths or addresses, or folders of scenes. output: a folder, for NAME_mask.tif of each; for one scene also
    the mask itself. changes: fields of `SceneOptions`, or options of `kappamask.udf.clean`, in place of those of
    `options`. run: where and how. progress: as for `mask_scene`.

    Returns the result of `mask_scene` for each scene; of `plan_mask` with `run.dry_run`.
    Raises ScenesFailedError, which has the results, if some failed; the error itself if there is one scene; SceneError
    for outputs that collide.
    """
    options = options.with_changes(**changes)
    targets = list_targets([str(scene) for scene in scenes], Path(output), options)
    errors = _Errors(len(targets), run.notify)
    if run.dry_run:
        done = _plan_masks(targets, options, errors, run)
    elif run.dask:
        done = _mask_on_dask(targets, options, errors, run, progress)
    else:
        done = _mask_locally(targets, options, errors, run, progress)
    errors.raise_if_any(done)
    return done


def _plan_masks(targets: list[Target], options: SceneOptions, errors: _Errors, run: RunOptions) -> list[Result]:
    done: list[Result] = []
    for scene, output in targets:
        with errors.collect(scene):
            done.append(plan_mask(scene, output, options, overwrite=run.overwrite))
    return done


def _mask_locally(
    targets: list[Target], options: SceneOptions, errors: _Errors, run: RunOptions, progress: ProgressFactory
) -> list[Result]:
    """Mask scene after scene in this process."""
    _make_folder(targets)
    done: list[Result] = []
    for scene, output in targets:
        show = progress if len(targets) == 1 else partial(_named_progress, progress, Path(scene).name)
        with errors.collect(scene):
            done.append(write_mask_files(scene, output, options, show, overwrite=run.overwrite, warn=run.warn))
    return done


def _named_progress(progress: ProgressFactory, name: str, label: str) -> AbstractContextManager[Progress]:
    return progress(f"{name}: {label}")


def _mask_on_dask(
    targets: list[Target], options: SceneOptions, errors: _Errors, run: RunOptions, progress: ProgressFactory
) -> list[Result]:
    """Mask scenes on dask workers; results come in the order of `targets`."""
    _make_folder(targets)
    done: dict[str, Result] = {}
    finished = iter_dask_results(targets, options, scheduler=run.scheduler, overwrite=run.overwrite, warn=run.warn)
    with closing(finished), progress("masks") as show:
        for number, (scene, read_result) in enumerate(finished, 1):
            with errors.collect(scene):
                done[scene] = read_result() | {"scene": scene}
            show(number, len(targets))
    return [done[scene] for scene, _ in targets if scene in done]


def _make_folder(targets: list[Target]) -> None:
    """Make the folder of several masks."""
    if len(targets) > 1:
        targets[0][1].parent.mkdir(parents=True, exist_ok=True)
