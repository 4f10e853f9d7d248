"""Peers with other people's weights, and those that cannot run.

Each of these says why; the others go on.
"""

from configparser import ConfigParser
from pathlib import Path

import numpy as np
import official
import onnxruntime
import pytest
import valencia

pytest.importorskip("onnx", reason="onnx is not installed (pip install 'kappamask-openeo[convert]')")

from command import one_sentence
from doc_snippets import ROOT
from patches import SIX, patch, write_patches

from kappamask.conversion import ConversionError, convert
from kappamask.datasets import Patch
from kappamask.evaluation import tools
from kappamask.evaluation.comparison import judge
from kappamask.evaluation.peers import WEIGHTS, open_peer
from kappamask.models import SENTINEL2_BANDS, CubeError, WeightsError, read_weights

PARAMETERS = {4: 97_049, 6: 97_153}
"""Of the published weights, moving statistics included."""


@pytest.fixture(scope="module", params=[4, 6])
def channels(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory, channels: int) -> tuple[Path, valencia.Weights]:
    folder, made = tmp_path_factory.mktemp("uv"), valencia.weights(channels)
    convert(valencia.write(folder / "w.hdf5", made), "dl-l8s2-uv", "L1C", folder / "uv")
    return folder / "uv", made


def test_the_layout_has_as_many_weights_as_the_published_one(channels: int) -> None:
    made = valencia.weights(channels)
    assert sum(array.size for parts in made.values() for array in parts.values()) == PARAMETERS[channels]


def test_dl_l8s2_uv_gives_what_its_layers_give(uv, channels: int) -> None:
    folder, made = uv
    card = open_peer(str(folder), Path())
    assert (card.name, card.predicts) == (f"dl-l8s2-uv-{channels}b", {1, 4})
    image = np.random.default_rng(1).uniform(0, 0.8, (channels, 40, 24)).astype(np.float32)
    data = (folder / "model.onnx").read_bytes()
    found = onnxruntime.InferenceSession(data).run(None, {"image": image[None]})[0][0]
    expected = valencia.cloud(image, made)
    assert expected.std() > 0.01, "the image is not flat to it"
    np.testing.assert_allclose(found[1], expected, atol=2e-5)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)


def test_its_scaling_layer_may_have_the_name_of_its_code(tmp_path: Path) -> None:
    made = valencia.weights(4)
    first = convert(valencia.write(tmp_path / "published.hdf5", made), "dl-l8s2-uv", "L1C", tmp_path / "first")
    trained = {"normalization_cloud" if name == "normalization" else name: parts for name, parts in made.items()}
    source = valencia.write(tmp_path / "trained.hdf5", trained, suffix="")
    second = convert(source, "dl-l8s2-uv", "L1C", tmp_path / "second")
    image = np.random.default_rng(1).uniform(0, 0.8, (1, 4, 16, 16)).astype(np.float32)
    sessions = [onnxruntime.InferenceSession(read_weights(card)) for card in (first, second)]
    one, two = (session.run(None, {"image": image}) for session in sessions)
    np.testing.assert_array_equal(one, two)
    both = valencia.write(tmp_path / "both.hdf5", trained | {"normalization": made["normalization"]})
    with pytest.raises(ConversionError, match=r"both\.hdf5 .*4 and 4 bands"):
        convert(both, "dl-l8s2-uv", "L1C", tmp_path / "both")


def test_dl_l8s2_uv_is_a_peer_that_tells_cloud_from_clear(uv, channels: int) -> None:
    folder, made = uv
    answer = open_peer(str(folder), Path()).run(patch())
    bands = patch().reflectance[:channels]
    np.testing.assert_array_equal(answer.mask == 4, valencia.cloud(bands, made) > 0.5)
    assert answer.scores is None
    with pytest.raises(CubeError, match="B08"):
        open_peer(str(folder), Path()).run(patch(bands=("B02", "B03", "B04", "X", "B11", "B12")))
    with pytest.raises(CubeError, match="L2A"):
        open_peer(str(folder), Path()).run(patch(level="L2A"))


