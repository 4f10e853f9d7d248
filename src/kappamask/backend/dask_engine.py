"""Chunks as dask tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
from dask.delayed import delayed
from distributed import Client, LocalCluster, as_completed
from numpy.typing import NDArray

from kappamask.backend.chunks import Engine, Job, Result, Strip, run_strip
from kappamask.backend.job_store import job_log
from kappamask.backend.udf_call import Udf
from kappamask.models import JobError

__all__ = ["DaskEngine"]

AHEAD = 2
"""Tasks given to each worker in advance: enough to keep it busy, few enough to fit in memory."""
PATIENCE = 10
"""Seconds to wait for a scheduler's answer."""


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
        if self._address is None:
            self._cluster = LocalCluster(
                n_workers=os.cpu_count(),
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,  # pyright: ignore[reportArgumentType]  documented: no dashboard
                silence_logs=40,
            )
        try:
            self._client = Client(self._cluster or self._address, timeout=PATIENCE)
        except OSError as error:
            raise JobError(
                f"No dask scheduler answers at {self._address}: {error}. Start one: dask scheduler."
            ) from error
        # Not a coroutine: the client is synchronous.
        threads = cast("dict[str, int]", self._client.nthreads())
        if any(count > 1 for count in threads.values()):
            self.__exit__()
            raise JobError("The scheduler's workers have several threads each; start them with --nthreads 1.")
        self._width = AHEAD * max(len(threads), 1)
        return self.run

    def __exit__(self, *_: object) -> None:
        self._client.close()
        if self._cluster:
            self._cluster.close()

    def run(self, udf: Udf, jobs: Iterable[Job]) -> Iterator[Result]:
        """An engine as `chunks.Engine` describes it."""
        waiting = iter(jobs)
        first = [self._submit(udf, job) for job in islice(waiting, self._width)]
        running = as_completed(first, with_results=True, raise_errors=True)
        for _, results in running:
            for job in islice(waiting, 1):
                running.add(self._submit(udf, job))
            yield from results

    def _submit(self, udf: Udf, job: Job) -> Any:
        strip, pixels = job
        return self._client.compute(delayed(_task, pure=False)(udf, strip, pixels, self._place))


def _task(udf: Udf, strip: Strip, pixels: NDArray[Any], place: tuple[Path, Path, str]) -> list[Result]:
    folder, log, level = place
    os.chdir(folder)
    with job_log(log, level):
        return list(run_strip(udf, strip, np.asarray(pixels)))
