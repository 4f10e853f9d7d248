"""Draw the packages and their imports, read from the code, as `docs/images/packages.svg`.

Packages import downwards only. Arrows that follow from others are left out: where a imports b and b imports c, an
arrow from a to c would say nothing new about the order. Run it again after a package is added or imports another one.
"""

from collections.abc import Iterable
from html import escape
from itertools import pairwise
from pathlib import Path

import grimp

__all__ = ["PICTURE", "draw", "read_imports", "reduce_imports"]

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "packages.svg"
ROOT_PACKAGE = "kappamask"
COLOURS = {"cli": "#f6d9b8", "udf": "#cfe8d5", "models": "#cfe8d5", "openeo_process": "#cfe8d5"}
"""Package -> fill of its box; green is what lies at the top of the checkout."""
FILL, TEXT, LINE = "#dbe6f0", "#1d2b36", "#7b8b99"
"""Readable on white and on black: boxes bring their own background."""
WIDTH_PX, HEIGHT_PX, GAP_PX, STEP_PX, MARGIN_PX = 150, 38, 34, 92, 16
SWEEPS = 12

Edges = set[tuple[str, str]]


def read_imports(package: str = ROOT_PACKAGE) -> Edges:
    """Read which packages directly below `package` import which, functions included: (importer, imported)."""
    graph = grimp.build_graph(package, cache_dir=None)
    children = [child for child in graph.find_children(package) if graph.find_children(child)]
    members = {child: {child} | graph.find_descendants(child) for child in children}
    owner = {module: child.rpartition(".")[2] for child, modules in members.items() for module in modules}
    pairs = ((one, other) for one in owner for other in graph.find_modules_directly_imported_by(one) if other in owner)
    return {(owner[one], owner[other]) for one, other in pairs if owner[one] != owner[other]}


def reduce_imports(edges: Edges) -> Edges:
    """Leave out the edges that follow from others (transitive reduction). Raises ValueError for a circle."""
    ranks = rank_packages(edges)
    below = {one: {b for a, b in edges if a == one} for one in ranks}
    reach: dict[str, set[str]] = {}
    for one in sorted(ranks, key=ranks.__getitem__):
        reach[one] = below[one].union(*(reach[other] for other in below[one]))
    return {(a, b) for a, b in edges if not any(b in reach[other] for other in below[a] - {b})}


def rank_packages(edges: Edges) -> dict[str, int]:
    """Rank packages: 0 imports no other; others are one above the highest that they import."""
    ranks = dict.fromkeys(sorted({name for edge in edges for name in edge}), 0)
    for _ in ranks:
        raised = {a: max(ranks[b] + 1 for one, b in edges if one == a) for a in {a for a, _ in edges}}
        if raised.items() <= ranks.items():
            return ranks
        ranks |= raised
    raise ValueError("packages import each other in a circle")


def draw(edges: Edges) -> str:
    """Draw the reduced edges as SVG; the same edges give the same text."""
    edges = reduce_imports(edges)
    ranks = rank_packages(edges)
    paths = {edge: _path(edge, ranks) for edge in sorted(edges)}
    rows = _order(ranks, paths)
    widest = max(map(_row_width, rows.values()))
    place = {
        node: (x + (widest - _row_width(row)) / 2 + MARGIN_PX, (max(rows) - rank) * STEP_PX + MARGIN_PX)
        for rank, row in rows.items()
        for node, x in zip(row, _lefts(row), strict=True)
    }
    width, height = round(widest) + 2 * MARGIN_PX, max(rows) * STEP_PX + HEIGHT_PX + 2 * MARGIN_PX
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="Packages and their imports" font-family="sans-serif" font-size="15">',
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{LINE}"/></marker></defs>',
        *(_arrow([place[node] for node in path]) for path in paths.values()),
        *(_box(name, *place[name]) for name in ranks),
        "</svg>\n",
    ])  # fmt: skip


def _path(edge: tuple[str, str], ranks: dict[str, int]) -> list[str]:
    """Split an edge at the rows between by nodes `a>b@rank`, which boxes keep clear of."""
    upper, lower = edge
    between = range(ranks[upper] - 1, ranks[lower], -1)
    return [upper, *(f"{upper}>{lower}@{rank}" for rank in between), lower]


def _order(ranks: dict[str, int], paths: dict[tuple[str, str], list[str]]) -> dict[int, list[str]]:
    """Order each row by the mean place of its neighbours, so that few arrows cross."""
    rows: dict[int, list[str]] = {rank: [] for rank in sorted(set(ranks.values()))}
    for name, rank in ranks.items():
        rows[rank].append(name)
    for path in paths.values():
        for node in path[1:-1]:
            rows[int(node.rpartition("@")[2])].append(node)
    neighbours: dict[str, set[str]] = {node: set() for row in rows.values() for node in row}
    for path in paths.values():
        for one, other in pairwise(path):
            neighbours[one].add(other)
            neighbours[other].add(one)
    for sweep in range(SWEEPS):
        for rank in sorted(rows, reverse=sweep % 2 == 0):
            where = {node: _centre(row, node) for row in rows.values() for node in row}
            rows[rank].sort(key=lambda node: (_mean(where[one] for one in neighbours[node]), node))
    return rows


def _is_box(node: str) -> bool:
    return "@" not in node


def _lefts(row: list[str]) -> list[float]:
    lefts, x = [], 0.0
    for node in row:
        lefts.append(x)
        x += (WIDTH_PX if _is_box(node) else 0) + GAP_PX
    return lefts


def _row_width(row: list[str]) -> float:
    return _lefts(row)[-1] + (WIDTH_PX if _is_box(row[-1]) else 0)


def _centre(row: list[str], node: str) -> float:
    return _lefts(row)[row.index(node)] + (WIDTH_PX / 2 if _is_box(node) else 0) - _row_width(row) / 2


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else 0.0


def _arrow(corners: list[tuple[float, float]]) -> str:
    """Draw an arrow between two boxes, upright where it passes others."""
    first, *middle, last = corners
    x, y = first[0] + WIDTH_PX / 2, first[1] + HEIGHT_PX
    text = f"M{x:.0f} {y:.0f}"
    for left, top in middle:
        text += (
            f" C{x:.0f} {(y + top) / 2:.0f} {left:.0f} {(y + top) / 2:.0f} {left:.0f} {top:.0f} V{top + HEIGHT_PX:.0f}"
        )
        x, y = left, top + HEIGHT_PX
    to_x, to_y = last[0] + WIDTH_PX / 2, last[1] - 1
    text += f" C{x:.0f} {(y + to_y) / 2:.0f} {to_x:.0f} {(y + to_y) / 2:.0f} {to_x:.0f} {to_y:.0f}"
    return f'<path d="{text}" fill="none" stroke="{LINE}" stroke-width="1.6" marker-end="url(#tip)"/>'


def _box(name: str, left: float, top: float) -> str:
    return (
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{WIDTH_PX}" height="{HEIGHT_PX}" rx="6" '
        f'fill="{COLOURS.get(name, FILL)}" stroke="{LINE}"/>'
        f'<text x="{left + WIDTH_PX / 2:.0f}" y="{top + HEIGHT_PX / 2 + 5:.0f}" text-anchor="middle" fill="{TEXT}">'
        f"{escape(name)}</text>"
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(read_imports()), encoding="utf-8")
