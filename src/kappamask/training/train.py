"""Train a network: seeded, resumable after a kill, the best checkpoint kept.

`OUT/last.pt` holds everything that a resumed run needs, `OUT/best.pt` the averaged weights that scored best,
`OUT/log.jsonl` a line for each validation. With the same tiles, seed and `--steps`, a run that was cut off and resumed
ends with the same weights.
"""

import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kappamask.datasets import Patch, open_dataset
from kappamask.training.batches import Batch, Batches, TileBatches
from kappamask.training.gpu.batches import DeviceSource
from kappamask.training.labelled import LabelledSets, LoadedPatches
from kappamask.training.simulator.components import write_components
from kappamask.training.simulator.materials import check_data, read_clear_scenes
from kappamask.training.simulator.tiles import write_tiles
from kappamask.training.state import Plan, State, check_start, compute_loss, create_state
from kappamask.training.validate import judge_scenes, validate

__all__ = [
    "choose_tile_writer",
    "choose_validator",
    "compute_learning_rate",
    "open_batches",
    "open_labelled_sets",
    "prefetch_batches",
    "simulate_in_background",
    "train",
    "train_step",
    "update_average",
    "uses_device_source",
    "validate_and_save",
]

FIRST_TILES = 64
#: Folder of skies and grounds next to that of the tiles.
PARTS = "parts"
OWN_SCENES = "arrays"
Validator = Callable[[nn.Module], dict[str, float]]


def uses_device_source(plan: Plan) -> bool:
    """Return whether the batches of `plan` are made on the GPU.

    Labelled sets are read by the CPU.
    """
    return plan.device != "cpu" and not plan.datasets


def open_batches(plan: Plan) -> Batches:
    """Open the training batches of `plan`.

    Raises SceneError where a data set is absent or has no part to train on.
    """
    if uses_device_source(plan):
        return DeviceSource(choose_tile_writer(plan)[1], plan.data, plan.device, sides=plan.sides)
    return TileBatches(plan.tiles, plan.data, LabelledSets(open_labelled_sets(plan)), plan.real_share, plan.sides)


def open_labelled_sets(plan: Plan) -> list[Sequence[Patch]]:
    """Open the training parts of the labelled sets of `plan`.

    Raises SceneError where a set is absent or has none.
    """
    parts = [(name, open_dataset(name, folder).part("train")) for name, folder in plan.datasets]
    return [LoadedPatches(part) if name == OWN_SCENES else part for name, part in parts]


def choose_validator(plan: Plan) -> Validator:
    """Choose how checkpoints are scored: on own validation scenes, or those of `plan.data`."""
    own = [open_dataset(name, folder).part("validation") for name, folder in plan.datasets if name == OWN_SCENES]
    patches = [patch for part in own for patch in part]
    return partial(judge_scenes, patches=patches) if patches else partial(validate, data=plan.data)


def compute_learning_rate(plan: Plan, step: int, seconds: float) -> float:
    """Warm up over 100 steps, then follow a cosine down to 1 %."""
    done = seconds / 60 / plan.minutes if plan.steps is None else step / plan.steps
    return plan.rate * min(1.0, (step + 1) / 100) * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2)


def prefetch_batches(source: Batches, plan: Plan, step: int) -> Generator[Batch]:
    """Yield the batches of `plan` from `step` on.

    The next one is made while the last one is trained on.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(source.batch, plan.seed, step, plan.batch)
        while True:
            step += 1
            ready, coming = coming, pool.submit(source.batch, plan.seed, step, plan.batch)
            yield ready.result()


def train_step(plan: Plan, state: State, batch: Batch) -> float:
    """Train on one batch; return its loss.

    Raises FloatingPointError rather than go on with a loss that is not finite.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = compute_learning_rate(plan, state.step, state.seconds)
    state.network.train()
    batch = batch.to_device(plan.device)
    with torch.autocast(plan.device, torch.bfloat16, enabled=plan.bfloat16):
        logits = state.network(batch.image.to(memory_format=torch.channels_last))
    value = compute_loss(logits.float(), batch)
    if not torch.isfinite(value):
        raise FloatingPointError(f"Loss is {value.item()} at step {state.step}; lower the rate below {plan.rate}.")
    state.optimiser.zero_grad()
    torch.autograd.backward(value)
    nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.optimiser.step()
    update_average(state.averaged, state.network, min(plan.averaging, (1 + state.step) / (10 + state.step)))
    state.step += 1
    state.trained_now = True
    return float(value.item())


