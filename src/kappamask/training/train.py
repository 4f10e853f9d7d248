"""Train a network: seeded, resumable after a kill, the best checkpoint kept.

`OUT/last.pt` holds everything that a resumed run needs, `OUT/best.pt` the averaged weights that scored best,
`OUT/log.jsonl` a line for each validation. With the same tiles, seed and `--steps`, a run that was cut off and resumed
ends with the same weights.
"""

from __future__ import annotations

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
from kappamask.training.batches import Batch, Batches, LabelledSets, LoadedPatches, Source
from kappamask.training.gpu.batches import DeviceSource
from kappamask.training.simulator.materials import check_data, read_clear_scenes
from kappamask.training.simulator.tiles import write_parts, write_tiles
from kappamask.training.state import Plan, State, check_start, loss, new_state
from kappamask.training.validate import judge_scenes, validate

FIRST_TILES = 64
#: Folder of skies and grounds beside the tiles.
PARTS = "parts"
OWN_SCENES = "arrays"
Judge = Callable[[nn.Module], dict[str, float]]


def on_device(plan: Plan) -> bool:
    """Whether the batches of `plan` are made where its network is: labelled sets are read by the CPU."""
    return plan.device != "cpu" and not plan.datasets


def source_of(plan: Plan) -> Batches:
    """What `plan` trains on. Raises SceneError where a data set is absent or has no part to train on."""
    if on_device(plan):
        return DeviceSource(parts_of(plan)[1], plan.data, plan.device, sides=plan.sides)
    return Source(plan.tiles, plan.data, LabelledSets(labelled_sets(plan)), plan.real_share, plan.sides)


def labelled_sets(plan: Plan) -> list[Sequence[Patch]]:
    """The parts to train on of the labelled sets of `plan`. Raises SceneError where one is absent or has none."""
    parts = [(name, open_dataset(name, folder).part("train")) for name, folder in plan.datasets]
    return [LoadedPatches(part) if name == OWN_SCENES else part for name, part in parts]


def judge_of(plan: Plan) -> Judge:
    """Return what chooses between checkpoints: own scenes set apart for validation, else the scenes of `plan.data`."""
    own = [open_dataset(name, folder).part("validation") for name, folder in plan.datasets if name == OWN_SCENES]
    patches = [patch for part in own for patch in part]
    return partial(judge_scenes, patches=patches) if patches else partial(validate, data=plan.data)


def learning_rate(plan: Plan, step: int, seconds: float) -> float:
    """Warm-up over 100 steps, then a cosine down to 1 % at the end of the plan."""
    done = seconds / 60 / plan.minutes if plan.steps is None else step / plan.steps
    return plan.rate * min(1.0, (step + 1) / 100) * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2)


def ahead(source: Batches, plan: Plan, step: int) -> Generator[Batch]:
    """The batches of `plan` from `step` on; the next one is made while the last one is trained on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(source.batch, plan.seed, step, plan.batch)
        while True:
            step += 1
            ready, coming = coming, pool.submit(source.batch, plan.seed, step, plan.batch)
            yield ready.result()


def train_step(plan: Plan, state: State, batch: Batch) -> float:
    """One batch; returns its loss. Raises FloatingPointError rather than go on with a loss that is not finite."""
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(plan, state.step, state.seconds)
    state.network.train()
    batch = batch.on(plan.device)
    with torch.autocast(plan.device, torch.bfloat16, enabled=plan.bfloat16):
        logits = state.network(batch.image.to(memory_format=torch.channels_last))
    value = loss(logits.float(), batch)
    if not torch.isfinite(value):
        raise FloatingPointError(f"Loss is {value.item()} at step {state.step}; lower the rate below {plan.rate}.")
    state.optimiser.zero_grad()
    torch.autograd.backward(value)
    nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.optimiser.step()
    average(state.averaged, state.network, min(plan.averaging, (1 + state.step) / (10 + state.step)))
    state.step += 1
    state.trained_now = True
    return float(value.item())


def average(averaged: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the running mean of weights and statistics towards those of `network`."""
    with torch.no_grad():
        for old, new in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
            if old.dtype.is_floating_point:
                old.lerp_(new, 1 - keep)
            else:
                old.copy_(new)


def check(plan: Plan, state: State, mean_loss: float, judge: Judge) -> dict[str, Any]:
    """Judge the averaged weights, log a line and return it, save, and keep the best."""
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
    tell: Callable[[dict[str, Any]], None] = lambda _: None,
    *,
    show: Callable[[int, int], None] = lambda _done, _total: None,
    source: Batches | None = None,
    judge: Judge | None = None,
) -> State:
    """Run `plan` from where it stands to its end; return the last state.

    tell: called with each validation's line. show: called after each step with how much is done, and of how much:
    steps, or seconds where `plan` has no steps.
    source: left out, what `source_of` gives. judge: figures of a network, of which `score` chooses between
    checkpoints; left out, what `judge_of` gives.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    source = source or source_of(plan)
    judge = judge or judge_of(plan)
    state = new_state(plan, source)
    losses: list[float] = []
    checked = state.seconds
    with closing(ahead(source, plan, state.step)) as batches:
        while state.seconds < 60 * plan.minutes and (plan.steps is None or state.step < plan.steps):
            began = time.monotonic()
            losses.append(train_step(plan, state, next(batches)))
            state.seconds += time.monotonic() - began
            show(*((state.step, plan.steps) if plan.steps else (int(state.seconds), int(60 * plan.minutes))))
            if state.seconds - checked > 60 * plan.validate_minutes:
                tell(check(plan, state, sum(losses) / len(losses), judge))
                losses, checked = [], state.seconds
                source.refresh()
    if losses:
        tell(check(plan, state, sum(losses) / len(losses), judge))
    return state


def parts_of(plan: Plan) -> tuple[Callable[..., None], Path, str]:
    """What writes the simulator's files for `plan`, where to, and the pattern of the names of those written last."""
    return (write_parts, plan.tiles / PARTS, "sky-*.npz") if on_device(plan) else (write_tiles, plan.tiles, "*.npy")


@contextmanager
def making_tiles(plan: Plan, count: int) -> Iterator[None]:
    """While the block runs, tiles 0 to `count - 1` of `plan` are made in processes beside it; enough to begin exist.

    Where batches are made on a GPU these are skies and grounds, and all cores but two make them: it uses up more.
    """
    check_data(plan.data)
    if plan.grounds:
        read_clear_scenes(plan.grounds)
    check_start(plan)
    labelled_sets(plan)
    write, folder, pattern = parts_of(plan)
    makers = max(1, (os.cpu_count() or 1) - 2) if on_device(plan) else 1
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
