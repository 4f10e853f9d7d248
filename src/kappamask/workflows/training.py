"""Train a network, or a table of architectures, and print what comes of it."""

import sys
from collections.abc import Sequence
from typing import Any

from kappamask.training.architecture_report import compare_architectures
from kappamask.training.state import Plan
from kappamask.training.train import choose_tile_writer, simulate_in_background, train
from kappamask.workflows.progress import print_line, progress_bar

__all__ = ["run_grid", "run_training"]


def run_grid(plan: Plan, names: Sequence[str], tile_count: int | None) -> None:
    """Train and score the architectures, and print the table.

    tile_count: simulated tiles to have, all before the first step, so that every architecture sees the same; None
    where there is no simulator.
    """
    if tile_count is not None:
        write, folder, _ = choose_tile_writer(plan)
        with progress_bar("simulate") as show:
            write(plan.data, folder, 0, tile_count, show)
    _write_out(compare_architectures(plan, names, _print_row, simulated=tile_count is not None))


def _print_row(line: dict[str, Any]) -> None:
    print_line("  ".join(f"{key} {value}" for key, value in line.items()))


def run_training(plan: Plan, tile_count: int) -> None:
    """Train a network while tiles are simulated.

    Prints figures on stdout, and on stderr how far it is.
    tile_count: simulated tiles to have.
    """

    def announce() -> None:
        print_line(_first_words(plan, tile_count))

    with simulate_in_background(plan, tile_count, announce), progress_bar("train") as show:
        state = train(plan, _print_line, progress=show)
    if not state.trained_now:
        done = f"{state.step} steps, {state.seconds / 60:.0f} minutes"
        print_line(f"{plan.out} holds a finished run ({done}): more --minutes or --steps go on with it.")
    print_line(f"best score {state.best:.4f}; kappamask models export {plan.out / 'best.pt'} --name mine")


def _first_words(plan: Plan, tile_count: int) -> str:
    """Say what begins, for the first figures come minutes later."""
    sets = "".join(f", labelled set {name}" for name, _ in plan.datasets)
    verb = "goes on" if (plan.out / "last.pt").exists() else "begins"
    return (
        f"train {verb}: {plan.architecture} on {plan.device}, {tile_count} simulated tiles{sets}; first tiles are "
        f"simulated, then figures come every {plan.validate_minutes:g} minutes of steps, checkpoints in {plan.out}"
    )


def _print_line(line: dict[str, Any]) -> None:
    shown = {key: value for key, value in line.items() if not key.endswith("_clear")}
    _write_out("  ".join(f"{key} {value}" for key, value in shown.items()) + "\n")


def _write_out(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
