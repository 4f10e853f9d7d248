"""Cards of ONNX files that nobody has described."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import xarray as xr
from onnx import TensorProto, helper, numpy_helper

from kappamask.conversion.onnx_card import OnnxCardOptions, write_onnx_card
from kappamask.models import CardError, load_card
from kappamask.udf import cloud_mask

BANDS = ("B02", "B03", "B04")
CLASSES = ("clear", "cloud")


def write_network(path: Path, inputs: int, outputs: int, side: object = "y") -> Path:
    """Make a network with outputs of 0.3 and of the first three channels' mean.

    The first output is 0.3.
    """
    weight = np.zeros((outputs, inputs, 1, 1), np.float32)
    weight[1:, :3] = 1 / 3
    bias = np.zeros(outputs, np.float32)
    bias[0] = 0.3
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w", "b"], ["score"])],
        "mean",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", inputs, side, side])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", outputs, side, side])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_card_from_bands_and_classes_alone_makes_masks(tmp_path: Path) -> None:
    network = write_network(tmp_path / "mean.onnx", 3, 2)
    card = write_onnx_card(network, BANDS, CLASSES, tmp_path / "card.json")
    assert card == load_card(tmp_path)
    assert (card.id, card.bands, card.output_names, card.level_plane) == ("mean", BANDS, CLASSES, False)
    assert {c.name: c.color_hint for c in card.classes} == {"clear": "7fb069", "cloud": "ffffff", "missing": "d1495b"}
    values = np.full((3, 40, 40), 0.1, np.float32)
    values[:, :, 20:] = 0.6
    cube = xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": list(BANDS)})
    mask = cloud_mask(cube, model=tmp_path, level="L1C", radiometry="reflectance")
    mask = mask["mask"] if isinstance(mask, xr.Dataset) else mask
    assert (mask.values.squeeze()[5:-5, :15] == 1).all() and (mask.values.squeeze()[5:-5, 25:] == 4).all()


def test_one_channel_more_than_bands_is_the_level(tmp_path: Path) -> None:
    network = write_network(tmp_path / "mean.onnx", 4, 2)
    card = write_onnx_card(network, BANDS, CLASSES, tmp_path / "mean.json")
    assert card.level_plane and card.channels == 4


def test_a_network_of_one_size_has_that_window(tmp_path: Path) -> None:
    network = write_network(tmp_path / "mean.onnx", 3, 2, 256)
    card = write_onnx_card(network, BANDS, CLASSES, tmp_path / "card.json")
    assert card.window == card.stride == 256


def test_options_are_written(tmp_path: Path) -> None:
    network = write_network(tmp_path / "mean.onnx", 3, 2)
    options = OnnxCardOptions(
        name="mine", levels=["L2A"], required=["B02"], moments=[(0.1, 0.2)] * 3, softmax=True, licence="MIT", window=128
    )
    card = write_onnx_card(network, BANDS, ["clear", "snow=6"], tmp_path / "card.json", options)
    assert (card.id, card.levels, card.required, card.licence) == ("mine", ("L2A",), {"B02"}, "MIT")
    assert (card.activation, card.window, card.output) == ("softmax", 128, (1, 6))
    assert card.scaling[0].gain == pytest.approx(5) and card.scaling[0].bias == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("bands", "classes", "options", "says"),
    [
        (("B02",), CLASSES, {}, r"3 input channels.*1 bands"),
        (BANDS, ("clear",), {}, r"2 output channels.*1 classes"),
        (BANDS, ("clear", "clowd"), {}, r"'clowd'.*did you mean cloud\?"),
        (BANDS, ("clear", "snow=x"), {}, "snow=x"),
        (BANDS, ("clear", "clear"), {}, "twice"),
        (("B02", "B03", "B77"), CLASSES, {}, "B77"),
        (BANDS, CLASSES, {"moments": [(0.0, 1.0)]}, "1 means.*3 bands"),
        (BANDS, CLASSES, {"overlap": 400}, "overlap must fit"),
    ],
)
def test_what_does_not_fit_the_network_writes_nothing(tmp_path: Path, bands, classes, options, says: str) -> None:
    network = write_network(tmp_path / "mean.onnx", 3, 2)
    with pytest.raises(CardError, match=says):
        write_onnx_card(network, bands, classes, tmp_path / "card.json", OnnxCardOptions(**options))
    assert not (tmp_path / "card.json").exists()


def test_files_that_are_no_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"gone\.onnx"):
        write_onnx_card(tmp_path / "gone.onnx", BANDS, CLASSES, tmp_path / "card.json")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(CardError, match=r"text\.onnx"):
        write_onnx_card(tmp_path / "text.onnx", BANDS, CLASSES, tmp_path / "card.json")
    network = write_network(tmp_path / "mean.onnx", 3, 2)
    (tmp_path / "other").mkdir()
    with pytest.raises(CardError, match="next to its network"):
        write_onnx_card(network, BANDS, CLASSES, tmp_path / "other" / "card.json")


def test_the_command_writes_a_card_and_keeps_an_older_one(kappamask, tmp_path: Path) -> None:
    network = write_network(tmp_path / "mean.onnx", 3, 2)
    words = ("models", "card", network, "--bands", "B02,B03,B04", "--classes", "clear,cloud")
    made = json.loads(kappamask(*words, "--mean", "0.1,0.1,0.1", "--std", "1,1,1", "--json").out)
    assert made["id"] == "mean" and made["classes"] == {"clear": 1, "cloud": 4, "missing": 5}
    again = kappamask(*words)
    assert again.code == 1 and "--overwrite" in again.err
    assert kappamask(*words, "--level", "L1C", "--overwrite").code == 0
    assert load_card(tmp_path).levels == ("L1C",)
    assert kappamask(*words, "--overwrite", "--mean", "0.1").code == 2


def test_writing_a_card_loads_neither_onnx_nor_h5py() -> None:
    code = (
        "import sys, kappamask.conversion.onnx_card, kappamask.workflows.networks; "
        "assert not {'onnx', 'h5py', 'torch'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_that_a_card_lacks_is_said_in_one_message(kappamask, tmp_path: Path) -> None:
    network = write_network(tmp_path / "mean.onnx", 3, 2)
    bare = kappamask("models", "card", network, "--mean", "0.1")
    assert bare.code == 2
    said = " ".join(bare.err.replace("│", " ").split())
    for part in ("--bands names", "--classes names", "3 input channels", "2 output channels", "0 deviations"):
        assert part in said, said
    wrong = kappamask("models", "card", tmp_path / "gone.onnx", "--bands", "B2,B99", "--classes", "snow,clowd,x=y")
    assert wrong.code == 1
    for part in ("'snow'", "'clowd'; did you mean cloud?", "'x=y'", "B99; known", "gone.onnx cannot be read"):
        assert part in wrong.err, wrong.err
    assert not (tmp_path / "card.json").exists()
