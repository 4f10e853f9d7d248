"""Read a cube's dimensions and labels; pick bands by label, never by position."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from kappamask.models import SENTINEL2_BANDS, CubeError, ModelCard
from kappamask.models.band_names import are_numbered, explain_unclear, find_band, find_bands, list_numbered
from kappamask.models.hints import by_door, option

__all__ = [
    "MIN_SIDE_PX",
    "check_names",
    "compute_chunk_sizes",
    "normalise_cube",
    "select_bands",
    "select_model_bands",
]

DIM_ALIASES = {"band": "bands", "time": "t"}
"""Other libraries' names of openEO's dimensions."""
MIN_SIDE_PX = 4
"""openEO back-ends hand over no smaller chunk; below it a network has nothing to see."""
LOAD_HINT = by_door(
    python="Load them, as with bands=[…] of open_scene or load_collection, or rename the labels",
    command="Take a scene that has them, or name its bands with --bands",
    context="Load them with load_collection(bands=[…]), or rename the labels",
)
PERCENT_HINT = by_door(
    python="cube.astype('float32') / 100",
    command="gdal_calc.py -A FILE --allBands=A --calc='A / 100.0' --type=Float32 --outfile=NEW",
)
REFLECTANCE_HINT = option("radiometry", "reflectance")
FACTS = (
    "_FillValue", "nodata", "valid_range", "valid_min", "valid_max", "scale_factor", "add_offset", "units", "level",
    "radiometry", "processing_baseline",
)  # fmt: skip
"""Attributes of a variable that tell how its numbers are read."""


def check_names(bands: Sequence[Any]) -> None:
    """Raise CubeError unless `bands` is a sequence of names."""
    if isinstance(bands, str) or not all(isinstance(name, str) for name in bands):
        raise CubeError(f"bands is {bands!r}; needed is a list of names, bands=['B02', 'B03', …].")


def normalise_cube(cube: Any, labels: Sequence[str] | None = None) -> xr.DataArray:
    """Bring a cube to dims ([t,] bands, y, x) and label its bands.

    Labels become B02 and the like; `labels`, one for each band, are used only where the cube has none, or where its own
    only number the layers. An array of numpy or dask has its axes in this order; of a Dataset the variables that are
    bands are stacked. Raises CubeError for other dimensions, missing or doubled labels, or sides below 4 px.
    """
    cube = _wrap_array(cube, labels)
    cube = cube.rename({old: new for old, new in DIM_ALIASES.items() if old in cube.dims and new not in cube.dims})
    cube = compute_chunk_sizes(cube)
    order = [d for d in ("t", "bands", "y", "x") if d in cube.dims]
    if order[-3:] != ["bands", "y", "x"] or set(order) != set(cube.dims):
        raise CubeError(
            f"The cube has dims {tuple(cube.dims)}; needed are (bands, y, x) or (t, bands, y, x): name them with "
            "cube.rename(lat='y', lon='x'), and keep one of other dims with cube.isel."
        )
    if min(cube.sizes["y"], cube.sizes["x"]) < MIN_SIDE_PX:
        raise CubeError(
            f"The cube is {cube.sizes['x']} x {cube.sizes['y']} px; at least {MIN_SIDE_PX} x {MIN_SIDE_PX} needed."
        )
    if cube.dtype.kind not in "uif":
        raise CubeError(f"The cube holds {cube.dtype}; needed are whole or real numbers, see DataArray.astype.")
    if cube.dtype.itemsize == 1:
        raise CubeError(
            f"The cube holds {cube.dtype}, whose 256 steps hold a picture or percents: needed are digital numbers or "
            f"reflectances. Percents become reflectances by {PERCENT_HINT}, with {REFLECTANCE_HINT}."
        )
    return _label_bands(cube.transpose(*order), labels)


def _wrap_array(cube: Any, labels: Sequence[str] | None) -> xr.DataArray:
    """Name the dims of an array ([t,] bands, y, x)."""
    if isinstance(cube, xr.DataArray):
        return cube
    kind = type(cube).__name__
    if isinstance(cube, xr.Dataset):
        return _stack_variables(cube)
    if not hasattr(cube, "__array__") or getattr(cube, "ndim", 0) not in (3, 4):
        raise CubeError(f"A cube must be an xarray.DataArray with dims (bands, y, x), or an array with 3, not {kind}.")
    if labels is None:
        raise CubeError(f"A {kind} does not say which bands it holds: name them in order, bands=['B02', 'B03', …].")
    return xr.DataArray(cube, dims=("t", "bands", "y", "x")[-cube.ndim :])


def _stack_variables(dataset: xr.Dataset) -> xr.DataArray:
    """Stack the variables that are bands.

    What tells how numbers are read must be the same for all.
    """
    whole = dataset.rename({old: new for old, new in DIM_ALIASES.items() if old in dataset.dims})
    planes = {str(name): v for name, v in whole.data_vars.items() if set(v.dims) - {"t"} == {"y", "x"}}
    names = dict(zip(planes, find_bands([*planes]), strict=True))
    _refuse_unclear([*planes])
    found = [name for name in planes if names.get(name)]
    if not found:
        raise CubeError(
            f"The Dataset has no variable (y, x) that is named like a band; it has {', '.join(map(str, whole))}: "
            "rename them with dataset.rename({…: 'B02', …})."
        )
    facts = [{key: str(planes[name].attrs.get(key, planes[name].encoding.get(key))) for key in FACTS} for name in found]
    if differing := [key for key in FACTS if len({fact[key] for fact in facts}) > 1]:
        raise CubeError(
            f"The bands of the Dataset differ in {', '.join(differing)}: import kappamask.scenes and call "
            "dataset.kappamask.mask(), or make reflectances of them."
        )
    first = planes[found[0]]
    cube = xr.concat([planes[name].drop_attrs() for name in found], "bands", coords="minimal", compat="override")
    cube = cube.assign_coords(bands=[names[name] for name in found])
    cube.attrs = dict(whole.attrs) | {key: value for key, value in first.attrs.items() if key != "long_name"}
    cube.encoding = {key: first.encoding[key] for key in FACTS if key in first.encoding}
    return cube


def compute_chunk_sizes(cube: xr.DataArray) -> xr.DataArray:
    """Make the sizes of dask chunks known; the cube is computed once to count."""
    if cube.chunks is None or not np.isnan([float(n) for sizes in cube.chunks for n in sizes]).any():
        return cube
    counted = cube.data.copy().compute_chunk_sizes()
    made = xr.DataArray(counted, dims=cube.dims, coords=cube.coords, attrs=cube.attrs, name=cube.name)
    made.encoding = cube.encoding
    return made


def _label_bands(cube: xr.DataArray, labels: Sequence[str] | None) -> xr.DataArray:
    found = [str(name) for name in np.atleast_1d(cube.coords["bands"].values)] if "bands" in cube.coords else []
    described = cube.attrs.get("long_name")  # of each layer, as rioxarray keeps what a file says
    if isinstance(described, tuple | list) and len(described) == cube.sizes["bands"] and not any(find_bands(found)):
        found = [str(text) for text in described]
    if not found or are_numbered(found):
        names = _name_bands(cube, found, labels)
    else:
        names = [band or name for band, name in zip(find_bands(found), found, strict=True)]
        if labels is None:
            _refuse_unclear(found)
    doubled = sorted({n for n in names if names.count(n) > 1} & set(SENTINEL2_BANDS))
    if doubled:
        raise CubeError(f"The cube has several bands named {', '.join(doubled)}: keep one of each.")
    return cube.assign_coords(bands=names)


def _refuse_unclear(labels: Sequence[str]) -> None:
    """Raise CubeError for labels that may mean several bands."""
    if text := explain_unclear(labels):
        raise CubeError(text)


def _name_bands(cube: xr.DataArray, found: Sequence[str], labels: Sequence[str] | None) -> list[str]:
    """Name the bands of a cube whose layers have no names, or only numbers."""
    if not labels:
        what = f"are only numbered ({', '.join(found[:3])}, …), which names no band" if found else "have no labels"
        how = by_door(
            python="bands=['B02', …], or with cube.assign_coords(bands=['B02', …])",
            command="--bands B02,…",
            context='"bands": ["B02", …]',
        )
        raise CubeError(f"The cube's bands {what}: name all {cube.sizes['bands']} in order with {how}.")
    names = [*(found or [""] * cube.sizes["bands"])]
    unnamed = range(len(names)) if len(labels) == len(names) else list_numbered(names)
    if len(labels) != len(unnamed):
        raise CubeError(f"{len(labels)} labels were given for {cube.sizes['bands']} bands.")
    for place, label in zip(unnamed, labels, strict=True):
        names[place] = find_band(label) or label
    return names


def select_bands(cube: xr.DataArray, bands: Sequence[str]) -> xr.DataArray:
    """Keep the `bands` of a labelled cube, in that order; CubeError for others."""
    held = [str(name) for name in cube.coords["bands"].values]
    wanted = [find_band(name) or name for name in bands]
    if lacking := [name for name in wanted if name not in held]:
        raise CubeError(f"The cube has no band {', '.join(lacking)}; it has {', '.join(held)}.")
    return cube.isel(bands=[held.index(name) for name in wanted])


def select_model_bands(cube: xr.DataArray, card: ModelCard) -> xr.DataArray:
    """Select the bands that the network takes, in the card's order.

    Raises CubeError that lists what is lacking if a required band is not there.
    """
    found = [str(name) for name in cube.coords["bands"].values]
    lacking = [band for band in card.bands if band in card.required and band not in found]
    if lacking:
        raise CubeError(
            f"Cube lacks bands {', '.join(lacking)}; {card.id} needs {', '.join(sorted(card.required))} "
            f"and the cube has {', '.join(found)}. {LOAD_HINT}."
        )
    positions = [found.index(band) for band in card.bands if band in found]
    if positions == list(range(len(found))):
        return cube
    return cube.isel(bands=positions)
