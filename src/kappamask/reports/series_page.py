"""One page about a time series: cloud cover over time, a contact sheet, a table."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.reports.class_shares import Share
from kappamask.reports.render import Picture, png, write_html
from kappamask.reports.series import Dated
from kappamask.scenes.writers.quicklook import colour_codes, red_green_blue, stretch_contrast, subsample
from kappamask.udf.radiometry import scale_and_offset
from kappamask.udf.schemes import CLEAR, CLOUD, SEMI_TRANSPARENT, SHADOW

__all__ = ["write_series"]

THUMBNAIL = 180
"""Pixels of the longer side: sharp at the 120 to 180 px at which they are shown, and 30 dates make 3 MB."""
FROM_THE_GROUND = (CLOUD, SEMI_TRANSPARENT, SHADOW, CLEAR)
"""Order of a column's parts from the bottom: cloud first, so that its height is the cloud cover."""
NOTHING = np.empty((0, 3), np.float32)
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
    scenes: for each the cube that was masked, or None, as `scenes_of` gives them, for thumbnails in true colour, which
        share one stretch, that of the clear pixels.
    Raises SceneError if a scene lacks B02, B03 or B04, or if the page cannot be written.
    """
    covers = [cover for one in dates if (cover := one.counted.cloud_cover) is not None]
    return write_html(
        target,
        "series.html",
        title=title,
        dates=dates,
        parts=[_parts(one) for one in dates],
        shown=[one for one in dates[0].counted.shown if any(_pixels(date, one.of.value) for date in dates)],
        middle=median(covers) if covers else None,
        clearest=min(dates, key=lambda one: (one.counted.cloud_cover is None, one.counted.cloud_cover)),
        every={name: -(-len(dates) // most) for name, most in LABELS.items()},
        masks=[_thumbnail(one) for one in dates],
        scenes=_true_colours(dates, scenes or [None] * len(dates)),
    )


def _parts(one: Dated) -> list[Share]:
    """The classes of a column from the bottom."""
    return sorted(one.counted.shown, key=lambda share: FROM_THE_GROUND.index(share.meaning))


def _pixels(one: Dated, value: int) -> int:
    return next(share.pixels for share in one.counted.classes if share.of.value == value)


def _thumbnail(one: Dated) -> Picture:
    codes = np.asarray(subsample(one.mask, THUMBNAIL).values)
    return png(colour_codes(codes, one.classes), f"Mask of {one.when:%Y-%m-%d}")


def _true_colours(dates: Sequence[Dated], scenes: Sequence[xr.DataArray | None]) -> list[Picture | None]:
    images = {i: _reflectance(dates[i], scene) for i, scene in enumerate(scenes) if scene is not None}
    land = [pixels for i, image in images.items() if len(pixels := image[_is_clear(dates[i])])]
    seen = np.concatenate(land or [image.reshape(-1, 3) for image in images.values()] or [NOTHING])
    drawn = dict(zip(images, stretch_contrast([*images.values()], seen), strict=True))
    return [png(drawn[i], f"True colour of {one.when:%Y-%m-%d}") if i in drawn else None for i, one in enumerate(dates)]


def _is_clear(one: Dated) -> NDArray[np.bool_]:
    values = [share.of.value for share in one.counted.classes if share.meaning == CLEAR]
    return np.asarray(subsample(one.mask, THUMBNAIL).isin(values).values)


def _reflectance(one: Dated, scene: xr.DataArray) -> NDArray[np.float32]:
    """Read as the mask's network read it, for dates with and without the offset share one stretch."""
    mode = one.mask.attrs.get("radiometry", scene.attrs.get("radiometry", ""))
    scale, offset = scale_and_offset("B04", str(mode))
    return np.asarray(red_green_blue(subsample(scene, THUMBNAIL)) * scale + offset, np.float32)
