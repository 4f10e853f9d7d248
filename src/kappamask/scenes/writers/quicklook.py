"""Draw quicklooks: natural colours, outlines, the mask, and the truth where known."""

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from kappamask.files.atomic import atomic_write
from kappamask.models import ClassValue, SceneError
from kappamask.scenes.encoding import format_class_name, map_codes, read_legend
from kappamask.scenes.grid import sort_north_up
from kappamask.scenes.readers.raster import GDAL_ERRORS
from kappamask.scenes.statistics import compute_class_percentages, to_classes
from kappamask.scenes.writers.captions import (
    format_percent,
    format_scene_facts,
    is_north_up,
    make_scale_bar,
    name_network,
    name_scene,
)
from kappamask.scenes.writers.class_colours import OUTLINES, colour_codes, draw_outlines, find_picture_colour
from kappamask.scenes.writers.layout import (
    GAP,
    LARGE,
    LETTER,
    LINE,
    MARGIN,
    TEXT,
    TITLE,
    Layout,
    choose_layout,
    compute_inner_width,
    count_legend_columns,
    wrap_text,
)
from kappamask.scenes.writers.natural_colour import CAPTION, RGB, Preview, make_rgb, make_true_colour, subsample

__all__ = [
    "RGB",
    "Preview",
    "colour_codes",
    "draw_figure",
    "make_rgb",
    "make_true_colour",
    "subsample",
    "write_quicklook",
]

UNNAMED = "Cloud mask"
"""Heading where neither product nor file is known."""
MAX_SIDE = 1200
"""Pixels of the longer side; larger scenes are thinned to it."""
DPI = 100
FRAME = "#6b6b6b"
"""Grey around panels and swatches, so that white cloud has an edge on a white page."""
OUTSIDE = "#e4e4e4"
"""Behind the mask's panel: pixels outside the requested area."""


def write_quicklook(
    cube: xr.DataArray, mask: xr.DataArray, path: str | Path, truth: xr.DataArray | None = None, *, title: str = ""
) -> Path:
    """Write a PNG of a scene, its outlined classes, its mask, and the truth.

    The truth is drawn where it is given.
    cube: (bands, y, x) with B02, B03 and B04. mask, truth: (y, x), codes on the same grid.
    title: the heading; else the product that the attributes name, else the file that the cube was read from. Date,
        level and network are those of the attributes.
    North is up; each class is listed with its share, as in a report.

    Returns the path. Raises SceneError if the cube lacks B02, B03 or B04, if the sizes differ, or if the file cannot
    be written.
    """
    source = cube.encoding.get("source") or UNNAMED
    figure = draw_figure(cube, mask, title or name_scene({**cube.attrs, **mask.attrs}, source), truth)
    FigureCanvasAgg(figure)
    target = Path(path)
    with atomic_write(target, GDAL_ERRORS) as draft:
        figure.savefig(draft, format="png")
    return target


def draw_figure(cube: xr.DataArray, mask: xr.DataArray, name: str, truth: xr.DataArray | None = None) -> Figure:
    """Draw the figure that `quicklook` writes; `name` is its heading."""
    if all("y" in one.coords for one in (cube, mask, truth) if one is not None):  # else only the order of rows tells
        cube, mask, truth = sort_north_up(cube), sort_north_up(mask), None if truth is None else sort_north_up(truth)
    attrs = {**cube.attrs, **mask.attrs}
    panels = _make_panels(cube, mask, truth)
    layout = choose_layout(len(panels), cube.sizes["x"] / cube.sizes["y"])
    entries = _make_legend(mask, truth)
    place = ["north is up"] if is_north_up(cube) else []
    heading = [
        *wrap_text(name, layout, LARGE / TEXT),
        *wrap_text(" · ".join([*format_scene_facts(attrs), *place]), layout),
    ]
    per_row = count_legend_columns([str(one.get_label()) for one in entries], compute_inner_width(layout))
    lines = len(heading) + 0.3
    height = lines * LINE + layout.rows * (layout.height + TITLE) + (layout.rows - 1) * GAP
    height += GAP / 2 + ceil(len(entries) / per_row) * LINE + 2 * MARGIN
    figure = Figure(
        figsize=((compute_inner_width(layout) + 2 * MARGIN) / DPI, height / DPI), dpi=DPI, facecolor="white"
    )
    _write_heading(figure, heading)
    for number, (title, pixels) in enumerate(panels.items()):
        ax = _add_axes(figure, layout, number, lines)
        _draw_panel(ax, title, pixels, layout)
        if number == 0:
            _draw_scale(ax, cube)
    figure.legend(
        handles=entries, loc="lower left", bbox_to_anchor=(MARGIN / figure.bbox.width, MARGIN / 2 / height),
        ncols=per_row, frameon=False, fontsize=TEXT, borderpad=0, borderaxespad=0, handlelength=1.6, handleheight=1.1,
    )  # fmt: skip
    return figure


