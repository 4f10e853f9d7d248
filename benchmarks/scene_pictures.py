"""Draw real scenes next to their masks and labels, in the colours of reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kappamask.datasets.planes import BANDS, Planes
from kappamask.models.schemes import CLASSES
from kappamask.scenes.encoding import format_class_name
from kappamask.scenes.writers.class_colours import COLOURS
from kappamask.scenes.writers.natural_colour import RGB as NATURAL
from kappamask.scenes.writers.natural_colour import WHITE, stretch_reflectance

__all__ = ["Column", "Row", "draw_columns", "draw_sheet"]

SIDE_PX, LARGE_PX, GAP_PX, LINE_PX = 160, 258, 4, 20
"""Side of an image on a sheet and in the picture, the gap between two, the height of a line of text."""
PAPER, INK, FRAME, ABSENT = (255, 255, 255), (30, 30, 30), (107, 107, 107), (228, 228, 228)
VIEWS: Final = ("natural colours", "infrared", "B10", "mask, all bands", "mask, 4 bands", "mask, 3 bands", "labels")
B10_WHITE: Final = 0.03
"""Reflectance in B10 that is drawn white; of the other bands as in quick-looks."""
MASK_COLOURS: Final = np.array([tuple(bytes.fromhex(COLOURS[code])) for code in sorted(COLOURS)], np.uint8)
MIXED: Final = {
    0: ("7a7a7a", "not judged"),
    12: ("f2a5d2", "cloud of either kind"),
    3: ("b0a000", "clear or shadow"),
    5: ("2f9e8f", "clear or semi-transparent"),
    6: ("6b6bd6", "shadow or semi-transparent"),
}
"""Set of several classes, or of none -> colour and name in the legend."""
SET_COLOURS: Final = {1 << (code - 1): COLOURS[code] for code in (1, 2, 3, 4)} | {
    value: colour for value, (colour, _) in MIXED.items()
}
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """An image of a sheet."""

    caption: str
    scene: Planes
    masks: Sequence[NDArray[np.uint8] | None]
    """With all bands, four, three; None where the scene has no such bands."""
    sets: NDArray[np.uint8]
    """Labels as sets of classes."""


@dataclass(frozen=True)
class Column:
    """A scene and its mask."""

    title: str
    scene: Planes
    mask: NDArray[np.uint8]
    white: float = WHITE
    """Reflectance that is drawn white."""


def draw_sheet(rows: Sequence[Row]) -> Image.Image:
    """Draw rows of views under a line of headings, with a legend below."""
    step, width = SIDE_PX + GAP_PX, len(VIEWS) * (SIDE_PX + GAP_PX)
    classes = [(COLOURS[code], format_class_name(CLASSES[code])) for code in (1, 2, 3, 4, 5)]
    sheet = Image.new("RGB", (width, LINE_PX + len(rows) * (step + LINE_PX) + 2 * LINE_PX + 16), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, name in enumerate(VIEWS):
        draw.text((i * step + 2, 2), name, INK, _font(13, bold=True))
    for number, row in enumerate(rows):
        top = LINE_PX + number * (step + LINE_PX)
        draw.text((2, top + 2), row.caption, INK, _font(13))
        for i, view in enumerate(_draw_views(row)):
            _paste(sheet, view, (i * step, top + LINE_PX), SIDE_PX)
    top = sheet.height - 2 * LINE_PX - 8
    _draw_legend(draw, (2, top), [("masks:", None), *((name, colour) for colour, name in classes)])
    _draw_legend(draw, (2, top + LINE_PX), [("labels also:", None), *((n, c) for c, n in MIXED.values())])
    return sheet


def draw_columns(columns: Sequence[Column]) -> Image.Image:
    """Draw scenes above and their masks below, with titles and a legend."""
    step = LARGE_PX + GAP_PX
    sheet = Image.new("RGB", (len(columns) * step + GAP_PX, 2 * step + 2 * LINE_PX + 24), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, column in enumerate(columns):
        x = GAP_PX + i * step
        draw.text((x + LARGE_PX / 2, LINE_PX / 2 + 2), column.title, INK, _font(15), anchor="mm")
        _paste(sheet, _stretch(column.scene, NATURAL, column.white), (x, LINE_PX + 4), LARGE_PX)
        _paste(sheet, MASK_COLOURS[column.mask], (x, LINE_PX + 4 + step), LARGE_PX)
    entries = [(format_class_name(CLASSES[code]), COLOURS[code]) for code in (1, 2, 3, 4)]
    _draw_legend(draw, (GAP_PX, 2 * step + LINE_PX + 14), entries, size=15)
    return sheet


def _draw_views(row: Row) -> list[Picture | None]:
    scene = row.scene
    has_b11 = np.isfinite(scene[BANDS.index("B11")]).any()
    infrared = ("B11", "B08", "B04") if has_b11 else ("B08", "B04", "B03")
    return [
        _stretch(scene, NATURAL),
        _stretch(scene, infrared),
        _stretch(scene, ("B10",) * 3, B10_WHITE) if np.isfinite(scene[BANDS.index("B10")]).any() else None,
        *(None if mask is None else MASK_COLOURS[mask] for mask in row.masks),
        _draw_sets(row.sets),
    ]


def _paste(sheet: Image.Image, view: Picture | None, place: tuple[int, int], side: int) -> None:
    x, y = place
    box = (x, y, x + side - 1, y + side - 1)
    if view is None:
        ImageDraw.Draw(sheet).rectangle(box, fill=ABSENT)
        ImageDraw.Draw(sheet).text((x + side / 2, y + side / 2), "not there", FRAME, _font(13), anchor="mm")
    else:
        sheet.paste(Image.fromarray(view).resize((side, side)), place)
    ImageDraw.Draw(sheet).rectangle(box, outline=FRAME)


def _draw_legend(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], entries: Sequence[tuple[str, str | None]], size: int = 13
) -> None:
    """Draw names, each after a swatch of its colour if it has one."""
    (x, y), font = place, _font(size)
    for name, colour in entries:
        if colour:
            draw.rectangle((x, y, x + size + 8, y + size), fill=f"#{colour}", outline=FRAME)
            x += size + 14
        draw.text((x, y + size / 2), name, INK, font, anchor="lm")
        x += int(draw.textlength(name, font)) + 20


def _font(size: int, *, bold: bool = False) -> Any:
    """Return the font that matplotlib brings along, which is the same on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def _stretch(scene: Planes, names: tuple[str, ...], white: float = WHITE) -> Picture:
    planes = np.stack([scene[BANDS.index(name)] for name in names], -1).astype(np.float32)
    return np.asarray(255 * stretch_reflectance(planes * np.float32(WHITE / white))).astype(np.uint8)


def _draw_sets(sets: NDArray[np.uint8]) -> Picture:
    drawn = np.zeros((*sets.shape, 3), np.uint8)
    for value, colour in SET_COLOURS.items():
        drawn[sets == value] = tuple(bytes.fromhex(colour))
    return drawn
