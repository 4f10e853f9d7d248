"""Sentinel-2 products in ESA's SAFE format, Level-1C and Level-2A, folders and zip archives."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import xarray as xr

from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.scenes.cube import located, make_cube
from kappamask.scenes.grid import Grid
from kappamask.scenes.image import Image
from kappamask.scenes.layers import files_by_band, joined
from kappamask.scenes.names import choose, whole
from kappamask.scenes.raster import NODATA
from kappamask.scenes.safe_files import product_at
from kappamask.scenes.safe_metadata import facts

__all__ = ["open_safe", "read_classes"]

CLASSES: Final = "_SCL_"
"""In the name of Sen2Cor's scene classification."""


def open_safe(path: Path, bands: Iterable[str] | None, level: str | None, kernel: str, metres: float) -> xr.DataArray:
    """See `open_scene`. The grid is the same whichever bands are asked for.

    Without `bands`, SceneError if the product lacks one of its level.
    """
    product = product_at(path)
    attrs = facts(product, level)
    files = files_by_band(product.images)
    held = [band for band in SENTINEL2_BANDS if band in files]
    labels = whole(product.name, held, str(attrs["level"])) if bands is None else choose(product.name, held, bands)
    data, grid = joined(product.name, files, labels, kernel, metres)
    return make_cube(data, labels, grid, attrs, NODATA)


def read_classes(path: Path, like: xr.DataArray) -> xr.DataArray | None:
    """Sen2Cor's classes of a Level-2A product on the grid of `like`; see `read_scl`."""
    product = product_at(path)
    images = [Image.of(source) for source in product.images if CLASSES in source.name]
    if not images:
        return None
    finest = min(images, key=lambda image: image.grid.transform.a)
    grid = Grid(like.rio.crs, like.rio.transform(recalc=True), like.sizes["x"], like.sizes["y"])
    if finest.grid.crs != grid.crs or not _covers(finest.grid, grid):
        raise SceneError(f"{product.name}: its classification does not cover the cube; use those of one product.")
    codes = finest.lazy(grid, "nearest")[0]
    return located(xr.DataArray(codes, dims=("y", "x"), coords={"y": like["y"], "x": like["x"]}, name="SCL"), grid)


def _covers(outer: Grid, inner: Grid) -> bool:
    """Whether that is so to within a pixel of `outer`: products end at whole pixels of 60 m, crops anywhere."""
    (west, south, east, north), (left, bottom, right, top) = outer.bounds, inner.bounds
    return bool(max(west - left, south - bottom, right - east, top - north) <= outer.transform.a)
