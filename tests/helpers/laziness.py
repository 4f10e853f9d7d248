"""Schedulers and cubes that count: nothing is computed too early, nothing twice."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

from kappamask.udf import inference


@contextmanager
def computations(most: int) -> Iterator[list[int]]:
    """List the number of results of each computation.

    One more than `most` is an error where it happens.
    """
    done: list[int] = []

    def scheduler(graph: Any, keys: Any, **options: Any) -> Any:
        done.append(len(keys))
        if len(done) > most:
            raise AssertionError(f"computation {len(done)}, and {most} are allowed")
        return dask.get(graph, keys, **options)

    with dask.config.set(scheduler=scheduler):
        yield done


def count_reads(cube: xr.DataArray, **chunks: int) -> tuple[xr.DataArray, Counter[tuple[tuple[int, int], ...]]]:
    """`cube` in chunks, and how often each chunk is read, by where it lies."""
    reads: Counter[tuple[tuple[int, int], ...]] = Counter()
    lock = threading.Lock()

    def read(block: np.ndarray, block_info: Any) -> np.ndarray:
        with lock:
            reads[tuple(block_info[0]["array-location"])] += 1
        return block

    lazy = cube.chunk(chunks)
    meta = np.empty((0,) * cube.ndim, cube.dtype)
    return lazy.copy(data=lazy.data.map_blocks(read, dtype=cube.dtype, meta=meta)), reads


def network_runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return a list that gets the shape of every image that a network is fed."""
    real: Callable[..., Any] = inference.run_network
    fed: list[tuple[int, ...]] = []

    def run(card: Any, images: np.ndarray, *options: Any) -> Any:
        fed.extend(image.shape for image in images)
        return real(card, images, *options)

    monkeypatch.setattr(inference, "run_network", run)
    return fed
