"""Compare architectures: train each, score them, and write the table of the paper."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kappamask.files.atomic import atomic_write
from kappamask.training.architecture_table import train_architectures

if TYPE_CHECKING:
    from kappamask.training.architecture_table import Predict
    from kappamask.training.state import Plan

__all__ = ["compare_architectures", "format_table"]

Row = dict[str, Any]
TITLES = {"unet": "U-Net", "unetpp": "U-Net++", "compact": "compact"}
HEAD = ("Architecture", "Depth", "Filters", "Parameters")
ENDING = ("Max dice, validation", "Paper's", "Steps", "Hours")
NONE = "–"


def compare_architectures(plan: "Plan", names: Sequence[str], notify: Callable[[Row], None], *, simulated: bool) -> str:
    """Train and score the architectures; return the table, Markdown.

    Writes OUT/grid.md and grid.json after each. notify: called with each row. simulated: also train on the tiles.
    """
    rows: list[Row] = []
    for row in train_architectures(plan, names, _compute_dice, notify, simulated=simulated):
        rows.append(row)
        texts = {"json": json.dumps(_make_document(plan, rows), indent=1) + "\n", "md": format_table(rows)}
        for suffix, text in texts.items():
            with atomic_write(plan.out / f"grid.{suffix}") as draft:
                draft.write_text(text, encoding="utf-8")
    return format_table(rows)


def format_table(rows: Sequence[Row]) -> str:
    """Format rows of `train_architectures` as the paper's table, Markdown; dice in percent."""
    from kappamask.evaluation.tables import LABELS, format_markdown_table

    classes = [name for name in rows[0]["test"] if any(row["test"][name] is not None for row in rows)]
    head = [*HEAD, *(LABELS[name] for name in classes), *ENDING]
    return "\n".join(format_markdown_table(head, [[*_iter_cells(row, classes)] for row in rows])) + "\n"


def _iter_cells(row: Row, classes: Sequence[str]) -> Iterator[str]:
    kind, depth, filters = [*row["architecture"].split("-"), NONE, NONE][:3]
    yield from (TITLES[kind], depth, filters, f"{row['parameters']:,}")
    yield from (_format_percent(row["test"][name]) for name in classes)
    yield from (_format_percent(row["validation"]), _of_paper(TITLES[kind], depth, filters))
    yield from (str(row["steps"]), f"{row['hours']:.2f}")


def _of_paper(title: str, depth: str, filters: str) -> str:
    """Format the paper's dice, which is of another validation set."""
    from kappamask.evaluation.paper import paper

    printed = {(one["architecture"], str(one["depth"]), str(one["filters"])): one["dice"] / 100
               for one in paper()["architectures"]}  # fmt: skip
    return _format_percent(printed.get((title, depth, filters)))


def _format_percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def _make_document(plan: "Plan", rows: Sequence[Row]) -> Row:
    from kappamask.training.export import find_commit

    plan_used = json.loads((plan.out / "plan.json").read_text(encoding="utf-8"))
    return {"commit": find_commit(), "device": plan.device, "plan": plan_used, "rows": list(rows)}


def _compute_dice(predict: "Predict", patches: Sequence[Any]) -> dict[str, float | None]:
    """Compute dice over all pixels.

    Thin cloud counts as cloud where a truth does not tell them apart.
    """
    from kappamask.evaluation.class_groups import MERGED, VIEWS
    from kappamask.evaluation.compare import compare
    from kappamask.evaluation.metrics import CLASSES
    from kappamask.evaluation.peers import Answer, Peer

    peer = Peer("network", "", frozenset(CLASSES.values()), lambda patch: Answer(predict(patch)))
    found = compare(patches, [peer])
    return VIEWS[MERGED if found.merges_thin else "classes"].scores(found.standings[0].tally.confusion_matrix)["dice"]
