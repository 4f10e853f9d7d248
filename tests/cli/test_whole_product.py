"""Whole products in pieces: the pixels of `cloud_mask`, blocks read once, bounded memory."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from files import cube, digits, geotiff
from hypothesis import given, settings
from hypothesis import strategies as st
from laziness import count_reads
from networks import BANDS as FIVE
from networks import brightness_network, write_model

from kappamask.models import ModelCard, RadiometryError, SceneError
from kappamask.models.mask_options import MaskOptions
from kappamask.scenes import open_scene, read_mask
from kappamask.scenes.writers import natural_colour
from kappamask.scenes.writers.masks import spool_to_disk
from kappamask.scenes.writers.natural_colour import subsample
from kappamask.udf import cloud_mask, predict, stream
from kappamask.udf import lazy as lazy_cubes
from kappamask.udf.inference import ordered_results
from kappamask.udf.stream import READER_THREADS, prepare_stream

OWN = {"step": 48, "before": 5, "padding": "symmetric", "taper": "crop", "amount": 8}


@pytest.fixture(autouse=True)
def small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small cubes have several."""
    monkeypatch.setattr(lazy_cubes, "BLOCK_SIDE_PX", 48)


def scene(height: int, width: int, dates: int = 0, seed: int = 0) -> xr.DataArray:
    shape = ((dates,) if dates else ()) + (len(FIVE), height, width)
    numbers = np.random.default_rng(seed).uniform(100, 9000, shape).astype(np.uint16)
    numbers[..., : height // 4, : width // 3] = 0
    dims = ("t", "bands", "y", "x")[-len(shape) :]
    return xr.DataArray(numbers, dims=dims, coords={"bands": FIVE}, attrs={"radiometry": "dn_harmonized"})


def mask_in_pieces(lazy: xr.DataArray, folder: Path, scores: bool = True, **options: object) -> xr.Dataset:
    wanted = MaskOptions(level="L1C", **options)
    made = spool_to_disk(prepare_stream(lazy, wanted), folder, scores=scores, show=lambda _done, _total: None)
    return xr.Dataset({"mask": made.mask, **({"score": made.score} if scores else {})}).compute()


def assert_same(found: xr.Dataset, expected: xr.Dataset) -> None:
    xr.testing.assert_identical(found["mask"], expected["mask"])
    percent = np.rint(expected["score"].values / np.float32(0.01))
    np.testing.assert_array_equal(found["score"].values, np.where(np.isnan(percent), 255, percent))
    assert found["score"].dims == expected["score"].dims


@settings(max_examples=15)
@given(
    height=st.integers(4, 260), width=st.integers(4, 200), chunk=st.integers(16, 100), threads=st.integers(1, 5),
    dates=st.sampled_from([0, 0, 2]),
)  # fmt: skip
def test_pieces_are_the_mask_bit_for_bit(
    brightness: ModelCard, tmp_path_factory, height: int, width: int, chunk: int, threads: int, dates: int
) -> None:
    numbers = scene(height, width, dates)
    expected = cloud_mask(numbers, model=brightness, level="L1C", scores=True)
    folder = tmp_path_factory.mktemp("pieces")
    assert_same(mask_in_pieces(numbers.chunk(y=chunk, x=chunk), folder, model=brightness, threads=threads), expected)


def test_a_networks_own_mosaic_comes_in_pieces_too(tmp_path: Path) -> None:
    card = write_model(tmp_path, brightness_network(reach=12), **{"kappamask:fill": 0.0, "kappamask:mosaic": OWN})
    numbers = scene(170, 133)
    expected = cloud_mask(numbers, model=card, level="L1C", scores=True, mosaic="own")
    assert_same(mask_in_pieces(numbers.chunk(y=50, x=60), tmp_path, model=card, mosaic="own", threads=2), expected)


def test_each_block_is_read_once_and_only_once(brightness: ModelCard, tmp_path: Path) -> None:
    lazy, reads = count_reads(scene(400, 300), bands=1, y=64, x=50)
    mask_in_pieces(lazy, tmp_path, model=brightness, threads=3)
    assert len(reads) == len(FIVE) * 7 * 6
    assert set(reads.values()) == {1}


@pytest.mark.parametrize("threads", [1, 4])
def test_no_more_than_a_few_blocks_are_ahead(brightness: ModelCard, tmp_path: Path, threads: int) -> None:
    lazy, reads = count_reads(scene(600, 60), bands=-1, y=60, x=60)
    seen: list[int] = []
    prepare_stream(lazy, MaskOptions(level="L1C", model=brightness, threads=threads)).run(
        lambda _piece: None, lambda _done, _total: seen.append(sum(reads.values()))
    )
    needed = [min(10, 2 + int(done * 48 + 63) // 60) for done in range(len(seen))]
    assert all(count <= most + threads + 2 for count, most in zip(seen, needed, strict=True))


def test_an_error_in_reading_ends_it_and_its_threads(brightness: ModelCard, tmp_path: Path) -> None:
    def damage(block: np.ndarray, block_info) -> np.ndarray:
        if block_info[0]["array-location"][1][0] >= 200:
            raise SceneError("row 200 is damaged")
        return block

    lazy = scene(400, 100).chunk(bands=-1, y=50, x=50)
    lazy.data = lazy.data.map_blocks(damage, dtype=np.uint16, meta=np.empty((0, 0, 0), np.uint16))
    with pytest.raises(SceneError, match="row 200"):
        mask_in_pieces(lazy, tmp_path, model=brightness, threads=2)
    assert not [one for one in threading.enumerate() if one.name.startswith(READER_THREADS)]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_that_contradicts_the_metadata_is_an_error(tmp_path: Path, threads: int) -> None:
    card = write_model(tmp_path, **{"kappamask:local_window": 112})
    lazy = scene(300, 200).astype(np.float32).chunk(bands=-1, y=50)
    lazy[:, :150] /= 10_000
    lazy.attrs["radiometry"] = "reflectance"
    with pytest.raises(RadiometryError, match="look like digital numbers"):
        mask_in_pieces(lazy, tmp_path, model=card, threads=threads)
    assert not [one for one in threading.enumerate() if one.name.startswith(("kappamask-window", READER_THREADS))]


@pytest.mark.parametrize(("most", "expected"), [(stream.MAX_ROW_BYTES, 2), (5 * 50 * 300 * 2 - 1, 1)])
def test_two_windows_run_at_a_time_unless_blocks_are_large(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, most: int, expected: int
) -> None:
    used: list[int] = []

    def note_parallel(jobs, parallel: int):
        used.append(parallel)
        return ordered_results(jobs, parallel)

    card, numbers = write_model(tmp_path, **{"kappamask:local_window": 112}), scene(400, 300)
    expected_mask = cloud_mask(numbers, model=card, level="L1C", scores=True)
    monkeypatch.setattr(stream, "MAX_ROW_BYTES", most)
    monkeypatch.setattr(predict, "ordered_results", note_parallel)
    found = mask_in_pieces(numbers.chunk(y=50, x=60), tmp_path, model=card, threads=2)
    assert used == [expected]
    assert_same(found, expected_mask)


def test_a_sample_that_is_empty_goes_on_to_where_pixels_are(brightness: ModelCard) -> None:
    numbers = scene(500, 500)
    numbers.attrs.clear()
    numbers[:, :, :] = 0
    numbers[:, 350:354, 98:102] = 1000
    lazy, reads = count_reads(numbers, y=50, x=50)
    decision = prepare_stream(lazy, MaskOptions(level="L1C", model=brightness)).first_part.decision
    assert "pixels" in decision.reason
    assert len(reads) < 10 * 10 * len(FIVE)


def test_a_preview_is_gathered_while_blocks_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brightness) -> None:
    monkeypatch.setattr(natural_colour, "PREVIEW_SIDE_PX", 40)
    numbers = cube(digits(4, 190, 130), level="L1C")
    lazy, reads = count_reads(numbers, bands=1, y=32, x=50)
    seen = natural_colour.Preview(lazy)
    mask_in_pieces(seen.watched, tmp_path, model=brightness, radiometry="dn_harmonized")
    picture = seen.cube()
    assert set(reads.values()) == {1}
    assert picture.shape == (3, 190, 130) and picture.bands.values.tolist() == ["B04", "B03", "B02"]
    expected = subsample(numbers.sel(bands=["B04", "B03", "B02"]), 40)
    np.testing.assert_array_equal(subsample(picture, 40).values, expected.values)


MEASURED = """
import json, resource, sys
from kappamask.cli import main
try:
    main()
finally:
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""


def peak_mb(source: Path, *options: str) -> float:
    words = [sys.executable, "-c", MEASURED, "mask", str(source), "-o", str(source.with_name("m.tif")), *options]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return float(json.loads(ended.stdout.splitlines()[-1]))


def test_memory_does_not_grow_with_the_product(tmp_path: Path) -> None:
    card = write_model(tmp_path, **{"kappamask:local_window": 512})
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    for count in (1, 4):
        numbers = np.tile(digits(5, 1200, 2000), (1, count, 1))
        geotiff(tmp_path / f"{count}_L1C.tif", numbers, tuple(FIVE), **layout)
    options = ["--model", str(card.folder), "--radiometry", "dn_harmonized", "--scores", "--threads", "2"]
    low, high = (peak_mb(tmp_path / f"{count}_L1C.tif", *options) for count in (1, 4))
    image = 5 * 3 * 1200 * 2000 * 2 / 2**20
    assert high - low < image / 3, f"{low:.0f} MB, four times as high {high:.0f} MB"


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_gives_the_same_files(kappamask, tmp_path: Path, threads: int) -> None:
    source = geotiff(tmp_path / "S2_L1C_20210527.tif", digits(4, 300, 280))
    done = kappamask("mask", source, "-o", tmp_path / "m.tif", "--threads", threads)
    assert done.code == 0, done.err
    expected = cloud_mask(open_scene(source).compute())
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif").values, expected.values)
