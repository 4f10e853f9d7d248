"""Where chunks are computed: in the job's own process, or as tasks of dask workers."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from kappamask.backend.chunks import READ_AHEAD, Engine, Job, Result, Strip, run_serially, run_strip
from kappamask.backend.job_store import open_job_log
from kappamask.backend.udf_call import Udf
from kappamask.files.urls import LOCALHOST
from kappamask.models import JobError

if TYPE_CHECKING:
    from distributed import LocalCluster

__all__ = ["DaskEngine", "Run", "check_engine", "open_engine"]

LOCAL_SCHEDULER = f"tcp://{LOCALHOST}:"
TASK_BYTES = 1 << 28
"""Pixels that one task reads, as float32; see `chunks.READ_AHEAD`."""
TASKS_PER_WORKER = 2
"""Tasks given to each worker in advance: enough to keep it busy, few enough to fit in memory."""
SCHEDULER_WAIT_S = 10
"""Seconds to wait for a scheduler's answer."""


@dataclass(frozen=True)
class Run:
    """What a graph's evaluation needs besides its cubes."""

    engine: Engine = run_serially
    progress: Callable[[int, int], None] | None = None

    @property
    def read_ahead(self) -> int:
        """Bytes to read at once; dask wants more and smaller tasks than there are workers."""
        return READ_AHEAD if self.engine is run_serially else TASK_BYTES


def check_engine(engine: str) -> str:
    """Return `engine` if it is "serial", "dask" or a scheduler here; JobError otherwise."""
    if engine not in ("serial", "dask") and not engine.startswith(LOCAL_SCHEDULER):
        raise JobError(
            f"No engine {engine!r}; use serial, dask, or a scheduler's address that starts with {LOCAL_SCHEDULER}."
        )
    return engine


def open_engine(engine: str, folder: Path, log: Path, level: str) -> AbstractContextManager[Engine]:
    """Open the engine as a context.

    folder: working directory of the UDF, where its archives lie.
    log: the job's log file, to which every worker appends from `level` up.
    A scheduler's workers must have one thread each: the working directory belongs to the process.
    """
    if check_engine(engine) == "serial":
        return nullcontext(run_serially)
    return DaskEngine(None if engine == "dask" else engine, folder, log, level)


class DaskEngine(AbstractContextManager[Engine]):
    """Run strips of chunks as tasks on a cluster of the job's own or another.

    The tasks read their own pixels.

    address: of a scheduler; None starts a cluster with one single-threaded process for each CPU.
    Entering raises JobError if the scheduler does not answer, or if its workers have several threads: a UDF's working
    directory belongs to the process.
    """

    def __init__(self, address: str | None, folder: Path, log: Path, level: str) -> None:
        self._address = address
        self._place = (folder, log, level)
        self._cluster: LocalCluster | None = None

    def __enter__(self) -> Engine:
        from distributed import Client, LocalCluster  # slow to import: jobs in this process need not wait for it

        if self._address is None:
            self._cluster = LocalCluster(
                n_workers=os.cpu_count(),
                threads_per_worker=1,
                host=LOCALHOST,
                dashboard_address=None,  # pyright: ignore[reportArgumentType]  documented: no dashboard
                silence_logs=40,
            )
        try:
            self._client = Client(self._cluster or self._address, timeout=SCHEDULER_WAIT_S)
        except OSError as error:
            raise JobError(
                f"No dask scheduler answers at {self._address}: {error}. Start one: dask scheduler."
            ) from error
        # Not a coroutine: the client is synchronous.
        threads = cast("dict[str, int]", self._client.nthreads())
        if any(count > 1 for count in threads.values()):
            self.__exit__()
            raise JobError("The scheduler's workers have several threads each; start them with --nthreads 1.")
        self._width = TASKS_PER_WORKER * max(len(threads), 1)
        return self.run

    def __exit__(self, *_: object) -> None:
        self._client.close()
        if self._cluster:
            self._cluster.close()

    def run(self, udf: Udf, jobs: Iterable[Job]) -> Iterator[Result]:
        """Run jobs as `chunks.Engine` describes it."""
        from distributed import as_completed

        waiting = iter(jobs)
        first = [self._submit_job(udf, job) for job in islice(waiting, self._width)]
        running = as_completed(first, with_results=True, raise_errors=True)
        for _, results in running:
            for job in islice(waiting, 1):
                running.add(self._submit_job(udf, job))
            yield from results

    def _submit_job(self, udf: Udf, job: Job) -> Any:
        from dask.delayed import delayed

        strip, pixels = job
        return self._client.compute(delayed(_run_task, pure=False)(udf, strip, pixels, self._place))


def _run_task(udf: Udf, strip: Strip, pixels: NDArray[Any], place: tuple[Path, Path, str]) -> list[Result]:
    folder, log, level = place
    os.chdir(folder)
    with open_job_log(log, level):
        return list(run_strip(udf, strip, np.asarray(pixels)))
