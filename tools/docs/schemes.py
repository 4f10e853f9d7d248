"""The reference of class schemes, from the table that masks are turned by."""

from collections.abc import Iterable

from kappamask.models.scheme_table import SCHEMES, Scheme
from kappamask.models.schemes import CLASSES, losses

HEAD = """# Class schemes

What each KappaMask class is written as; 255 is nodata in every scheme.
"""


def scheme_reference() -> str:
    """One table of all schemes, then for each its codes, how they are read, and what is lost; Markdown."""
    overview = _table(
        ["KappaMask", *SCHEMES],
        ([f"{code} {name}", *(one.written[code] for one in SCHEMES.values())] for code, name in enumerate(CLASSES)),
    )
    return "\n\n".join([HEAD, overview, *map(_section, SCHEMES.values())])


def _section(scheme: Scheme) -> str:
    rows = _table(
        ["code", "name", "is read as"],
        ([row.value, f"{_swatch(row.color)}{row.name}", f"{row.read} {CLASSES[row.read]}"] for row in scheme.rows),
    )
    return "\n\n".join([f"## {scheme.name}", f"{scheme.source}.", rows, *losses(scheme.name)])


def _swatch(color: str) -> str:
    return f'<span class="swatch" style="background:#{color}"></span>'


def _table(head: list[str], rows: Iterable[list[object]]) -> str:
    lines: list[list[object]] = [[*head], ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
