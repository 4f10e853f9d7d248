"""Say in words what a picture of a mask shows: scene, date, level, network, classes with their shares."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import xarray as xr

from kappamask.models import ClassValue
from kappamask.models.schemes import KAPPAMASK
from kappamask.scenes.class_meanings import meanings
from kappamask.scenes.statistics import class_pixels, to_classes
from kappamask.udf.schemes import MISSING, UNDEFINED

__all__ = ["class_percentages", "format_date", "name_network", "name_scene", "percent", "scene_facts"]

UNKNOWN = "–"
"""What stands where there is no number."""
LEVELS = {"L1C": "Level-1C (top of atmosphere)", "L2A": "Level-2A (surface)"}


def name_scene(attrs: Mapping[str, Any], path: str | Path) -> str:
    """Return the product's name by the attribute `product`, else the name of a file without its suffix."""
    return str(attrs.get("product") or Path(path).stem)


def scene_facts(attrs: Mapping[str, Any]) -> list[str]:
    """Return date and level in words, each only where the attributes tell it."""
    level = str(attrs.get("level") or "")
    return [one for one in (format_date(attrs.get("datetime")), LEVELS.get(level, level)) if one]


def format_date(value: object) -> str:
    """Return an ISO 8601 date as "2018-02-02 10:52 UTC", without the time where it is midnight."""
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


def class_percentages(mask: xr.DataArray) -> dict[ClassValue, float]:
    """Return the percentage of each class that occurs in a mask of whole numbers (y, x).

    It is of the pixels with data; of all pixels in the area where the class means that there are none. Raises
    SceneError if a pixel has a code that the legend does not name.
    """
    mask = to_classes(mask)
    counted, _ = class_pixels(mask)
    codes = meanings(mask)
    empty = {one for one in counted if codes[one.value] in (UNDEFINED, MISSING)}
    area = sum(counted.values())
    valid = area - sum(counted[one] for one in empty)
    return {one: 100 * count / (area if one in empty else valid) for one, count in counted.items() if count}


def percent(value: float | None) -> str:
    """Return a percentage to a tenth, never 0 or 100 for what only comes near it; a dash for None and NaN."""
    if value is None or value != value:
        return UNKNOWN
    low, high = 0 < value < 0.05, 99.95 <= value < 100
    return "< 0.1 %" if low else "> 99.9 %" if high else f"{value:.1f} %"
