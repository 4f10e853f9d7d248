"""One page about a time series: cloud cover over time, a contact sheet, a table."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import xarray as xr

from kappamask.reports.class_shares import Share
from kappamask.reports.render import Picture, encode_png, write_html
from kappamask.reports.series import Dated
from kappamask.scenes.writers.captions import format_length, is_north_up, measure_width_m, name_network
from kappamask.scenes.writers.class_colours import colour_codes
from kappamask.scenes.writers.natural_colour import make_true_colour, subsample
from kappamask.udf.schemes import CLEAR, CLOUD, SEMI_TRANSPARENT, SHADOW

__all__ = ["write_series"]

THUMBNAIL = 180
"""Pixels of the longer side: sharp at the 120 to 180 px at which they are shown, and 30 dates make 3 MB."""
FROM_THE_GROUND = (CLOUD, SEMI_TRANSPARENT, SHADOW, CLEAR)
"""Order of a column's parts from the bottom: cloud first, so that its height is the cloud cover."""
LABELS = {"": 40, "few": 12}
"""Most labels below the columns on a wide screen, and on a phone."""


def write_series(
    target: str | Path,
    dates: Sequence[Dated],
    *,
    scenes: Sequence[xr.DataArray | None] | None = None,
    title: str = "Cloud cover over time",
) -> Path:
    """Write a self-contained HTML page about a series of masks; returns its path.

    dates: as `read_series` gives them.
    scenes: for each the cube that was masked, or None, as `match_scenes` gives them, for thumbnails in natural
        colours.
    Raises SceneError if a scene lacks B02, B03 or B04, or if the page cannot be written.
    """
    stamps = _label_dates(dates)
    labels = [" ".join(filter(None, one)) for one in stamps]
    covers = [cover for one in dates if (cover := one.counted.cloud_cover) is not None]
    return write_html(
        target,
        "series.html",
        title=title,
        dates=dates,
        labels=labels,
        moments=[moment for moment, _ in stamps],
        names_tell=any(name for _, name in stamps),
        period=_format_period(dates),
        parts=[_list_parts(one) for one in dates],
        shown=[
            one for one in dates[0].counted.valid_classes if any(_count_pixels(date, one.of.value) for date in dates)
        ],
        middle=median(covers) if covers else None,
        clearest=_find_clearest(dates),
        every={name: -(-len(dates) // most) for name, most in LABELS.items()},
        masks=[*map(_draw_thumbnail, dates, labels)],
        scenes=[*map(_true_colour, dates, scenes or [None] * len(dates), labels)],
        sheet=_describe_sheet(dates),
    )


def _label_dates(dates: Sequence[Dated]) -> list[tuple[str, str]]:
    """Label each mask by its day, and by what sets it apart that day.

    That is the time of day (UTC), or the name of the file, which comes second and is empty where it is not needed.
    """
    days, times = ([one.when.strftime(form) for one in dates] for form in ("%Y-%m-%d", "%Y-%m-%d %H:%M"))
    return [
        (day, "") if days.count(day) == 1 else (time, "") if times.count(time) == 1 else (day, one.name)
        for one, day, time in zip(dates, days, times, strict=True)
    ]


def _find_clearest(dates: Sequence[Dated]) -> int:
    covers = [one.counted.cloud_cover for one in dates]
    return min(range(len(dates)), key=lambda index: (covers[index] is None, covers[index]))


def _format_period(dates: Sequence[Dated]) -> str:
    days = sorted({f"{one.when:%Y-%m-%d}" for one in dates})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _list_parts(one: Dated) -> list[Share]:
    """List the classes of a column from the bottom."""
    return sorted(one.counted.valid_classes, key=lambda share: FROM_THE_GROUND.index(share.meaning))


def _count_pixels(one: Dated, value: int) -> int:
    return next(share.pixels for share in one.counted.classes if share.of.value == value)


def _draw_thumbnail(one: Dated, label: str) -> Picture:
    codes = np.asarray(subsample(one.mask, THUMBNAIL).values)
    return encode_png(colour_codes(codes, one.classes), f"Mask of {label}")


def _true_colour(one: Dated, scene: xr.DataArray | None, label: str) -> Picture | None:
    if scene is None:
        return None
    image = make_true_colour(subsample(scene, THUMBNAIL), str(one.mask.attrs.get("radiometry", "")))
    return encode_png(image, f"Natural colours of {label}")


def _describe_sheet(dates: Sequence[Dated]) -> list[str]:
    """Describe what all pictures share: size on the ground, north, level, network."""
    widths = {None if width is None else format_length(width) for one in dates for width in [measure_width_m(one.mask)]}
    levels = {str(one.mask.attrs.get("level", "")) for one in dates}
    networks = {name_network(one.mask.attrs) for one in dates}
    width = next(iter(widths)) if len(widths) == 1 else None
    return [
        *([f"each picture is {width} wide"] if width else []),
        *(["north is up"] if all(is_north_up(one.mask) for one in dates) else []),
        *[one for one in [", ".join(sorted(levels))] if one],
        "; ".join(sorted(networks)),
    ]