def test_files_that_are_not_its_weights_are_refused(tmp_path: Path) -> None:
    made = valencia.weights(6)
    with pytest.raises(ConversionError, match="L1C only"):
        convert(valencia.write(tmp_path / "w.hdf5", made), "dl-l8s2-uv", "L2A", tmp_path / "out")
    del made["up2_conv_2"]
    with pytest.raises(ConversionError, match="1 up2_conv, 1 upconv1, 1 upconv2"):
        convert(valencia.write(tmp_path / "w.hdf5", made), "dl-l8s2-uv", "L1C", tmp_path / "out")
    needed = "needed is a DL_L8S2_UV network of 4 or 6 bands, landsatbiomeRGBI6.hdf5 or"
    with pytest.raises(ConversionError, match=f"holds one of 5 bands; {needed}"):
        convert(valencia.write(tmp_path / "w.hdf5", valencia.weights(5)), "dl-l8s2-uv", "L1C", tmp_path / "out")
    other = official.write(tmp_path / "unet.hdf5", "unet", 13)
    with pytest.raises(ConversionError, match=f"no layer named normalization or .*; {needed}.*--architecture unet"):
        convert(other, "dl-l8s2-uv", "L1C", tmp_path / "out")
    made = valencia.weights(6)
    made["up1_bn_1"]["gamma"] = np.ones(3, np.float32)
    with pytest.raises(ConversionError, match=r"layer up1_bn_1 has .*\(3,\)"):
        convert(valencia.write(tmp_path / "w.hdf5", made), "dl-l8s2-uv", "L1C", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_converts_it(kappamask, tmp_path: Path) -> None:
    source, out = valencia.write(tmp_path / "w.hdf5", valencia.weights(6)), tmp_path / "uv"
    words = ["models", "convert", source, "--architecture", "dl-l8s2-uv", "--level", "L1C", "-o", out]
    done = kappamask(*words)
    assert done.code == 0, done.err
    assert "dl-l8s2-uv-6b, sigmoid scores" in done.out
    assert kappamask("models", "verify", out).code == 0
    done = kappamask(*words[:6], "L2A", *words[7:-1], tmp_path / "other")
    assert done.code == 1 and one_sentence(done.err)


def test_an_official_network_is_a_peer(tmp_path: Path) -> None:
    card = convert(official.write(tmp_path / "w.hdf5", "unet", 13), "unet", "L1C", tmp_path / "official")
    peer = open_peer(str(tmp_path / "official"), tmp_path)
    assert (peer.name, peer.predicts) == ("official-l1c-unet", {1, 2, 3, 4})
    bands, truth = SENTINEL2_BANDS[:13], patch().truth
    planes = np.random.default_rng(0).uniform(0.02, 0.6, (13, 48, 48)).astype(np.float32)
    one = Patch("x", "x", "test", "L1C", 10.0, bands, planes, truth, merges_thin=False)
    answer = peer.run(one)
    assert set(np.unique(answer.mask)) <= {0, 1, 2, 3, 4, 5}
    assert answer.scores is not None and answer.scores.shape == (4, 48, 48)
    assert len(read_weights(card)) > 1e8
    with pytest.raises(CubeError, match="B01"):
        peer.run(patch())


@pytest.mark.parametrize("name", WEIGHTS)
def test_networks_whose_weights_are_not_here_say_how_they_come(name: str) -> None:
    with pytest.raises(WeightsError, match=r"weights are not here: kappamask models (fetch|convert) "):
        open_peer(name, Path())


def test_each_that_cannot_run_says_why_and_the_others_go_on(tmp_path: Path, monkeypatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(tools, "import_module", absent)
    data = write_patches(tmp_path / "set", 1)
    asked = ["ukis-csmask", "s2cloudless", "official-l1c-unet", "dl-l8s2-uv", "SCL", "threshold"]
    found = judge(str(data), asked).found
    assert [peer["name"] for peer in found["peers"]] == ["threshold"]
    reasons = found["absent"]
    assert "[ukis]" in reasons["ukis-csmask"] and "[s2cloudless]" in reasons["s2cloudless"]
    assert "models fetch official-l1c-unet" in reasons["official-l1c-unet"]
    assert "--architecture dl-l8s2-uv" in reasons["dl-l8s2-uv"]
    assert "no labelled_l1c_0_SCL.tif" in reasons["SCL"]


def test_a_band_that_a_peer_needs_and_the_set_lacks_is_named(tmp_path: Path) -> None:
    convert(official.write(tmp_path / "w.hdf5", "unet", 13), "unet", "L1C", tmp_path / "official")
    found = judge(str(write_patches(tmp_path / "set", 1)), [str(tmp_path / "official"), "threshold"]).found
    assert [peer["name"] for peer in found["peers"]] == ["threshold"]
    assert "B01" in found["absent"]["official-l1c-unet"] and "B01" not in SIX


def test_every_tool_has_an_extra_of_its_own() -> None:
    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    for extra, package in (("ukis", "ukis-csmask"), ("s2cloudless", "s2cloudless")):
        assert package in extras[extra] and f"kappamask-openeo[{extra}]" in extras["bench"]
