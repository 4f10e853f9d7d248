"""The paper's grid of networks: shapes, sizes, names; and what a checkpoint says of them."""

from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kappamask-openeo[train]')")

# ruff: noqa: E402

from kappamask.training.architectures import UNet, UNetPlusPlus, build_network, list_names
from kappamask.training.compact import CIRRUS_LIMITS, Compact
from kappamask.training.export import export_onnx
from kappamask.training.simulator.spectra import BANDS
from kappamask.training.state import Plan, create_state
from kappamask.training.weights import load_pretrained

B10 = BANDS.index("B10")


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def expected_unet(depth: int, filters: int) -> int:
    """Weights and biases, level by level, counted by hand."""
    conv = lambda i, o, k: (i * k * k + 1) * o  # noqa: E731
    widths = [filters * 2**n for n in range(depth)]
    down = sum(conv(i, o, 3) + conv(o, o, 3) for i, o in zip([14, *widths], widths, strict=False))
    up = sum(conv(2 * w, w, 2) + conv(2 * w, w, 3) + conv(w, w, 3) for w in widths[:-1])
    return down + up + conv(filters, 4, 1)


def test_the_grid_of_the_paper_is_there() -> None:
    assert len(list_names()) == 1 + 9 + 1
    assert {"unet-5-64", "unet-7-128", "unetpp-5-64", "compact"} <= set(list_names())
    with pytest.raises(ValueError, match=r"No architecture 'unet-4-64': known are compact, unet-5-32"):
        build_network("unet-4-64")


@pytest.mark.parametrize(("depth", "filters"), [(5, 32), (6, 32), (5, 64)])
def test_unets_are_as_large_as_they_should_be(depth: int, filters: int) -> None:
    assert parameters(build_network(f"unet-{depth}-{filters}")) == expected_unet(depth, filters)


def test_the_papers_choice_has_about_31_million_parameters() -> None:
    # 31,038,612 with 13 inputs and the released head; ours has a level plane and one 1 x 1 head.
    assert parameters(build_network("unet-5-64")) == pytest.approx(31_038_612, rel=1e-3)


@pytest.mark.parametrize("network", [UNet(5, 4), UNet(7, 2), UNetPlusPlus(5, 4), build_network("compact")])
def test_logits_have_the_size_of_the_image_and_every_weight_counts(network: torch.nn.Module) -> None:
    image = torch.randn(2, 14, network.stride, 2 * network.stride, generator=torch.Generator().manual_seed(0))
    found = network.train()(image)
    assert found.shape == (2, 4, network.stride, 2 * network.stride)
    found.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_upsampling_is_padded_below_and_to_the_right() -> None:
    up = UNet(5, 2).up[-1]
    with torch.no_grad():
        up[2].weight.zero_()[:, :, 0, 0] = 1.0
        image = torch.rand(1, up[2].in_channels, 3, 3)
        torch.testing.assert_close(up(image)[0, 0, ::2, ::2], image.sum(dim=1)[0])


def test_a_run_is_not_resumed_with_another_architecture(tmp_path: Path) -> None:
    plan = Plan(tmp_path, tmp_path, tmp_path)
    create_state(plan).save(tmp_path / "last.pt")
    with pytest.raises(ValueError, match=r"last\.pt holds compact, not unet-5-32"):
        create_state(Plan(tmp_path, tmp_path, tmp_path, architecture="unet-5-32"))


def draw_image(seed: int = 0) -> torch.Tensor:
    """Return z-scores whose B10 lies within its limits, so that only weights and factors matter."""
    image = torch.randn(1, 14, 64, 64, generator=torch.Generator().manual_seed(seed))
    image[:, B10].clamp_(*CIRRUS_LIMITS)
    return image


def build_varied_network(seed: int = 0) -> Compact:
    """Build a compact network whose batch normalisations differ from one another, as trained ones do."""
    torch.manual_seed(seed)
    network = build_network("compact")
    assert isinstance(network, Compact)
    network(torch.randn(4, 14, 64, 64))
    return network.eval()


@torch.no_grad()
def test_faint_cirrus_changes_more_than_what_lies_beyond_the_limits_of_b10() -> None:
    network, image = build_varied_network(), draw_image()
    low, faint, thick = (image.clone() for _ in range(3))
    low[:, B10], faint[:, B10], thick[:, B10] = CIRRUS_LIMITS[0], CIRRUS_LIMITS[1], 5.0
    below = low.clone()
    below[:, B10] = -2.0
    assert not torch.equal(network(low), network(faint))
    torch.testing.assert_close(network(faint), network(thick), rtol=0, atol=0)
    torch.testing.assert_close(network(low), network(below), rtol=0, atol=0)


@torch.no_grad()
def test_a_checkpoint_with_another_factor_of_b10_answers_the_same() -> None:
    network, image = build_varied_network(), draw_image()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    state["gain"][B10] = 4.0
    state["stem.0.0.weight"][:, B10] *= 3.0
    read = build_varied_network(seed=1)
    read.load_state_dict(state)
    torch.testing.assert_close(read(image), network(image))
    assert read.state_dict()["gain"][B10] == 12.0


@torch.no_grad()
def test_a_released_file_starts_training_whether_it_holds_the_factor_or_not(tmp_path: Path) -> None:
    network, image = build_varied_network(), draw_image()
    export_onnx(network, tmp_path / "folded.onnx")
    model = onnx.load(tmp_path / "folded.onnx")
    assert "Mul" not in [node.op_type for node in model.graph.node], "the factor is part of the first convolution"
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    stored = next(one for one in model.graph.initializer if one.name == first.input[1])
    weights = numpy_helper.to_array(stored).copy()
    weights[:, B10] /= 4.0
    stored.CopyFrom(numpy_helper.from_array(weights, stored.name))
    factors = torch.ones(14, 1, 1)
    factors[B10] = 4.0
    model.graph.initializer.append(numpy_helper.from_array(factors.numpy(), "network.gain"))
    onnx.save(model, tmp_path / "multiplied.onnx")
    for name in ("folded.onnx", "multiplied.onnx"):
        read = build_varied_network(seed=1)
        load_pretrained(read, tmp_path / name, draw_image(seed=2))
        torch.testing.assert_close(read.eval()(image), network(image), atol=1e-4, rtol=1e-4)
