"""Official weights score in ONNX as they do in TensorFlow.

Files that are not what they say are refused.
"""

from pathlib import Path

import h5py
import numpy as np
import official
import onnxruntime
import published
import pytest
import xarray as xr

pytest.importorskip("onnx", reason="onnx is not installed (pip install 'kappamask-openeo[convert]')")

from command import one_sentence

from kappamask.conversion import ConversionError, convert, winograd
from kappamask.conversion.cards import OFFICIAL
from kappamask.conversion.keras_file import read_layers
from kappamask.conversion.official_architectures import DEEPLAB, UNET
from kappamask.conversion.onnx_graph import Convolution, Graph, WeightReader
from kappamask.evaluation.comparison import judge
from kappamask.models import load_card, read_weights
from kappamask.udf import cloud_mask

GOLDENS = Path(official.__file__).with_name("official.npz")
PUBLISHED = GOLDENS.with_name("published.npz")
SIDES = {"unet": 96, "deeplabv3plus": 320}
NETWORKS = [("unet", "L1C"), ("unet", "L2A"), ("deeplabv3plus", "L1C"), ("deeplabv3plus", "L2A")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory):
    """Files of each architecture and number of channels, made once."""
    folder, made = tmp_path_factory.mktemp("weights"), {}

    def weights_of(architecture: str, channels: int) -> Path:
        if (architecture, channels) not in made:
            path = folder / f"{architecture}-{channels}.hdf5"
            made[architecture, channels] = official.write(path, architecture, channels)
        return made[architecture, channels]

    return weights_of


def scores(card, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(read_weights(card), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image[None]})[0][0]


@pytest.mark.parametrize("plain", [False, True], ids=["quick", "plain"])
@pytest.mark.parametrize(("architecture", "level"), NETWORKS)
def test_scores_are_those_of_tensorflow(weights, tmp_path: Path, architecture: str, level: str, plain: bool) -> None:
    channels = len(OFFICIAL[architecture, level].bands)
    card = convert(weights(architecture, channels), architecture, level, tmp_path, plain=plain)
    found = scores(card, official.image(channels, SIDES[architecture]))
    expected = np.load(GOLDENS)[f"{architecture}_{channels}"]
    part = found[:, : expected.shape[1], : expected.shape[2]]
    assert np.abs(part - expected).max() < 1e-5
    assert (part.argmax(axis=0) == expected.argmax(axis=0)).mean() >= 0.9999
    assert expected.std(axis=(1, 2)).min() > 5e-4, "the golden is not flat"


@pytest.fixture(params=[4, 6])
def uv(request: pytest.FixtureRequest, shared_data: Path) -> Path:
    """Give a published file of DL_L8S2_UV."""
    found = published.find_weights(shared_data)
    if request.param not in found:
        pytest.skip(f"{published.FILES[request.param]} of IPL-UV/DL-L8S2-UV is not in weights/dl_l8s2_uv/")
    return found[request.param]


@pytest.mark.shared_data
def test_published_weights_of_others_score_as_in_tensorflow(kappamask, uv: Path, shared_data: Path, tmp_path) -> None:
    done = kappamask("models", "convert", uv, "--architecture", "dl-l8s2-uv", "--level", "L1C", "-o", tmp_path / "uv")
    assert done.code == 0, done.err
    card, goldens = load_card(tmp_path / "uv"), np.load(PUBLISHED)
    for name, image in published.read_images(shared_data, len(card.bands)).items():
        clear, cloud = scores(card, image)[(..., *published.STORED)]
        expected = goldens[f"{name}_{len(card.bands)}"]
        assert np.abs(cloud - expected).max() < 1e-5
        np.testing.assert_allclose(clear, 1 - expected, atol=1e-5)
        assert ((cloud > 0.5) == (expected > 0.5)).mean() >= 0.9999
        assert 0.04 < (expected > 0.5).mean() < 0.5, "the golden holds clear and cloud"


@pytest.mark.shared_data
def test_published_weights_of_others_find_real_clouds(uv: Path, shared_data: Path, tmp_path: Path) -> None:
    convert(uv, "dl-l8s2-uv", "L1C", tmp_path)
    found = judge(str(shared_data / published.SCENE), [str(tmp_path)]).found
    dice = found["peers"][0]["views"][found["view"]]["dice"]
    assert dice["shadow"] is None and dice["cloud"] > 0.7


