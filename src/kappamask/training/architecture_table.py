"""Train several architectures on equal terms, for the KappaMask paper's table.

`OUT/NAME` holds the run of each, as `train` leaves it, and `row.json` with what was found once it has ended.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kappamask.datasets import Patch, open_dataset
from kappamask.files.atomic import atomic_write
from kappamask.models import SceneError
from kappamask.training.architectures import DEPTHS, FILTERS, build_network, check_name
from kappamask.training.batches import SIDES, Sides, TileBatches
from kappamask.training.labelled import InterleavedPatches, LabelledSets
from kappamask.training.samples import Sample, crop_patch
from kappamask.training.simulator.materials import load_ground
from kappamask.training.simulator.paint import ONLY_B10
from kappamask.training.simulator.spectra import BANDS
from kappamask.training.simulator.tiles import make_tile
from kappamask.training.state import Plan, read_checkpoint
from kappamask.training.train import open_batches, train
from kappamask.training.validate import predict_classes

__all__ = ["GRIDS", "RATE", "PatchBatches", "parse_architectures", "train_architectures"]

GRIDS: Final = {
    "paper": (*(f"unet-{d}-{f}" for d in DEPTHS for f in FILTERS if (d, f) != (7, 128)), "unetpp-5-64"),
}
"""Name -> architectures in the order of the paper's table, which has no U-Net of depth 7 with 128 filters."""
RATE: Final = 1e-4
"""Highest learning rate of a grid: Adam's in KappaZeta's own training (cloudmask-fit). Networks without batch
normalisation, as the paper's, do not bear the one of compact."""
ASIDE: Final = 60_000_000
"""First seed of the simulated tiles that are judged where there is no labelled set: no training draws so many."""
TILES, SIDE = 16, 256
"""Simulated tiles that choose between checkpoints, as many others that are judged at the end, and their pixels."""
MOST: Final = 64
"""Patches that choose between checkpoints, evenly taken from the validation part, so that a validation is short."""
Predict = Callable[[Patch], NDArray[np.uint8]]
Score = Callable[[Predict, Sequence[Patch]], dict[str, float | None]]
"""Dice of each class, and of `all`, of masks over patches."""
Row = dict[str, Any]


class PatchBatches(TileBatches):
    """Make batches from labelled patches only, without the simulator."""

    def __init__(self, patches: Sequence[Patch], sides: Sides = SIDES) -> None:
        self.labelled, self.sides = LabelledSets([patches]), sides

    def refresh(self) -> None:
        """Do nothing: no patch is added during a run."""

    def _draw(self, side: int, rng: np.random.Generator) -> Sample:
        assert self.labelled is not None, "this source has no other"
        return crop_patch(self.labelled.draw(rng), side, rng.bit_generator.random_raw(2))


def parse_architectures(grid: str) -> tuple[str, ...]:
    """Parse a grid: a name of `GRIDS`, or names separated by commas.

    Raises ValueError for an unknown or repeated name.
    """
    named = GRIDS.get(grid) or tuple(word.strip() for word in grid.split(",") if word.strip())
    if not named or len({*named}) < len(named):
        raise ValueError(f"A grid is one of {', '.join(GRIDS)}, or different architectures with commas; not {grid!r}.")
    for name in named:
        check_name(name)
    return named


