"""The trainer on tiny tiles: one step, an interrupted run, the exported network."""

import math
import zlib
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from ground import field, write_data

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kappamask-openeo[train]')")
onnx = pytest.importorskip("onnx")

# ruff: noqa: E402

from kappamask.datasets import Patch, class_sets
from kappamask.models import WeightsError
from kappamask.training import appearance, architectures, augmentation, batches, labelled, samples, validate
from kappamask.training.architectures import Scores, count_multiply_adds
from kappamask.training.augmentation import FILL, to_input
from kappamask.training.batches import TileBatches
from kappamask.training.compact import Compact
from kappamask.training.export import export_onnx, load_network, summarise_runs
from kappamask.training.simulator import materials
from kappamask.training.simulator.materials import ASIDE, read_pixels
from kappamask.training.simulator.paint import ONLY_B10, paint_clouds
from kappamask.training.simulator.spectra import B10, BANDS, MEAN, STD
from kappamask.training.state import Plan, compute_loss, create_state
from kappamask.training.train import open_batches, prefetch_batches, train, train_step
from kappamask.training.weights import fold_batch_norm, round_weights, shift_class_odds


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Plan a run of about a second over four painted tiles and labelled scenes."""
    write_data(tmp_path)
    (tmp_path / "tiles").mkdir()
    for seed in range(4):
        scene, truth = paint_clouds(field(192, seed), seed)
        tile = np.concatenate([(scene * 10000).round(), truth[None]]).astype(np.uint16)
        np.save(tmp_path / "tiles" / f"{seed}.npy", tile)
    sides = (((96, 64), 0.4), ((64, 64), 0.3), ((32, 32), 0.3))
    sets = tuple(("arrays", tmp_path / name) for name in materials.LANDSAT)
    return Plan(
        tmp_path, tmp_path / "tiles", tmp_path / "run", minutes=1e6, steps=3, batch=2, datasets=sets, sides=sides
    )


def test_a_step_changes_the_weights_and_later_steps_lower_the_loss(plan: Plan) -> None:
    state, source = create_state(plan), open_batches(plan)
    before = [p.detach().clone() for p in state.network.parameters()]
    losses = [train_step(plan, state, batch) for batch in islice(prefetch_batches(source, plan, 0), 30)]
    assert state.step == 30
    assert all(not torch.equal(a, b) for a, b in zip(before, state.network.parameters(), strict=True))
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_a_run_cut_off_and_resumed_ends_with_the_same_weights(plan: Plan) -> None:
    whole = train(replace(plan, out=plan.out / "whole"))
    cut = replace(plan, out=plan.out / "cut")
    state, source = create_state(cut), open_batches(plan)
    cut.out.mkdir(parents=True)
    train_step(cut, state, source.batch(cut.seed, 0, cut.batch))
    state.save(cut.out / "last.pt")
    resumed = train(cut)
    assert resumed.step == whole.step == 3
    for name in ("network", "averaged"):
        for a, b in zip(
            getattr(whole, name).state_dict().values(), getattr(resumed, name).state_dict().values(), strict=True
        ):
            assert torch.equal(a, b)


def test_batches_follow_from_seed_and_step(plan: Plan) -> None:
    source = open_batches(plan)
    first, again, next_one = (source.batch(5, step, 4) for step in (7, 7, 8))
    assert torch.equal(first.image, again.image) and torch.equal(first.sets, again.sets)
    assert not torch.equal(first.image, next_one.image)
    assert first.image.shape == (4, 14, 64, 64) and first.image.dtype == torch.float32
    assert first.sets.shape == (4, 64, 64) and int(first.sets.min()) >= 0 and int(first.sets.max()) <= 15
    assert torch.isfinite(first.image).all()


def test_patchworks_are_labelled_by_their_pixels(plan: Plan) -> None:
    pixels = read_pixels(plan.data)
    assert not (pixels.group % 3 == ASIDE).any() and (read_pixels(plan.data, aside=True).group % 3 == ASIDE).all()
    codes = set()
    for seed in range(20):
        made = samples.make_patchwork(pixels, 32, np.random.default_rng(seed))
        assert made.scene.shape == (13, 32, 32) and made.sets.shape == (32, 32)
        np.testing.assert_array_equal(made.sets == class_sets.CLOUD_OF_EITHER_KIND, made.scene[B10] > 0.3)
        codes |= {tuple(np.unique(made.sets))}
    assert codes == {(1,), (12,), (1, 12)}


def test_patches_of_every_set_are_drawn_as_often(plan: Plan) -> None:
    one, two = (
        Patch("p", "g", "train", level, 10.0, ("B02",), np.ones((1, 20, 30)), np.ones((20, 30), np.uint8), False)
        for level in ("L1C", "L2A")
    )
    rng = np.random.default_rng(0)
    joined = labelled.LabelledSets([[one] * 5, [], [two]])
    assert np.mean([joined.draw(rng).level == "L2A" for _ in range(400)]) == pytest.approx(0.5, abs=0.08)
    piece = samples.crop_patch(two, 32, np.array([7, 9], np.uint64))
    assert piece.scene.shape == (13, 32, 32) and piece.level == "L2A"
    np.testing.assert_array_equal(piece.sets == class_sets.CLEAR, np.isfinite(piece.scene[1]))
    assert piece.sets.sum() == 600 and np.isnan(piece.scene[0]).all()


def test_of_own_scenes_places_and_kinds_are_drawn_equally_often() -> None:
    def patch(place: str, kind: str, sets: int) -> Patch:
        truth = np.zeros((8, 8), np.uint8)
        planes = np.ones((1, 8, 8), np.float32)
        labels = np.full((8, 8), sets, np.uint8)
        return Patch(
            "p", place, "train", "L1C", None, ("B02",), planes, truth, merges_thin=False, sets=labels, kinds=(kind,)
        )

    shares = labelled.weigh_patches(
        labelled.LoadedPatches([*[patch("a", "town", 1)] * 4, patch("b", "town", 1), patch("c", "town", 0)])
    )
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx(shares[4] / 2) and shares[5] < shares[4]


def test_who_does_not_see_b10_is_not_asked_for_cirrus_that_only_b10_shows() -> None:
    scene = np.full((13, 40, 40), 0.1, np.float32)
    tile = np.concatenate([(scene * 1e4).astype(np.uint16), np.full((1, 40, 40), 1, np.uint16)])
    tile[13, :10], tile[13, 30:] = 3 + ONLY_B10, 4
    tile[13, 20:30] = 3
    made = samples.crop_tile(tile, 40, np.array([0, 0], np.uint64))
    assert (made.sets[:10] == class_sets.SEMI_TRANSPARENT).all()
    assert (made.sets_without_b10[:10] == class_sets.CLEAR_OR_SEMI_TRANSPARENT).all()
    assert (made.sets[30 - samples.RIM_PX : 30] == class_sets.CLOUD_OF_EITHER_KIND).all()
    assert (made.sets[20 : 30 - samples.RIM_PX] == class_sets.SEMI_TRANSPARENT).all()
    for image, sets in (augmentation.observe(made, np.random.default_rng(seed)) for seed in range(30)):
        blind = (image[B10] == FILL).all()
        assert (sets == class_sets.CLEAR_OR_SEMI_TRANSPARENT).sum() == (400 if blind else 0)


def test_flat_snow_is_not_judged_where_nothing_tells_it_from_cloud() -> None:
    snow = np.full((13, 16, 16), 0.8, np.float32)
    snow[11:] = 0.05
    sets = np.full((16, 16), class_sets.CLEAR, np.uint8)
    made = samples.Sample(snow, sets, sets, flat=np.ones((16, 16), bool))
    for seed in range(30):
        image, judged = augmentation.observe(made, np.random.default_rng(seed))
        swir = not (image[11] == FILL).all()
        assert (judged == (class_sets.CLEAR if swir else class_sets.NOT_JUDGED)).all()


def test_no_tiles_is_an_error(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No tiles"):
        TileBatches(tmp_path / "none", tmp_path)


def test_brightness_of_the_land_changes_all_bands_but_b10() -> None:
    sets = np.full((64, 64), class_sets.CLEAR, np.uint8)
    made = samples.Sample(np.full((13, 64, 64), 0.2, np.float32), sets, sets)
    images = [augmentation.observe(made, np.random.default_rng(seed))[0] for seed in range(400)]
    whole = np.stack([image for image in images if (image[:13] > FILL).all()])
    assert len(whole) > 40
    spread = (whole[:, :13].mean(axis=(2, 3)) * STD + MEAN).std(axis=0)
    assert spread[B10] < 0.5 * np.delete(spread, B10).min()


def test_dry_air_shows_the_ground_in_b10() -> None:
    scene = np.full((13, 4, 4), 0.002, np.float32)
    scene[:, 2:] = 0.4
    scene[B10] = 0.001
    seen = augmentation.show_ground_in_b10(scene, 0.05)
    assert seen[B10, 3, 0] == pytest.approx(0.021) and seen[B10, 0, 0] == pytest.approx(0.0011)
    np.testing.assert_array_equal(np.delete(seen, B10, axis=0), np.delete(scene, B10, axis=0))
    assert scene[B10].max() == pytest.approx(0.001)
    shares = np.array([augmentation.draw_dry_light(np.random.default_rng(seed)) for seed in range(400)])
    assert 0.08 < (shares > 0).mean() < 0.25
    assert shares[shares > 0].min() >= 0.01 and shares.max() <= 0.15


def test_visible_bands_are_always_kept_and_every_other_is_dropped_at_times() -> None:
    kept = np.stack([augmentation.draw_bands(np.random.default_rng(seed)) for seed in range(300)])
    assert kept[:, 1:4].all()
    assert all(0.2 < share < 0.95 for share in np.delete(kept.mean(axis=0), [1, 2, 3]))
    six = np.array([b in augmentation.SIX for b in BANDS])
    assert (kept == six).all(axis=1).mean() > 0.15


def test_input_is_the_contract_of_the_network() -> None:
    scene = np.broadcast_to(MEAN[:, None, None], (13, 4, 4)).copy() + STD[:, None, None]
    scene[B10], scene[:, 0, 0] = np.nan, np.nan
    image = to_input(scene, "L2A")
    assert image.shape == (14, 4, 4) and image.dtype == np.float32
    assert (image[B10] == FILL).all() and (image[:13, 0, 0] == FILL).all() and (image[13] == 1).all()
    np.testing.assert_allclose(np.delete(image[:13, 2, 2], B10), 1, rtol=1e-5)
    assert (to_input(scene, "L1C")[13] == 0).all()


def test_labels_of_either_kind_do_not_tell_the_clouds_apart() -> None:
    def loss_of(channel: int, *, merges_thin: bool) -> float:
        logits = torch.zeros(1, 4, 8, 8)
        logits[:, channel] = 9
        return float(
            compute_loss(
                logits, batches.Batch(torch.zeros(1, 14, 8, 8), torch.full((1, 8, 8), 12 if merges_thin else 8))
            )
        )

    assert loss_of(2, merges_thin=True) == pytest.approx(loss_of(3, merges_thin=True), abs=1e-4)
    assert loss_of(2, merges_thin=False) > loss_of(3, merges_thin=False) + 1
    assert loss_of(0, merges_thin=True) > loss_of(2, merges_thin=True) + 1


def test_pixels_that_are_not_judged_do_not_count() -> None:
    logits = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    truth = torch.randint(1, 5, (1, 8, 8), generator=torch.Generator().manual_seed(1))
    truth[:, :4] = 0
    other = logits.clone()
    other[:, :, :4] = 7 * torch.randn(1, 4, 4, 8)
    sets = torch.where(truth > 0, 2 ** (truth - 1).clamp(min=0), 0)
    whole = [float(compute_loss(x, batches.Batch(x, sets))) for x in (logits, other)]
    assert whole[0] == pytest.approx(whole[1], rel=1e-5)


def test_export_gives_the_same_scores_in_onnx_runtime(tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    network = Compact().train()
    network(torch.randn(4, 14, 64, 64))
    path = tmp_path / "compact.onnx"
    assert export_onnx(network, path) < 1e-4
    model = onnx.load(path)
    assert (
        model.ir_version <= 9 and model.opset_import[0].version == 17 and {o.domain for o in model.opset_import} == {""}
    )
    assert not {n.op_type for n in model.graph.node} & {"BatchNormalization"}
    assert list(tmp_path.iterdir()) == [path]
    session = onnxruntime.InferenceSession(str(path))
    image = np.random.default_rng(0).normal(0, 1, (2, 14, 48, 80)).astype(np.float32)
    score = session.run(["score"], {"image": image})[0]
    assert score.shape == (2, 4, 48, 80)
    np.testing.assert_allclose(score.sum(axis=1), 1, atol=1e-5)
    wild = np.where(image > 0, 1e6, -1e6).astype(np.float32)
    np.testing.assert_allclose(
        session.run(None, {"image": wild})[0], session.run(None, {"image": np.clip(wild, -2, 8)})[0], atol=1e-5
    )
    with torch.no_grad():
        np.testing.assert_allclose(Scores(network).eval()(torch.from_numpy(image)).numpy(), score, atol=1e-4)


def test_training_starts_from_the_weights_of_a_released_network(plan: Plan, tmp_path: Path) -> None:
    path, source = tmp_path / "released.onnx", open_batches(plan)
    network = Compact().train()
    for batch in islice(prefetch_batches(source, plan, 0), 3):
        network(batch.image)
    export_onnx(network, path)
    state = create_state(replace(plan, start=path), source)
    image = source.batch(plan.seed, 0, plan.batch).image
    expected = network.eval()(image)
    torch.testing.assert_close(state.averaged.eval()(image), expected, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(state.network.train()(image), expected, atol=2e-3, rtol=2e-3)
    with pytest.raises(WeightsError, match="another architecture"):
        create_state(replace(plan, start=path, architecture="unet-5-32"), source)


def test_half_precision_learns_too(plan: Plan) -> None:
    plan = replace(plan, bfloat16=True)
    state, source = create_state(plan), open_batches(plan)
    losses = [train_step(plan, state, batch) for batch in islice(prefetch_batches(source, plan, 0), 30)]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert all(weight.dtype == torch.float32 for weight in state.network.parameters())


def normalised_network(seed: int) -> Compact:
    """A network whose statistics of batch normalisation are those of some noise."""
    torch.manual_seed(seed)
    network = Compact().train()
    network(torch.randn(4, 14, 64, 64) * (1 + seed))
    return network.eval()


def test_checkpoints_of_one_run_are_one_run() -> None:
    one, other = ({"seed": 1, "architecture": "compact"}, {"seed": 2, "architecture": "compact"})
    saved = [
        {"step": 9, "seconds": 90.0, "origin": one, "history": [{}, {}], "share": 0.25},
        {"step": 5, "seconds": 50.0, "origin": one, "history": [{}], "share": 0.5},
        {"step": 7, "seconds": 70.0, "origin": other, "history": [], "share": 0.25},
    ]
    summary = summarise_runs(saved)
    assert [(run["steps"], run["seconds"], run["share"]) for run in summary] == [
        ([5, 9], 90.0, 0.75),
        ([7], 70.0, 0.25),
    ]
    assert [len(run["history"]) for run in summary] == [2, 0]


@pytest.mark.parametrize("name", ["compact", "unet-5-32", "unetpp-5-64"])
def test_the_odds_of_the_named_classes_alone_are_raised(name: str) -> None:
    torch.manual_seed(0)
    network, image = architectures.build_network(name).eval(), torch.randn(1, 14, 64, 64)
    with torch.no_grad():
        before = network(image)
        after = shift_class_odds(network, {"shadow": 1.65, "cloud": 2.0})(image)
    expected = torch.tensor([0, math.log(1.65), 0, math.log(2)])[:, None, None].expand(after[0].shape)
    torch.testing.assert_close((after - before)[0], expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="above 0"):
        shift_class_odds(network, {"shadow": 0.0})
    with pytest.raises(ValueError, match="known are clear, shadow"):
        shift_class_odds(network, {"haze": 2.0})


def test_rounded_weights_compress_to_half_and_give_the_same_scores(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, image = fold_batch_norm(normalised_network(0)), torch.randn(1, 14, 64, 64)
    with torch.no_grad():
        before = network(image).softmax(1)
        after = round_weights(network)(image).softmax(1)
    torch.testing.assert_close(after, before, atol=5e-3, rtol=0)
    export_onnx(network, tmp_path / "rounded.onnx")
    written = (tmp_path / "rounded.onnx").read_bytes()
    assert len(zlib.compress(written)) < 0.6 * len(written)
    next(network.parameters()).data[0, 0] = 1e5
    with pytest.raises(ValueError, match="65504"):
        round_weights(network)


def test_the_mean_of_one_network_is_that_network(tmp_path: Path) -> None:
    network, image = normalised_network(0), torch.randn(2, 14, 64, 64)
    torch.save({"averaged": network.state_dict(), "step": 7}, tmp_path / "a.pt")
    export_onnx(network, tmp_path / "released.onnx")
    for paths in (["a.pt"], ["a.pt", "a.pt"], ["a.pt", "released.onnx"]):
        found, saved = load_network(*(tmp_path / path for path in paths))
        torch.testing.assert_close(found(image), network(image).detach(), atol=1e-3, rtol=1e-3)
        assert sum(one["share"] for one in saved) == 1 and len(saved) == len(set(paths))
        assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in found.modules())


def test_checkpoints_are_averaged_as_often_as_they_are_named(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        torch.save({"averaged": normalised_network(seed).state_dict(), "step": 1}, tmp_path / name)
    (first, _), (second, _) = (load_network(tmp_path / name) for name in "ab")
    found, saved = load_network(*(tmp_path / name for name in "abaa"))
    assert [one["share"] for one in saved] == [0.75, 0.25]
    for a, b, c in zip(first.parameters(), second.parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(0.75 * a + 0.25 * b, c)
    with pytest.raises(ValueError, match="No checkpoint"):
        load_network()


@pytest.mark.parametrize("name", ["text.pt", "cut.pt", "text.onnx"])
def test_a_file_that_is_no_network_is_refused(tmp_path: Path, name: str) -> None:
    torch.save({"averaged": Compact().state_dict()}, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2] if name == "cut.pt" else b"broken\n")
    with pytest.raises(WeightsError, match=name):
        load_network(tmp_path / name)


def test_network_stays_within_its_budget() -> None:
    assert count_multiply_adds(Compact()) <= 5e9


def test_dice_merges_clouds_and_leaves_out_what_is_not_labelled() -> None:
    truth = np.array([[1, 2, 4, 0]], np.uint8)
    assert validate.compute_dice(np.array([[1, 2, 3, 2]], np.uint8), truth) == {
        "clear": 1.0,
        "shadow": 1.0,
        "cloud": 1.0,
    }
    assert validate.compute_dice(np.array([[1, 1, 4, 1]], np.uint8), truth)["clear"] == pytest.approx(2 / 3)


def test_relief_of_closed_cloud_varies_and_other_scenes_stay() -> None:
    rng = np.random.default_rng(3)
    scene = (0.7 + 0.1 * rng.standard_normal((13, 32, 32))).astype(np.float32)
    closed = samples.Sample(scene, *[np.full((32, 32), class_sets.CLOUD, np.uint8)] * 2)
    clear = samples.Sample(scene, *[np.full((32, 32), class_sets.CLEAR, np.uint8)] * 2)
    spreads = [appearance.vary_relief(closed, rng).scene.std(axis=(1, 2)) for _ in range(20)]
    assert appearance.vary_relief(clear, rng) is clear
    assert min(map(np.max, spreads)) < 0.08 < 0.13 < max(map(np.min, spreads))
    assert min(appearance.vary_relief(closed, rng).scene.min() for _ in range(20)) >= scene.mean() / 2 - 0.01


def test_shadow_changes_its_colour_and_nothing_else_changes() -> None:
    rng = np.random.default_rng(5)
    scene = np.full((13, 48, 48), 0.1, np.float32)
    sets = np.full((48, 48), class_sets.CLEAR, np.uint8)
    sets[16:32, 16:32] = class_sets.SHADOW
    found = [appearance.vary_shadow(samples.Sample(scene, sets, sets), rng) for _ in range(400)]
    tinted = [one.scene for one in found if one.scene is not scene]
    assert len(tinted) / 400 == pytest.approx(appearance.TINT_SHARE, abs=0.07)
    assert all((one.sets == sets).all() for one in found)
    assert all((one[:, :8] == scene[:, :8]).all() for one in tinted), "far from the shadow"
    inside = np.stack([one[:, 24, 24] for one in tinted])
    assert (inside[:, [1, BANDS.index("B10")]] == scene[0, 0, 0]).all(), "B02 and B10 stay"
    shifts = np.log(inside[:, 12] / 0.1)
    assert shifts.min() < -0.2 and shifts.max() > 0.5
    assert (abs(np.log(inside[:, 11] / 0.1)) < abs(shifts)).all(), "B11 changes less than B12"
    clear = samples.Sample(scene, *[np.full((48, 48), class_sets.CLEAR, np.uint8)] * 2)
    assert all(appearance.vary_shadow(clear, rng) is clear for _ in range(30))


def test_some_labelled_samples_are_seen_through_haze_and_keep_their_classes() -> None:
    rng = np.random.default_rng(4)
    dark = np.full((13, 8, 8), 0.02, np.float32)
    dark[BANDS.index("B10")] = 0.001
    sets = np.full((8, 8), class_sets.CLEAR, np.uint8)
    found = [appearance.add_aerosol(samples.Sample(dark, sets, sets), rng) for _ in range(400)]
    hazy = [one.scene[:, 0, 0] for one in found if one.scene is not dark]
    assert len(hazy) / 400 == pytest.approx(appearance.HAZE_SHARE, abs=0.06)
    assert all((one.sets == class_sets.CLEAR).all() for one in found)
    assert min(light[1] for light in hazy) > 0.02 and max(light[BANDS.index("B10")] for light in hazy) <= 0.001
    slopes = [(light[1] - 0.02) / (light[11] - 0.02) for light in hazy]
    assert min(slopes) < 1.2 and max(slopes) > 3, "from grey to blue"
    surface = samples.Sample(dark, sets, sets, "L2A")
    assert all(appearance.add_aerosol(surface, rng) is surface for _ in range(50))


def test_some_of_the_samples_have_the_wrong_level() -> None:
    rng = np.random.default_rng(5)
    for level in augmentation.LEVELS:
        wrong = np.mean([augmentation.draw_level(level, rng) != level for _ in range(2000)])
        assert wrong == pytest.approx(augmentation.WRONG_LEVEL, abs=0.04)


def test_the_trainer_sees_b8a_in_place_of_an_absent_b08_as_the_mask_does() -> None:
    scene = np.random.default_rng(1).uniform(0, 1, (13, 4, 4)).astype(np.float32)
    b08, b8a = BANDS.index("B08"), BANDS.index("B8A")
    scene[b08] = np.nan
    seen = to_input(scene, "L2A")
    np.testing.assert_allclose(seen[b08], (scene[b8a] - MEAN[b08]) / STD[b08], rtol=1e-5)
    assert np.isnan(scene[b08]).all()
