"""An eight-bit network gives nearly the same classes and has its own measured card."""

import numpy as np
import onnx
import pytest
import xarray as xr
from networks import BANDS, write_model

from kappamask.conversion.quantise import quantise_card
from kappamask.models import load_card, read_weights
from kappamask.models.errors import ConversionError
from kappamask.udf import cloud_mask


def scene(side):
    """Patches from dark to bright, as digital numbers."""
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
