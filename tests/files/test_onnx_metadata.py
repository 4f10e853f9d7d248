"""Metadata by which QGIS's Deepness plugin reads a network."""

import json

import numpy as np

from kappamask.files.onnx_metadata import LEVEL_CHANNEL, DeepnessModel, make_deepness_metadata


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
