"""Masks of neighbouring areas and of many dates put together, pixel for pixel."""

from collections.abc import Sequence
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr
from rasterio.transform import Affine

from kappamask.models import SceneError
from kappamask.models.schemes import KAPPAMASK
from kappamask.scenes.cube import write_grid
from kappamask.scenes.encoding import NODATA, legend
from kappamask.scenes.grid import Grid
from kappamask.scenes.metadata import parse_sensing_time
from kappamask.scenes.writers.masks import read_mask

__all__ = ["mask_cube", "mosaic", "mosaic_of_scores"]

NEAR = 1e-6
"""Pixels by which corners may lie beside a common grid, for they are rounded in files."""
Files = Sequence[str | Path]


def mosaic(paths: Files, *, band: int | None = None) -> xr.DataArray:
    """One lazy mask, uint8 (y, x), of mask files that lie on one grid: 255 where there is none.

    Where masks overlap, the first that has a pixel gives it. Nothing is resampled. band: as for `read_mask`. Raises
    SceneError if the files differ in CRS, pixel size or classes, if their pixels do not coincide, or if they are no
    bytes.
    """
    return _stack_masks(paths, _frame(paths, band), band)


def mosaic_of_scores(paths: Files, classes: Sequence[str]) -> xr.DataArray:
    """The scores that follow the mask in files of several bands, one band a class, put together as the masks are.

    Lazy, uint8 (class, y, x), percent, 255 where there is none. Raises SceneError as `mosaic` does.
    """
    layers = [mosaic(paths, band=band) for band, _ in enumerate(classes, 2)]
    return xr.concat(layers, xr.Variable("class", list(classes)), combine_attrs="drop").rename("score")


def mask_cube(paths: Files) -> xr.DataArray:
    """The masks of one or more dates as one lazy cube, uint8 (t, y, x); dates from the files' tags or names.

    Files of one date are put together as by `mosaic`, all dates on the grid that holds them all, 255 where there is no
    mask. Raises SceneError if there is no file, if one tells no date, or as `mosaic` does.
    """
    by_date: dict[str, list[str | Path]] = {}
    for path in paths:
        by_date.setdefault(_date(Path(path)), []).append(path)
    if not by_date:
        raise SceneError("No mask files are given.")
    frame = _frame(paths)
    layers = [_stack_masks(by_date[date], frame) for date in sorted(by_date)]
    _check_alike([by_date[date][0] for date in sorted(by_date)], layers)
    dates = np.array([np.datetime64(date, "ns") for date in sorted(by_date)])
    return xr.concat(layers, xr.Variable("t", dates), combine_attrs="override")


def _frame(paths: Files, band: int | None = None) -> Grid:
    """The grid that holds all of these files, which must lie on one."""
    grids = [_grid(read_mask(path, band=band)) for path in paths]
    first = grids[0]
    for path, grid in zip(paths, grids, strict=True):
        if grid.crs != first.crs or not _coincide(first.transform, grid.transform):
            raise SceneError(f"{Path(path).name} is not on the grid of {Path(paths[0]).name}; nothing is resampled.")
    places = [_place(first.transform, grid.transform) for grid in grids]
    top, left = (min(place[axis] for place in places) for axis in (0, 1))
    bottom = max(row + grid.height for (row, _), grid in zip(places, grids, strict=True))
    right = max(column + grid.width for (_, column), grid in zip(places, grids, strict=True))
    return Grid(first.crs, first.transform @ Affine.translation(left, top), right - left, bottom - top)


def _stack_masks(paths: Files, frame: Grid, band: int | None = None) -> xr.DataArray:
    """Masks on the pixels of `frame`, the first on top."""
    masks = [read_mask(path, band=band) for path in paths]
    whole = dask.array.full((frame.height, frame.width), NODATA, np.uint8)
    for mask in masks:
        row, column = _place(frame.transform, mask.rio.transform())
        after = frame.height - row - mask.sizes["y"], frame.width - column - mask.sizes["x"]
        layer = dask.array.pad(mask.data, [(row, after[0]), (column, after[1])], constant_values=NODATA)
        whole = dask.array.where(whole == NODATA, layer, whole)
    _check_alike(paths, masks)
    coords = {"y": frame.y, "x": frame.x}
    made = xr.DataArray(whole.astype(np.uint8), dims=("y", "x"), coords=coords, attrs=masks[0].attrs, name="mask")
    return write_grid(made, frame)


def _check_alike(paths: Files, masks: list[xr.DataArray]) -> None:
    """SceneError unless all hold bytes of one scheme, with the same classes."""
    for path, mask in zip(paths, masks, strict=True):
        if mask.dtype != np.uint8:
            raise SceneError(f"{Path(path).name} holds {mask.dtype}; needed are bytes: gdal_translate -ot Byte.")
        if _classes(mask) != _classes(masks[0]):
            raise SceneError(
                f"{Path(path).name} has other classes than {Path(paths[0]).name}; masks put together need one scheme."
            )


def _classes(mask: xr.DataArray) -> tuple[str, list[tuple[int, str]]]:
    return str(mask.attrs.get("scheme", KAPPAMASK)), [(one.value, one.name) for one in legend(mask)]


def _grid(mask: xr.DataArray) -> Grid:
    return Grid(mask.rio.crs, mask.rio.transform(), mask.sizes["x"], mask.sizes["y"])


def _coincide(first: Affine, other: Affine) -> bool:
    sizes = all(abs(a - b) < NEAR * abs(a) for a, b in ((first.a, other.a), (first.e, other.e)))
    away = ((other.c - first.c) / first.a, (other.f - first.f) / first.e)
    return sizes and all(abs(pixels - round(pixels)) < NEAR * max(1.0, abs(pixels)) for pixels in away)


def _place(first: Affine, other: Affine) -> tuple[int, int]:
    """Row and column of the corner of `other`, counted from that of `first`."""
    return round((other.f - first.f) / first.e), round((other.c - first.c) / first.a)


def _date(path: Path) -> str:
    found = read_mask(path).attrs.get("datetime") or parse_sensing_time(path.name)
    if not found:
        raise SceneError(f"{path.name} tells no date: needed is one in its name, as mask_2018-02-02.tif.")
    return str(found).removesuffix("Z")
