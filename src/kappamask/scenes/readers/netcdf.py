"""Read netCDF scenes and CF attributes, and turn xarray datasets into cubes."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr

from kappamask.files.atomic import check_utf8
from kappamask.models import SceneError
from kappamask.models.band_names import (
    are_numbered,
    choose_bands,
    explain_unclear,
    find_band,
    find_bands,
    has_number,
    normalise_bands,
)
from kappamask.models.hints import option
from kappamask.scenes.grid import check_regular, sort_north_up
from kappamask.scenes.metadata import collect_attributes, name_source, read_packing_mode
from kappamask.scenes.readers.lazy_variables import find_common_nodata, merge_nodata, read_crs, read_packing, to_dask
from kappamask.udf.radiometry_metadata import AUXILIARY

__all__ = ["AS_STORED", "open_dataset", "open_dates", "open_netcdf", "rename_dims", "to_cube"]

AS_STORED: dict[str, Any] = {"mask_and_scale": False, "decode_coords": "all"}
"""How xarray opens a file whose numbers are wanted as they are."""
AXES = {"lat": "y", "latitude": "y", "Y": "y", "lon": "x", "longitude": "x", "X": "x", "time": "t"}
BAND_DIMS = ("bands", "band", "spectral")
ENGINES = {b"\x89HDF": "h5netcdf", b"CDF\x01": "scipy", b"CDF\x02": "scipy"}
"""By a file's first bytes. The netCDF C library may crash on a damaged file where these raise an exception."""


def rename_dims(dataset: xr.Dataset) -> xr.Dataset:
    """Rename the dimensions of `dataset` to t, y, x.

    A dimension t of one date is dropped; its coordinate stays.
    """
    dataset = dataset.rename({old: new for old, new in AXES.items() if old in dataset.dims and new not in dataset.dims})
    return dataset.isel(t=0) if dataset.sizes.get("t") == 1 else dataset


def to_cube(name: str, dataset: xr.Dataset, bands: Iterable[str] | None, level: str | None) -> xr.DataArray:
    """Make the cube of a `rename_dims` dataset, as `open_scene` returns it.

    Dims are (t, bands, y, x) where it holds several dates.
    """
    bands = None if bands is None else list(bands)
    cube = _stack_bands(name, _check_dates(name, dataset), bands)
    labels = choose_bands(name, [str(label) for label in cube["bands"].values], bands)
    cube = cube.sel(bands=labels).transpose(*(["t"] if "t" in cube.dims else []), "bands", "y", "x")
    radiometry = read_packing_mode(name, cube.attrs.pop("packings"))
    tags = _find_date(dataset) | dict(dataset.attrs) | cube.attrs
    attrs = collect_attributes(name, tags, level, radiometry) | name_source(radiometry)
    if "t" in cube.dims:
        attrs.pop("datetime", None)
    nodata = {key: value for key, value in cube.attrs.items() if key == "_FillValue"}
    check_regular(name, cube)
    located = (cube if "t" in cube.dims else cube.drop_vars("t", errors="ignore")).rename("dn")
    located.attrs = attrs | nodata
    crs = read_crs(name, dataset)
    return located.rio.write_crs(crs) if crs else located


def _check_dates(name: str, dataset: xr.Dataset) -> xr.Dataset:
    """Raise SceneError if `dataset` has several dates without coordinates; else return it."""
    if "t" not in dataset.dims or ("t" in dataset.coords and _is_time(dataset["t"])):
        return dataset
    raise SceneError(
        f"{name} holds {dataset.sizes['t']} dates, and its dimension t has no times: give it a coordinate of times "
        "(CF units such as 'days since 2020-01-01'), or cut one date out (xarray: dataset.isel(t=0))."
    )


def _stack_bands(name: str, dataset: xr.Dataset, wanted: list[str] | None) -> xr.DataArray:
    """Stack the bands as one array with dims [t,] bands, y, x.

    Its attribute `packings` lists (scale, offset).
    """
    flat = {key: variable for key, variable in dataset.data_vars.items() if set(variable.dims) - {"t"} == {"y", "x"}}
    by_others = zip(flat, find_bands([*map(str, flat)]), strict=True)
    named = {key: label for key, known in by_others if (label := known or find_band(str(key)))}
    numbered = [key for key in flat if key in named or has_number(str(key))]
    if are_numbered([*map(str, numbered)]):
        named = dict(zip(numbered, _name_layers(name, [*map(str, numbered)], wanted), strict=True))
    if wanted is None and (unclear := explain_unclear([*map(str, flat)])):
        raise SceneError(f"{name}: {unclear}")
    single = {label: flat[key] for key, label in _check_names(name, named).items()}
    if single:
        return _concat_bands(name, single)
    stacks = [v for v in dataset.data_vars.values() if {"y", "x"} < set(v.dims) and set(v.dims) & set(BAND_DIMS)]
    if len(stacks) != 1:
        raise SceneError(
            f"{name} has no bands: needed are variables B02, B03, … with dims y, x, or one variable with a dimension "
            f"'bands' and labels; it has {', '.join(map(str, dataset.data_vars)) or 'no variables'}."
        )
    return _select_bands(name, stacks[0], wanted)


