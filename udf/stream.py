"""A lazy cube masked from top to bottom, in memory that its height and the number of threads do not change."""

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import ModelCard, load_card
from kappamask.udf import lazy, pixels
from kappamask.udf.ahead import Ahead, shared
from kappamask.udf.prepare import Reading
from kappamask.udf.radiometry import Decision, check
from kappamask.udf.result import dressed
from kappamask.udf.settle import dates, framed, settle

__all__ = ["Piece", "Shown", "Stream", "stream"]

Mask = NDArray[np.uint8]
Scores = NDArray[np.float32]
Shown = Callable[[int, int], None]
"""Is told how much is done, and how much there is."""


class Piece(NamedTuple):
    """A finished part of one date."""

    date: int
    y: slice
    x: slice
    mask: Mask
    """(y, x)."""
    scores: Scores
    """(class, y, x), NaN where missing."""


@dataclass(frozen=True)
class Stream:
    """A mask that is yet to be made: at most a sample of the cube has been computed."""

    cube: xr.DataArray
    """Dims ([t,] bands, y, x), dask; the bands that the network takes."""
    reading: Reading
    decision: Decision

    def like(self) -> xr.Dataset:
        """`mask` and `score` as pieces will add up to them: dims, coordinates and attributes; no values."""
        shape, planes = self.cube.shape[-2:], len(self.reading.card.output)
        empty = (lazy.zeros(shape, np.uint8), lazy.zeros((planes, *shape), np.float32))
        made = dressed([empty] * len(dates(self.cube)), self.cube, self.reading, self.decision, scores=True)
        assert isinstance(made, xr.Dataset)
        return made

    @property
    def windows(self) -> int:
        """How many the network will be run on."""
        shapes = [framed(date.data, self.reading)[0].shape[1:] for date in dates(self.cube)]
        return sum(len(self.reading.windows(height)) * len(self.reading.windows(width)) for height, width in shapes)

    def run(self, write: Callable[[Piece], None], show: Shown) -> None:
        """Make the mask: `write` takes piece after piece, those of the same rows together, from left to right.

        `show` is told how many windows are done, and of how many. Raises RadiometryError where a row of windows
        contradicts how the numbers are read, and what computing the cube raises.
        """
        done, total = count(), self.windows
        for number, date in enumerate(dates(self.cube)):
            values, y, x = framed(date.data, self.reading)
            with closing(self._pieces(values, lambda: show(next(done), total))) as pieces:
                for rows, columns, mask, scores in pieces:
                    (of_y, into_y), (of_x, into_x) = shared(rows, y), shared(columns, x)
                    if of_y.start < of_y.stop and of_x.start < of_x.stop:
                        write(Piece(number, into_y, into_x, mask[of_y, of_x], scores[:, of_y, of_x]))
        show(total, total)

    def _pieces(self, values: Any, step: Callable[[], None]) -> Generator[tuple[slice, slice, Mask, Scores]]:
        rows, columns = (self.reading.windows(n) for n in values.shape[1:])
        windows = [(row.pixels, column.pixels) for row, column in product(rows, columns)]
        thin: list[NDArray[np.float32]] = []
        every = pixels.sampling_step(len(rows[0].weight) * values.shape[2])
        with Ahead(values, windows, self.reading.threads) as ahead:

            def read(y: slice, x: slice) -> NDArray[Any]:
                step()
                window = ahead.read(y, x)
                thin.append(pixels.thinned(window, every))
                return window

            for piece in pixels.pieces(read, self.reading, rows, columns):
                if len(thin) == len(columns):
                    check(self.decision, pixels.evidence(np.concatenate(thin, axis=1), self.reading))
                    thin.clear()
                yield piece


def stream(
    cube: xr.DataArray,
    *,
    level: str | None = None,
    model: str | Path | ModelCard = "compact",
    radiometry: str = "auto",
    thresholds: Mapping[str, float] | None = None,
    mosaic: str = "blended",
    threads: int = 1,
) -> Stream:
    """What `cloud_mask` gives for a dask cube, bit for bit, but to be made piece by piece.

    Parameters and errors are those of `cloud_mask`. threads: of the network, and as many, but no more than four, that
    compute the cube.
    """
    return Stream(
        *settle(cube, load_card(model), level, radiometry, threads=threads, thresholds=thresholds, mosaic=mosaic)
    )
