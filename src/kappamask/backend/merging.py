"""The openEO process `merge_cubes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import xarray as xr

from kappamask.backend.errors import api_error, invalid_parameter
from kappamask.backend.pixel_math import decode_nodata
from kappamask.backend.resampling import align, find_covered

__all__ = ["Resolver", "merge"]

Resolver = Callable[..., xr.DataArray]
"""Combines the values x of the first cube and y of the second."""
LABELLED = ("t", "bands")
"""Dimensions whose labels may differ between the cubes."""


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
        raise invalid_parameter("merge_cubes", "cube2", "the cubes share no pixel; load both for the same area")
    one, other = _share_dimensions(one, align(other, one))
    common = {dim: _common(one, other, dim) for dim in LABELLED if dim in one.dims}
    overlap = all(common.values())
    if overlap and resolver is None:
        shared = "; ".join(f"{dim}: {', '.join(map(str, labels))}" for dim, labels in common.items())
        raise api_error(
            "OverlapResolverMissing",
            f"merge_cubes: both cubes have values for {shared}. Give an overlap_resolver, such as max, or rename the "
            "bands first.",
        )
    union = {dim: _union(one, other, dim) for dim in common}
    merged = one.reindex(union).fillna(other.reindex(union))
    if overlap and resolver is not None:
        resolved = resolver(x=one.sel(common), y=other.sel(common)).transpose(*one.dims)
        merged = resolved.reindex(union).where(_where(merged, common) & reached, merged)
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


def _common(one: xr.DataArray, other: xr.DataArray, dim: str) -> list[Any]:
    """Labels of both cubes, in the first one's order."""
    theirs = set(other[dim].values)
    return [label for label in one[dim].values if label in theirs]


def _union(one: xr.DataArray, other: xr.DataArray, dim: str) -> Any:
    """Labels of either cube: dates sorted, others in order of appearance."""
    labels = pd.Index(one[dim].values).append(pd.Index(other[dim].values)).unique()
    return labels.sort_values() if dim == "t" else labels


def _where(merged: xr.DataArray, common: dict[str, list[Any]]) -> xr.DataArray:
    """Tell which labels of `merged` both cubes have."""
    found = xr.DataArray(True)
    for dim, labels in common.items():
        found = found & merged[dim].isin(labels)
    return found
