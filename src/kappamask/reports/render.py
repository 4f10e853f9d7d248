"""Pages from templates: whatever comes from outside is escaped, and nothing is fetched when a page is read."""

from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from kappamask.scenes.atomic import written_whole

__all__ = ["percent", "write_html"]

UNKNOWN = "–"
"""What stands where there is no number."""


def write_html(path: str | Path, template: str, **facts: Any) -> Path:
    """Write the page that a template of this room makes of `facts`; SceneError if it cannot be written."""
    text = _templates().get_template(template).render(facts, version=version("kappamask-openeo"))
    with written_whole(Path(path)) as draft:
        draft.write_text(text, encoding="utf-8")
    return Path(path)


@cache
def _templates() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("kappamask.reports"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters |= {"percent": percent, "count": _count, "number": _number}
    return found


def percent(value: float | None) -> str:
    """A percentage to a tenth, but never 0 or 100 for what only comes near it; a dash for None and NaN."""
    if value is None or value != value:
        return UNKNOWN
    low, high = 0 < value < 0.05, 99.95 <= value < 100
    return "< 0.1 %" if low else "> 99.9 %" if high else f"{value:.1f} %"


def _count(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"
