"""Provenance of a mask, and whether two arrays lie on the same pixels."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from kappamask.models import SceneError
from kappamask.scenes.metadata import parse_sensing_time

__all__ = ["check_grid", "find_sensing_time", "is_same_grid", "list_provenance", "read_software"]

NEAR = 0.01
"""Pixels by which corners may differ: coordinates in files are rounded."""
SOFTWARE = "TIFFTAG_SOFTWARE"
"""TIFF tag 305 (TIFF 6.0); `write_mask` puts the project's name and version there."""
OF_THE_FILE = frozenset(
    {
        "flag_values", "flag_meanings", "flag_colors", "flag_masks", "long_name", "units", "grid_mapping", "datetime",
        "AREA_OR_POINT", "_FillValue", "scale_factor", "add_offset", "coordinates", "Conventions", SOFTWARE,
    }
)  # fmt: skip
"""Attributes of CF and TIFF that tell how to read the file, not how it was made."""


def is_same_grid(first: xr.DataArray, second: xr.DataArray) -> bool:
    """Tell whether two arrays (…, y, x) have the same pixels.

    CRS and coordinates that one of them lacks are not compared.
    """
    systems = [one.rio.crs for one in (first, second) if one.rio.crs is not None]
    return len({str(one) for one in systems}) < 2 and all(_same_axis(first, second, axis) for axis in ("y", "x"))


def check_grid(what: str, other: xr.DataArray, mask: xr.DataArray) -> None:
    """Raise SceneError unless `other` is on the grid of `mask`.

    The message calls `other` by the word `what`.
    """
    if is_same_grid(other, mask):
        return
    ours, theirs = (f"{one.sizes['x']} x {one.sizes['y']} pixels{_describe_place(one)}" for one in (mask, other))
    raise SceneError(f"The mask has {ours}, the {what} {theirs}; give the one that belongs to the mask.")


def _same_axis(first: xr.DataArray, second: xr.DataArray, axis: str) -> bool:
    if first.sizes[axis] != second.sizes[axis]:
        return False
    if axis not in first.coords or axis not in second.coords:
        return True
    places, others = first[axis].values[[0, -1]], second[axis].values[[0, -1]]
    pixel = abs(places[1] - places[0]) / max(first.sizes[axis] - 1, 1) or 1
    return bool(np.abs(places - others).max() <= NEAR * pixel)


def _describe_place(one: xr.DataArray) -> str:
    if not {"y", "x"} <= set(one.coords):
        return ""
    return f" from {float(one['x'][0]):.10g}, {float(one['y'][0]):.10g} in {one.rio.crs or 'no CRS'}"


def list_provenance(attrs: Mapping[str, Any]) -> dict[str, str]:
    """Select the attributes that describe how a mask was made, as text.

    They keep their order.
    """
    return {
        key: _format_value(value) for key, value in attrs.items() if key not in OF_THE_FILE and _format_value(value)
    }


def read_software(attrs: Mapping[str, Any]) -> dict[str, str]:
    """Return name and version of the program that wrote the file, if known."""
    name, _, number = str(attrs.get(SOFTWARE, "")).rpartition(" ")
    return {name: number} if name else {}


def find_sensing_time(name: str, attrs: Mapping[str, Any]) -> datetime:
    """Find when the scene was sensed (UTC).

    By the attribute `datetime`, else by the date in the file's name.
    Raises SceneError if neither tells, or if the attribute is no ISO 8601 date.
    """
    text = str(attrs.get("datetime") or parse_sensing_time(name) or "")
    if not text:
        raise SceneError(
            f"{name} has no date, and no scene tells one: needed is a tag 'datetime', or a date in the mask's name, "
            "such as mask_20180202.tif."
        )
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise SceneError(f"{name} has the datetime {text!r}; needed is ISO 8601, as 2018-02-02T10:52:49Z.") from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _format_value(value: Any) -> str:
    return " ".join(map(str, np.atleast_1d(value)))
