"""Blocks of image files: decoded once, whatever pieces are read, in whatever threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from products import safe

from kappamask.models import SceneError
from kappamask.scenes import open_scene
from kappamask.scenes.readers.block_cache import KEPT, Blocks
from kappamask.scenes.readers.image import REACH, Image
from kappamask.scenes.resample import compute_line_weights

IMAGE = np.arange(1300 * 1100).reshape(1300, 1100)
PRODUCT = {10: (10_980, 1024, 4), 20: (5490, 640, 6), 60: (1830, 192, 3)}
"""Metres -> pixels along a side of a product's bands, of their JPEG 2000 blocks, and how many bands there are."""


class Source:
    """An image, and how often each of its blocks was decoded."""

    def __init__(self, image: np.ndarray) -> None:
        self.image, self.decoded = image, []

    def __call__(self, rows: slice, columns: slice) -> np.ndarray:
        self.decoded.append((rows.start, columns.start))
        return self.image[rows, columns]


@given(st.data(), st.sampled_from([(1024, 1024), (640, 640), (192, 192), (2, 1100), (1300, 7)]))
def test_a_window_is_what_the_image_holds_there(data: st.DataObject, block: tuple[int, int]) -> None:
    source, kept = Source(IMAGE), Blocks(1 << 20)
    for _ in range(3):
        rows, columns = (
            slice(*sorted(data.draw(st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True))))
            for side in IMAGE.shape
        )
        found = kept.read_window(source, "one", rows, columns, shape=IMAGE.shape, block=block)
        np.testing.assert_array_equal(found, IMAGE[rows, columns])
        assert kept.held <= kept.room


def test_blocks_are_decoded_once_while_there_is_room() -> None:
    source, kept = Source(IMAGE), Blocks(IMAGE.nbytes)
    for row in range(0, 1300, 100):
        for column in range(0, 1100, 100):
            piece = (slice(row, row + 100), slice(column, column + 100))
            kept.read_window(source, "one", *piece, shape=IMAGE.shape, block=(640, 640))
    assert sorted(source.decoded) == [(y, x) for y in (0, 640, 1280) for x in (0, 640)]


def test_what_was_not_used_for_longest_gives_way() -> None:
    kept, made = Blocks(3 * 800), []

    def block(name: str) -> np.ndarray:
        return kept.get(name, lambda: made.append(name) or np.zeros(100))

    for name in "abcabdbad":
        block(name)
    assert made == list("abcd") and kept.held == 3 * 800
    block("c")
    assert made == list("abcdc")


def test_what_one_thread_decodes_others_wait_for() -> None:
    kept, began, threads = Blocks(1 << 20), threading.Barrier(4), []

    def slow() -> np.ndarray:
        threads.append(threading.get_ident())
        threading.Event().wait(0.2)
        return np.ones(3)

    def ask() -> np.ndarray:
        began.wait()
        return kept.get("one", slow)

    with ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(ask) for _ in range(4)]]
    assert len(threads) == 1 and all(one is found[0] for one in found)


def test_an_error_is_raised_for_all_and_not_kept() -> None:
    kept = Blocks(1 << 20)

    def fail() -> np.ndarray:
        raise SceneError("damaged")

    for _ in range(2):
        with pytest.raises(SceneError, match="damaged"):
            kept.get("one", fail)
    assert kept.get("one", lambda: np.ones(3)).sum() == 3 and kept.held == 24


def test_what_is_read_may_be_written_to() -> None:
    """Nobody can change what is kept."""
    source, kept = Source(IMAGE.copy()), Blocks(IMAGE.nbytes)
    for _ in range(2):
        found = kept.read_window(source, "one", slice(0, 9), slice(0, 9), shape=IMAGE.shape, block=(640, 640))
        np.testing.assert_array_equal(found, IMAGE[:9, :9])
        found[:] = 0


@pytest.mark.parametrize("resolution", [10, 20])
def test_there_is_room_to_decode_a_product_once(resolution: int) -> None:
    """Read all bands of a product in pieces of 1024 px, as masking does.

    Blocks hold nothing here.
    """
    source, kept = Source(np.broadcast_to(np.uint16(1), (10_980, 10_980))), Blocks(KEPT.room)
    pieces = [slice(at, min(at + 1024, 109_800 // resolution)) for at in range(0, 109_800 // resolution, 1024)]
    for down in pieces:
        for across in pieces:
            for metres, (side, block, bands) in PRODUCT.items():
                half = metres < resolution
                length = side // 2 if half else side
                cut = [source_pixels(part, max(1, metres // resolution), length, half) for part in (down, across)]
                for band in range(bands):
                    sides = (512, 512) if half else (block, block)
                    kept.read_window(source, (metres, band), *cut, shape=(length, length), block=sides)
    counts = {10: (11**2, 9**2, 5**2), 20: (11**2, 9**2, 5**2)}[resolution]
    assert len(source.decoded) == sum(n * bands for n, (_, _, bands) in zip(counts, PRODUCT.values(), strict=True))


def source_pixels(part: slice, ratio: int, length: int, half: bool) -> slice:
    """The pixels of an image that a piece of the cube is made of."""
    if half:
        return slice(max(0, part.start - 2 * REACH), min(length, part.stop + 2 * REACH))
    return compute_line_weights(part.start, part.stop - part.start, ratio, length, "bilinear")[0] if ratio > 1 else part


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("resolution", "rows", "blocks"), [(10, 300, 9 + 4 + 1), (20, 522, 4 + 4 + 1)])
def test_a_scene_decodes_each_of_its_blocks_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resolution: int, rows: int, blocks: int, zipped: bool
) -> None:
    """Even if it is computed in pieces that overlap."""
    path = safe(tmp_path, side=1044, zipped=zipped, blocks={10: 512, 20: 512, 60: 192})
    scene = open_scene(path, resolution=resolution, bands=["B02", "B05", "B09"])
    decode, decoded = Image._decode_window, []

    def count_decode(image: Image, rows: slice, columns: slice) -> np.ndarray:
        decoded.append((image.source, rows.start, columns.start))
        return decode(image, rows, columns)

    monkeypatch.setattr(Image, "_decode_window", count_decode)
    for row in range(0, scene.sizes["y"], rows):
        scene.isel(y=slice(row, row + rows + 40)).compute()
    assert len(set(decoded)) == len(decoded) == blocks
