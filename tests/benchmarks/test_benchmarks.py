"""Benchmarks count and cut what they say; their timings are never tested."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'kappamask-openeo[dev]')")

# ruff: noqa: E402

import onnxruntime
from networks import brightness_network, write_model

from kappamask.models import SENTINEL2_BANDS, load_card

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def tools_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])


def test_multiply_adds_are_those_of_the_card() -> None:
    from macs import gmac_per_megapixel

    card = load_card("compact")
    assert gmac_per_megapixel(card.folder / card.file) == pytest.approx(4.224 / 0.512**2, rel=1e-3)


def test_weights_that_are_computed_are_counted_too(tmp_path: Path) -> None:
    from macs import gmac_per_megapixel

    weights = onnx.helper.make_node("Constant", [], ["w"], value_floats=[1.0] * 18)
    shape = onnx.helper.make_node("Constant", [], ["s"], value_ints=[2, 1, 3, 3])
    nodes = [weights, shape, onnx.helper.make_node("Reshape", ["w", "s"], ["k"])]
    nodes.append(onnx.helper.make_node("Conv", ["image", "k"], ["score"], pads=[1, 1, 1, 1]))
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, count, "y", "x"])
        for name, count in (("image", 1), ("score", 2))
    ]
    graph = onnx.helper.make_graph(nodes, "tiny", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "tiny.onnx")
    assert gmac_per_megapixel(tmp_path / "tiny.onnx") == pytest.approx(18e6 / 1e9)


@pytest.mark.parametrize("side", [100, 480, 512, 1000])
def test_official_windows_cover_an_array_once(side: int) -> None:
    from competitors import OFFICIAL_STEP, windows

    array = np.arange(side * side, dtype=np.uint16).reshape(1, side, side)
    found = list(windows(array))
    across = -(-side // OFFICIAL_STEP)
    assert len(found) == across**2 and {w.shape for w in found} == {(1, 512, 512)}
    inner = [[found[r * across + c][0, 16:-16, 16:-16] for c in range(across)] for r in range(across)]
    np.testing.assert_array_equal(np.block(inner)[:side, :side], array[0])


def test_figures_of_accuracy_are_those_of_a_hand() -> None:
    from accuracy import compute_scores

    truth = np.array([[1, 1, 2, 2], [3, 4, 4, 0]], np.uint8)
    found = np.array([[1, 2, 2, 2], [4, 4, 1, 4]], np.uint8)
    figures = compute_scores(found, truth)
    assert figures["clear"] == pytest.approx(2 / 4) and figures["shadow"] == pytest.approx(4 / 5)
    assert figures["cloud"] == pytest.approx(4 / 5) and figures["cloud balanced"] == pytest.approx((2 / 3 + 1) / 2)


def test_only_the_bands_of_a_subset_are_shown(tmp_path: Path) -> None:
    from accuracy import BANDS, SUBSETS, classify_scene

    card = write_model(tmp_path, brightness_network())
    scene = np.random.default_rng(0).uniform(0.02, 0.6, (13, 40, 40)).astype(np.float32)
    other = scene.copy()
    other[[BANDS.index("B11"), BANDS.index("B12")]] = 0.9
    for subset in ("4", "3"):
        np.testing.assert_array_equal(
            *(classify_scene(s, "L1C", SUBSETS[subset], str(card.folder)) for s in (scene, other))
        )


# networks whose weights are not here


@pytest.mark.parametrize("name", ["official-l1c-unet", "official-l2a-unet", "official-l1c-deeplabv3plus", "dl-l8s2-uv"])
def test_stand_ins_are_converted_as_the_real_ones_are(name: str, tmp_path: Path) -> None:
    from random_weights import resolve_peer

    peer, random = resolve_peer(name, tmp_path)
    card = load_card(peer)
    assert random and card.id.startswith(name)
    image = np.zeros((1, len(card.bands), 288, 288), np.float32)
    session = onnxruntime.InferenceSession(str(card.folder / card.file), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image})
    assert found.shape == (1, len(card.output), 288, 288) and np.isfinite(found).all()


def test_what_is_here_needs_no_stand_in(tmp_path: Path) -> None:
    from random_weights import resolve_peer

    assert resolve_peer("compact", tmp_path) == ("compact", False)
    assert resolve_peer("threshold", tmp_path) == ("threshold", False)
    assert not any(tmp_path.iterdir())


def test_the_official_architecture_is_counted_without_haste(tmp_path: Path) -> None:
    """The multiply-accumulates of a U-Net of 64 to 1024 filters are those by hand.

    Two convolutions a level down, one that enlarges and two up.

    Enlarging takes 4 products for 4 pixels, and 16 for each pixel and channel that it makes.
    """
    from competitors import OFFICIAL
    from macs import gmac_per_megapixel
    from random_weights import resolve_peer

    resolve_peer("official-l1c-unet", tmp_path, plain=True)
    widths = [64 * 2**level for level in range(5)]
    down = [
        (9 * (before * now + now * now), level)
        for level, (before, now) in enumerate(zip([13, *widths[:-1]], widths, strict=True))
    ]
    up = [(2 * now * now + 16 * now + 9 * (2 * now * now + now * now), level) for level, now in enumerate(widths[:-1])]
    expected = sum(count / 4**level for count, level in [*down, *up]) + 9 * 64 * 2 + 2 * 6
    assert gmac_per_megapixel(tmp_path / OFFICIAL) == pytest.approx(expected / 1e3, rel=1e-6)


# the time table


def test_peers_that_would_not_fit_run_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    import times

    monkeypatch.setattr(times, "free_mb", lambda: 10_000.0)
    one = {"side": 1000, "peak_mb": 400, "block": None}
    assert times.choose_block([], 1000) is None
    assert times.choose_block([one], 4000) is None
    assert times.choose_block([one], 8000) == 1000
    assert times.choose_block([one, {"side": 8000, "peak_mb": 900, "block": 1000}], 10980) == 1000


def test_a_synthetic_product_is_marked_as_no_real_one(tmp_path: Path) -> None:
    from reading import WRITTEN, describe_product

    for name, repeated in ((f"{WRITTEN}_B02.jp2", True), ("T35VLF_20200529T094041_B02.jp2", False)):
        (tmp_path / name[:3]).mkdir()
        (tmp_path / name[:3] / name).write_bytes(b"jp2")
        facts = describe_product(tmp_path / name[:3])
        assert (facts["repeated"], facts["files"], facts["bytes"]) == (repeated, 1, 3)


def test_the_memory_of_a_command_is_its_own() -> None:
    from product import measure_cost

    ours = np.ones(300 * 2**17)
    taken = measure_cost([sys.executable, "-c", "import time; held = bytearray(60 * 2**20); time.sleep(0.3)"])
    assert 60 < taken.peak_mb < 150 < ours.nbytes / 2**20
    with pytest.raises(SystemExit, match="ended with 3"):
        measure_cost([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_size_that_would_take_too_long_is_skipped_with_a_reason() -> None:
    import times

    before = [{"side": 1000, "median": 10.0}]
    assert times.explain_skip([], 1000, 1.0) is None and times.explain_skip(before, 2000, 40.0) is None
    reason = times.explain_skip(before, 4000, 100.0)
    assert reason and "16 Mpx would take about 160 s" in reason and "100 s were allowed" in reason


def test_times_tell_which_network_and_on_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One small scene with two peers runs end to end; no time is checked."""
    import times
    from files import geotiff

    bands = ("B02", "B03", "B04", "B08")
    geotiff(tmp_path / "small_L1C_20180202.tif", np.full((4, 600, 600), 900, np.uint16), bands)
    monkeypatch.setattr(times, "matmul_gflops", lambda: 1.0)
    monkeypatch.setattr(times, "SIDES", (64, 128, 10980))
    out = tmp_path / "times.json"
    options = times.TimingOptions(repeat=2, patience=60, largest=128)
    times.main(tmp_path / "small_L1C_20180202.tif", out, ["compact", "threshold", "s2cloudless"], options)
    found = json.loads(out.read_text(encoding="utf-8"))
    compact, threshold, lacking = found["rows"]
    assert compact["sha256"] == load_card("compact").sha256 and "sha256" not in threshold
    assert [size["mpx"] for size in compact["sizes"]] == [0.004096, 0.016384]
    assert compact["bands"] == list(bands) and threshold["bands"] == ["B04"]
    assert len(compact["sizes"][0]["seconds"]) == 2
    assert not lacking["sizes"] and "needs" in lacking["failed"], "bands, or where it is not installed the tool"
    assert [one["bands"] for one in found["reading"]] == [list(bands), ["B04"]]
    assert found["machine"]["cores"] > 0 and len(found["product"]["sha256"]) == 64


