"""Size of a scene on the ground: a scale bar of a round length, and whether north is up."""

from dataclasses import dataclass
from math import cos, floor, log10, radians

import xarray as xr

from kappamask.scenes.grid import DEGREE, pixel_size

__all__ = ["ScaleBar", "format_length", "is_north_up", "scale_bar", "width_in_metres"]

ROUND = (5, 2, 1)
"""First digits of a bar's length, longest first."""
LONGEST_PART = 0.35
"""Part of the picture's width that the bar has at most."""


@dataclass(frozen=True)
class ScaleBar:
    """A bar in a picture, and the length on the ground that it stands for."""

    part: float
    """Length as a part of the picture's width, 0 to 1."""
    label: str
    """Length on the ground, as "2 km"."""


def scale_bar(array: xr.DataArray) -> ScaleBar | None:
    """Return the scale bar of an array (…, y, x); None where its coordinates do not tell metres."""
    width = width_in_metres(array)
    if not width:
        return None
    power = 10.0 ** floor(log10(width * LONGEST_PART))
    length = next(digit * power for digit in ROUND if digit * power <= width * LONGEST_PART)
    return ScaleBar(length / width, format_length(length))


def format_length(metres: float) -> str:
    """Return a length in metres or kilometres, as "500 m" or "2 km"."""
    return f"{metres / 1000:.3g} km" if metres >= 1000 else f"{metres:.3g} m"


def width_in_metres(array: xr.DataArray) -> float | None:
    """Return the width on the ground in metres, in the middle row; None where no CRS tells."""
    size = pixel_size(array)
    if size is None or not size[2]:
        return None
    width, _, unit = size
    if unit == "degree":
        width *= DEGREE * cos(radians(float(array["y"].values.mean())))
    return abs(width) * array.sizes["x"] or None


def is_north_up(array: xr.DataArray) -> bool:
    """Return whether the coordinates of an array (…, y, x) tell that its first row is the northernmost."""
    return width_in_metres(array) is not None and float(array["y"][0]) > float(array["y"][-1])
