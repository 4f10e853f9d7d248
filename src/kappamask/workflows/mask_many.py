"""Mask many scenes, here or on a dask cluster; one failure stops no other."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappamask.models import KappaMaskError, SceneError
from kappamask.models.errors import require_extra
from kappamask.workflows.mask_options import EXTRAS, Asked, absolute
from kappamask.workflows.mask_scene import check_cleaning, check_extras, make, opened, streamed
from kappamask.workflows.progress import Say, Shown, Telling, unheard, unseen

if TYPE_CHECKING:
    from kappamask.udf.stream import Stream

__all__ = ["Failures", "here", "on_cluster", "plan", "planned"]

FIXED_MB = 950
"""What a process takes beside the scene's rows: libraries, the network at work, decoded blocks that are kept, cells
that are ahead; with it the peak of a whole product is met (benchmarks/product.py)."""
ROWS = 2048
"""Of the scene, in memory at once: two blocks of a product's JP2s."""
Job = tuple[str, Path]
"""A scene, by path or address, and its mask."""
Result = dict[str, Any]
CORES = 2
"""Of a worker on this machine: while one reads, the other computes."""
WARNINGS = "warnings"
"""Key of what a worker sends beside its result."""
WAIT_S = 20
"""Until a scheduler must have answered."""


def plan(scene: str, output: Path, asked: Asked, *, anew: bool) -> dict[str, Any]:
    """Facts of the mask that would be made; no pixel is read. Raises what `open_scene` and `cloud_mask` would."""
    from kappamask.scenes.writers.masks import outputs
    from kappamask.workflows.mask_options import is_finished

    cube = opened(scene, asked)
    check_extras(asked.extras, output, cube)
    said = _radiometry(cube.attrs, cube.encoding, asked)
    stream = streamed(cube, asked, said["radiometry"] or "dn_harmonized")
    check_cleaning(stream, asked)
    files = outputs(output, scores=asked.scores)
    kept = not anew and is_finished(scene, files, asked.recorded(scene), whole=False)
    size = {"width": cube.sizes["x"], "height": cube.sizes["y"], "dates": cube.sizes.get("t", 1)}
    return {
        "scene": scene, "level": stream.prepared.spec.level, "bands": [str(band) for band in cube["bands"].values],
        "used_bands": list(stream.prepared.spec.bands), **said, **size, "windows": stream.windows,
        "megapixels": round(size["width"] * size["height"] * size["dates"] / 1e6, 3), "memory_mb": _memory(stream),
        "files": [str(path) for path in (*files, *(output.with_suffix(EXTRAS[word]) for word in asked.extras))],
        "skipped": kept,
    }  # fmt: skip


def _radiometry(attributes: Any, encoding: Any, asked: Asked) -> dict[str, str | None]:
    from kappamask.udf.radiometry import decide_radiometry, radiometry_from_metadata

    if asked.radiometry == "auto" and radiometry_from_metadata(attributes, encoding) is None:
        return {"radiometry": None, "radiometry_reason": "the pixels will tell"}
    decision = decide_radiometry(asked.radiometry, attributes, encoding, [])
    return {"radiometry": decision.mode, "radiometry_reason": decision.reason}


def _memory(stream: "Stream") -> int:
    cube = stream.prepared.cube
    rows = min(ROWS, cube.sizes["y"]) * cube.sizes["x"] * cube.sizes["bands"] * cube.dtype.itemsize
    return int(FIXED_MB + rows / 2**20)


class Failures:
    """Collects the errors of scenes, says each as it comes, and raises one for all at the end."""

    def __init__(self, jobs: list[Job], say: Say = unheard) -> None:
        self.total, self.say, self.told = len(jobs), say, list[Result]()

    @contextmanager
    def noted(self, scene: str) -> Iterator[None]:
        """Go on after an error; a lone scene's is raised."""
        try:
            yield
        except Exception as error:
            if self.total == 1:
                raise
            self.told.append({"scene": scene, "error": _said(error)})
            self.say("{scene}: {error}".format(**self.told[-1]))

    def settle(self) -> None:
        """SceneError if any failed."""
        if self.told:
            names = ", ".join(Path(one["scene"]).name for one in self.told)
            raise SceneError(f"{len(self.told)} of {self.total} scenes failed: {names}.")