def test_the_card_says_what_the_release_does_to_its_bands(weights, tmp_path: Path) -> None:
    card = convert(weights("deeplabv3plus", 14), "deeplabv3plus", "L2A", tmp_path)
    assert load_card(tmp_path) == card and card.id == "official-l2a-deeplabv3plus"
    assert card.bands[0] == "AOT" and card.bands[-1] == "WVP" and "B10" not in card.bands
    assert card.required == frozenset(card.bands)
    assert (card.window, card.overlap, card.local_window) == (512, 16, 512)
    assert card.output == (0, 1, 2, 3, 4, 5) and not card.level_plane
    colours, of_compact = ({c.name: c.color_hint for c in one.classes} for one in (card, load_card("compact")))
    assert colours == of_compact
    dn, largest = 3000, 0.32552072405815125
    scaling = card.scaling[card.bands.index("B01")]
    assert dn / 10000 * scaling.gain + scaling.bias == pytest.approx(dn / 65535 / largest, rel=1e-9)
    assert scaling.lower == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["card.json", "model.onnx"]


@pytest.mark.parametrize(
    "layout", [{"whole": True}, {"first": 23}, {"reverse": True}, {"texts": str}, {"first": 7, "reverse": True}]
)
def test_all_layouts_of_keras_give_the_same_layers(tmp_path: Path, monkeypatch, layout) -> None:
    monkeypatch.setattr(official, "UNET", (8, 16))
    monkeypatch.setattr(official, "SEPARABLE", [(8, 16)] * 12)
    plain = read_layers(official.write(tmp_path / "a.hdf5", "unet", 13))
    other = read_layers(official.write(tmp_path / "b.hdf5", "unet", 13, **layout))
    assert plain.keys() == other.keys() == {"conv2d"}
    for one, two in zip(plain["conv2d"], other["conv2d"], strict=True):
        for part in ("kernel", "bias"):
            np.testing.assert_array_equal(one.weights[part], two.weights[part])


def test_a_list_of_layers_that_keras_has_cut_is_joined(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "cut.hdf5", "w") as file:
        for i in range(12):
            name = f"conv2d_{i}" if i else "conv2d"
            file.attrs[f"layer_names{i}"] = [name]
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/bias:0"]
            group[f"{name}/bias:0"] = np.full(1, i, np.float32)
    assert [float(layer.weights["bias"][0]) for layer in read_layers(tmp_path / "cut.hdf5")["conv2d"]] == [*range(12)]


def small(path: Path, change) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv2d"]
        group = file.create_group("conv2d")
        group.attrs["weight_names"] = [b"conv2d/kernel:0"]
        change(group)
    return path


def bomb(group) -> None:
    group.create_dataset("conv2d/kernel:0", (30000, 30000), "f4", chunks=(100, 100), compression="gzip")


def elsewhere(group) -> None:
    group.create_group("conv2d")["kernel:0"] = h5py.ExternalLink("/etc/hostname", "x")


