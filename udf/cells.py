"""Cells of a lazy cube: whole chunks, about a million pixels together; a few of them show what the numbers mean."""

from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask.udf import lazy, pixels
from kappamask.udf.evidence import Evidence
from kappamask.udf.prepare import Reading

__all__ = ["cells", "compute", "sample"]

SIDE = 1024
"""Pixels, of cells where chunks are smaller: that of the blocks of Sentinel-2's JP2s; 27 MB with 13 bands."""
LOOKED_AT = 3
"""Rows and columns of cells that a sample is taken from: nine blocks of a product are 7 % of it."""


def cells(values: Any) -> tuple[list[slice], list[slice]]:
    """Rows and columns that divide a dask array (band, y, x) along its chunks; low and wide chunks stay so."""
    _, rows, columns = values.chunks
    across = _merged(columns, SIDE)
    widest = max(part.stop - part.start for part in across)
    return _merged(rows, -(-SIDE * SIDE // widest)), across


def _merged(chunks: tuple[int, ...], least: int) -> list[slice]:
    """Chunks along an axis, joined until each part has `least` pixels; the last may have fewer."""
    edges = [0]
    for edge in np.cumsum(chunks).tolist():
        if edge - edges[-1] >= least or edge == sum(chunks):
            edges.append(edge)
    return [slice(*ends) for ends in pairwise(edges)]


def compute(values: Any, y: slice, x: slice) -> NDArray[Any]:
    """The numbers (band, y, x) in a cell of a dask array, computed in this thread."""
    return np.asarray(values[:, y, x].compute(scheduler="synchronous"))


def sample(values: Any, reading: Reading) -> Evidence:
    """Evidence from a few cells of a dask array (band, y, x), spread evenly.

    If none of their pixels is valid, it is that of the first cell that has some.
    """
    rows, columns = cells(values)
    chosen = [*product(_spread(rows), _spread(columns))]
    step = pixels.sampling_step(sum((y.stop - y.start) * (x.stop - x.start) for y, x in chosen))
    found = lazy.computed([values[:, y, x][:, ::step, ::step] for y, x in chosen])
    seen = pixels.evidence(np.concatenate([pixels.thinned(one, 1) for one in found], axis=1), reading)
    others = product(rows, columns)
    while seen.empty and (cell := next(others, None)):
        seen = pixels.look(compute(values, *cell), reading)
    return seen


def _spread(parts: list[slice]) -> list[slice]:
    count = min(LOOKED_AT, len(parts))
    return [parts[int((i + 0.5) * len(parts) / count)] for i in range(count)]
