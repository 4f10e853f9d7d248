"""Mask scenes as tasks on dask workers, of a scheduler or of this machine."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kappamask.models import SceneError
from kappamask.models.errors import describe_error, require_extra
from kappamask.workflows.one_scene import Result, count_cores, write_mask_files
from kappamask.workflows.progress import Notify, no_progress
from kappamask.workflows.scene_options import SceneOptions, make_absolute

__all__ = ["iter_dask_results"]

CORES_PER_WORKER = 2
"""Of a worker on this machine: while one reads, the other computes."""
WARNINGS = "warnings"
"""Key of what a worker sends with its result."""
WAIT_S = 20
"""Seconds in which a scheduler must answer."""


def iter_dask_results(
    targets: Sequence[tuple[str, Path]],
    options: SceneOptions,
    *,
    scheduler: str | None,
    overwrite: bool,
    warn: Notify,
) -> Generator[tuple[str, Callable[[], Result]]]:
    """Mask each scene in a task, and yield scene and result as they are done.

    The result is a function, which raises what the task raised. Workers see the same files as this process.
    scheduler: address of a dask scheduler; None starts workers of this machine.
    """
    with require_extra("backend"):
        from distributed import as_completed

    with _open_client(scheduler, len(targets)) as (client, threads):
        options = replace(options, threads=options.threads or threads, model=make_absolute(options.model))
        tasks = {
            client.submit(
                _mask_at_worker, make_absolute(scene), output.absolute(), options, overwrite, pure=False
            ): scene
            for scene, output in targets
        }
        for task in as_completed(tasks, loop=client.loop):
            yield tasks[task], partial(_unpack_result, task, warn)


@contextmanager
def _open_client(scheduler: str | None, count: int) -> Iterator[tuple[Any, int]]:
    """Yield a client, and the threads of each task; 0 where only the worker knows."""
    from distributed import Client, LocalCluster

    if scheduler:
        with _connect_scheduler(scheduler) as client:
            yield client, 0
        return
    workers = max(1, min(count, count_cores() // CORES_PER_WORKER))
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,  # pyright: ignore[reportArgumentType]  documented: no dashboard
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client, max(1, count_cores() // workers)


def _connect_scheduler(scheduler: str) -> Any:
    from distributed import Client

    try:
        return Client(scheduler, timeout=WAIT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SceneError(f"No dask scheduler answers at {scheduler} ({error}): see `dask scheduler --help`.") from error


def _mask_at_worker(scene: str, output: Path, options: SceneOptions, overwrite: bool) -> Result:
    """Mask one scene on a worker and return the result and its warnings.

    An error is returned in words, because errors that have causes may not travel.
    """
    import dask
    from distributed import get_client, get_worker

    get_client()  # the first call makes it, and with it the whole process computes on the cluster
    if not options.threads:
        options = replace(options, threads=max(1, count_cores() // get_worker().state.nthreads))
    warned: list[str] = []
    try:
        with dask.config.set(scheduler="threads"):
            result = write_mask_files(scene, output, options, no_progress, overwrite=overwrite, warn=warned.append)
            return result | {WARNINGS: warned}
    except Exception as error:  # noqa: BLE001  raised where it arrives
        return {"error": describe_error(error), WARNINGS: warned}


def _unpack_result(task: Any, warn: Notify) -> Result:
    """Return a task's result, pass its warnings on and raise its error."""
    result: Result = task.result()
    for warning in result.pop(WARNINGS):
        warn(warning)
    if "error" in result:
        raise SceneError(result["error"])
    return result
