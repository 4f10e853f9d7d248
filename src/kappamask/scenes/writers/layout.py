"""Lay out the panels, legend and lines of text of a picture."""

from dataclasses import dataclass
from math import ceil, log
from textwrap import fill

__all__ = [
    "GAP",
    "LARGE",
    "LETTER",
    "LINE",
    "MARGIN",
    "TEXT",
    "TITLE",
    "Layout",
    "choose_layout",
    "compute_inner_width",
    "count_legend_columns",
    "wrap_text",
]

WIDTH, HEIGHT = 1600, 1100
"""Pixels that the panels take at most."""
NARROWEST, TALLEST = 300, 1800
"""Pixels of a column at least, so that its title fits; and of a panel's height, up to which it is widened to that."""
GAP, MARGIN, TITLE, LINE = 24, 28, 40, 34
"""Pixels between panels, around all, above a panel for its title, and of a line of text."""
TEXT, LARGE = 15, 20
"""Sizes of text in points, legible when the picture is shown half as wide."""
LETTER = 12.4
"""Pixels of a letter of `TEXT`, on average and rounded up."""
BOLD = 1.3
"""By which bold capitals and digits, as in names of products, are wider."""


@dataclass(frozen=True)
class Layout:
    """Rows and columns of equal panels, and the pixels of one panel."""

    rows: int
    columns: int
    width: int
    height: int

    @property
    def cell(self) -> int:
        """Pixels of a column's width."""
        return max(self.width, NARROWEST)


def choose_layout(panels: int, aspect: float) -> Layout:
    """Choose rows and columns for equal panels, without empty cells.

    `aspect` is width / height of a panel.
    The whole comes as near as it can to the shape of a slide.
    """
    whole = [columns for columns in range(1, panels + 1) if panels % columns == 0]
    columns = min(whole, key=lambda one: abs(log(one * one / panels * aspect * HEIGHT / WIDTH)))
    rows = panels // columns
    height = min(HEIGHT / rows, WIDTH / columns / aspect)
    height = max(height, min(TALLEST, NARROWEST / aspect))
    return Layout(rows, columns, max(1, round(height * aspect)), max(1, round(height)))


def count_legend_columns(labels: list[str], width: float) -> int:
    """Return how many columns the legend can have in `width` pixels."""
    for columns in range(len(labels), 1, -1):
        rows = ceil(len(labels) / columns)
        letters = sum(max(map(len, labels[first : first + rows])) + 6 for first in range(0, len(labels), rows))
        if letters * LETTER <= width:
            return ceil(len(labels) / rows)  # matplotlib fills columns evenly only if all of them are needed
    return 1


def compute_inner_width(layout: Layout) -> int:
    """Return the pixels of a row of panels with the gaps between them."""
    return layout.columns * layout.cell + (layout.columns - 1) * GAP


def wrap_text(text: str, layout: Layout, scale: float = 1.0) -> list[tuple[str, float]]:
    """Break text into lines that fit the panels' width, each with its size in points."""
    letters = max(10, int(compute_inner_width(layout) / (LETTER * scale * (BOLD if scale > 1 else 1))))
    return [(line, TEXT * scale) for line in fill(text, letters).splitlines()]
