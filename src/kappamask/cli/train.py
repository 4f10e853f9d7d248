"""`kappamask train`: a network, or a table of architectures, from simulated clouds."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kappamask.models import KappaMaskError
from kappamask.models.extras import require_extra
from kappamask.workflows.display import progress_bar

if TYPE_CHECKING:
    from kappamask.training.architecture_table import Predict
    from kappamask.training.state import Plan

__all__ = ["grid_table", "run_grid", "train"]

Row = dict[str, Any]
TITLES = {"unet": "U-Net", "unetpp": "U-Net++", "compact": "compact"}
HEAD = ("Architecture", "Depth", "Filters", "Parameters")
ENDING = ("Max dice, validation", "Paper's", "Steps", "Hours")
NONE = "–"
EXAMPLE = "kappamask train --data data/ --out run1/ --minutes 60"


def run_grid(plan: "Plan", names: Sequence[str], tile_count: int | None) -> None:
    """Train and judge the architectures; prints the table, and writes OUT/grid.md and grid.json after each.

    tile_count: simulated tiles to have, all before the first step, so that every architecture sees the same; None
    where there is no simulator.
    """
    from kappamask.files.atomic import atomic_write
    from kappamask.training.architecture_table import train_architectures
    from kappamask.training.train import choose_tile_writer

    if tile_count is not None:
        write, folder, _ = choose_tile_writer(plan)
        with progress_bar("simulate") as show:
            write(plan.data, folder, 0, tile_count, show)
    rows: list[Row] = []
    for row in train_architectures(plan, names, _dice, _print_row, simulated=tile_count is not None):
        rows.append(row)
        texts = {"json": json.dumps(_document(plan, rows), indent=1) + "\n", "md": grid_table(rows)}
        for suffix, text in texts.items():
            with atomic_write(plan.out / f"grid.{suffix}") as draft:
                draft.write_text(text, encoding="utf-8")
    typer.echo(grid_table(rows), nl=False)


def grid_table(rows: Sequence[Row]) -> str:
    """Format rows of `train_architectures` as the paper's table, Markdown; dice in percent."""
    from kappamask.evaluation.tables import LABELS, markdown_table

    classes = [name for name in rows[0]["test"] if any(row["test"][name] is not None for row in rows)]
    head = [*HEAD, *(LABELS[name] for name in classes), *ENDING]
    return "\n".join(markdown_table(head, [[*_cells(row, classes)] for row in rows])) + "\n"


def _cells(row: Row, classes: Sequence[str]) -> Iterator[str]:
    kind, depth, filters = [*row["architecture"].split("-"), NONE, NONE][:3]
    yield from (TITLES[kind], depth, filters, f"{row['parameters']:,}")
    yield from (_percent(row["test"][name]) for name in classes)
    yield from (_percent(row["validation"]), _of_paper(TITLES[kind], depth, filters))
    yield from (str(row["steps"]), f"{row['hours']:.2f}")


def _of_paper(title: str, depth: str, filters: str) -> str:
    """What the paper prints, of another validation set."""
    from kappamask.evaluation.paper import paper

    printed = {(one["architecture"], str(one["depth"]), str(one["filters"])): one["dice"] / 100
               for one in paper()["architectures"]}  # fmt: skip
    return _percent(printed.get((title, depth, filters)))


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def _document(plan: "Plan", rows: Sequence[Row]) -> Row:
    from kappamask.training.export import find_commit

    told = json.loads((plan.out / "plan.json").read_text(encoding="utf-8"))
    return {"commit": find_commit(), "device": plan.device, "plan": told, "rows": list(rows)}


def _dice(predict: "Predict", patches: Sequence[Any]) -> dict[str, float | None]:
    """Dice pooled over all pixels; thin cloud counts as cloud where a truth does not tell them apart."""
    from kappamask.evaluation.class_groups import MERGED, VIEWS
    from kappamask.evaluation.compare import compare
    from kappamask.evaluation.metrics import CLASSES
    from kappamask.evaluation.peers import Answer, Peer

    peer = Peer("network", "", frozenset(CLASSES.values()), lambda patch: Answer(predict(patch)))
    found = compare(patches, [peer])
    return VIEWS[MERGED if found.merged else "classes"].scores(found.standings[0].tally.pooled)["dice"]


def _print_row(line: Row) -> None:
    typer.echo("  ".join(f"{key} {value}" for key, value in line.items()), err=True)


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


Out = Annotated[Path, typer.Option(help="Folder of checkpoints; a run found there goes on.", show_default=False)]


Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset", metavar="NAME=FOLDER", help="Labelled set to train on too, as kappaset=data/; may be repeated."
    ),
]


Grounds = Annotated[
    Path | None,
    typer.Option(
        "--ground", metavar="FOLDER", help="Clear scenes of your own to paint clouds on as well: .npz of dn and bands.",
        show_default=False,
    ),
]  # fmt: skip


