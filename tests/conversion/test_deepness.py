"""Copies of networks that QGIS's Deepness plugin opens."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from networks import BANDS, write_model
from onnx import helper

from kappamask.conversion import ConversionError
from kappamask.conversion.deepness import (
    LEVEL_CHANNEL,
    DeepnessModel,
    make_deepness_metadata,
    write_deepness_network,
)
from kappamask.models import ModelCard
from kappamask.udf import cloud_mask

SIDE = 64
"""The window of `write_model`."""


def _run_as_the_plugin(path: Path, numbers: np.ndarray) -> np.ndarray:
    """Return the class of each pixel by the plugin's arithmetic."""
    session = onnxruntime.InferenceSession(path)
    facts = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    (asked,) = session.get_inputs()
    assert asked.shape[1:] == [numbers.shape[0], facts["tile_size"], facts["tile_size"]]
    mean, deviation = (np.float32(facts[f"standardization_{word}"])[:, None, None] for word in ("mean", "std"))
    (score,) = session.run(None, {asked.name: (np.float32(numbers / 255) - mean)[None] / deviation})
    score[score < facts["seg_thresh"]] = 0
    return np.argmax(score[0], 0)


def _without_softmax(data: bytes) -> bytes:
    model = onnx.load_from_string(data)
    (last,) = [node for node in model.graph.node if node.op_type == "Softmax"]
    model.graph.node.remove(last)
    model.graph.output[0].name = last.input[0]
    return bytes(model.SerializeToString())


@pytest.fixture(params=["none", "softmax"])
def card(request, tmp_path) -> ModelCard:
    made = write_model(tmp_path / "made", **{"kappamask:local_window": SIDE})
    if request.param == "none":
        return made
    logits = _without_softmax((made.folder / made.file).read_bytes())
    return write_model(tmp_path / "logits", logits, **{"kappamask:activation": "softmax"})


def test_the_plugin_gets_the_classes_of_a_mask(card, tmp_path):
    numbers = np.random.default_rng(3).integers(0, 9000, (len(BANDS), SIDE, SIDE)).astype(np.uint16)
    level = np.zeros((1, SIDE, SIDE), np.uint16)
    found = _run_as_the_plugin(
        write_deepness_network(card, tmp_path / "x" / "copy.onnx"), np.concatenate([numbers, level])
    )
    mask = cloud_mask(numbers, bands=BANDS, level="L1C", radiometry="dn_harmonized", model=card)
    np.testing.assert_array_equal(np.array(card.output)[found], mask.values)


def test_two_inputs_are_refused(card, tmp_path):
    model = onnx.load(card.folder / card.file)
    model.graph.input.append(helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, [1]))
    card = write_model(tmp_path / "two", bytes(model.SerializeToString()))
    with pytest.raises(ConversionError, match="2 inputs"):
        write_deepness_network(card, tmp_path / "copy.onnx")
    assert not (tmp_path / "copy.onnx").exists()


def test_the_plugin_scales_digital_numbers_as_the_card_scales_reflectance() -> None:
    model = DeepnessModel(("clear", "cloud"), [(0.2, 0.1), LEVEL_CHANNEL], ("B02", "level"), 640, 64)
    found = {key: json.loads(text) for key, text in make_deepness_metadata(model).items()}
    mean, deviation = (np.array(found[f"standardization_{word}"]) for word in ("mean", "std"))
    given = np.array([3000, 255])  # digital numbers of a reflectance of 0.3, and Level-2A
    np.testing.assert_allclose((given / 255 - mean) / deviation, [(0.3 - 0.2) / 0.1, 1], rtol=1e-4)


def test_texts_are_those_that_the_plugin_parses() -> None:
    found = make_deepness_metadata(DeepnessModel(("clear", "cloud"), [(0.0, 1.0)], ("B02",), 512, 16))
    facts = {key: json.loads(text) for key, text in found.items()}
    assert facts["model_type"] == "Segmentor" and facts["class_names"] == {"0": "clear", "1": "cloud"}
    assert facts["resolution"] == 1000, "centimetres"
    assert facts["tiles_size"] == facts["tile_size"] == 512
    assert not facts["seg_thresh"] and not facts["seg_small_segment"], "argmax of the scores, nothing smoothed"
    assert facts["tiles_overlap"] == 7, "percent, rounded up: 16 px at both sides of 512"
