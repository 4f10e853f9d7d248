"""Datasets of xarray as cubes, whatever file they lie in: a variable for each band, or one with a band dimension."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr

from kappamask.models import SceneError
from kappamask.scenes.cf import crs_of, one_nodata, packing_of, shared_nodata
from kappamask.scenes.grid import check_regular
from kappamask.scenes.metadata import attributes, packing
from kappamask.scenes.names import band_name, choose
from kappamask.udf.radiometry import AUXILIARY

__all__ = ["AS_STORED", "cube_of", "renamed"]

AS_STORED: dict[str, Any] = {"mask_and_scale": False, "decode_coords": "all"}
"""How xarray opens a file whose numbers are wanted as they are."""
AXES = {"lat": "y", "latitude": "y", "Y": "y", "lon": "x", "longitude": "x", "X": "x", "time": "t"}
BAND_DIMS = ("bands", "band", "spectral")


def renamed(dataset: xr.Dataset) -> xr.Dataset:
    """`dataset` with its dimensions named t, y, x; a dimension t of one date is dropped, its coordinate stays."""
    dataset = dataset.rename({old: new for old, new in AXES.items() if old in dataset.dims and new not in dataset.dims})
    return dataset.isel(t=0) if dataset.sizes.get("t") == 1 else dataset


def cube_of(name: str, dataset: xr.Dataset, bands: Iterable[str] | None, level: str | None) -> xr.DataArray:
    """The cube in a `renamed` dataset: see `open_scene`; (t, bands, y, x) where it holds several dates."""
    cube = _labelled(name, _dated(name, dataset))
    labels = choose(name, [str(label) for label in cube["bands"].values], bands)
    cube = cube.sel(bands=labels).transpose(*(["t"] if "t" in cube.dims else []), "bands", "y", "x")
    radiometry = packing(name, cube.attrs.pop("packings"))
    attrs = attributes(name, _date(dataset) | dict(dataset.attrs) | cube.attrs, level, radiometry)
    if "t" in cube.dims:
        attrs.pop("datetime", None)
    nodata = {key: value for key, value in cube.attrs.items() if key == "_FillValue"}
    check_regular(name, cube)
    located = (cube if "t" in cube.dims else cube.drop_vars("t", errors="ignore")).rename("dn")
    located.attrs = attrs | nodata
    crs = crs_of(name, dataset)
    return located.rio.write_crs(crs) if crs else located


def _dated(name: str, dataset: xr.Dataset) -> xr.Dataset:
    """`dataset` as it is; SceneError if it holds several dates and does not say which."""
    if "t" not in dataset.dims or ("t" in dataset.coords and _is_time(dataset["t"])):
        return dataset
    raise SceneError(
        f"{name} holds {dataset.sizes['t']} dates, and its dimension t has no times: give it a coordinate of times "
        "(CF units such as 'days since 2020-01-01'), or cut one date out (xarray: dataset.isel(t=0))."
    )


def _labelled(name: str, dataset: xr.Dataset) -> xr.DataArray:
    """The bands as one array with dims [t,] bands, y, x; attribute `packings` lists (scale, offset)."""
    flat = {key: variable for key, variable in dataset.data_vars.items() if set(variable.dims) - {"t"} == {"y", "x"}}
    single = {label: variable for key, variable in flat.items() if (label := band_name(str(key)))}
    if single:
        return _joined(name, single)
    stacks = [v for v in dataset.data_vars.values() if {"y", "x"} < set(v.dims) and set(v.dims) & set(BAND_DIMS)]
    if len(stacks) != 1:
        raise SceneError(
            f"{name} has no bands: needed are variables B02, B03, … with dims y, x, or one variable with a dimension "
            f"'bands' and labels; it has {', '.join(map(str, dataset.data_vars)) or 'no variables'}."
        )
    return _stacked(name, stacks[0])


def _joined(name: str, single: Mapping[str, xr.DataArray]) -> xr.DataArray:
    still = [label for label, variable in single.items() if "t" not in variable.dims]
    if 0 < len(still) < len(single):
        raise SceneError(f"{name}: {', '.join(still)} have no dimension t, other bands have; give all bands the same.")
    layers = [one_nodata(name, variable) for variable in single.values()]
    cube = xr.concat(layers, xr.Variable("bands", list(single)), combine_attrs="drop_conflicts")
    packings = [packing_of(name, variable) for label, variable in single.items() if label not in AUXILIARY]
    return cube.assign_attrs(packings=packings, **shared_nodata(name, layers))


def _stacked(name: str, stack: xr.DataArray) -> xr.DataArray:
    dim = next(d for d in BAND_DIMS if d in stack.dims)
    texts = [t.decode() if isinstance(t, bytes) else str(t) for t in stack[dim].values] if dim in stack.coords else []
    labels = [band_name(text) for text in texts]
    kept = [i for i, label in enumerate(labels) if label]
    if not kept:
        raise SceneError(f"{name}: dimension '{dim}' has no Sentinel-2 band names as labels, such as B02, B03, ….")
    cube = one_nodata(name, stack).isel({dim: kept}).rename({dim: "bands"} if dim != "bands" else {})
    return cube.assign_coords(bands=[labels[i] for i in kept]).assign_attrs(packings=[packing_of(name, stack)])


def _date(dataset: xr.Dataset) -> dict[str, str]:
    if "t" in dataset.dims or "t" not in dataset.coords or not _is_time(dataset["t"]):
        return {}
    return {"datetime": str(np.datetime_as_string(dataset["t"].values, unit="s"))}


def _is_time(coordinate: xr.DataArray) -> bool:
    return np.issubdtype(coordinate.dtype, np.datetime64)
