"""Where chunks are computed: in the job's own process, or as tasks of dask workers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from kappamask.backend.chunks import READ_AHEAD, Engine, serial
from kappamask.models import JobError

__all__ = ["Run", "check_engine", "open_engine"]

LOOPBACK = "tcp://127.0.0.1:"
TASK_BYTES = 1 << 28
"""Pixels that one task reads, as float32; see `chunks.READ_AHEAD`."""


@dataclass(frozen=True)
class Run:
    """What a graph's evaluation needs besides its cubes."""

    engine: Engine = serial
    progress: Callable[[int, int], None] | None = None

    @property
    def read_ahead(self) -> int:
        """Bytes to read at once; dask wants more and smaller tasks than there are workers."""
        return READ_AHEAD if self.engine is serial else TASK_BYTES


def check_engine(engine: str) -> str:
    """`engine` if it is "serial", "dask" or a scheduler on this machine; JobError otherwise."""
    if engine not in ("serial", "dask") and not engine.startswith(LOOPBACK):
        raise JobError(f"No engine {engine!r}; use serial, dask, or a scheduler's address that starts with {LOOPBACK}.")
    return engine


def open_engine(engine: str, folder: Path, log: Path, level: str) -> AbstractContextManager[Engine]:
    """The engine as a context.

    folder: working directory of the UDF, where its archives lie.
    log: the job's log file, to which every worker appends from `level` up.
    A scheduler's workers must have one thread each: the working directory belongs to the process.
    """
    if check_engine(engine) == "serial":
        return nullcontext(serial)
    from kappamask.backend.dask_engine import DaskEngine  # takes a while to import, which other jobs need not wait for

    return DaskEngine(None if engine == "dask" else engine, folder, log, level)
