"""Describe a picture of a mask: scene, date, network, class shares, scale and north."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import cos, floor, log10, radians
from pathlib import Path
from typing import Any

import xarray as xr

from kappamask.models.schemes import KAPPAMASK
from kappamask.scenes.encoding import format_class_name
from kappamask.scenes.grid import DEGREE, find_pixel_size

__all__ = [
    "ScaleBar",
    "format_date",
    "format_length",
    "format_percent",
    "format_scene_facts",
    "format_shares",
    "is_north_up",
    "make_scale_bar",
    "measure_width_m",
    "name_network",
    "name_scene",
]

UNKNOWN = "–"
"""What stands where there is no number."""
LEVELS = {"L1C": "Level-1C (top of atmosphere)", "L2A": "Level-2A (surface)"}
ROUND = (5, 2, 1)
"""First digits of a bar's length, longest first."""
LONGEST_PART = 0.35
"""Part of the picture's width that the bar has at most."""


def name_scene(attrs: Mapping[str, Any], path: str | Path) -> str:
    """Return the attribute `product`, else the name of a file without its suffix."""
    return str(attrs.get("product") or Path(path).stem)


def format_scene_facts(attrs: Mapping[str, Any]) -> list[str]:
    """Return date and level in words, each only where the attributes tell it."""
    level = str(attrs.get("level") or "")
    return [one for one in (format_date(attrs.get("datetime")), LEVELS.get(level, level)) if one]


def format_date(value: object) -> str:
    """Format an ISO 8601 date as "2018-02-02 10:52 UTC", without time at midnight."""
    text = str(value or "")
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{when:%Y-%m-%d %H:%M} UTC" if (when.hour, when.minute) != (0, 0) else f"{when:%Y-%m-%d}"


def name_network(attrs: Mapping[str, Any]) -> str:
    """Return the network and the class scheme of a mask: "compact network, KappaMask classes"."""
    network = attrs.get("model_id")
    classes = f"{attrs.get('scheme') or KAPPAMASK} classes"
    return f"{network} network, {classes}" if network else classes


def format_percent(value: float | None) -> str:
    """Format a percentage to a tenth; a dash for None and NaN.

    It is 0 or 100 only where the value is exactly that.
    """
    if value is None or value != value:
        return UNKNOWN
    low, high = 0 < value < 0.05, 99.95 <= value < 100
    return "< 0.1 %" if low else "> 99.9 %" if high else f"{value:.1f} %"


def format_shares(percentages: Mapping[str, float | None]) -> str:
    """Format the percentage of each class, by name, as a list with commas."""
    return ", ".join(f"{format_class_name(name)} {format_percent(share)}" for name, share in percentages.items())


@dataclass(frozen=True)
class ScaleBar:
    """A bar in a picture, and the length on the ground that it stands for."""

    part: float
    """Length as a part of the picture's width, 0 to 1."""
    label: str
    """Length on the ground, as "2 km"."""


def make_scale_bar(array: xr.DataArray) -> ScaleBar | None:
    """Return the scale bar of an array (…, y, x), or None without metres."""
    width = measure_width_m(array)
    if not width:
        return None
    power = 10.0 ** floor(log10(width * LONGEST_PART))
    length = next(digit * power for digit in ROUND if digit * power <= width * LONGEST_PART)
    return ScaleBar(length / width, format_length(length))


def format_length(metres: float) -> str:
    """Return a length in metres or kilometres, as "500 m" or "2 km"."""
    return f"{metres / 1000:.3g} km" if metres >= 1000 else f"{metres:.3g} m"


def measure_width_m(array: xr.DataArray) -> float | None:
    """Return the width of the middle row in metres, or None without a CRS."""
    size = find_pixel_size(array)
    if size is None or not size[2]:
        return None
    width, _, unit = size
    if unit == "degree":
        width *= DEGREE * cos(radians(float(array["y"].values.mean())))
    return abs(width) * array.sizes["x"] or None


def is_north_up(array: xr.DataArray) -> bool:
    """Tell whether the first row of an array (…, y, x) is the northernmost.

    This goes by its coordinates.
    """
    return measure_width_m(array) is not None and float(array["y"][0]) > float(array["y"][-1])
