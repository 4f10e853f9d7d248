"""Convert dimensions, bands and nodata between other libraries' conventions and ours."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from kappamask.models import CubeError
from kappamask.models.band_names import are_numbered, find_band, find_bands
from kappamask.scenes.readers.netcdf import AXES, BAND_DIMS, to_cube
from kappamask.udf import cloud_mask
from kappamask.udf.cube import compute_chunk_sizes

__all__ = [
    "Xarray",
    "align_mask",
    "as_mask",
    "compute_mask",
    "require_mask",
    "restore_dims",
    "select_provenance",
    "to_canonical_dims",
]

Xarray = TypeVar("Xarray", xr.DataArray, xr.Dataset, xr.DataArray | xr.Dataset)
NAMES = AXES | dict.fromkeys((*BAND_DIMS, "variable"), "bands")
"""Other libraries' names of dims; `variable` is that of xarray's `Dataset.to_dataarray`."""
DIMS = ("t", "bands", "y", "x")
AWAY = 0.01
"""Pixels by which the coordinates of a mask may differ from those of its cube: files round numbers."""


def to_canonical_dims(data: Xarray) -> tuple[Xarray, dict[str, str]]:
    """Rename the dims of `data` to those of `DIMS`.

    Also returns, for each renamed dim, its old name, which `restore_dims` gives it back.
    Raises CubeError if it is nothing of xarray, or lacks the dims y and x.
    """
    if not isinstance(data, xr.DataArray | xr.Dataset):
        raise CubeError(f"Needed is an xarray.DataArray or xarray.Dataset, not {type(data).__name__}.")
    own = {new: old for old, new in NAMES.items() if old in data.dims and new not in data.dims}
    named = data.rename({old: new for new, old in own.items()})
    if not {"y", "x"} <= set(named.dims):
        raise CubeError(f"The data have dims ({', '.join(map(str, data.dims))}); needed are y and x, or lat and lon.")
    return named, own


def restore_dims(made: Xarray, own: Mapping[str, str]) -> Xarray:
    """Give `made` the names of dims that `to_canonical_dims` replaced."""
    return made.rename({new: old for new, old in own.items() if new in made.dims})


def compute_mask(data: xr.DataArray | xr.Dataset, **options: Any) -> xr.DataArray | xr.Dataset:
    """Mask a cube, or a dataset with one variable per band, by `cloud_mask`.

    Dims of the result are those of `to_canonical_dims`.
    """
    named, _ = to_canonical_dims(data)
    if isinstance(named, xr.DataArray):
        return cloud_mask(_assign_labels(named), **options)
    return cloud_mask(_to_cube(named, options.pop("bands", None)), **options)


def as_mask(data: Any) -> xr.DataArray | None:
    """Return `data` if it is a mask, or its variable `mask`, else None.

    A dataset with bands is no mask.
    """
    named, _ = to_canonical_dims(data)
    if isinstance(named, xr.Dataset) and "mask" in named and not _has_bands(named):
        named = named["mask"]
    if isinstance(named, xr.DataArray) and set(named.dims) - {"t"} == {"y", "x"}:
        return named
    return None


def require_mask(data: Any) -> xr.DataArray:
    """Return `as_mask`, or raise CubeError."""
    found = as_mask(data)
    if found is None:
        raise CubeError(f"A mask has dims (y, x) or (t, y, x), not ({', '.join(map(str, data.dims))}).")
    return found


def align_mask(mask: Any, data: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Align `mask`, or the variable `mask` in it, to the coordinates of `data`.

    Dims of both are as `to_canonical_dims` names them.
    Rows and columns that run the other way are turned. Raises CubeError unless pixels and dates are the same: xarray
    would leave out in silence what differs.
    """
    named = _align_axes(compute_chunk_sizes(require_mask(mask)), data)
    for dim in map(str, named.dims):
        if dim not in data.dims or named.sizes[dim] != data.sizes[dim] or not _same_coordinates(named, data, dim):
            raise CubeError(
                f"The mask has {dict(named.sizes)} pixels, the data {dict(data.sizes)}, or their {dim} differ; "
                "needed is the mask of these data."
            )
    bare = named.drop_vars(list(named.coords))
    return bare.assign_coords({dim: data[dim] for dim in bare.dims if dim in data.coords})


def _align_axes(mask: xr.DataArray, data: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Order y and x of `mask` as those of `data` are."""
    both = [dim for dim in ("y", "x") if dim in mask.coords and dim in data.coords and mask.sizes[dim] > 1]
    against = [dim for dim in both if data.sizes[dim] > 1 and _is_growing(mask[dim]) != _is_growing(data[dim])]
    return mask.isel({dim: slice(None, None, -1) for dim in against})


def _is_growing(places: xr.DataArray) -> bool:
    return bool(places[0] < places[-1])


def select_provenance(mask: xr.DataArray) -> dict[str, Any]:
    """Select the attributes that describe how a mask was made."""
    return {
        key: v for key, v in mask.attrs.items() if not key.startswith("flag_") and key not in ("long_name", "scheme")
    }


def _same_coordinates(mask: xr.DataArray, data: xr.DataArray | xr.Dataset, dim: str) -> bool:
    if dim not in mask.coords or dim not in data.coords:
        return True
    first, second = mask[dim].values, data[dim].values
    if dim == "t":
        return bool((first == second).all())
    step = abs(second[-1] - second[0]) / max(1, len(second) - 1)
    return bool((np.abs(first - second) <= AWAY * step).all())


def _assign_labels(cube: xr.DataArray) -> xr.DataArray:
    """Give `cube` this project's band labels.

    They come from its own labels, or from descriptions as rioxarray keeps them.
    """
    described = cube.attrs.get("long_name")
    labels = [str(label) for label in cube["bands"].values] if "bands" in cube.coords and cube["bands"].ndim else []
    if isinstance(described, tuple | list) and len(described) == cube.sizes.get("bands"):
        labels = labels if any(find_bands(labels)) else [str(text) for text in described]
    return cube.assign_coords(bands=labels) if labels else cube


def _to_cube(dataset: xr.Dataset, bands: Any = None) -> xr.DataArray:
    """Stack the bands of a dataset as one cube.

    Names as rioxarray's `band_as_variable` has them are in `long_name`.
    """
    labels = {name: _find_band_label(variable) for name, variable in dataset.data_vars.items()}
    if are_numbered([str(name) for name in dataset.data_vars]) and not any(_bands_of_descriptions(dataset)):
        return to_cube("Dataset", dataset, bands, None)
    return to_cube("Dataset", dataset.rename({name: label for name, label in labels.items() if label}), bands, None)


def _bands_of_descriptions(dataset: xr.Dataset) -> list[str | None]:
    return [find_band(str(variable.attrs.get("long_name", ""))) for variable in dataset.data_vars.values()]


def _has_bands(dataset: xr.Dataset) -> bool:
    return "bands" in dataset.dims or any(map(_find_band_label, dataset.data_vars.values()))


def _find_band_label(variable: xr.DataArray) -> str | None:
    described = str(variable.attrs.get("long_name", ""))
    return find_band(str(variable.name)) or find_band(described)
