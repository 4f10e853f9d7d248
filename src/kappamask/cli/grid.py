"""What `kappamask train --grid` does: architectures one after another, and the KappaMask paper's table of them."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from kappamask.cli.progress import shown

if TYPE_CHECKING:
    from kappamask.training.grid import Predict
    from kappamask.training.state import Plan

__all__ = ["grid_table", "run_grid"]

Row = dict[str, Any]
TITLES = {"unet": "U-Net", "unetpp": "U-Net++", "compact": "compact"}
HEAD = ("Architecture", "Depth", "Filters", "Parameters")
ENDING = ("Max dice, validation", "Paper's", "Steps", "Hours")
NONE = "–"


def run_grid(plan: "Plan", names: Sequence[str], tile_count: int | None) -> None:
    """Train and judge the architectures; prints the table, and writes OUT/grid.md and grid.json after each.

    tile_count: simulated tiles to have, all before the first step, so that every architecture sees the same; None
    where there is no simulator.
    """
    from kappamask.scenes.atomic import written_whole
    from kappamask.training.grid import train_grid
    from kappamask.training.train import parts_of

    if tile_count is not None:
        write, folder, _ = parts_of(plan)
        with shown("simulate") as show:
            write(plan.data, folder, 0, tile_count, show)
    rows: list[Row] = []
    for row in train_grid(plan, names, _dice, _tell, simulated=tile_count is not None):
        rows.append(row)
        texts = {"json": json.dumps(_document(plan, rows), indent=1) + "\n", "md": grid_table(rows)}
        for suffix, text in texts.items():
            with written_whole(plan.out / f"grid.{suffix}") as draft:
                draft.write_text(text, encoding="utf-8")
    typer.echo(grid_table(rows), nl=False)


def grid_table(rows: Sequence[Row]) -> str:
    """Rows of `training.grid.train_grid` as the paper's table of architectures, Markdown; dice in percent."""
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
    from kappamask.training.export import commit

    told = json.loads((plan.out / "plan.json").read_text(encoding="utf-8"))
    return {"commit": commit(), "device": plan.device, "plan": told, "rows": list(rows)}


def _dice(predict: "Predict", patches: Sequence[Any]) -> dict[str, float | None]:
    """Dice pooled over all pixels; thin cloud counts as cloud where a truth does not tell them apart."""
    from kappamask.evaluation.compare import compare
    from kappamask.evaluation.metrics import CLASSES
    from kappamask.evaluation.peers import Answer, Peer
    from kappamask.evaluation.views import MERGED, VIEWS

    peer = Peer("network", "", frozenset(CLASSES.values()), lambda patch: Answer(predict(patch)))
    found = compare(patches, [peer])
    return VIEWS[MERGED if found.merged else "classes"].scores(found.standings[0].tally.pooled)["dice"]


def _tell(line: Row) -> None:
    typer.echo("  ".join(f"{key} {value}" for key, value in line.items()), err=True)
