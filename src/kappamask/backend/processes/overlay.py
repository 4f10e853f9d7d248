"""Lay a cube or polygons over a cube: `mask`, `mask_polygon` and `merge_cubes`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from kappamask.backend.errors import make_api_error, make_parameter_error
from kappamask.backend.processes.pixel_math import decode_nodata
from kappamask.backend.processes.spatial import align, find_covered, is_inside

__all__ = ["Resolver", "hide_masked", "hide_polygon", "merge"]

Resolver = Callable[..., xr.DataArray]
"""Combines the values x of the first cube and y of the second."""
LABELLED = ("t", "bands")
"""Dimensions whose labels may differ between the cubes."""


def hide_masked(cube: xr.DataArray, mask: xr.DataArray, replacement: float | None) -> xr.DataArray:
    """Put `replacement`, or NaN, where a mask on any grid is not 0; float32.

    As on the Copernicus back-end (DatacubeSupport.scala, `rasterMaskGeneric`): NaN in the mask hides like any number
    but 0, pixels without data stay without, and nothing changes on dates and pixels that the mask does not have.
    A mask of one band holds for all bands. Raises the openEO error DimensionMismatch if only the mask has dates.
    """
    if "t" in mask.dims and "t" not in cube.dims:
        raise make_api_error(
            "DimensionMismatch",
            "mask: the mask has a dimension t and the data has none; reduce the mask along t first.",
        )
    values, other = decode_nodata(cube), decode_nodata(mask)
    other = other.squeeze("bands", drop=True) if other.sizes.get("bands") == 1 else other
    hidden = (align(other, cube) != 0) & find_covered(other, cube)
    elsewhere: Any = False  # xarray takes any value, and declares a sentinel
    hidden = hidden.reindex({dim: cube[dim] for dim in ("t", "bands") if dim in hidden.dims}, fill_value=elsewhere)
    return _replace_values(cube, values, hidden, replacement)


def hide_polygon(cube: xr.DataArray, geometries: Any, replacement: float | None, inside: bool) -> xr.DataArray:
    """Put `replacement`, or NaN, where pixel centres lie outside (or `inside`) geometries; float32.

    Pixels without data stay without.
    """
    within, _ = is_inside(cube, geometries)
    return _replace_values(cube, decode_nodata(cube), within if inside else ~within, replacement)


def _replace_values(
    cube: xr.DataArray, values: xr.DataArray, hidden: xr.DataArray, replacement: float | None
) -> xr.DataArray:
    kept = values.where(~hidden, np.nan if replacement is None else replacement).where(values.notnull())
    return kept.transpose(*cube.dims).astype(np.float32)


def merge(first: xr.DataArray, second: xr.DataArray, resolver: Resolver | None) -> xr.DataArray:
    """Merge two cubes on the pixels of the first: dims (t, bands, y, x), float32.

    A dimension that one cube lacks has all labels of the other's there. Where both cubes have a label of each
    dimension and a pixel, `resolver` combines the values. Bands keep their order, new ones follow; dates are sorted.
    Raises the openEO error OverlapResolverMissing if there is such an overlap and no resolver, and
    ProcessParameterInvalid if the cubes share no pixel.
    """
    one, other = decode_nodata(first), decode_nodata(second)
    reached = find_covered(other, one)
    if not bool(reached.any()):
        raise make_parameter_error("merge_cubes", "cube2", "the cubes share no pixel; load both for the same area")
    one, other = _share_dimensions(one, align(other, one))
    common = {dim: _common_labels(one, other, dim) for dim in LABELLED if dim in one.dims}
    overlap = all(common.values())
    if overlap and resolver is None:
        shared = "; ".join(f"{dim}: {', '.join(map(str, labels))}" for dim, labels in common.items())
        raise make_api_error(
            "OverlapResolverMissing",
            f"merge_cubes: both cubes have values for {shared}. Give an overlap_resolver, such as max, or rename the "
            "bands first.",
        )
    union = {dim: _unite_labels(one, other, dim) for dim in common}
    merged = one.reindex(union).fillna(other.reindex(union))
    if overlap and resolver is not None:
        resolved = resolver(x=one.sel(common), y=other.sel(common)).transpose(*one.dims)
        merged = resolved.reindex(union).where(_has_labels(merged, common) & reached, merged)
    return merged.transpose(*one.dims).astype("float32")


def _share_dimensions(one: xr.DataArray, other: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Give each cube the dimensions that only the other has, with its labels."""
    for dim in LABELLED:
        if dim in one.dims and dim not in other.dims:
            other = other.expand_dims({dim: one[dim].values})
        elif dim in other.dims and dim not in one.dims:
            one = one.expand_dims({dim: other[dim].values})
    dims = [dim for dim in (*LABELLED, "y", "x") if dim in one.dims]
    return one.transpose(*dims), other.transpose(*dims)


def _common_labels(one: xr.DataArray, other: xr.DataArray, dim: str) -> list[Any]:
    """List the labels of both cubes, in the first one's order."""
    theirs = set(other[dim].values)
    return [label for label in one[dim].values if label in theirs]


def _unite_labels(one: xr.DataArray, other: xr.DataArray, dim: str) -> Any:
    """List the labels of either cube: dates sorted, others in order of appearance."""
    labels = pd.Index(one[dim].values).append(pd.Index(other[dim].values)).unique()
    return labels.sort_values() if dim == "t" else labels


def _has_labels(merged: xr.DataArray, common: dict[str, list[Any]]) -> xr.DataArray:
    """Tell which labels of `merged` both cubes have."""
    found = xr.DataArray(True)
    for dim, labels in common.items():
        found = found & merged[dim].isin(labels)
    return found
