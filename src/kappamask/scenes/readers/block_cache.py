"""Cache decoded blocks of image files, because bands are read in pieces that share them.

A JPEG 2000 block takes its time whole, whatever part of it is wanted, and pieces of the 10 m grid lie across the blocks
of coarser bands: without this a product's 20 m bands would be decoded four times.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["KEPT", "Blocks"]

Block = NDArray[Any]
LARGE_ENOUGH: Final = 512
"""Pixels: thinner blocks, as the strips of some files, are read several at a time."""


class Blocks:
    """Decoded blocks by key; the least recently used are dropped beyond `room` bytes.

    For any number of threads: what one is decoding, others wait for.
    """

    def __init__(self, room: int) -> None:
        self.room, self.held = room, 0
        self._futures: OrderedDict[Hashable, Future[Block]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, decode: Callable[[], Block]) -> Block:
        """Return the block of `key`, decoded by `decode` if it is not cached.

        An error that `decode` raises is passed on and not cached.
        """
        with self._lock:
            future = self._futures.get(key)
            ours = future is None
            if future is None:
                future = self._futures[key] = Future()
            self._futures.move_to_end(key)
        if ours:
            self._decode_block(key, future, decode)
        return future.result()

    def _decode_block(self, key: Hashable, future: Future[Block], decode: Callable[[], Block]) -> None:
        try:
            block = decode()
        except BaseException as error:  # noqa: BLE001  it is raised where the block is asked for
            with self._lock:
                del self._futures[key]
            future.set_exception(error)
            return
        future.set_result(block)
        with self._lock:
            self.held += block.nbytes
            self._make_room()

    def _make_room(self) -> None:
        for key in list(self._futures):
            if self.held <= self.room:
                return
            if self._futures[key].done():
                self.held -= self._futures.pop(key).result().nbytes

    def read_window(
        self,
        decode: Callable[[slice, slice], Block],
        key: Hashable,
        rows: slice,
        columns: slice,
        *,
        shape: tuple[int, int],
        block: tuple[int, int],
    ) -> Block:
        """Read rows and columns of an image (y, x) of `shape` from cached whole blocks.

        The result is never an array that is kept in the cache.
        `key`: what tells the image from others, its version included. `block`: height and width of its blocks, pixels.
        A block that is just what is wanted is not kept, for pieces that share none will follow.
        """
        down, across = map(_cut_blocks, (rows, columns), shape, block)
        if (down[0][0], across[0][0]) == (rows, columns):
            return decode(rows, columns)
        found: Block | None = None
        for y, into_y in down:
            for x, into_x in across:
                held = self.get((key, y.start, x.start), partial(decode, y, x))
                if found is None:
                    found = np.empty((rows.stop - rows.start, columns.stop - columns.start), held.dtype)
                found[into_y, into_x] = held[_slice_block(rows, y), _slice_block(columns, x)]
        assert found is not None
        return found


KEPT: Final = Blocks(2**28)
"""All of this process. 256 MiB is what it takes to decode every block of a product once, read in rows of pieces: 96 MiB
on the 10 m grid, where pieces are blocks of the 10 m bands, more on that of 20 m (tests/scenes/test_blocks.py
counts)."""


def _cut_blocks(wanted: slice, length: int, side: int) -> list[tuple[slice, slice]]:
    """List the blocks that intersect `wanted` along an axis, with their place in the result."""
    step = side * max(1, LARGE_ENOUGH // side)
    first = range(wanted.start // step * step, wanted.stop, step)
    blocks = [slice(start, min(start + step, length)) for start in first]
    return [(block, _slice_block(block, wanted)) for block in blocks]


def _slice_block(outer: slice, inner: slice) -> slice:
    """Intersect two ranges, counted from the start of `inner`."""
    start, stop = max(outer.start, inner.start), min(outer.stop, inner.stop)
    return slice(start - inner.start, stop - inner.start)
