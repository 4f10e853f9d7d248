"""Whether two arrays are of the same pixels."""

import numpy as np
import xarray as xr

from kappamask.models import SceneError

__all__ = ["check_grid", "one_grid"]

NEAR = 0.01
"""Pixels by which corners may differ: coordinates in files are rounded."""


def one_grid(first: xr.DataArray, second: xr.DataArray) -> bool:
    """Whether two arrays (…, y, x) have pixels of the same number and place; what one does not tell is not compared."""
    systems = [one.rio.crs for one in (first, second) if one.rio.crs is not None]
    return len({str(one) for one in systems}) < 2 and all(_aligned(first, second, axis) for axis in ("y", "x"))


def check_grid(what: str, other: xr.DataArray, mask: xr.DataArray) -> None:
    """SceneError, which calls `other` by the word `what`, unless it is on the grid of `mask`."""
    if one_grid(other, mask):
        return
    ours, theirs = (f"{one.sizes['x']} x {one.sizes['y']} pixels{_place(one)}" for one in (mask, other))
    raise SceneError(f"The mask has {ours}, the {what} {theirs}; give the one that belongs to the mask.")


def _aligned(first: xr.DataArray, second: xr.DataArray, axis: str) -> bool:
    if first.sizes[axis] != second.sizes[axis]:
        return False
    if axis not in first.coords or axis not in second.coords:
        return True
    places, others = first[axis].values[[0, -1]], second[axis].values[[0, -1]]
    pixel = abs(places[1] - places[0]) / max(first.sizes[axis] - 1, 1) or 1
    return bool(np.abs(places - others).max() <= NEAR * pixel)


def _place(one: xr.DataArray) -> str:
    if not {"y", "x"} <= set(one.coords):
        return ""
    return f" from {float(one['x'][0]):.10g}, {float(one['y'][0]):.10g} in {one.rio.crs or 'no CRS'}"
