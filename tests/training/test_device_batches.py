"""Batches made where the network is: the same physics as the simulator's, sample by sample."""

from pathlib import Path

import numpy as np
import pytest
from ground import field, write_data
from scipy import ndimage

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kappamask-openeo[train]')")

# ruff: noqa: E402

from kappamask.training import architecture_report
from kappamask.training.batches import TileBatches
from kappamask.training.gpu import images, paint
from kappamask.training.gpu.batches import DeviceSource
from kappamask.training.simulator import illumination, spectra
from kappamask.training.simulator.components import SkyParameters, draw_sky_planes, read_sky, write_components
from kappamask.training.simulator.paint import label_truth as label_simulated
from kappamask.training.simulator.sky import EDGE_PX, Sun
from kappamask.training.simulator.tiles import SIZE, blur_to_native, write_tiles
from kappamask.training.state import Plan
from kappamask.training.train import open_batches, simulate_in_background
from kappamask.workflows.training import run_grid

SIDES = (((128, 128), 0.5), ((96, 64), 0.5))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small real material, and three skies and grounds of it."""
    folder = write_data(tmp_path_factory.mktemp("device"))
    write_components(folder, folder / "parts", 0, 3)
    return folder


@pytest.fixture
def source(data: Path) -> DeviceSource:
    return DeviceSource(data / "parts", data, "cpu", capacity=4, sides=SIDES)


def sky(zenith_deg: float, pixel_m: float = 10.0, base_km: float = 2.0) -> SkyParameters:
    return SkyParameters(zenith_deg, pixel_m, (0, -1), (base_km, 0.0), (1.0, 0.0))


def tensor(*arrays: np.ndarray):
    return torch.from_numpy(np.stack(arrays).astype(np.float32))


def test_parts_are_whole_files_and_follow_from_their_seed(data: Path) -> None:
    assert sorted(path.suffix for path in (data / "parts").iterdir()) == [".npy"] * 3 + [".npz"] * 3
    planes, numbers = read_sky(data / "parts" / "sky-0000002.npz")
    again, same = draw_sky_planes(2)
    np.testing.assert_array_equal(planes, again)
    assert numbers == same
    assert planes.shape == (5, SIZE + 2 * EDGE_PX, SIZE) and planes[-1].min() >= 0 and planes[-1].max() <= 1
    assert np.load(data / "parts" / "ground-0000000.npy").shape == (13, SIZE, SIZE)


def test_a_batch_follows_from_seed_and_step_and_is_what_a_network_takes(source: DeviceSource) -> None:
    first, again, other = (source.batch(3, step, 6) for step in (4, 4, 5))
    assert torch.equal(first.image, again.image) and torch.equal(first.sets, again.sets)
    assert first.image.shape != other.image.shape or not torch.equal(first.image, other.image)
    for batch in (first, other):
        count, _, height, width = batch.image.shape
        assert batch.sets.shape == (count, height, width)
        assert batch.image.dtype == torch.float32 and batch.sets.dtype == torch.int64
        assert torch.isfinite(batch.image).all() and set(batch.sets.unique().tolist()) <= {0, 1, 2, 4, 5, 8, 12}


def test_batches_are_like_those_of_the_cpu(data: Path, source: DeviceSource) -> None:
    write_tiles(data, data / "tiles", 0, 6)
    write_components(data, data / "parts", 0, 6)
    wide = DeviceSource(data / "parts", data, "cpu", capacity=6, sides=SIDES)
    figures = [
        [_figures(source, step) for step in range(24)]
        for source in (TileBatches(data / "tiles", data, sides=SIDES), wide)
    ]
    means, errors = (np.array([f(np.array(one), axis=0) for one in figures]) for f in (np.mean, np.std))
    spread = np.sqrt((errors**2).sum(axis=0) / 24)
    assert (np.abs(means[0] - means[1]) < 5 * spread + 0.02).all()


def _figures(source: TileBatches, step: int) -> list[float]:
    """Shares of what is absent, level, cloud of either kind, judged and cloudy."""
    batch = source.batch(1, step, 4)
    absent = (batch.image[:, :13] == -2).float().mean(dim=(0, 2, 3)).tolist()
    shares = [batch.image[:, 13], batch.sets == 12, batch.sets > 0, batch.sets >= 4]
    return [*absent, *(float(share.float().mean()) for share in shares)]


def test_parts_that_come_are_taken_in_while_there_is_room(data: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No ground-\*\.npy"):
        DeviceSource(tmp_path, data, "cpu", capacity=2)
    write_components(data, tmp_path, 0, 1)
    source = DeviceSource(tmp_path, data, "cpu", capacity=2, sides=SIDES)
    assert len(source.numbers) == 1
    write_components(data, tmp_path, 0, 4)
    source.refresh()
    assert len(source.numbers) == len(source.grounds.names) == len(source.skies.names) == 2


def test_shadows_are_as_dark_as_the_simulators() -> None:
    scene, rng = field(48, 3), np.random.default_rng(0)
    beams = rng.uniform(0, 1, (2, 48, 48)).astype(np.float32)
    numbers, aot = [sky(30), sky(60)], np.array([0.05, 0.4], np.float32)
    shaded, drop = paint.cast_shadows(tensor(scene, scene), tensor(*beams), numbers, aot, np.random.default_rng(9))
    sides = np.random.default_rng(9).uniform(*illumination.SIDES, 2)
    for i, number in enumerate(numbers):
        expected = illumination.cast_shadows(scene, beams[i], Sun(number.zenith_deg, 0), float(sides[i]), float(aot[i]))
        np.testing.assert_allclose(shaded[i].numpy(), expected[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(drop[i].numpy(), expected[1], rtol=1e-3, atol=1e-5)


def test_truth_is_the_simulators_but_all_shade_is_not_judged() -> None:
    rng = np.random.default_rng(2)
    through, beam, drop = (ndimage.gaussian_filter(rng.uniform(0, 1, (2, 40, 40)), (0, 3, 3)) for _ in range(3))
    planes = [(p - p.min()) / np.ptp(p) for p in (through, beam, drop)]
    planes[0] = np.clip(1.7 * planes[0], 0, 1)
    planes[1][1], planes[2][1], planes[0][1] = 0.1, 0.9, 1.0
    b10 = np.zeros((2, 40, 40))
    found = paint.label_truth(*(torch.from_numpy(p) for p in (planes[0], b10, planes[1], planes[2]))).numpy()
    expected = label_simulated(planes[0][0], b10[0], planes[1][0], planes[2][0])
    assert {1, 2, 3, 4} == set(np.unique(expected))
    np.testing.assert_array_equal(found[0, 1:-1, 1:-1], expected[1:-1, 1:-1])
    assert (found[1] == 0).all()


def test_a_cloud_is_as_bright_as_the_simulators(monkeypatch: pytest.MonkeyPatch) -> None:
    colour = np.linspace(0.5, 1.0, 13, dtype=np.float32)
    monkeypatch.setattr(illumination, "draw_real_colour", lambda *_: colour)
    monkeypatch.setattr("kappamask.training.simulator.sky.shift_by_parallax", lambda *_: np.arange(13) - 6)
    scene, depth = field(32, 1), np.random.default_rng(1).uniform(0, 20, (32 + 2 * EDGE_PX, 32)).astype(np.float32)
    found, opacity, cirrus = paint.overlay_layer(
        tensor(scene),
        paint.LayerBatch(tensor(depth), tensor(np.zeros_like(depth)), 0, [sky(40)]),
        [1.0],
        colour[None],
        np.random.default_rng(0),
    )
    for band, row in enumerate(np.arange(13) - 6):
        back = illumination.BACKSCATTER[False] * depth[EDGE_PX + row : EDGE_PX + row + 32]
        opaque = back / (2 + back)
        tint = (
            colour[band] ** (illumination.THINNEST + (1 - illumination.THINNEST) * opaque)
            if band >= 11
            else colour[band]
        )
        expected = opaque * tint + (1 - opaque) ** 2 * scene[band] / (1 - opaque * scene[band])
        np.testing.assert_allclose(found[0, band].numpy(), expected, rtol=1e-4)
        if band == spectra.B02:
            np.testing.assert_allclose(opacity[0].numpy(), opaque, rtol=1e-5)
        if band == spectra.B10:
            np.testing.assert_allclose(cirrus[0].numpy(), opaque * tint, rtol=1e-5)


@pytest.mark.parametrize("kernel", ["nearest", "bilinear"])
@pytest.mark.parametrize("pixel_m", [10.0, 20.0, 30.0])
def test_bands_of_20_and_60_m_become_the_same(kernel: str, pixel_m: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "KERNELS", {kernel: None})
    scene = ndimage.gaussian_filter(np.random.default_rng(4).uniform(0.1, 0.9, (13, 60, 60)), (0, 2, 2)).astype(
        np.float32
    )
    found = images.resample_to_native(tensor(scene), [pixel_m], np.random.default_rng(0))[0].numpy()
    np.testing.assert_allclose(found, blur_to_native(scene, pixel_m, kernel), rtol=1e-4, atol=1e-5)


def test_images_are_blurred_and_turned_with_their_truth() -> None:
    plane = np.random.default_rng(5).uniform(0, 1, (40, 40)).astype(np.float32)
    blurred = images.blur(tensor(plane), 0.8)[0].numpy()
    np.testing.assert_allclose(blurred, ndimage.gaussian_filter(plane, 0.8, mode="nearest"), rtol=1e-4)
    image = tensor(*[plane] * 40)[:, None]
    turned, truth = images.turn_each((image, image[:, 0]), np.random.default_rng(6))
    assert torch.equal(turned[:, 0], truth) and len({t.numpy().tobytes() for t in truth}) == 8


def test_a_gpu_gets_skies_and_grounds_in_a_folder_of_their_own(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(data, tmp_path / "tiles", tmp_path / "run", device="cuda")
    with simulate_in_background(plan, 2):
        pass
    assert len(list((tmp_path / "tiles" / "parts").glob("sky-*.npz"))) == 2 and not list(
        (tmp_path / "tiles").glob("*.npy")
    )
    monkeypatch.setattr(architecture_report, "format_table", lambda _: "")
    monkeypatch.setattr(architecture_report, "train_architectures", lambda *_, **__: iter(()))
    for folder, wanted in (("grid-gpu", ["parts"]), ("grid-cpu", ["0000000.npy"])):
        device = "cuda" if wanted == ["parts"] else "cpu"
        run_grid(Plan(data, tmp_path / folder, tmp_path / "out", device=device), [], 1)
        assert [path.name for path in (tmp_path / folder).iterdir()] == wanted
    assert isinstance(open_batches(Plan(data, tmp_path / "grid-cpu", tmp_path / "run")), TileBatches)
