"""`kappamask evaluate` and `compare`: how good a mask, a network, or many of them are."""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kappamask.cli.options import AsJson, Level, Model, print_result
from kappamask.models.errors import require_extra
from kappamask.workflows.progress import progress_bar

if TYPE_CHECKING:
    from kappamask.evaluation.comparison import DatasetResult
    from kappamask.evaluation.metrics import PairScores

__all__ = ["compare", "evaluate"]

EXAMPLES = {
    "evaluate": "kappamask evaluate --truth truth.tif --mask mask.tif -o evaluation/",
    "compare": "kappamask compare --data data/ --peers compact,ukis-csmask,s2cloudless,threshold -o comparison/",
}
PEERS = (
    "Masks to compare, with commas: networks (id or path of a card), ukis-csmask, s2cloudless, threshold, and rasters "
    "next to the scenes by their class scheme, as SCL, Fmask=FOLDER. Differences are those of the first."
)
MERGE_TRUTH = "Count semi-transparent cloud as cloud; left out, where the truth holds none."
MERGE_LABELS = "Count semi-transparent cloud as cloud; left out, where the labels do not tell it apart."


def evaluate(
    truth: Annotated[Path | None, typer.Option(help="Mask file with the true classes.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Mask file to score.")] = None,
    labelled: Annotated[Path | None, typer.Option(help="Labelled image (.npz: dn, bands, gt_kappa) to run on.")] = None,
    model: Model = "compact",
    level: Annotated[
        Level | None,
        typer.Option(help="Level of the labelled image; else as its name says, or L1C."),
    ] = None,
    merge_thin: Annotated[bool | None, typer.Option("--merge-thin/--no-merge-thin", help=MERGE_TRUTH)] = None,
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
    with require_extra("datasets"):
        from kappamask.evaluation.files import add_assumptions, judge_files, judge_labelled, score_pair
    if labelled or output:
        judged = (
            judge_labelled(labelled, model=model, level=level, merge_thin=merge_thin) if labelled
            else judge_files(str(truth), str(mask), merge_thin=merge_thin)
        )  # fmt: skip
        found = judged.as_pair() if labelled else add_assumptions(judged.as_pair(), str(truth), str(mask))
        written = _write_tables(output, judged) if output else []
    else:  # of whole products, too: edges, squares and intervals would take minutes
        written = []
        found = score_pair(str(truth), str(mask), merge_thin=merge_thin)
    files = {"files": written} if written else {}
    notes = _list_notes(found, {"truth": truth, "mask": mask}, asked=merge_thin is not None)
    print_result(
        {
            **found.scores,
            "merge_thin": found.merges_thin,
            "not_scored": [*found.lacking],
            "without_scheme": [*found.unnamed],
            "without_georeference": [*found.unplaced],
            **files,
        },
        [*_format_scores(found), *notes, *written],
        as_json,
    )


def _write_tables(output: Path, judged: "DatasetResult") -> list[str]:
    with require_extra("scenes"):
        from kappamask.workflows.evaluation import write_evaluation

    files = write_evaluation(
        output, "evaluation", [judged], title="Evaluation of a cloud mask", command="kappamask evaluate"
    )
    return [str(path) for path in files]


def _format_scores(found: "PairScores") -> list[str]:
    names = list(found.scores["dice"])
    head = f"{'':<18}" + "".join(f"{name:>17}" for name in names)
    rows = [
        f"{key:<18}" + "".join(_format_score(values[name]) for name in names) for key, values in found.scores.items()
    ]
    return [head, *rows]


def _list_notes(found: "PairScores", paths: Mapping[str, Path | None], *, asked: bool) -> list[str]:
    """Say what the scores take for granted."""
    unnamed, unplaced = (
        ", ".join(path.name for role in roles if (path := paths[role])) for roles in (found.unnamed, found.unplaced)
    )
    why = "" if asked else ", for the truth does not tell them apart (--no-merge-thin counts them apart)"
    notes = {
        f"semi-transparent cloud counted as cloud{why}": found.merges_thin,
        "shadow counted as clear, for the truth's scheme has none": found.merges_shadow,
        f"not scored, for the mask has no such class: {', '.join(found.lacking)}": bool(found.lacking),
        f"codes taken for KappaMask's, for no scheme is named in: {unnamed}": bool(unnamed),
        f"rows taken to run from north to south, for there is no georeference in: {unplaced}": bool(unplaced),
    }
    return [note for note, holds in notes.items() if holds]


def _format_score(value: float | None) -> str:
    if value is None:
        return f"{'-':>17}"
    return f"{value:>17}" if isinstance(value, int) else f"{value:>17.3f}"


class Split(StrEnum):
    """Parts of a data set."""

    TEST = "test"
    VALIDATION = "validation"
    TRAIN = "train"
    ALL = "all"


def compare(
    data: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME=]FOLDER",
            help="Labelled set, as cloudsen12=data/, or a folder of labelled_*.npz; may be repeated.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for tables and page.", show_default=False)],
    peers: Annotated[str, typer.Option(help=PEERS)] = "compact,threshold",
    split: Annotated[
        Split | None, typer.Option(help="Part of the set: test, but all of your own files, if left out.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many patches of each set, evenly taken.")] = None,
    merge_thin: Annotated[bool | None, typer.Option("--merge-thin/--no-merge-thin", help=MERGE_LABELS)] = None,
    as_json: AsJson = False,
) -> None:
    """Judge masks against labelled data.

    Writes comparison.json, .md, .csv, .tex and .html: tables as in the KappaMask paper, intervals, and a page with the
    worst scenes. A mask that cannot be made is named, and the others go on.
    """
    with require_extra("datasets"):
        from kappamask.evaluation.comparison import judge
    with require_extra("scenes"):  # missed now, not after all masks were made
        from kappamask.workflows.evaluation import describe_results, format_comparison, write_evaluation

    named = [name.strip() for name in peers.split(",") if name.strip()]
    if not named:
        raise typer.BadParameter("name one mask or more", param_hint="--peers")
    check_folder(output)
    judged = []
    for one in data:
        with progress_bar(f"judge {one}") as show:
            judged.append(judge(one, named, split=split, limit=limit, merge_thin=merge_thin, report=show))
    written = write_evaluation(output, "comparison", judged, title="Cloud masks compared", command="kappamask compare")
    result = {**describe_results(judged), "files": [str(path) for path in written]}
    print_result(
        result, [*(line for one in judged for line in format_comparison(one.found)), *result["files"]], as_json
    )


def check_folder(output: Path) -> None:
    """Raise typer.BadParameter where no folder can be written, before masks are made."""
    there = next(path for path in (output, *output.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise typer.BadParameter(f"{there} is no folder that can be written to", param_hint="--output")
