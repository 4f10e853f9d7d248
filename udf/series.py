"""Keep the facts of each scene when xarray joins scenes along t."""

import json
from typing import Any

import xarray as xr

__all__ = ["SCENE_FACTS", "add_scene_facts", "split_dates"]

SCENE_FACTS = "scene_facts"
"""Coordinate, JSON: `xr.concat` keeps the attributes of the first scene only, but a coordinate of each."""
RADIOMETRY_FACTS = ("radiometry", "collection", "processing_baseline", "level", "_FillValue")
"""Attributes that decide how numbers are read."""


def add_scene_facts(cube: xr.DataArray) -> xr.DataArray:
    """Add the coordinate that carries the decisive attributes of a scene."""
    known = {key: cube.attrs[key] for key in RADIOMETRY_FACTS if key in cube.attrs}
    return cube.assign_coords({SCENE_FACTS: json.dumps(known, default=float)})


def split_dates(cube: xr.DataArray) -> list[xr.DataArray]:
    """Split a series into dates with attributes of their own.

    Returns [] where all dates have the same.
    """
    if SCENE_FACTS not in cube.coords or cube.coords[SCENE_FACTS].ndim != 1:
        return []
    dim = cube.coords[SCENE_FACTS].dims[0]
    texts = [str(text) for text in cube.coords[SCENE_FACTS].values]
    if len(set(texts)) == 1:
        return []
    return [_restore_attributes(cube.isel({dim: [i]}), json.loads(text)) for i, text in enumerate(texts)]


def _restore_attributes(date: xr.DataArray, facts: dict[str, Any]) -> xr.DataArray:
    own = {key: value for key, value in date.attrs.items() if key not in RADIOMETRY_FACTS} | facts
    alone = date.drop_vars(SCENE_FACTS)
    alone.attrs = own
    return alone
