"""Benchmarks count and cut what they say; their timings are never tested."""

import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'kappamask-openeo[dev]')")

# ruff: noqa: E402

from networks import brightness_network, write_model

from kappamask.models import load_card

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
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
    from entrants import OFFICIAL_STEP, windows

    array = np.arange(side * side, dtype=np.uint16).reshape(1, side, side)
    found = list(windows(array))
    across = -(-side // OFFICIAL_STEP)
    assert len(found) == across**2 and {w.shape for w in found} == {(1, 512, 512)}
    inner = [[found[r * across + c][0, 16:-16, 16:-16] for c in range(across)] for r in range(across)]
    np.testing.assert_array_equal(np.block(inner)[:side, :side], array[0])


def test_figures_of_accuracy_are_those_of_a_hand() -> None:
    from accuracy import judged

    truth = np.array([[1, 1, 2, 2], [3, 4, 4, 0]], np.uint8)
    found = np.array([[1, 2, 2, 2], [4, 4, 1, 4]], np.uint8)
    figures = judged(found, truth)
    assert figures["clear"] == pytest.approx(2 / 4) and figures["shadow"] == pytest.approx(4 / 5)
    assert figures["cloud"] == pytest.approx(4 / 5) and figures["cloud balanced"] == pytest.approx((2 / 3 + 1) / 2)


def test_only_the_bands_of_a_subset_are_shown(tmp_path: Path) -> None:
    from accuracy import BANDS, SUBSETS, masked

    card = write_model(tmp_path, brightness_network())
    scene = np.random.default_rng(0).uniform(0.02, 0.6, (13, 40, 40)).astype(np.float32)
    other = scene.copy()
    other[[BANDS.index("B11"), BANDS.index("B12")]] = 0.9
    for subset in ("four", "three"):
        np.testing.assert_array_equal(*(masked(s, "L1C", SUBSETS[subset], str(card.folder)) for s in (scene, other)))