def test_scenes_of_a_cluster_are_one_file_under_several_names(tmp_path: Path) -> None:
    from cluster_times import write_scenes

    from kappamask.scenes import open_scene

    scenes = write_scenes(tmp_path, 1500, 3)
    assert len({path.name for path in scenes}) == 3 and len({path.stat().st_ino for path in scenes}) == 1
    cube = open_scene(scenes[2])
    assert cube.sizes["y"] == cube.sizes["x"] == 1500 and cube.attrs["level"] == "L1C"
    corner = cube.isel(y=slice(1400, 1500), x=slice(1400, 1500)).values
    assert corner.min() > 0 and corner.std() > 0


def test_a_step_that_takes_over_ten_percent_longer_is_a_regression() -> None:
    from regressions import compare_times, find_regressions

    rows = compare_times(
        {"read": 1.0, "mask": 2.0}, {"read": 1.12, "mask": 2.1, "write": 9.0}, unit=0.5, stored={"mask": 2.1}
    )
    assert [row["step"] for row in rows] == ["read", "mask", "write"]
    assert find_regressions(rows) == ["read: 12% longer"]
    assert rows[1]["products"] == pytest.approx(4.2) and rows[1]["against_baseline"] == pytest.approx(2.0)
    assert rows[0]["against_baseline"] is None and rows[2]["against_commit"] is None


@pytest.mark.slow
def test_the_steps_that_are_timed_run(tmp_path: Path) -> None:
    from product import write_bands
    from steps import make_steps, time_step

    array = np.random.default_rng(0).integers(300, 6000, (13, 240, 240)).astype(np.uint16)
    np.save(tmp_path / "array.npy", array)
    (tmp_path / "bands.json").write_text(json.dumps(SENTINEL2_BANDS[:13]))
    write_bands(tmp_path / "product", array, side=480)
    steps = make_steps(tmp_path, tmp_path)
    assert len(steps) == 7
    assert all(time_step(step) for step in steps.values())
    assert time_step(lambda: None + 1) is None  # type: ignore[operator]
