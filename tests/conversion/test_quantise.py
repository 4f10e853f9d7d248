"""An eight-bit network gives nearly the same classes and has its own measured card."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import xarray as xr
from networks import BANDS, write_model
from onnx import TensorProto, helper, numpy_helper

from kappamask.conversion.quantise import quantise, quantise_card
from kappamask.conversion.quantise_scenes import quantise_on_scenes
from kappamask.datasets import Patch
from kappamask.models import load_card, read_weights
from kappamask.models.errors import ConversionError
from kappamask.udf import cloud_mask


def labelled_scene(part):
    """A scene of 96 px with labels by hand: bright is cloud."""
    numbers = scene(96).values.astype("float32") / 1e4
    truth = np.where(numbers[0] > 0.45, 4, 1).astype("uint8")
    return Patch(part, part, part, "L1C", 10, tuple(BANDS), numbers, truth, merges_thin=False, kinds=("cumulus",))


def scene(side):
    """Squares from dark to bright, as digital numbers."""
    rng = np.random.default_rng(3)
    patches = rng.uniform(150, 8000, (len(BANDS), -(-side // 8), -(-side // 8)))
    numbers = np.kron(patches, np.ones((8, 8)))[:, :side, :side].round().astype("uint16")
    attributes = {"level": "L1C", "radiometry": "dn_harmonized"}
    return xr.DataArray(numbers, dims=("bands", "y", "x"), coords={"bands": BANDS}, attrs=attributes)


def test_classes_hardly_change_and_the_card_is_its_own(tmp_path):
    whole = write_model(tmp_path / "whole").folder
    card = load_card((whole / "card.json").rename(whole / "mine.json"))
    small, measured = quantise_card(card, scene(300), tmp_path / "small")
    assert small.id == "brightness-int8" and small.sha256 != card.sha256
    kinds = {node.op_type for node in onnx.load_from_string(read_weights(small)).graph.node}
    assert "DequantizeLinear" in kinds
    assert 0.9 < measured["same_class"] <= 1 and measured["times_faster"] > 0 and measured["peak_mb"] > 10
    whole, rough = (cloud_mask(scene(300), model=one).values for one in (card, small))
    assert 0.9 < (whole == rough).mean() <= 1
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == ["card.json", "model.onnx"]


def test_a_scene_of_one_window_cannot_both_calibrate_and_judge(tmp_path):
    with pytest.raises(ConversionError, match=r"1 .*64 px.*two"):
        quantise_card(write_model(tmp_path / "whole"), scene(100), tmp_path / "small")
    assert not (tmp_path / "small").exists()


def read_operators(card):
    return {node.op_type for node in onnx.load_from_string(read_weights(card)).graph.node}


def test_labelled_scenes_give_the_ranges_and_judge_the_network(tmp_path):
    card = write_model(tmp_path / "whole")
    patches = [labelled_scene("train"), labelled_scene("validation")]
    made = quantise_on_scenes(card, patches, tmp_path / "small", kept=0)
    assert (made.card.id, made.card.file) == ("brightness-int8", "brightness-int8.onnx")
    assert 0.9 < made.same_class < 1 and made.times_faster > 0
    properties = json.loads((tmp_path / "small" / "brightness-int8.json").read_text())["properties"]
    assert properties["kappamask:quantised"]["sha256"] == card.sha256
    assert {"cumulus", "cloud dice"} <= {score["measure"] for score in properties["kappamask:scenes"]}
    assert "DequantizeLinear" in read_operators(made.card)


def test_scores_of_the_plain_network_are_not_taken_over(tmp_path, monkeypatch):
    card = write_model(
        tmp_path / "whole", **{"kappamask:scenes": [{"measure": "closed", "bands": "3", "mean": 1.0, "worst": 1.0}]}
    )
    monkeypatch.setattr("kappamask.conversion.quantise_scenes._judge_classes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        quantise_on_scenes(card, [labelled_scene("train"), labelled_scene("validation")], tmp_path / "small", kept=0)
    assert "kappamask:scenes" not in (tmp_path / "small" / "brightness-int8.json").read_text()


def interrupt(*_):
    raise KeyboardInterrupt


def test_convolutions_that_are_kept_change_no_class(tmp_path):
    patches = [labelled_scene("train"), labelled_scene("validation")]
    made = quantise_on_scenes(write_model(tmp_path / "whole"), patches, tmp_path / "small", kept=1)
    assert made.same_class == 1 and "DequantizeLinear" not in read_operators(made.card)


def test_scenes_of_one_part_cannot_both_calibrate_and_judge(tmp_path):
    with pytest.raises(ConversionError, match="No labelled scene is of the part validation"):
        quantise_on_scenes(write_model(tmp_path / "whole"), [labelled_scene("train")], tmp_path / "small")
    assert not (tmp_path / "small").exists()


def write_convolutions(path, count=3):
    """Convolutions with a bias and a ReLU between each two."""
    rng, nodes, values, last = np.random.default_rng(7), [], [], "image"
    for i in range(count):
        values += [numpy_helper.from_array(rng.normal(0, 0.3, (6, 6, 3, 3)).astype("float32"), f"weight{i}")]
        values += [numpy_helper.from_array(rng.normal(0, 0.1, 6).astype("float32"), f"bias{i}")]
        nodes += [helper.make_node("Conv", [last, f"weight{i}", f"bias{i}"], [f"c{i}"], f"conv{i}", pads=[1] * 4)]
        nodes += [helper.make_node("Relu", [f"c{i}"], [f"r{i}"], f"relu{i}")] if i < count - 1 else []
        last = f"r{i}"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 6, "y", "x"])
        for name in ("image", nodes[-1].output[0])
    ]
    graph = helper.make_graph(nodes, "convolutions", ends[:1], ends[1:], values)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_the_mean_error_of_the_last_convolution_is_taken_back(tmp_path):
    images = list(np.random.default_rng(2).normal(0, 1, (4, 6, 32, 32)).astype("float32"))
    write_convolutions(tmp_path / "whole.onnx")
    quantise(tmp_path / "whole.onnx", tmp_path / "small.onnx", images, kept=1)
    sessions = [onnxruntime.InferenceSession(tmp_path / f"{name}.onnx") for name in ("whole", "small")]
    exact, rough = (np.stack([one.run(None, {"image": image[None]})[0][0] for image in images]) for one in sessions)
    assert abs(exact - rough).mean() > 1e-3
    np.testing.assert_allclose((exact - rough).mean(axis=(0, 2, 3)), 0, atol=1e-5)


def test_a_missing_folder_of_labelled_scenes_is_named(tmp_path, kappamask):
    done = kappamask("models", "quantise", "compact", "--labelled", tmp_path / "no", "-o", tmp_path / "out")
    assert done.code == 1 and f"No folder {tmp_path / 'no'}" in done.err
    assert not (tmp_path / "out").exists()
