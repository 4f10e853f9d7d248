"""`kappamask train`: a network, or a table of architectures, from simulated clouds."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kappamask.cli.options import Grounds
from kappamask.models import KappaMaskError
from kappamask.models.errors import require_extra
from kappamask.workflows.progress import print_line

if TYPE_CHECKING:
    from kappamask.training.state import Plan

__all__ = ["train"]

EXAMPLE = "kappamask train --data data/ -o run1/ --minutes 60"


class Device(StrEnum):
    """Where the network is trained."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


Data = Annotated[
    str,
    typer.Option(
        metavar="FOLDER",
        help="Folder of the real scenes and pixels; with --grid also NAME=FOLDER of a labelled set, without simulator.",
        show_default=False,
    ),
]


Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of checkpoints; a run found there goes on.", show_default=False)
]


Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset", metavar="NAME=FOLDER", help="Labelled set to train on too, as kappaset=data/; may be repeated."
    ),
]


Grid = Annotated[
    str | None,
    typer.Option(
        metavar="paper|NAMES",
        help="Train these architectures one after another, each for --steps, judge them on the test part and print the "
        "table of the KappaMask paper; OUTPUT/grid.md and grid.json.",
    ),
]


def train(
    data: Data,
    output: Output,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time spent in training steps.")] = 60,
    steps: Annotated[int | None, typer.Option(min=1, help="End after so many steps (repeatable to the bit).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Where random numbers start.")] = 1,
    architecture: Annotated[str, typer.Option(help="compact, unet-5-64, … (DEPTH-FILTERS), unetpp-5-64.")] = "compact",
    tiles: Annotated[Path | None, typer.Option(help="Folder of simulated tiles; OUTPUT/tiles if left out.")] = None,
    tile_count: Annotated[int, typer.Option(min=0, help="Tiles to have; missing ones are made meanwhile.")] = 1200,
    grid: Grid = None,
    rate: Annotated[
        float | None, typer.Option(min=1e-6, max=1, help="Highest learning rate; 0.003, but 0.0001 with --grid.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples of 256 x 256 px in a step.")] = 12,
    start: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Checkpoint or ONNX file to start from.")
    ] = None,
    datasets: Sets = None,
    grounds: Grounds = None,
    real_share: Annotated[float, typer.Option(min=0, max=1, help="Share of samples from labelled sets.")] = 0.5,
    validate_minutes: Annotated[
        float, typer.Option(min=0.01, help="Minutes of training steps between looks at the validation scenes.")
    ] = 3,
    threads: Annotated[int, typer.Option(min=0, help="Threads of PyTorch; 0: one for each core.")] = 0,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Half precision: faster where the CPU or GPU has it.")
    ] = False,
    device: Annotated[Device, typer.Option(help="auto takes a GPU if there is one.")] = Device.AUTO,
) -> None:
    """Train a network, or continue a run that was interrupted.

    The same command typed again resumes from the last checkpoint, at most three minutes old. Checkpoints are judged on
    real labelled scenes in DATA that are never trained on, a line for each on stdout. Then: kappamask models export
    OUTPUT/best.pt.
    """
    if "torch" not in sys.modules and find_spec("torch"):
        print_line("PyTorch is loaded, which takes some seconds")
    with require_extra("train"):
        import torch  # pyright: ignore[reportMissingImports]  an extra that `make lint` does without

        from kappamask.datasets import parse_dataset
        from kappamask.training.architecture_table import RATE, parse_architectures
        from kappamask.training.state import Plan
        from kappamask.workflows.training import run_grid, run_training

    torch.set_num_threads(threads or torch.get_num_threads())
    where = ("cuda" if torch.cuda.is_available() else "cpu") if device is Device.AUTO else device.value
    own = parse_dataset(data) if grid else None
    plan = Plan(
        own[1] if own else Path(data), tiles or output / "tiles", output, minutes, steps, seed, batch,
        rate or (RATE if grid else Plan.rate), architecture, where, start=start,
        datasets=(*([own] if own else []), *_parse_sets(datasets or [])), real_share=real_share,
        bfloat16=bfloat16, grounds=grounds, validate_minutes=validate_minutes,
    )  # fmt: skip
    with _report_wrong_use():
        if grid:
            run_grid(_check_grid(plan), parse_architectures(grid), None if own else tile_count)
        else:
            run_training(plan, tile_count)


def _check_grid(plan: "Plan") -> "Plan":
    """Check that a grid trains all architectures equally long, from random weights."""
    if plan.steps is None:
        raise typer.BadParameter("a grid needs --steps, so that all are trained as long", param_hint="--steps")
    if plan.start:
        raise typer.BadParameter("a grid starts from random weights", param_hint="--start")
    return replace(plan, minutes=math.inf)


def _parse_sets(words: list[str]) -> tuple[tuple[str, Path], ...]:
    pairs = [word.partition("=") for word in words]
    if not all(name and folder for name, _, folder in pairs):
        raise typer.BadParameter("NAME=FOLDER is needed, as in kappaset=data/kappaset", param_hint="--dataset")
    return tuple((name, Path(folder)) for name, _, folder in pairs)


@contextmanager
def _report_wrong_use() -> Iterator[None]:
    """Report a wrong architecture, or a checkpoint of another one, as wrong use."""
    try:
        yield
    except KappaMaskError:
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