def update_average(averaged: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the running average of weights and statistics towards those of `network`."""
    with torch.no_grad():
        for old, new in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
            if old.dtype.is_floating_point:
                old.lerp_(new, 1 - keep)
            else:
                old.copy_(new)


def validate_and_save(plan: Plan, state: State, mean_loss: float, judge: Validator) -> dict[str, Any]:
    """Score the averaged weights, log and return a line, save, and keep the best."""
    figures = judge(state.averaged)
    line = {"step": state.step, "minutes": round(state.seconds / 60, 1), "loss": round(mean_loss, 4)}
    line |= {name: round(value, 4) for name, value in figures.items()}
    state.history.append(line)
    with (plan.out / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    if figures["score"] > state.best:
        state.best = figures["score"]
        state.save(plan.out / "best.pt")
    state.save(plan.out / "last.pt")
    return line


def train(
    plan: Plan,
    report: Callable[[dict[str, Any]], None] = lambda _: None,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    source: Batches | None = None,
    judge: Validator | None = None,
) -> State:
    """Run `plan` from its saved state to its end; return the last state.

    report: called with each validation's line. progress: called after each step with how much is done, and of how much:
    steps, or seconds where `plan` has no steps.
    source: left out, what `open_batches` gives. judge: figures of a network, of which `score` chooses between
    checkpoints; left out, what `choose_validator` gives.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    source = source or open_batches(plan)
    judge = judge or choose_validator(plan)
    state = create_state(plan, source)
    losses: list[float] = []
    checked = state.seconds
    with closing(prefetch_batches(source, plan, state.step)) as batches:
        while state.seconds < 60 * plan.minutes and (plan.steps is None or state.step < plan.steps):
            began = time.monotonic()
            losses.append(train_step(plan, state, next(batches)))
            state.seconds += time.monotonic() - began
            progress(*((state.step, plan.steps) if plan.steps else (int(state.seconds), int(60 * plan.minutes))))
            if state.seconds - checked > 60 * plan.validate_minutes:
                report(validate_and_save(plan, state, sum(losses) / len(losses), judge))
                losses, checked = [], state.seconds
                source.refresh()
    if losses:
        report(validate_and_save(plan, state, sum(losses) / len(losses), judge))
    return state


def choose_tile_writer(plan: Plan) -> tuple[Callable[..., None], Path, str]:
    """Return the function, folder and file pattern of the simulated files of `plan`.

    The pattern is that of the files written last.
    """
    return (
        (write_components, plan.tiles / PARTS, "sky-*.npz")
        if uses_device_source(plan)
        else (write_tiles, plan.tiles, "*.npy")
    )


@contextmanager
def simulate_in_background(plan: Plan, count: int, announce: Callable[[], object] | None = None) -> Iterator[None]:
    """Simulate tiles 0 to `count - 1` of `plan` in other processes during the block.

    The block begins when there are enough to start. announce: called before that, when the data have been checked.

    Where batches are made on a GPU these are skies and grounds, and all cores but two make them: it uses up more.
    """
    check_data(plan.data)
    if plan.grounds:
        read_clear_scenes(plan.grounds)
    check_start(plan)
    open_labelled_sets(plan)
    if announce is not None:
        announce()
    write, folder, pattern = choose_tile_writer(plan)
    makers = max(1, (os.cpu_count() or 1) - 2) if uses_device_source(plan) else 1
    limits = [count * i // makers for i in range(makers + 1)]
    ranges = [(plan.data, folder, first, last - first, None, plan.grounds) for first, last in pairwise(limits)]
    running = [multiprocessing.get_context("spawn").Process(target=write, args=part, daemon=True) for part in ranges]
    for maker in running:
        maker.start()
    try:
        while any(m.is_alive() for m in running) and len(list(folder.glob(pattern))) < min(FIRST_TILES, count):
            time.sleep(0.2)
        yield
    finally:
        for maker in running:
            maker.terminate()
            maker.join()
