"""`kappamask evaluate`: how good a mask, or a network, is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kappamask.cli.options import AsJson, Level, Model, say

if TYPE_CHECKING:
    from kappamask.evaluation.metrics import Scores

__all__ = ["evaluate"]

EXAMPLE = "kappamask evaluate --truth truth.tif --mask mask.tif --json"
MERGE = "Count semi-transparent cloud as cloud, for truths that do not tell them apart."


def evaluate(
    truth: Annotated[Path | None, typer.Option(help="Mask file with the true classes.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Mask file to score.")] = None,
    labelled: Annotated[Path | None, typer.Option(help="Labelled image (.npz: dn, bands, gt_kappa) to run on.")] = None,
    model: Model = "compact",
    level: Annotated[Level | None, typer.Option(help="Level of the labelled image, if its name does not say.")] = None,
    merge_thin: Annotated[bool | None, typer.Option("--merge-thin/--no-merge-thin", help=MERGE)] = None,
    as_json: AsJson = False,
) -> None:
    """Score a mask file against a truth file, or a network on a labelled image.

    Dice, precision, recall and overall accuracy of each class, and their mean over the classes that occur.
    """
    if bool(truth and mask) == bool(labelled) or bool(truth) != bool(mask):
        raise typer.BadParameter("give --truth and --mask, or --labelled", param_hint="--truth")
    if labelled:
        from kappamask.evaluation import evaluate_labelled

        scores, merged = evaluate_labelled(labelled, model=model, level=level, merge_thin=merge_thin)
    else:
        from kappamask.evaluation.files import evaluate_files

        merged = bool(merge_thin)
        scores = evaluate_files(str(truth), str(mask), merge_thin=merged)
    result: dict[str, Any] = {**scores, "merge_thin": merged}
    say(result, _table(scores, merged), as_json)


def _table(scores: "Scores", merged: bool) -> list[str]:
    names = list(scores["dice"])
    head = f"{'':<18}" + "".join(f"{name:>17}" for name in names)
    rows = [f"{key:<18}" + "".join(_cell(values[name]) for name in names) for key, values in scores.items()]
    return [head, *rows, *(["semi-transparent cloud counted as cloud"] if merged else [])]


def _cell(value: float | None) -> str:
    if value is None:
        return f"{'-':>17}"
    return f"{value:>17}" if isinstance(value, int) else f"{value:>17.3f}"
