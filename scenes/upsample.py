"""Coarser bands on the finest grid: GDAL's kernels, and the one that the official KappaMask tool uses."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from kappamask.models import SceneError
from kappamask.scenes.grid import Grid, grid_of
from kappamask.udf.native import kernel_weights

__all__ = ["KERNELS", "upsampled", "weighed"]

GDAL_KERNELS = {"nearest": Resampling.nearest, "bilinear": Resampling.bilinear, "cubic": Resampling.cubic}
KERNELS = (*GDAL_KERNELS, "sinc")
"""nearest repeats pixels, as back-ends do. sinc, without a window, is GraphicsMagick's, which cm_vsm resamples with: it
rings around edges."""
NEAR = 1e-6
"""Pixels: corners are rounded in files."""


def upsampled(
    dataset: DatasetReader, bands: list[int], window: Window, target: Grid, kernel: str, nodata: float
) -> NDArray[Any]:
    """Bands (numbered from 1) of `dataset`, (band, y, x) on the `window` of `target`; `nodata` takes no part in it.

    Raises SceneError where sinc is asked for and one grid's lines are not among the other's.
    """
    if kernel == "sinc":
        return _sinc(dataset, bands, window, target, nodata)
    options = {"crs": target.crs, "transform": target.transform, "width": target.width, "height": target.height}
    how = {"resampling": GDAL_KERNELS[kernel], "src_nodata": nodata, "nodata": nodata}
    with WarpedVRT(dataset, **how, **options) as warped:
        return np.asarray(warped.read(bands, window=window))


def _sinc(dataset: DatasetReader, bands: list[int], window: Window, target: Grid, nodata: float) -> NDArray[Any]:
    source = grid_of(dataset)
    ratio = round(source.transform.a / target.transform.a)
    corner = (source.transform.f - target.transform.f, target.transform.c - source.transform.c)
    lines = []
    for first, count, length, away in zip(
        (window.row_off, window.col_off),
        (window.height, window.width),
        (source.height, source.width),
        corner,
        strict=True,
    ):
        offset = away / target.transform.a
        if source.transform.a != ratio * target.transform.a or abs(offset - round(offset)) > NEAR:
            raise SceneError(f"{dataset.name}: sinc needs pixels that hold whole pixels of the finest grid; try cubic.")
        lines.append(kernel_weights(int(first) + round(offset), int(count), ratio, length, "sinc"))
    (rows, down), (columns, across) = lines
    read = dataset.read(bands, window=Window.from_slices(rows, columns))
    return weighed(read, down, across, nodata)


def weighed(read: NDArray[Any], down: NDArray[np.float64], across: NDArray[np.float64], nodata: float) -> NDArray[Any]:
    """Coarse bands `read` (band, y, x) on finer lines, same dtype: `down` (fine, coarse) along y, `across` along x.

    Pixels without data, `nodata` or NaN, take no part, and stay without: their finer pixels are `nodata`.
    """
    there = np.isfinite(read) & (read != nodata)
    held = there.astype(np.float64)
    share = np.maximum(down @ held @ across.T, 0.5)
    values = down @ np.where(there, read, 0) @ across.T / share
    return _stored(np.where(_repeated(down, held, across), values, nodata), read.dtype)


def _repeated(down: NDArray[Any], held: NDArray[Any], across: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether the coarse pixel that a fine one lies in holds data."""
    rows, columns = down.argmax(axis=1), across.argmax(axis=1)
    return np.asarray(held[:, rows][:, :, columns] > 0)


def _stored(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind not in "ui":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
