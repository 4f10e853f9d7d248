"""What a comparison says of where a mask is weak, as Markdown: the made part of the page of known weaknesses."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kappamask.evaluation.strata import STRATA
from kappamask.evaluation.tables import ERRORS, LABELS, markdown_table
from kappamask.reports.render import percent

__all__ = ["BEGIN", "END", "replaced", "weaknesses"]

BEGIN: Final = "<!-- By stratum: made from docs/results/strata.json by tools/docs/weaknesses.py. -->"
END: Final = "<!-- The end of what is made. -->"
WORSE: Final = 2.0
"""Times the error over all scenes from which on a stratum is called a weakness."""
SAID: Final = {
    "false": "takes {share} of the pixels without cloud for cloud, {all} over all",
    "missed": "misses {share} of the cloud, {all} over all",
}
WHOLE: Final = {"false": "no_cloud", "missed": "cloud"}
"""Error -> the group of the view `cloud` whose recall says the same of all scenes."""


def weaknesses(found: Mapping[str, Any]) -> str:
    """Sentences and a table for each data set of a comparison, as `kappamask compare` writes it in comparison.json."""
    head = f"Measured {found['made'][:10]} with {found['software']}."
    return "\n\n".join([head, *("\n\n".join(_section(one)) for one in found["sets"])])


def replaced(page: str, found: Mapping[str, Any]) -> str:
    """The Markdown page with what stands between `BEGIN` and `END` made anew. Raises ValueError without the two."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"The page needs the lines {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{weaknesses(found)}\n\n{END}{after}"


def _section(found: Mapping[str, Any]) -> Iterator[str]:
    title = found["title"][0].lower() + found["title"][1:]
    yield f"**{found['dataset']}** ({title}): {found['scenes']} judged, of {found['groups']} products or places."
    for error in ERRORS:
        yield from _sentences(found["peers"][0], error)
    yield _table(found)
    there = {name for peer in found["peers"] for name in peer["strata"]}
    absent = "; ".join(LABELS[name].lower() for name in STRATA if name not in there)
    yield f"Of these kinds none was judged, and nothing is known: {absent}." if absent else "Every kind was judged."


def _sentences(peer: Mapping[str, Any], error: str) -> Iterator[str]:
    recall = peer["views"]["cloud"]["recall"].get(WHOLE[error])
    for name, one in peer["strata"].items():
        if recall is None or one[error] is None or one[error] <= WORSE * (1 - recall):
            continue
        said = SAID[error].format(share=percent(100 * one[error]), all=percent(100 * (1 - recall)))
        yield f"- {LABELS[name]}: `{peer['name']}` {said} ({one['scenes']} judged, of {one['groups']})."


def _table(found: Mapping[str, Any]) -> str:
    names = [peer["name"] for peer in found["peers"]]
    head = ["", "judged", *(f"{title.lower()}: {name}" for title in ERRORS.values() for name in names)]
    rows = [_row(found, name) for name in STRATA if any(name in peer["strata"] for peer in found["peers"])]
    return "\n".join(markdown_table(head, rows))


def _row(found: Mapping[str, Any], name: str) -> list[str]:
    each = [peer["strata"].get(name, {}) for peer in found["peers"]]
    count = max(one.get("scenes", 0) for one in each)
    shares = [one.get(error) for error in ERRORS for one in each]
    return [LABELS[name].lower(), str(count), *(percent(None if v is None else 100 * v) for v in shares)]
