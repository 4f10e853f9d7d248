"""Keep the facts of each scene when xarray joins scenes along t."""

import json
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import xarray as xr

from kappamask.models import CubeError
from kappamask.models.hints import option
from kappamask.models.mask_options import MaskOptions
from kappamask.udf.pixel_statistics import PixelStatistics
from kappamask.udf.radiometry_metadata import QUANTIFICATION, RADIOMETRY_REASON, RADIOMETRY_SOURCE

__all__ = ["SCENE_FACTS", "add_scene_facts", "apply_scene_facts", "find_shifted", "split_dates"]

SCENE_FACTS = "scene_facts"
"""Coordinate, JSON: `xr.concat` keeps the attributes of the first scene only, but a coordinate of each."""
RADIOMETRY_KEYS = ("radiometry", RADIOMETRY_REASON, RADIOMETRY_SOURCE, "collection", "processing_baseline")
"""Attributes that tell the radiometry."""
RADIOMETRY_FACTS = (*RADIOMETRY_KEYS, "level", "_FillValue")
"""Attributes that decide how numbers are read."""
SHIFT = (0.05, 0.15)
"""The 1 % percentile of each band, as reflectance, is higher by this much on a date that alone has the offset: 0.1,
more or less what the ground changes."""


def add_scene_facts(cube: xr.DataArray) -> xr.DataArray:
    """Add the coordinate that carries the decisive attributes of a scene.

    A series that was written with those of its dates keeps them.
    """
    if "t" in cube.dims and SCENE_FACTS in cube.coords:
        return cube
    known = {key: cube.attrs[key] for key in RADIOMETRY_FACTS if key in cube.attrs}
    return cube.assign_coords({SCENE_FACTS: json.dumps(known, default=float)})


def apply_scene_facts(cube: xr.DataArray, options: MaskOptions) -> xr.DataArray:
    """Add to the attributes what the coordinate says of a scene, or of equal dates.

    Raises CubeError where they contradict each other, as in a date that was cut out of a series whose attributes
    are those of another date, unless `options` decide.
    """
    if SCENE_FACTS not in cube.coords or len(texts := {*_list_texts(cube)}) != 1:
        return cube
    facts = _parse_facts(texts.pop())
    decided = {*(RADIOMETRY_KEYS if options.radiometry != "auto" else ()), *(["level"] if options.level else ())}
    decided |= {"_FillValue", RADIOMETRY_REASON}  # readers of different formats have reasons of their own
    _check_attributes(cube, facts, decided)
    made = cube.drop_vars(SCENE_FACTS) if cube.coords[SCENE_FACTS].ndim == 0 else cube.copy(deep=False)
    made.attrs, made.encoding = facts | cube.attrs, cube.encoding
    return made


def split_dates(cube: xr.DataArray) -> list[xr.DataArray]:
    """Split a series into dates with attributes of their own.

    Returns [] where all dates have the same. Raises CubeError where the coordinate is not what `add_scene_facts` makes.
    """
    if SCENE_FACTS not in cube.coords or cube.coords[SCENE_FACTS].ndim != 1:
        return []
    dim, texts = cube.coords[SCENE_FACTS].dims[0], _list_texts(cube)
    if len(set(texts)) == 1:
        return []
    return [_restore_attributes(cube.isel({dim: [i]}), _parse_facts(text)) for i, text in enumerate(texts)]


def _list_texts(cube: xr.DataArray) -> list[str]:
    return [str(text) for text in cube.coords[SCENE_FACTS].values.ravel()]


def _parse_facts(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):  # nested too deeply
        facts = None
    if not isinstance(facts, dict):
        raise CubeError(
            f"The coordinate '{SCENE_FACTS}' holds {text[:40]!r}, which is no JSON object of a date's attributes: "
            f"leave it out with cube.drop_vars('{SCENE_FACTS}'), and say {option('radiometry', 'dn_harmonized')} or "
            "what else they are."
        )
    return {key: facts[key] for key in RADIOMETRY_FACTS if key in facts}


def _check_attributes(cube: xr.DataArray, facts: dict[str, Any], decided: Collection[str]) -> None:
    """Raise CubeError if an attribute contradicts a fact that no option overrides."""
    for key in facts.keys() & cube.attrs.keys() - set(decided):
        if str(facts[key]) != str(cube.attrs[key]):
            modes = f"{option('radiometry', 'dn_offset')} or {option('radiometry', 'dn_harmonized')}"
            how = option("level", str(facts[key])) if key == "level" else modes
            raise CubeError(
                f"The cube's attribute '{key}' is {cube.attrs[key]!r}, its coordinate '{SCENE_FACTS}' says "
                f"{facts[key]!r}: say {how}, or leave the wrong one out (del cube.attrs['{key}'], or "
                f"cube.drop_vars('{SCENE_FACTS}')); joined with combine_attrs='drop_conflicts', dates lack it."
            )


def _restore_attributes(date: xr.DataArray, facts: dict[str, Any]) -> xr.DataArray:
    own = {key: value for key, value in date.attrs.items() if key not in RADIOMETRY_FACTS} | facts
    alone = date.drop_vars(SCENE_FACTS)
    alone.attrs = own
    return alone


def find_shifted(dates: Sequence[PixelStatistics], scale: float = QUANTIFICATION) -> tuple[PixelStatistics, ...]:
    """Find the dates that lie above others by about the offset in all bands.

    `scale` makes reflectances of the numbers. Cloud and haze raise some bands more than others.
    """
    without = np.array([[value for _, value in date.band_p1] for date in dates if date.shows_no_offset(scale)])
    if not without.size:
        return ()
    low, high = (step / scale for step in SHIFT)
    rises = [np.array([value for _, value in date.band_p1]) - np.nanmin(without, axis=0) for date in dates]
    return tuple(date for date, rise in zip(dates, rises, strict=True) if ((rise >= low) & (rise <= high)).all())
