"""Spool a streamed mask to disk, so that few rows are in memory."""

import math
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import dask.array
import numpy as np
import xarray as xr
from dask.array import Array
from numpy.typing import NDArray

from kappamask.scenes.encoding import round_to_percent
from kappamask.udf.stream import MaskPiece, ProgressCallback, Stream

__all__ = ["SpooledMask", "spool_to_disk"]

da: Any = dask.array  # its annotations are partial
ROWS = 512
"""Of a chunk that is read again: whole blocks of the GeoTIFF that will hold it."""


class SpooledMask(NamedTuple):
    """Lazy arrays that read files of the folder in which they were made."""

    mask: xr.DataArray
    """uint8 ([t,] y, x)."""
    score: xr.DataArray | None
    """In percent, uint8 ([t,] class, y, x), 255 where missing."""


def spool_to_disk(stream: Stream, folder: Path, *, scores: bool, show: ProgressCallback) -> SpooledMask:
    """Make a mask in `folder`; dims, coordinates and attributes are those of `kappamask.udf.cloud_mask`."""
    like = stream.make_template()
    with (folder / "mask").open("wb") as masks, (folder / "score").open("wb") as kept:
        strips = [_RowWriter(masks, like["mask"].shape[-1:])]
        if scores:
            strips.append(_RowWriter(kept, like["score"].shape[-3:-2] + like["score"].shape[-1:]))

        def write(piece: MaskPiece) -> None:
            strips[0].add(piece, piece.mask)
            if scores:
                strips[1].add(piece, round_to_percent(piece.scores).transpose(1, 0, 2))

        stream.run(write, show)
    mask = like["mask"].copy(data=_lazy_bytes(folder / "mask", like["mask"].shape))
    lines = like["score"].transpose(..., "y", "class", "x")
    stored = lines.copy(data=_lazy_bytes(folder / "score", lines.shape, ndim=3)).transpose(*like["score"].dims)
    return SpooledMask(mask, stored if scores else None)


class _RowWriter:
    """Pieces side by side, put together to whole rows and appended to a file."""

    def __init__(self, file: BinaryIO, line: tuple[int, ...]) -> None:
        self.file, self.line = file, line
        self.rows = np.empty((0, *line), dtype=np.uint8)

    def add(self, piece: MaskPiece, values: NDArray[np.uint8]) -> None:
        """Append `values` (y, …, x) of a piece.

        Pieces of the same rows must come from left to right.
        """
        if piece.x.start == 0:
            self.rows = np.empty((len(values), *self.line), dtype=np.uint8)
        self.rows[..., piece.x] = values
        if piece.x.stop == self.line[-1]:
            self.file.write(self.rows.data)


def _lazy_bytes(path: Path, shape: tuple[int, ...], ndim: int = 2) -> Array:
    """Map the bytes of a file as a dask array of `ndim` axes.

    The first axis is y, or dates with y as the second.
    """
    height, *line = shape[-ndim:]
    dates = [_lazy_rows(path, date * height, height, tuple(line)) for date in range(math.prod(shape[:-ndim]))]
    return da.stack(dates).reshape(shape) if len(shape) > ndim else dates[0]


def _lazy_rows(path: Path, first: int, height: int, line: tuple[int, ...]) -> Array:
    chunks = da.core.normalize_chunks((ROWS, *([-1] * len(line))), shape=(height, *line))
    meta = np.empty((0,) * (1 + len(line)), dtype=np.uint8)
    lazy: Array = da.map_blocks(_read, path=path, first=first, chunks=chunks, dtype=np.uint8, meta=meta)
    return lazy


def _read(path: Path, first: int, block_info: Any) -> NDArray[np.uint8]:
    (start, stop), *rest = block_info[None]["array-location"]
    line = tuple(last for _, last in rest)
    size = math.prod(line)
    flat = np.fromfile(path, np.uint8, (stop - start) * size, offset=(first + start) * size)
    return flat.reshape(stop - start, *line)
