"""Write the generated part of the page of known weaknesses, as Markdown."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kappamask.evaluation.strata import STRATA
from kappamask.evaluation.tables import ERRORS, LABELS, format_markdown_table
from kappamask.reports.render import format_percent

__all__ = ["BEGIN", "END", "replace_section", "weaknesses"]

BEGIN: Final = "<!-- By stratum: made from docs/results/accuracy.json by make results. -->"
END: Final = "<!-- The end of what is made. -->"
WORSE: Final = 2.0
"""Times the error over all scenes from which on a stratum is called a weakness."""
SAID: Final = {
    "false": "takes {share}{bounds} of the pixels without cloud for cloud, {all} over all",
    "missed": "misses {share}{bounds} of the cloud, {all} over all",
}
WHOLE: Final = {"false": "no_cloud", "missed": "cloud"}
"""Error -> the group of the view `cloud` whose recall says the same of all scenes."""


def weaknesses(found: Mapping[str, Any], shipped: str | None = None) -> str:
    """Write sentences and a table for each data set of a comparison.

    found: the comparison, as `kappamask compare` writes it in comparison.json.
    shipped: sha256 of the network that it should be about; of another one it is said.
    """
    head = f"Measured {found['made'][:10]} with {found['software']}; in brackets intervals of 95 %."
    judged = {peer.get("sha256") for one in found["sets"] for peer in one["peers"][:1]}
    if shipped and judged != {shipped}:
        head = f"**Of another network than the one that comes with the package now.** {head}"
    return "\n\n".join([head, *("\n\n".join(_section(one)) for one in found["sets"])])


def replace_section(page: str, found: Mapping[str, Any], shipped: str | None = None) -> str:
    """Write the page again between `BEGIN` and `END`; ValueError without the two."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"The page needs the lines {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{weaknesses(found, shipped)}\n\n{END}{after}"


def _section(found: Mapping[str, Any]) -> Iterator[str]:
    title = found.get("what") or found["title"][0].lower() + found["title"][1:]
    name = found.get("file") or found["dataset"]
    places = "one product or place" if found["groups"] == 1 else f"{found['groups']} products or places"
    yield f"**{name}** ({title}): {found['scenes']} judged, of {places}."
    for error in ERRORS:
        yield from _sentences(found["peers"][0], error)
        yield from _table(found, error)
    there = {name for peer in found["peers"] for name in peer["strata"]}
    absent = "; ".join(LABELS[name].lower() for name in STRATA if name not in there)
    yield f"Of these kinds none was judged, and nothing is known: {absent}." if absent else "Every kind was judged."


def _sentences(peer: Mapping[str, Any], error: str) -> Iterator[str]:
    recall = peer["views"]["cloud"]["recall"].get(WHOLE[error])
    for name, one in peer["strata"].items():
        if recall is None or one[error] is None or one[error] <= WORSE * (1 - recall):
            continue
        share, total = format_percent(100 * one[error]), format_percent(100 * (1 - recall))
        said = SAID[error].format(share=share, bounds=_bounds(one, error), all=total)
        yield f"- {LABELS[name]}: `{peer['name']}` {said} ({one['scenes']} judged, of {one['groups']})."


def _table(found: Mapping[str, Any], error: str) -> Iterator[str]:
    """Yield the table of one error; nothing where no kind has it."""
    names = [
        name for name in STRATA if any(peer["strata"].get(name, {}).get(error) is not None for peer in found["peers"])
    ]
    if names:
        head = [ERRORS[error], "judged", *(peer["name"] for peer in found["peers"])]
        yield "\n".join(format_markdown_table(head, [_row(found, name, error) for name in names]))


def _row(found: Mapping[str, Any], name: str, error: str) -> list[str]:
    each = [peer["strata"].get(name, {}) for peer in found["peers"]]
    count = max(one.get("scenes", 0) for one in each)
    cells = [_cell(one, error) + ("" if i else _bounds(one, error)) for i, one in enumerate(each)]
    return [LABELS[name].lower(), str(count), *cells]


def _cell(one: Mapping[str, Any], error: str) -> str:
    share = one.get(error)
    return format_percent(None if share is None else 100 * share)


def _bounds(one: Mapping[str, Any], error: str) -> str:
    pair = one.get("intervals", {}).get(error)
    return f" ({100 * pair[0]:.1f} to {100 * pair[1]:.1f})" if pair else ""
