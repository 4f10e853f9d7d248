"""The reference of class schemes, from the table that masks are turned by."""

from collections.abc import Iterable

from kappamask.models.schemes import CLASSES, SCHEMES, Scheme, list_losses

HEAD = """# Class schemes

What each KappaMask class is written as; 255 is nodata in every scheme.
"""


def scheme_reference() -> str:
    """Write a table of all schemes, then codes, reading and losses of each, as Markdown."""
    classes = [f"{code} {name}" for code, name in enumerate(CLASSES)]
    overview = _table(["scheme", *classes], ([one.name, *one.codes] for one in SCHEMES.values()))
    return "\n\n".join([HEAD, overview, *map(_section, SCHEMES.values())])


def _section(scheme: Scheme) -> str:
    rows = _table(
        ["code", "name", "is read as"],
        (
            [row.value, f"{_swatch(row.color)}{row.name}", f"{row.kappamask_code} {CLASSES[row.kappamask_code]}"]
            for row in scheme.rows
        ),
    )
    lost = "\n".join(f"- {sentence}" for sentence in list_losses(scheme.name))
    return "\n\n".join([f"## {scheme.name}", f"{scheme.source}.", rows, lost])


def _swatch(color: str) -> str:
    return f'<span class="swatch" style="background:#{color}"></span>'


def _table(head: list[str], rows: Iterable[list[object]]) -> str:
    lines: list[list[object]] = [[*head], ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
