"""Facts of one scene that survive when xarray joins it with others along t, and the dates of such a series apart."""

import json
from typing import Any

import xarray as xr

__all__ = ["FACTS", "split_dates", "with_facts"]

FACTS = "scene_facts"
"""Coordinate, JSON: `xr.concat` keeps the attributes of the first scene only, but a coordinate of each."""
DECISIVE = ("radiometry", "collection", "processing_baseline", "level", "_FillValue")
"""Attributes that decide how numbers are read."""


def with_facts(cube: xr.DataArray) -> xr.DataArray:
    """Add the coordinate that carries the decisive attributes of a scene."""
    known = {key: cube.attrs[key] for key in DECISIVE if key in cube.attrs}
    return cube.assign_coords({FACTS: json.dumps(known, default=float)})


def split_dates(cube: xr.DataArray) -> list[xr.DataArray]:
    """Give each date of a series of scenes with its own attributes; [] where all dates have the same."""
    if FACTS not in cube.coords or cube.coords[FACTS].ndim != 1:
        return []
    dim = cube.coords[FACTS].dims[0]
    told = [str(text) for text in cube.coords[FACTS].values]
    if len(set(told)) == 1:
        return []
    return [_of_date(cube.isel({dim: [i]}), json.loads(text)) for i, text in enumerate(told)]


def _of_date(date: xr.DataArray, facts: dict[str, Any]) -> xr.DataArray:
    own = {key: value for key, value in date.attrs.items() if key not in DECISIVE} | facts
    alone = date.drop_vars(FACTS)
    alone.attrs = own
    return alone