def beyond(group) -> None:
    group.create_dataset("conv2d/kernel:0", (4,), "f4", external=[("/etc/hostname", 0, 16)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (bomb, "declares more than"),
        (elsewhere, "does not lie in the file itself"),
        (beyond, "does not lie in the file itself"),
        (lambda g: g.create_dataset("conv2d/kernel:0", data=np.array([np.nan], np.float32)), "no numbers"),
        (lambda g: g.create_dataset("conv2d/kernel:0", data=[b"text"]), "numbers are needed"),
        (lambda g: None, "does not lie in the file itself"),
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, change, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        read_layers(small(tmp_path / "w.hdf5", change))


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="No file"):
        read_layers(tmp_path / "none.hdf5")
    (tmp_path / "text.hdf5").write_text("text")
    with pytest.raises(ConversionError, match="cannot be read as HDF5"):
        read_layers(tmp_path / "text.hdf5")
    whole = small(tmp_path / "w.hdf5", lambda g: g.create_dataset("conv2d/kernel:0", data=np.ones(9999, np.float32)))
    (tmp_path / "cut.hdf5").write_bytes(whole.read_bytes()[:6000])
    with pytest.raises(ConversionError, match="cannot be read as HDF5"):
        read_layers(tmp_path / "cut.hdf5")
    with h5py.File(tmp_path / "bare.hdf5", "w") as file:
        file["x"] = 1
    with pytest.raises(ConversionError, match="no Keras weights"):
        read_layers(tmp_path / "bare.hdf5")


def test_another_architecture_level_or_a_missing_layer_is_refused(weights, tmp_path: Path) -> None:
    path = weights("unet", 13)
    with pytest.raises(ConversionError, match="24 conv2d; the architecture has 46 batch_normalization"):
        convert(path, "deeplabv3plus", "L1C", tmp_path / "out")
    with pytest.raises(ConversionError, match=r"layer conv2d has .*\(3, 3, 13, 32\).*not .*\(3, 3, 14, 32\)"):
        convert(weights("deeplabv3plus", 13), "deeplabv3plus", "L2A", tmp_path / "out")
    with pytest.raises(ConversionError, match=r"unet L1B.*unet L1C"):
        convert(path, "unet", "L1B", tmp_path / "out")
    layers = read_layers(path)
    del layers["conv2d"][3]
    with pytest.raises(ConversionError, match="23 conv2d; the architecture has 24"):
        WeightReader("w.hdf5", layers, UNET.layers)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("width", [1, 6, 18])
def test_the_symmetric_border_is_numpys(width: int) -> None:
    graph = Graph()
    model = graph.model(graph.pad_symmetric("image", width), 2, 2, {})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((1, 2, 20, 31), np.float32)
    expected = np.pad(image, ((0, 0), (0, 0), (width, width), (width, width)), mode="symmetric")
    np.testing.assert_array_equal(session.run(None, {"image": image})[0], expected)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 11), (1, 6)])
def test_winograd_is_the_plain_convolution(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    layer = Convolution(rng.normal(size=(5, 3, 3, 3)).astype(np.float32), rng.normal(size=5).astype(np.float32))
    image = rng.random((1, 3, height, width), np.float32)
    plain, quick = Graph(), Graph()
    models = [
        plain.model(layer.apply(plain, "image", pads=[1, 1, 1, 1]), 3, 5, {}),
        quick.model(winograd.apply_winograd(quick, "image", layer), 3, 5, {}),
    ]
    one, two = (onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"image": image})[0] for m in models)
    assert one.shape == two.shape == (1, 5, height, width)
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_enlarging_by_quarters_is_the_plain_way() -> None:
    rng = np.random.default_rng(0)
    layer = Convolution(rng.normal(size=(5, 3, 2, 2)).astype(np.float32), rng.normal(size=5).astype(np.float32))
    image = rng.random((1, 3, 6, 9), np.float32)
    plain, quick = Graph(), Graph()
    models = [
        plain.model(layer.apply(plain, plain.resize("image", 2, "nearest"), pads=[0, 0, 1, 1]), 3, 5, {}),
        quick.model(winograd.apply_upsampling(quick, "image", layer), 3, 5, {}),
    ]
    one, two = (onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"image": image})[0] for m in models)
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_the_command_writes_a_network_that_runs(kappamask, weights, tmp_path: Path) -> None:
    out = tmp_path / "official"
    words = ["models", "convert", weights("unet", 13), "--architecture", "unet", "--level", "L1C", "-o", out]
    done = kappamask(*words)
    assert done.code == 0, done.err
    assert "official-l1c-unet" in done.out and "sigmoid" in done.out
    assert kappamask("models", "verify", out).code == 0
    done = kappamask(*words[:2], tmp_path / "none.hdf5", *words[3:])
    assert done.code == 1 and one_sentence(done.err) and "No file" in done.err
    assert kappamask(*words[:4], "resnet", *words[5:]).code == 2


def test_an_image_smaller_than_the_network_bears_is_masked(weights, tmp_path: Path) -> None:
    card = convert(weights("deeplabv3plus", 13), "deeplabv3plus", "L1C", tmp_path)
    assert card.least_side == 288
    pixels = np.random.default_rng(0).integers(1, 9000, (13, 40, 60)).astype(np.uint16)
    cube = xr.DataArray(pixels, dims=("bands", "y", "x"), coords={"bands": list(card.bands)})
    mask = cloud_mask(cube, model=card, level="L1C", radiometry="dn_harmonized")
    assert mask.shape[-2:] == (40, 60) and set(np.unique(mask)) <= {0, 1, 2, 3, 4}


def test_strides_are_those_that_cards_promise() -> None:
    assert UNET.stride == DEEPLAB.stride == 16