def _said(error: Exception) -> str:
    known = isinstance(error, KappaMaskError | OSError)
    return " ".join((str(error) if known else f"{type(error).__name__}: {error}").split())


def planned(jobs: list[Job], asked: Asked, failures: Failures, *, anew: bool) -> list[Result]:
    """What would be done with each scene."""
    done: list[Result] = []
    for scene, output in jobs:
        with failures.noted(scene):
            done.append(plan(scene, output, asked, anew=anew))
    return done


def here(
    jobs: list[Job], asked: Asked, failures: Failures, *, anew: bool, tell: Telling = unseen, warn: Say = warnings.warn
) -> list[Result]:
    """Mask scene after scene in this process."""
    _make_folder(jobs)
    asked = replace(asked, threads=asked.threads or _cores())
    done: list[Result] = []
    for scene, output in jobs:
        show = tell if len(jobs) == 1 else partial(_named, tell, Path(scene).name)
        with failures.noted(scene):
            done.append(make(scene, output, asked, show, anew=anew, warn=warn))
    return done


def _named(tell: Telling, name: str, label: str) -> AbstractContextManager[Shown]:
    return tell(f"{name}: {label}")


def on_cluster(
    jobs: list[Job], asked: Asked, failures: Failures, *, anew: bool, scheduler: str | None, tell: Telling = unseen,
    warn: Say = warnings.warn,
) -> list[Result]:  # fmt: skip
    """Mask scenes on the workers of `scheduler`, which see the same files; without it, on workers of this machine."""
    with require_extra("backend"):
        from distributed import as_completed

    _make_folder(jobs)
    done: dict[str, Result] = {}
    with _client(scheduler, len(jobs)) as (client, threads), tell("masks") as show:
        asked = replace(asked, threads=asked.threads or threads, model=absolute(asked.model))
        tasks = {
            client.submit(_at_worker, absolute(scene), output.absolute(), asked, anew, pure=False): scene
            for scene, output in jobs
        }
        for number, task in enumerate(as_completed(tasks, loop=client.loop), 1):
            with failures.noted(tasks[task]):
                done[tasks[task]] = _arrived(task.result(), warn) | {"scene": tasks[task]}
            show(number, len(jobs))
    return [done[scene] for scene, _ in jobs if scene in done]


@contextmanager
def _client(scheduler: str | None, jobs: int) -> Iterator[tuple[Any, int]]:
    """A client, and the threads that each task may have; 0 where only the worker knows."""
    from distributed import Client, LocalCluster

    if scheduler:
        with _connected(scheduler) as client:
            yield client, 0
        return
    workers = max(1, min(jobs, _cores() // CORES))
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,  # pyright: ignore[reportArgumentType]  documented: no dashboard
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client, max(1, _cores() // workers)


def _connected(scheduler: str) -> Any:
    from distributed import Client

    try:
        return Client(scheduler, timeout=WAIT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SceneError(f"No dask scheduler answers at {scheduler} ({error}): see `dask scheduler --help`.") from error


def _at_worker(scene: str, output: Path, asked: Asked, anew: bool) -> Result:
    """What `make` gives, or its error in words, because errors that have causes may not travel; and its warnings."""
    import dask
    from distributed import get_client, get_worker

    get_client()  # whoever asks first makes it, and with it the whole process computes on the cluster
    if not asked.threads:
        asked = replace(asked, threads=max(1, _cores() // get_worker().state.nthreads))
    said: list[str] = []
    try:
        with dask.config.set(scheduler="threads"):
            return make(scene, output, asked, anew=anew, warn=said.append) | {WARNINGS: said}
    except Exception as error:  # noqa: BLE001  raised where it arrives
        return {"error": _said(error), WARNINGS: said}


def _arrived(result: Result, warn: Say) -> Result:
    for warning in result.pop(WARNINGS):
        warn(warning)
    if "error" in result:
        raise SceneError(result["error"])
    return result


def _make_folder(jobs: list[Job]) -> None:
    """Of several masks, where there is none yet."""
    if len(jobs) > 1:
        jobs[0][1].parent.mkdir(parents=True, exist_ok=True)


def _cores() -> int:
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)