def train_architectures(
    plan: Plan, names: Sequence[str], score: Score, report: Callable[[Row], None] = lambda _: None, *, simulated: bool
) -> Iterator[Row]:
    """Train each architecture as `plan` says, test it, and yield its row.

    `plan` must have `steps`.

    A row: `architecture`, `parameters`, `steps`, `hours` of training steps, `validation` (largest mean dice of all
    validations), `test` (dice by class of the weights that had it, over the test part), `patches`
    (of that part). simulated: train on the tiles under `plan.tiles`, and on the sets of `plan.datasets` if there
    are; else on these sets alone. Without a set, simulated tiles that no training sees are judged.
    report: called with each validation's line. Finished architectures are not trained again. Raises SceneError where
    a set is absent or lacks a part, or where `plan.out` holds a grid of another plan.
    """
    validation, test = _split_evaluation(plan)
    plan.out.mkdir(parents=True, exist_ok=True)
    _check_same_plan(plan, simulated=simulated)
    source = open_batches(plan) if simulated else PatchBatches(_join_parts(plan, "train"), plan.sides)
    for name in names:
        one = replace(plan, architecture=name, out=plan.out / name)
        path = one.out / "row.json"
        if not path.exists() or json.loads(path.read_text())["steps"] != plan.steps:
            state = train(one, report, source=source, judge=lambda net: _validate_patches(net, validation, score))
            _write_rows(path, _make_row(one, state.seconds, state.best) | _test_architecture(one, test, score))
        yield json.loads(path.read_text())


def _check_same_plan(plan: Plan, *, simulated: bool) -> None:
    """Record the settings that all runs of a folder share, or compare them."""
    sets = [[name, str(folder)] for name, folder in plan.datasets]
    settings = {"data": str(plan.data), "simulated": simulated, "datasets": sets, "real_share": plan.real_share}
    settings |= {"seed": plan.seed, "batch": plan.batch, "rate": plan.rate, "bfloat16": plan.bfloat16}
    path = plan.out / "plan.json"
    if not path.exists():
        _write_rows(path, settings)
    before = json.loads(path.read_text())
    other = {key: value for key, value in before.items() if settings[key] != value}
    if other:
        raise SceneError(f"{plan.out} holds a grid of {other}; go on with the same, or name another folder.")


def _join_parts(plan: Plan, part: str) -> InterleavedPatches:
    joined = InterleavedPatches([open_dataset(name, folder).part(part) for name, folder in plan.datasets])
    if not len(joined):
        raise SceneError(f"The data set has no patch of its {part} part; a grid needs train, validation and test.")
    return joined


def _split_evaluation(plan: Plan) -> tuple[Sequence[Patch], Sequence[Patch]]:
    """Return the patches that choose between checkpoints, and the test patches."""
    if plan.datasets:
        validation, test = _join_parts(plan, "validation"), _join_parts(plan, "test")
        return [validation[i] for i in range(0, len(validation), -(-len(validation) // MOST))], test
    tiles = _open_simulated(plan.data)
    return tiles[:TILES], tiles[TILES:]


def _open_simulated(data: Path) -> list[Patch]:
    ground, found = load_ground(data), []
    for seed in range(ASIDE, ASIDE + 2 * TILES):
        tile, name = make_tile(ground, seed, SIDE), f"tile {seed}"
        scene, truth = tile[:13].astype(np.float32) / np.float32(1e4), (tile[13] % ONLY_B10).astype(np.uint8)
        found.append(Patch(name, name, "test", "L1C", None, BANDS, scene, truth, merges_thin=False))
    return found


def _validate_patches(network: nn.Module, patches: Sequence[Patch], score: Score) -> dict[str, float]:
    dice = score(_make_classifier(network), patches)
    found = {name: value for name, value in dice.items() if value is not None}
    return found | {"score": found.pop("all")}


def _make_classifier(network: nn.Module) -> Predict:
    return lambda patch: predict_classes(network, patch.stack(BANDS), patch.level)


def _make_row(plan: Plan, seconds: float, best: float) -> Row:
    count = sum(p.numel() for p in build_network(plan.architecture).parameters())
    return {
        "architecture": plan.architecture, "parameters": count, "steps": plan.steps,
        "hours": round(seconds / 3600, 4), "validation": best,
    }  # fmt: skip


def _test_architecture(plan: Plan, test: Sequence[Patch], score: Score) -> Row:
    network = build_network(plan.architecture).to(torch.device(plan.device))
    network.load_state_dict(read_checkpoint(plan.out / "best.pt")["averaged"])
    return {"test": score(_make_classifier(network), test), "patches": len(test)}


def _write_rows(path: Path, content: Row) -> None:
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
