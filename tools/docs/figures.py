"""Write figures of the page of results as tables and words, from their JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kappamask.evaluation.counts import SIDE
from kappamask.evaluation.tables import LABELS, format_markdown_table, make_tables
from kappamask.reports.render import format_percent

NONE: Final = "–"
OF_SHADOW: Final = ("Shadow or not", "Valid or not")
"""Tables that say nothing where shadow is not labelled."""
SHORT: Final = 10.0
"""Seconds."""
Json = Mapping[str, Any]
Table = tuple[str, list[str], list[list[str]]]


def format_markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(format_markdown_table(head, rows))


def dice(found: Json) -> str:
    """Dice of each class and mask, with its interval."""
    rows = []
    for name in [*found["classes"], "all"]:
        cells = [
            _with_bounds(peer["views"][found["view"]]["dice"][name], peer["intervals"].get("dice", {}).get(name))
            for peer in found["peers"]
        ]
        rows.append([LABELS[name], *cells])
    rows = [row for row in rows if {*row[1:]} != {NONE}]
    return format_markdown(["", *(peer["name"] for peer in found["peers"])], rows)


def further_tables(found: Json) -> list[Table]:
    """Give the other tables in the paper's layout; shadow only where it is labelled."""
    blind = found["without_shadow"] == found["scenes"]
    made = [one for one in make_tables(found)[1:] if "stratum" not in one[0]]
    seen = [one for one in made if not (blind and one[0].startswith(OF_SHADOW))]
    return [(title, head, [row for row in rows if {*row[1:]} != {NONE}]) for title, head, rows in seen]


def _with_bounds(value: float | None, bounds: Sequence[float] | None) -> str:
    text = format_percent(None if value is None else 100 * value)
    return text if not bounds else f"{text} <small>{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}</small>"


def points(value: float, bounds: Sequence[float] | None) -> str:
    """A difference in percentage points."""
    text = f"{100 * value:+.1f}"
    return text if not bounds else f"{text} ({100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f}) points"


def describe_samples(drawn: Json) -> str:
    """What an interval rests on, in words."""
    if drawn["of"] == "groups":
        return f"{drawn['number']} products or places"
    return f"{drawn['number']} squares of {SIDE} px of the one scene: of this scene, not of others"


def name_classes(found: Json) -> str:
    """Name the labelled classes of a set.

    Of files that have labels of their own, those that they hold.
    """
    if not found["judges"].endswith("each file holds"):
        return str(found["judges"])
    cloud = "cloud of either kind" if found["view"] == "merged" else "semi-transparent cloud, cloud"
    return ", ".join(["clear", *([] if found["without_shadow"] else ["cloud shadow"]), cloud])


def cost(times: Json) -> str:
    """The time table: the largest size of each mask, with what reading its bands takes."""
    reading = {tuple(one["bands"]): one["median"] for one in times["reading"]}
    rows = []
    for row in (row for row in times["rows"] if row["sizes"]):
        last = row["sizes"][-1]
        pace = f"{last['median'] / last['mpx']:.3f}"
        read = reading.get(tuple(row["bands"]))
        rest = [pace, _runs(last), f"{last['peak_mb']} MB", clock(read) if read else NONE]
        rows.append([f"`{row['peer']}`", str(len(row["bands"])), f"{last['mpx']:.1f}", _star(last), *rest])
    head = ["mask", "bands", "megapixels", "time", "s / megapixel", "runs", "peak memory", "reading"]
    return format_markdown(head, rows)


def sizes(times: Json) -> str:
    """Seconds of each mask at each size."""
    known = sorted({one["mpx"] for row in times["rows"] for one in row["sizes"]})
    rows = []
    for row in (row for row in times["rows"] if row["sizes"]):
        by_size = {one["mpx"]: f"{one['median']:.2f}{'*' if one['block'] else ''}" for one in row["sizes"]}
        rows.append([f"`{row['peer']}`", *(by_size.get(size, NONE) for size in known)])
    return format_markdown(["mask", *(f"{size:g}" for size in known)], rows)


def _runs(size: Json) -> str:
    """How many there were, and how far apart the fastest and the slowest."""
    taken = size["seconds"]
    return f"{len(taken)} <small>{clock(min(taken))} to {clock(max(taken))}</small>" if len(taken) > 1 else "1"


def _star(size: Json) -> str:
    return clock(size["median"]) + (" *" if size["block"] else "")


def has_blocks(times: Json) -> bool:
    """Whether a mask was made in blocks."""
    return any(size["block"] for row in times["rows"] for size in row["sizes"])


def clock(seconds: float) -> str:
    """Minutes and seconds, as in the paper; tenths of a second of what is short."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:02d}:{rest:02d}" if seconds >= SHORT else f"{seconds:.1f} s"


def versions(packages: Mapping[str, str]) -> str:
    """What does the work."""
    return ", ".join(f"{name} {number}" for name, number in packages.items())
