"""Format a comparison as tables in the paper's layout: Markdown, LaTeX and CSV."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kappamask.datasets.patch import GROUNDS
from kappamask.evaluation.metrics import RATES
from kappamask.evaluation.strata import STRATA

__all__ = [
    "LABELS",
    "format_csv",
    "format_latex",
    "format_markdown",
    "format_markdown_table",
    "list_shortcomings",
    "make_tables",
    "set_name",
    "tables",
]

LABELS = {
    "clear": "Clear",
    "shadow": "Cloud shadow",
    "semi_transparent": "Semi-transparent",
    "cloud": "Cloud",
    "all": "All classes",
    "no_cloud": "No cloud",
    "no_shadow": "No shadow",
    "valid": "Valid",
    "invalid": "Invalid",
    "all_clear": "All clear",
    "all_cloud": "All cloud",
    "mixed": "Mixed",
    **GROUNDS,
    "dice": "Dice coefficient",
    "precision": "Precision",
    "recall": "Recall",
    "overall_accuracy": "Overall accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "iou": "IoU",
}
"""Words of the paper's tables where it has them."""
PRINTED = RATES[:4]
"""Scores that the paper prints."""
QUESTIONS = {"cloud": "Cloud or not", "shadow": "Shadow or not", "valid": "Valid or not"}
"""Views of two groups, of which dice is printed."""
ERRORS = {"false": "False positive rate", "missed": "Omission error"}
"""Errors of cloud of either kind in each stratum: shares of the pixels without cloud, and of those with cloud.

The first is not the commission error, which is a share of the pixels that the mask calls cloud: 1 - precision."""
NONE = "–"
COLUMNS = ("dataset", "split", "peer", "view", "score", "class", "value", "low", "high", "scenes", "stratum",
           "folder")  # fmt: skip
LATEX = str.maketrans({"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "–": "--",
                       "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"})  # fmt: skip
Table = tuple[str, list[str], list[list[str]]]


def make_tables(found: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a data set's `summarise_comparison`, one a score: title, head, rows.

    Percent with one decimal.
    """
    head = [peer["name"] for peer in found["peers"]]
    main = [
        (LABELS[score], [LABELS[score], *head], _make_rows(found, found["view"], score, [*found["classes"], "all"]))
        for score in PRINTED
    ]
    asked = [
        (f"{title}: dice coefficient", [title, *head], _make_rows(found, view, "dice", _list_groups(found, view)))
        for view, title in QUESTIONS.items()
    ]
    return main + [
        table for table in [*asked, *_make_strata_table(found)] if any(c != NONE for row in table[2] for c in row[1:])
    ]


def format_markdown(sets: Sequence[Mapping[str, Any]]) -> str:
    """Format all tables of all data sets as Markdown."""
    return "\n".join(line for found in sets for line in _iter_markdown_lines(found))


def format_latex(sets: Sequence[Mapping[str, Any]]) -> str:
    """Format all tables as LaTeX, a `tabular` each, with no packages."""
    return "\n".join(line for found in sets for line in _iter_latex_lines(found))


def format_csv(sets: Sequence[Mapping[str, Any]]) -> str:
    """Format every score of every view as CSV, one row a figure.

    0 to 1, with its interval of 95 % where there is one.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for found in sets:
        writer.writerows(_list_figures(found))
    return out.getvalue()


def _make_rows(found: Mapping[str, Any], view: str, score: str, names: Sequence[str]) -> list[list[str]]:
    return [
        [LABELS[name], *(_format_percent(peer["views"][view][score][name]) for peer in found["peers"])]
        for name in names
    ]


def _make_strata_table(found: Mapping[str, Any]) -> Iterator[Table]:
    """Make the table of cloud errors in each stratum, with its number of scenes."""
    head = [peer["name"] for peer in found["peers"]]
    for error, title in ERRORS.items():
        there = [name for name in STRATA if any(name in peer["strata"] for peer in found["peers"])]
        yield f"{title}, by stratum", [title, *head], [_format_stratum(found, name, error) for name in there]


def _format_stratum(found: Mapping[str, Any], name: str, error: str) -> list[str]:
    each = [peer["strata"].get(name) for peer in found["peers"]]
    count = max(one["scenes"] for one in each if one)
    return [f"{LABELS[name]} ({count})", *(_format_percent(one and one[error]) for one in each)]


def _list_groups(found: Mapping[str, Any], view: str) -> list[str]:
    return list(found["peers"][0]["views"][view]["dice"])[:-1]


def _format_percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def _make_title(found: Mapping[str, Any]) -> str:
    return f"{set_name(found)}, {found['split']}: {found['scenes']} scenes of {found['groups']} products or places"


def set_name(found: Mapping[str, Any]) -> str:
    """Name the data set and the folder that it was in.

    Of the user's own sets there may be several.
    """
    return f"{found['dataset']} in {found['folder']}" if found.get("folder") else str(found["dataset"])


def list_shortcomings(found: Mapping[str, Any]) -> list[str]:
    """Return a line for each peer that could not run everywhere, and why."""
    absent = [f"{name} could not run: {reason}" for name, reason in found["absent"].items()]
    return absent + [
        f"{peer['name']} is judged on {peer['scenes']} of {found['scenes']} scenes; {times} times: {reason}"
        for peer in found["peers"]
        for reason, times in peer["failures"].items()
    ]


def _iter_markdown_lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"# {_make_title(found)}", "")
    for title, head, rows in make_tables(found):
        yield from (f"## {title}", "", *format_markdown_table(head, rows), "")
    for line in list_shortcomings(found):
        yield from (line, "")


def format_markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Format the lines of one table, all columns but the first to the right."""
    yield from (_format_line(head), _format_line(["---"] + ["--:"] * (len(head) - 1)), *map(_format_line, rows))


def _format_line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _iter_latex_lines(found: Mapping[str, Any]) -> Iterator[str]:
    for line in (_make_title(found), *list_shortcomings(found)):
        yield f"% {' '.join(line.split())}"
    for _, head, rows in make_tables(found):
        yield rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"
        yield from (
            r"\hline",
            _format_latex_row(head),
            r"\hline",
            *map(_format_latex_row, rows),
            r"\hline",
            r"\end{tabular}",
            "",
        )


def _format_latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cell.translate(LATEX) for cell in cells) + r" \\"


def _list_figures(found: Mapping[str, Any]) -> Iterator[list[Any]]:
    for peer in found["peers"]:
        for view, scores in peer["views"].items():
            bounds = peer["intervals"] if view == found["view"] else {}
            for score in RATES:
                for name, value in scores[score].items():
                    low, high = bounds.get(score, {}).get(name) or ("", "")
                    who = [found["dataset"], found["split"], peer["name"], view, score, name]
                    yield [*who, "" if value is None else value, low, high, peer["scenes"], "", found.get("folder", "")]
        yield from _list_strata_figures(found, peer)


def _list_strata_figures(found: Mapping[str, Any], peer: Mapping[str, Any]) -> Iterator[list[Any]]:
    for name, one in peer["strata"].items():
        bounds = one["intervals"]
        rows = [(found["view"], "dice", key, v, bounds.get("dice", {}).get(key)) for key, v in one["dice"].items()]
        rows += [("cloud", error, "cloud", one[error], bounds.get(error)) for error in ERRORS]
        for *what, value, span in rows:
            who = [found["dataset"], found["split"], peer["name"], *what]
            low, high = span or ("", "")
            rest = [one["scenes"], name, found.get("folder", "")]
            yield [*who, "" if value is None else value, low, high, *rest]


tables = make_tables  # the name that was documented
