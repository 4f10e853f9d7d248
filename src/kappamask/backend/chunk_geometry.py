"""Geometry of chunks, and how pieces of a result become one cube again."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import CubeError

__all__ = ["Chunk", "Piece", "Results", "Window"]


class Chunk(NamedTuple):
    """One call of the UDF."""

    y: int
    """First row of the payload, counted from the cube's upper-left pixel."""
    x: int
    """First column of the payload."""
    t: int | None
    """Index of its date; None for a whole series or a cube without time."""


@dataclass(frozen=True)
class Piece:
    """What a UDF returned for one chunk, without the overlap."""

    values: NDArray[np.float32]
    """(date, bands, size, size)"""
    bands: list[str]
    dates: list[Any]
    """numpy datetimes, or [None] where time plays no part."""


@dataclass(frozen=True)
class Window:
    """Extent of a chunk round its payload, in pixels."""

    size: int
    overlap_x: int
    overlap_y: int
    buffered: bool
    """Whether chunks carry the overlap at all."""
    reads_neighbours: bool
    """Whether the overlap holds neighbouring pixels, or NaN."""
    strict: bool
    """Whether a result of the wrong size is an error, or is cropped blindly."""

    @property
    def margins(self) -> tuple[int, int]:
        """Rows above and columns left of the payload in a chunk."""
        return (self.overlap_y, self.overlap_x) if self.buffered else (0, 0)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a chunk."""
        above, left = self.margins
        return self.size + 2 * above, self.size + 2 * left

    def rows(self, y: int, count: int, height: int) -> tuple[int, int]:
        """Find the first row to read for `count` rows from `y` on, and the end."""
        return _limit_range(y, count, self.overlap_y if self.reads_neighbours else 0, height)

    def columns(self, x: int, count: int, width: int) -> tuple[int, int]:
        """Return the same for columns."""
        return _limit_range(x, count, self.overlap_x if self.reads_neighbours else 0, width)

    def pad(self, block: NDArray[np.float32], y: int, x: int) -> NDArray[np.float32]:
        """Make a full chunk, NaN wherever `block` (what `rows` and `columns` chose) has no pixels."""
        above, left = self.margins
        first_row = max(above - y, 0) if self.reads_neighbours else above
        first_column = max(left - x, 0) if self.reads_neighbours else left
        chunk = np.full((*block.shape[:-2], *self.shape), np.nan, np.float32)
        chunk[..., first_row : first_row + block.shape[-2], first_column : first_column + block.shape[-1]] = block
        return chunk

    def crop(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut the payload of a result (..., y, x); NaN where a crop finds nothing."""
        payload = values[..., self.overlap_y : self.overlap_y + self.size, self.overlap_x : self.overlap_x + self.size]
        if payload.shape[-2:] == (self.size, self.size):
            return payload
        full = np.full((*payload.shape[:-2], self.size, self.size), np.nan, np.float32)
        full[..., : payload.shape[-2], : payload.shape[-1]] = payload
        return full


def _limit_range(first: int, count: int, margin: int, length: int) -> tuple[int, int]:
    return max(first - margin, 0), min(first + count + margin, length)


class Results:
    """Collect pieces into one array for each date.

    The UDF decides on bands and, in a series, on dates.
    """

    def __init__(self, like: xr.DataArray, size: int, per_date: bool) -> None:
        self._like = like
        self._size = size
        self._by_date: dict[Any, NDArray[np.float32]] = {}
        self._bands: list[str] | None = None
        self._dates = list(like.t.values) if per_date and "t" in like.dims else None

    def add(self, chunk: Chunk, piece: Piece) -> None:
        """Put a piece's pixels, cropped at the cube's edge, in their place.

        Raises CubeError if its bands are not those of the pieces before.
        """
        self._bands = self._bands or piece.bands
        if self._bands != piece.bands:
            raise CubeError(
                f"The UDF returned bands {piece.bands} for one chunk and {self._bands} for another; "
                "it must keep to one list."
            )
        dates = piece.dates if self._dates is None or chunk.t is None else [self._dates[chunk.t]]
        for date, values in zip(dates, piece.values, strict=True):
            target = self._get_target(date)[:, chunk.y : chunk.y + self._size, chunk.x : chunk.x + self._size]
            target[:] = values[:, : target.shape[1], : target.shape[2]]

    def _get_target(self, date: Any) -> NDArray[np.float32]:
        if date not in self._by_date:
            shape = (len(self._bands or ()), self._like.sizes["y"], self._like.sizes["x"])
            self._by_date[date] = np.full(shape, np.nan, np.float32)
        return self._by_date[date]

    def cube(self) -> xr.DataArray:
        """Join all pieces to one cube, dates in order."""
        if self._bands is None:
            return xr.full_like(self._like, np.nan, dtype=np.float32).compute()
        kept = {name: c for name, c in self._like.coords.items() if name not in {"t", "bands"} and c.dims in _PLANE}
        coords = {**kept, "bands": self._bands}
        dates = self._dates or sorted(self._by_date)
        if dates == [None]:
            return xr.DataArray(self._get_target(None), dims=("bands", "y", "x"), coords=coords)
        arrays = [self._get_target(date) for date in dates]
        stacked = arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)
        return xr.DataArray(stacked, dims=("t", "bands", "y", "x"), coords={**coords, "t": pd.DatetimeIndex(dates)})


_PLANE = ((), ("x",), ("y",), ("y", "x"))
"""Dims of the coordinates that a result keeps."""