Grid = Annotated[
    str | None,
    typer.Option(
        metavar="paper|NAMES",
        help="Train these architectures one after another, each for --steps, judge them on the test part and print the "
        "table of the KappaMask paper; OUT/grid.md and grid.json.",
    ),
]


def train(
    data: Data,
    out: Out,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time spent in training steps.")] = 60,
    steps: Annotated[int | None, typer.Option(min=1, help="End after so many steps (repeatable to the bit).")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    architecture: Annotated[str, typer.Option(help="compact, unet-5-64, … (DEPTH-FILTERS), unetpp-5-64.")] = "compact",
    tiles: Annotated[Path | None, typer.Option(help="Folder of simulated tiles; OUT/tiles if left out.")] = None,
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
    real_share: Annotated[float, typer.Option(min=0, max=1, help="Of the samples, from labelled sets.")] = 0.5,
    validate_minutes: Annotated[
        float, typer.Option(min=0.01, help="Minutes of training steps between looks at the validation scenes.")
    ] = 3,
    threads: Annotated[int, typer.Option(min=0, help="Of PyTorch; 0 is all cores.")] = 0,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Half precision: faster where the CPU or GPU has it.")
    ] = False,
    device: Annotated[Device, typer.Option(help="auto takes a GPU if there is one.")] = Device.AUTO,
) -> None:
    """Train a network, or go on with a run that was cut off: type the same again; three minutes at most are lost.

    Checkpoints are judged on real labelled scenes in DATA that are never trained on, a line for each on stdout.
    Then: kappamask models export OUT/best.pt.
    """
    with require_extra("train"):
        import torch  # pyright: ignore[reportMissingImports]  an extra that `make lint` does without

        from kappamask.datasets import parse_dataset
        from kappamask.training.architecture_table import RATE, parse_architectures
        from kappamask.training.state import Plan

    torch.set_num_threads(threads or torch.get_num_threads())
    where = ("cuda" if torch.cuda.is_available() else "cpu") if device is Device.AUTO else device.value
    own = parse_dataset(data) if grid else None
    plan = Plan(
        own[1] if own else Path(data), tiles or out / "tiles", out, minutes, steps, seed, batch,
        rate or (RATE if grid else Plan.rate), architecture, where, start=start,
        datasets=(*([own] if own else []), *_sets(datasets or [])), real_share=real_share,
        bfloat16=bfloat16, grounds=grounds, validate_minutes=validate_minutes,
    )  # fmt: skip
    with _plainly():
        if grid:
            run_grid(_checked(plan), parse_architectures(grid), None if own else tile_count)
        else:
            _run(plan, tile_count)


def _run(plan: "Plan", tile_count: int) -> None:
    from kappamask.training.train import simulate_in_background
    from kappamask.training.train import train as run

    with simulate_in_background(plan, tile_count), progress_bar("train") as show:
        typer.echo(_first_words(plan, tile_count), err=True)
        state = run(plan, _print_line, progress=show)
    if not state.trained_now:
        done = f"{state.step} steps, {state.seconds / 60:.0f} minutes"
        typer.echo(f"{plan.out} holds a finished run ({done}): more --minutes or --steps go on with it.", err=True)
    typer.echo(f"best score {state.best:.4f}; kappamask models export {plan.out / 'best.pt'}", err=True)


def _first_words(plan: "Plan", tile_count: int) -> str:
    """Say what begins, for the first figures come minutes later."""
    sets = "".join(f", labelled set {name}" for name, _ in plan.datasets)
    verb = "goes on" if (plan.out / "last.pt").exists() else "begins"
    return (
        f"train {verb}: {plan.architecture} on {plan.device}, {tile_count} simulated tiles{sets}; figures every "
        f"{plan.validate_minutes:g} minutes of steps, checkpoints in {plan.out}"
    )


def _checked(plan: "Plan") -> "Plan":
    """A grid's architectures are trained for as long as each other, and from nothing."""
    if plan.steps is None:
        raise typer.BadParameter("a grid needs --steps, so that all are trained as long", param_hint="--steps")
    if plan.start:
        raise typer.BadParameter("a grid starts from random weights", param_hint="--start")
    return replace(plan, minutes=math.inf)


def _sets(words: list[str]) -> tuple[tuple[str, Path], ...]:
    pairs = [word.partition("=") for word in words]
    if not all(name and folder for name, _, folder in pairs):
        raise typer.BadParameter("NAME=FOLDER is needed, as in kappaset=data/kappaset", param_hint="--dataset")
    return tuple((name, Path(folder)) for name, _, folder in pairs)


def _print_line(line: dict[str, Any]) -> None:
    shown = {key: value for key, value in line.items() if not key.endswith("_clear")}
    typer.echo("  ".join(f"{key} {value}" for key, value in shown.items()))


@contextmanager
def _plainly() -> Iterator[None]:
    """A wrong architecture, or a checkpoint of another one, is wrong use."""
    try:
        yield
    except KappaMaskError:
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
