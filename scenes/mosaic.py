"""Masks of neighbouring areas put together, pixel for pixel."""

from collections.abc import Sequence
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr
from rasterio.transform import Affine

from kappamask.models import SceneError
from kappamask.scenes.cube import located
from kappamask.scenes.grid import Grid
from kappamask.scenes.legend import NODATA
from kappamask.scenes.masks import read_mask

__all__ = ["mosaic"]

NEAR = 1e-6
"""Pixels by which corners may lie beside a common grid, for they are rounded in files."""


def mosaic(paths: Sequence[str | Path]) -> xr.DataArray:
    """One lazy mask, uint8 (y, x), of mask files that lie on one grid: 255 where there is none.

    Where masks overlap, the first that has a pixel gives it. Nothing is resampled. Raises SceneError if the files
    differ in CRS or pixel size, or if their pixels do not coincide.
    """
    masks = [read_mask(path) for path in paths]
    corners = [mask.rio.transform() for mask in masks]
    first = corners[0]
    for path, mask, corner in zip(paths, masks, corners, strict=True):
        if mask.rio.crs != masks[0].rio.crs or not _coincide(first, corner):
            raise SceneError(
                f"{Path(path).name} does not lie on the grid of {Path(paths[0]).name}; nothing is resampled."
            )
    places = [_place(first, corner) for corner in corners]
    top, left = (min(place[axis] for place in places) for axis in (0, 1))
    bottom = max(row + mask.sizes["y"] for (row, _), mask in zip(places, masks, strict=True))
    right = max(column + mask.sizes["x"] for (_, column), mask in zip(places, masks, strict=True))
    grid = Grid(masks[0].rio.crs, first @ Affine.translation(left, top), right - left, bottom - top)
    whole = None
    for (row, column), mask in zip(places, masks, strict=True):
        sides = [(row - top, bottom - row - mask.sizes["y"]), (column - left, right - column - mask.sizes["x"])]
        layer = dask.array.pad(mask.data, sides, constant_values=NODATA)
        whole = layer if whole is None else dask.array.where(whole == NODATA, layer, whole)
    made = xr.DataArray(whole, dims=("y", "x"), coords={"y": grid.y, "x": grid.x}, attrs=masks[0].attrs, name="mask")
    return located(made.astype(np.uint8), grid)


def _coincide(first: Affine, other: Affine) -> bool:
    sizes = all(abs(a - b) < NEAR * abs(a) for a, b in ((first.a, other.a), (first.e, other.e)))
    away = ((other.c - first.c) / first.a, (other.f - first.f) / first.e)
    return sizes and all(abs(pixels - round(pixels)) < NEAR * max(1.0, abs(pixels)) for pixels in away)


def _place(first: Affine, other: Affine) -> tuple[int, int]:
    """Row and column of the corner of `other`, counted from that of `first`."""
    return round((other.f - first.f) / first.e), round((other.c - first.c) / first.a)
