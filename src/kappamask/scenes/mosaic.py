"""Masks of neighbouring areas and of many dates put together, pixel for pixel."""

from collections.abc import Sequence
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox, bbox_union

from kappamask.models import SceneError
from kappamask.models.card import NODATA_CODE
from kappamask.models.schemes import KAPPAMASK
from kappamask.scenes.encoding import read_legend
from kappamask.scenes.grid import to_coordinates, write_grid
from kappamask.scenes.metadata import parse_sensing_time
from kappamask.scenes.writers.masks import read_mask

__all__ = ["join_masks", "join_scores", "stack_masks"]

NEAR = 1e-6
"""Pixels by which corners may lie off a common grid, because files round them."""
Files = Sequence[str | Path]


def join_masks(paths: Files, *, band: int | None = None) -> xr.DataArray:
    """Combine mask files of one grid into a lazy mask, uint8 (y, x).

    Pixels that no file covers are 255.
    Where masks overlap, the first that has a pixel gives it. Nothing is resampled. band: as for `read_mask`. Raises
    SceneError if the files differ in CRS, pixel size or classes, if their pixels do not coincide, or if they are no
    bytes.
    """
    return _merge_masks(paths, _find_common_grid(paths, band), band)


def join_scores(paths: Files, classes: Sequence[str]) -> xr.DataArray:
    """Combine the scores that follow the mask in multi-band files, one band per class.

    Lazy, uint8 (class, y, x), percent, 255 where there is none. Raises SceneError as `join_masks` does.
    """
    layers = [join_masks(paths, band=band) for band, _ in enumerate(classes, 2)]
    return xr.concat(layers, xr.Variable("class", list(classes)), combine_attrs="drop").rename("score")


def stack_masks(paths: Files) -> xr.DataArray:
    """Stack masks of one or more dates as a lazy cube, uint8 (t, y, x).

    Dates come from the files' tags or names.
    Files of one date are put together by `join_masks`, all dates on the grid that holds them all, 255 where there is no
    mask. Raises SceneError if there is no file, if one has no date, or as `join_masks` does.
    """
    by_date: dict[str, list[str | Path]] = {}
    for path in paths:
        by_date.setdefault(_find_date(Path(path)), []).append(path)
    if not by_date:
        raise SceneError("No mask files are given.")
    frame = _find_common_grid(paths)
    layers = [_merge_masks(by_date[date], frame) for date in sorted(by_date)]
    _check_same_scheme([by_date[date][0] for date in sorted(by_date)], layers)
    dates = np.array([np.datetime64(date, "ns") for date in sorted(by_date)])
    return xr.concat(layers, xr.Variable("t", dates), combine_attrs="override")


def _find_common_grid(paths: Files, band: int | None = None) -> GeoBox:
    """Return the grid that holds all of these files, which must lie on one."""
    grids = [_make_grid(read_mask(path, band=band)) for path in paths]
    first = grids[0]
    for path, grid in zip(paths, grids, strict=True):
        if not _is_on_grid(grid, first):
            raise SceneError(f"{Path(path).name} is not on the grid of {Path(paths[0]).name}; nothing is resampled.")
    box = bbox_union(_pixel_box(grid, first) for grid in grids)
    return first.translate_pix(box.left, box.bottom).crop(box.shape)


def _merge_masks(paths: Files, frame: GeoBox, band: int | None = None) -> xr.DataArray:
    """Merge masks on the pixels of `frame`, the first on top."""
    masks = [read_mask(path, band=band) for path in paths]
    whole = dask.array.full((frame.height, frame.width), NODATA_CODE, np.uint8)
    for mask in masks:
        box = _pixel_box(_make_grid(mask), frame)
        around = [(box.bottom, frame.height - box.top), (box.left, frame.width - box.right)]
        layer = dask.array.pad(mask.data, around, constant_values=NODATA_CODE)
        whole = dask.array.where(whole == NODATA_CODE, layer, whole)
    _check_same_scheme(paths, masks)
    codes, coords = whole.astype(np.uint8), to_coordinates(frame)
    return write_grid(xr.DataArray(codes, coords, ("y", "x"), "mask", masks[0].attrs), frame)


def _check_same_scheme(paths: Files, masks: list[xr.DataArray]) -> None:
    """Raise SceneError unless all hold bytes of one scheme, with the same classes."""
    for path, mask in zip(paths, masks, strict=True):
        if mask.dtype != np.uint8:
            raise SceneError(f"{Path(path).name} holds {mask.dtype}; needed are bytes: gdal_translate -ot Byte.")
        if _list_classes(mask) != _list_classes(masks[0]):
            raise SceneError(
                f"{Path(path).name} has other classes than {Path(paths[0]).name}; masks put together need one scheme."
            )


def _list_classes(mask: xr.DataArray) -> tuple[str, list[tuple[int, str]]]:
    return str(mask.attrs.get("scheme", KAPPAMASK)), [(one.value, one.name) for one in read_legend(mask)]


def _make_grid(mask: xr.DataArray) -> GeoBox:
    return GeoBox((mask.sizes["y"], mask.sizes["x"]), mask.rio.transform(), mask.rio.crs)


def _is_on_grid(grid: GeoBox, frame: GeoBox) -> bool:
    """Tell whether the pixels of two grids coincide, to within what files round.

    `geobox_union_conservative` takes pixels of sizes that differ by 1e-5, and no offset above 1e-8.
    """
    across, _, column, _, down, row, *_ = ~frame.transform @ grid.transform
    sizes = max(abs(across - 1), abs(down - 1)) < NEAR
    whole = all(abs(pixels - round(pixels)) < NEAR * max(1.0, abs(pixels)) for pixels in (column, row))
    return sizes and whole and grid.crs == frame.crs


def _pixel_box(grid: GeoBox, frame: GeoBox) -> BoundingBox:
    """Find first column and row, last column and row of `grid` on `frame`."""
    column, row = map(round, ~frame.transform @ (grid.transform.c, grid.transform.f))
    return BoundingBox(column, row, column + grid.width, row + grid.height)


def _find_date(path: Path) -> str:
    found = read_mask(path).attrs.get("datetime") or parse_sensing_time(path.name)
    if not found:
        raise SceneError(f"{path.name} has no date: put one in its name, as mask_2018-02-02.tif.")
    return str(found).removesuffix("Z")
