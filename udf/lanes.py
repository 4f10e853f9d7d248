"""Two windows beside each other, each on half of the cores, and their scores in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_order", "shared_out"]

Scores = NDArray[np.float32]


def shared_out(threads: int, windows: int) -> tuple[int, int]:
    """How many lanes there are for so many `windows`, and the threads of each; `threads` is 0 for all cores.

    Two lanes share an even number of cores: while one reads or blends, which takes one core, the other convolves. Over
    9 Mpx in memory, `compact` took 2.9 s so and 3.3 s in one lane, on two cores, and 0.5 GB more.
    """
    cores = threads or _cores()
    return (1, threads) if windows == 1 or cores % 2 else (2, cores // 2)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(jobs: Iterable[Callable[[], Scores]], lanes: int) -> Generator[Scores]:
    """What `jobs` return, or raise, in their order; as many as there are `lanes` are at work, and one waits.

    Jobs are drawn in the caller's thread; with one lane they are done there too. Closing drops those that wait.
    """
    if lanes == 1:
        yield from (job() for job in jobs)
        return
    running: deque[Future[Scores]] = deque()
    with ThreadPoolExecutor(lanes, "kappamask-window") as pool:
        try:
            for job in jobs:
                running.append(pool.submit(job))
                if len(running) > lanes:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