def _check_names(name: str, named: dict[Any, str]) -> dict[Any, str]:
    """Return variable -> band, or raise SceneError if two variables name one band.

    Of several, the one that has the band's own name is the band.
    """
    own = {label for key, label in named.items() if str(key).upper() == label}
    kept = {key: label for key, label in named.items() if label not in own or str(key).upper() == label}
    twice = sorted({label for label in kept.values() if list(kept.values()).count(label) > 1})
    if twice:
        names = ", ".join(str(key) for key, label in kept.items() if label in twice)
        raise SceneError(
            f"{name} names {', '.join(twice)} more than once ({names}): keep one variable of each, as with "
            "dataset.drop_vars, or rename it B02 and the like."
        )
    return kept


def _concat_bands(name: str, single: Mapping[str, xr.DataArray]) -> xr.DataArray:
    still = [label for label, variable in single.items() if "t" not in variable.dims]
    if 0 < len(still) < len(single):
        raise SceneError(f"{name}: {', '.join(still)} have no dimension t, other bands have; give all bands the same.")
    layers = [merge_nodata(name, variable) for variable in single.values()]
    cube = xr.concat(layers, xr.Variable("bands", list(single)), combine_attrs="drop_conflicts")
    packings = [read_packing(name, variable) for label, variable in single.items() if label not in AUXILIARY]
    return cube.assign_attrs(packings=packings, **find_common_nodata(name, layers))


def _name_layers(name: str, texts: list[str], wanted: list[str] | None) -> list[str]:
    """Give numbered layers the caller's names.

    Raises SceneError if there is not one name for each.
    """
    if wanted is None or len(wanted) != len(texts):
        raise SceneError(
            f"{name} has no Sentinel-2 band names, only numbers ({', '.join(texts[:3])}, …): name all {len(texts)} in "
            f"order with {option('bands', ['B02', '…'])}."
        )
    return normalise_bands(wanted)


def _select_bands(name: str, stack: xr.DataArray, wanted: list[str] | None) -> xr.DataArray:
    dim = next(d for d in BAND_DIMS if d in stack.dims)
    texts = [t.decode() if isinstance(t, bytes) else str(t) for t in stack[dim].values] if dim in stack.coords else []
    if are_numbered(texts):
        texts = _name_layers(name, texts, wanted)
    labels = find_bands(texts)
    if wanted is None and (unclear := explain_unclear(texts)):
        raise SceneError(f"{name}: {unclear}")
    kept = [i for i, label in enumerate(labels) if label]
    if not kept:
        raise SceneError(f"{name}: dimension '{dim}' has no Sentinel-2 band names as labels, such as B02, B03, ….")
    cube = merge_nodata(name, stack).isel({dim: kept}).rename({dim: "bands"} if dim != "bands" else {})
    return cube.assign_coords(bands=[labels[i] for i in kept]).assign_attrs(packings=[read_packing(name, stack)])


def _find_date(dataset: xr.Dataset) -> dict[str, str]:
    if "t" in dataset.dims or "t" not in dataset.coords or not _is_time(dataset["t"]):
        return {}
    return {"datetime": str(np.datetime_as_string(dataset["t"].values, unit="s"))}


def _is_time(coordinate: xr.DataArray) -> bool:
    return np.issubdtype(coordinate.dtype, np.datetime64)


def open_netcdf(path: Path, bands: Iterable[str] | None, level: str | None) -> xr.DataArray:
    """See `open_scene`."""
    return sort_north_up(to_cube(path.name, open_dates(path), bands, level))


def open_dataset(path: Path) -> xr.Dataset:
    """Open a local netCDF of one date lazily, numbers as stored, dims y and x.

    Raises SceneError if it is no netCDF or is damaged.
    """
    dataset = open_dates(path)
    if "t" in dataset.dims:
        raise SceneError(f"{path.name} holds {dataset.sizes['t']} dates; one is needed: cut one out (ncks -d t,0).")
    return dataset


def open_dates(path: Path) -> xr.Dataset:
    """Open the same, where it may hold several dates, along t."""
    if not check_utf8(path).is_file():
        raise SceneError(f"No file {path}.")
    try:
        dataset = xr.open_dataset(path.resolve(), engine=_find_engine(path), **AS_STORED)
    except SceneError:
        raise
    except Exception as error:  # parsers of damaged bytes raise all kinds
        raise SceneError(f"{path.name} cannot be read as netCDF: {error or type(error).__name__}.") from error
    return to_dask(path, path.name, rename_dims(dataset))


def _find_engine(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start not in ENGINES:
        raise SceneError(
            f"{path.name} cannot be read as netCDF: it begins with {start!r}; netCDF-4, classic or 64-bit."
        )
    return ENGINES[start]