def _make_panels(cube: xr.DataArray, mask: xr.DataArray, truth: xr.DataArray | None) -> dict[str, NDArray[Any]]:
    codes, classes = _subsample_codes(mask, cube), read_legend(to_classes(mask))
    colour = make_true_colour(subsample(cube, MAX_SIDE), str(mask.attrs.get("radiometry", "")))
    drawn: dict[str, NDArray[Any]] = {
        CAPTION: colour,
        "Outlines of the mask's classes": draw_outlines(colour, codes, map_codes(to_classes(mask))),
        _capitalise(name_network(mask.attrs)): colour_codes(codes, classes),
    }
    return drawn if truth is None else drawn | {"Truth": colour_codes(_subsample_codes(truth, cube), classes)}


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


def _subsample_codes(mask: xr.DataArray, cube: xr.DataArray) -> NDArray[np.uint8]:
    if (mask.sizes["y"], mask.sizes["x"]) != (cube.sizes["y"], cube.sizes["x"]):
        raise SceneError(f"The mask has {dict(mask.sizes)} pixels, the scene {dict(cube.sizes)}; one grid is needed.")
    return np.asarray(subsample(to_classes(mask).transpose("y", "x"), MAX_SIDE).values)


def _make_legend(mask: xr.DataArray, truth: xr.DataArray | None) -> list[Patch]:
    """Make a legend entry for each class that occurs, with name and share.

    Its colour is framed in that of its outline.
    """
    found, true = compute_class_percentages(mask), {} if truth is None else compute_class_percentages(truth)
    codes = map_codes(to_classes(mask))
    shown = [one for one in read_legend(to_classes(mask)) if one in found or _find_share(one, true)]
    return [_make_legend_entry(one, codes[one.value], found, true) for one in shown] or [Patch(label="no pixel")]


def _find_share(one: ClassValue, shares: Mapping[ClassValue, float]) -> float:
    return next((share for other, share in shares.items() if other.value == one.value), 0.0)


def _make_legend_entry(
    one: ClassValue, code: int, found: Mapping[ClassValue, float], true: Mapping[ClassValue, float]
) -> Patch:
    edge = "#" + bytes(OUTLINES[code]).hex() if code in OUTLINES else FRAME
    label = f"{format_class_name(one.name)} {format_percent(found.get(one, 0.0))}"
    if true:
        label += f" (truth {format_percent(_find_share(one, true))})"
    return Patch(facecolor=f"#{find_picture_colour(one)}", edgecolor=edge, linewidth=2.5, label=label)


def _write_heading(figure: Figure, lines: list[tuple[str, float]]) -> None:
    for number, (line, size) in enumerate(lines):
        top = MARGIN + number * LINE
        weight = "bold" if size > TEXT else "normal"
        figure.text(MARGIN / figure.bbox.width, 1 - top / figure.bbox.height, line, size=size, weight=weight, va="top")


def _add_axes(figure: Figure, layout: Layout, number: int, lines: float) -> Axes:
    row, column = divmod(number, layout.columns)
    left = MARGIN + column * (layout.cell + GAP)
    top = MARGIN + lines * LINE + TITLE + row * (layout.height + TITLE + GAP)
    across, down = figure.bbox.width, figure.bbox.height
    return figure.add_axes(
        (left / across, 1 - (top + layout.height) / down, layout.width / across, layout.height / down)
    )


def _draw_panel(ax: Axes, title: str, pixels: NDArray[Any], layout: Layout) -> None:
    ax.imshow(pixels, interpolation="nearest", aspect="auto")
    ax.set_title(fill(title, int(layout.cell / LETTER)), loc="left", fontsize=TEXT, pad=6)
    ax.set_facecolor(OUTSIDE)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(edgecolor=FRAME, linewidth=1.2)


def _draw_scale(ax: Axes, cube: xr.DataArray) -> None:
    """Draw a scale bar and a north arrow where the coordinates tell them."""
    edge = [withStroke(linewidth=3, foreground="black")]
    bar = make_scale_bar(cube)
    if bar is not None:
        left, bottom, thick = 0.03, _part_of_height(ax, 16), _part_of_height(ax, 8)
        ax.add_patch(Rectangle((left, bottom), bar.part, thick, transform=ax.transAxes, fc="white", ec="black", lw=1))
        ax.text(
            left, bottom + 1.6 * thick, bar.label, transform=ax.transAxes, color="white", size=TEXT, va="bottom",
            path_effects=edge,
        )  # fmt: skip
    if is_north_up(cube):
        ax.text(
            0.97, 1 - _part_of_height(ax, 16), "↑\nN", transform=ax.transAxes, color="white", size=TEXT, ha="right",
            va="top", linespacing=0.9, bbox={"facecolor": "#000000a0", "edgecolor": "none", "pad": 4},
        )  # fmt: skip


def _part_of_height(ax: Axes, pixels: float) -> float:
    return pixels / ax.get_window_extent().height


# Earlier names, which the documentation showed.
quicklook = write_quicklook
