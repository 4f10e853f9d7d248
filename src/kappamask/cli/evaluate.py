"""`kappamask evaluate`: how good a mask, or a network, is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kappamask.cli.compare import check_folder, write_files
from kappamask.cli.options import AsJson, Level, Model, print_result
from kappamask.models.extras import require_extra

if TYPE_CHECKING:
    from kappamask.evaluation.comparison import DatasetResult
    from kappamask.evaluation.metrics import Scores

__all__ = ["evaluate"]

EXAMPLE = "kappamask evaluate --truth truth.tif --mask mask.tif -o evaluation/"
NAME = "evaluation"
"""Name of the files, before the suffix."""
MERGE = "Count semi-transparent cloud as cloud; left out, where the truth holds none."


def evaluate(
    truth: Annotated[Path | None, typer.Option(help="Mask file with the true classes.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Mask file to score.")] = None,
    labelled: Annotated[Path | None, typer.Option(help="Labelled image (.npz: dn, bands, gt_kappa) to run on.")] = None,
    model: Model = "compact",
    level: Annotated[
        Level | None, typer.Option(help="Level of the labelled image; else as its name says, or L1C.")
    ] = None,
    merge_thin: Annotated[bool | None, typer.Option("--merge-thin/--no-merge-thin", help=MERGE)] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for tables and page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a mask file against a truth file, or a network on a labelled image.

    Dice, precision, recall and overall accuracy of each class, and their mean over the classes that occur. With -o also
    evaluation.json, .md, .csv, .tex and .html: tables as in the KappaMask paper, intervals, plots, pictures.
    """
    if bool(truth and mask) == bool(labelled) or bool(truth) != bool(mask):
        raise typer.BadParameter("give --truth and --mask, or --labelled", param_hint="--truth")
    if output:
        check_folder(output)
    if labelled or output:
        with require_extra("datasets"):
            from kappamask.evaluation.files import judge_files, judge_labelled
        judged = (
            judge_labelled(labelled, model=model, level=level, merge_thin=merge_thin) if labelled
            else judge_files(str(truth), str(mask), merge_thin=merge_thin)
        )  # fmt: skip
        scores, merged = judged.scores, judged.merged
        written = _write_tables(output, judged) if output else []
    else:  # of whole products, too: edges, squares and intervals would take minutes
        from kappamask.evaluation.files import evaluate_pair

        written = []
        scores, merged = evaluate_pair(str(truth), str(mask), merge_thin=merge_thin)
    files = {"files": written} if written else {}
    print_result(
        {**scores, "merge_thin": merged, **files},
        [*_table(scores, merged, asked=merge_thin is not None), *written],
        as_json,
    )


def _write_tables(output: Path, judged: "DatasetResult") -> list[str]:
    files = write_files(output, NAME, [judged], title="Evaluation of a cloud mask", command="kappamask evaluate")
    return [str(path) for path in files]


def _table(scores: "Scores", merged: bool, asked: bool) -> list[str]:
    names = list(scores["dice"])
    head = f"{'':<18}" + "".join(f"{name:>17}" for name in names)
    rows = [f"{key:<18}" + "".join(_cell(values[name]) for name in names) for key, values in scores.items()]
    why = "" if asked else ", for the truth does not tell them apart (--no-merge-thin counts them apart)"
    return [head, *rows, *([f"semi-transparent cloud counted as cloud{why}"] if merged else [])]


def _cell(value: float | None) -> str:
    if value is None:
        return f"{'-':>17}"
    return f"{value:>17}" if isinstance(value, int) else f"{value:>17.3f}"
