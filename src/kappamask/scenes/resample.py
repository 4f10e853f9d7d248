"""Resample coarser bands to the finest grid, and grids to half resolution."""

from collections.abc import Callable
from functools import lru_cache
from math import cos, radians, sqrt
from typing import Any, Final

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window
from scipy.sparse import csr_array

from kappamask.models import SceneError
from kappamask.models.cleaning import PIXEL_M
from kappamask.models.hints import option
from kappamask.scenes.grid import DEGREE, find_pixel_size, read_grid, read_window, to_rasterio_crs
from kappamask.scenes.readers.raster import NODATA_DN
from kappamask.udf.resampling import Kernel, compute_kernel_weights

__all__ = [
    "KERNELS",
    "apply_weights",
    "compute_line_weights",
    "halve_cube",
    "halve_pixels",
    "is_aligned",
    "resample_aligned",
    "resample_window",
]

TOLERANCE_M: Final = 0.5
"""Metres by which pixels may differ from what is asked for, as they do after a resampling."""
GDAL_KERNELS: Final = {"nearest": Resampling.nearest, "bilinear": Resampling.bilinear, "cubic": Resampling.cubic}
KERNELS: Final[dict[str, str | Kernel]] = {
    "nearest": (1, lambda away: (np.abs(away) < HALF).astype(np.float64)),
    "bilinear": "bilinear",
    "cubic": (2, lambda away: _cubic_weights(np.abs(away))),
    "sinc": "sinc",
}
"""nearest repeats pixels, as back-ends do; cubic is GDAL's (Keys 1981, a = -1/2). sinc, without a window, is
GraphicsMagick's, which cm_vsm resamples with: it rings around edges."""
HALF: Final = 0.5
TOLERANCE_PX: Final = 1e-6
"""Pixels: corners are rounded in files."""
Lines = tuple[slice, Any]
"""Which coarse lines finer ones are made of, and their weights, a sparse array (fine, coarse), float32."""
Read = Callable[[slice, slice], NDArray[Any]]
"""Rows and columns -> pixels (y, x)."""


def halve_pixels(values: NDArray[Any], nodata: float) -> NDArray[Any]:
    """Average 2 x 2 pixels of `values` (y, x), keeping their dtype.

    The result is `nodata` where one of the four is; an odd last row or column is dropped.
    """
    rows, columns = (length // 2 for length in values.shape)
    fours = values[: rows * 2, : columns * 2].reshape(rows, 2, columns, 2)
    means = fours.mean(axis=(1, 3))
    means[(fours == nodata).any(axis=(1, 3))] = nodata
    return np.asarray(np.rint(means) if values.dtype.kind in "ui" else means, values.dtype)


def halve_cube(name: str, cube: xr.DataArray, metres: float, pixel_m: float | None = None) -> xr.DataArray:
    """Average `cube` (…, y, x) from 10 m to 20 m pixels, lazily.

    It stays as it is where its pixels already have `metres`.
    A pixel is without data where one of the four is. Pixels in degrees are of the size that their mean side is nearest
    to; `pixel_m` tells the side of others. Raises SceneError for pixels of other or of unknown size.
    """
    size = find_pixel_size(cube) if pixel_m is None else (pixel_m, pixel_m, "m")
    if size is not None and size[2] == "degree":
        size = _mean_metres(size, float(cube["y"].mean()), metres) or size
    if _has_size(size, metres):
        return cube
    if not _has_size(size, PIXEL_M):
        size_text = "of unknown size" if size is None else f"{size[0]:.6g} x {size[1]:.6g} {size[2] or '(without CRS)'}"
        is_sure = size is not None and size[2] and not _is_mercator(cube)
        said = "" if is_sure else f", or say their side with {option('pixel_m', 10)}"
        raise SceneError(f"{name}: pixels are {size_text}; for {metres:g} m resample them first (gdalwarp -tr){said}.")
    known, fill = _hide_nodata(cube)
    # Not mean(skipna=False), which fails in xarray 2026.9.
    means: xr.DataArray = known.coarsen(y=2, x=2, boundary="trim").reduce(np.mean)
    whole = means.round() if cube.dtype.kind in "ui" else means
    stored = whole.fillna(fill).astype(cube.dtype)
    made = stored.assign_attrs(cube.attrs).rename(cube.name)
    if made.rio.crs is None:
        return made
    located: xr.DataArray = made.rio.write_transform(made.rio.transform(recalc=True))
    return located


def _is_mercator(cube: xr.DataArray) -> bool:
    """Tell whether the CRS stretches pixels towards the poles, as that of web maps."""
    return (
        cube.rio.crs is not None and "Mercator" in cube.rio.crs.to_wkt() and "Transverse" not in cube.rio.crs.to_wkt()
    )


def _hide_nodata(cube: xr.DataArray) -> tuple[xr.DataArray, float]:
    """Set pixels without data to NaN, and return the number that stood for them.

    Where none is declared, that is 0 in all bands of whole numbers: pixels that a mask hides, and edges of products.
    """
    nodata = cube.attrs.get("_FillValue")
    if nodata is not None:
        return cube.where(cube != nodata), float(nodata)
    if cube.dtype.kind == "f":
        return cube, np.nan
    return cube.where((cube != NODATA_DN).any("bands")), NODATA_DN


def _mean_metres(size: tuple[float, float, str], latitude: float, metres: float) -> tuple[float, float, str] | None:
    """Convert pixels of degrees to square pixels of `metres` or of the finest resolution.

    None where the mean side is near neither.
    """
    mean = DEGREE * sqrt(size[0] * size[1] * abs(cos(radians(latitude))))
    near = next((one for one in (metres, PIXEL_M) if sqrt(0.5) < mean / one < sqrt(2)), None)
    return None if near is None else (near, near, "m")


def _has_size(size: tuple[float, float, str] | None, metres: float) -> bool:
    return size is not None and size[2] == "m" and all(abs(side - metres) <= TOLERANCE_M for side in size[:2])


def resample_window(
    dataset: DatasetReader, bands: list[int], window: Window, target: GeoBox, kernel: str, nodata: float
) -> NDArray[Any]:
    """Resample bands (numbered from 1) to the `window` of `target`: (band, y, x).

    Pixels of `nodata` take no part.
    Raises SceneError where sinc is asked for and pixels do not hold whole pixels of the target.
    """
    source, wanted = read_grid(dataset), window.toslices()
    if not is_aligned(source, target):
        return _warp_window(dataset, bands, window, target, kernel, nodata)

    def layer(number: int) -> NDArray[Any]:
        read: Read = lambda y, x: read_window(dataset, number, y, x)  # noqa: E731
        return resample_aligned(read, source, target, wanted, kernel, nodata)

    return np.stack([layer(number) for number in bands])


def _warp_window(
    dataset: DatasetReader, bands: list[int], window: Window, target: GeoBox, kernel: str, nodata: float
) -> NDArray[Any]:
    if kernel not in GDAL_KERNELS:
        raise SceneError(f"{dataset.name}: sinc needs pixels that hold whole pixels of the finest grid; try cubic.")
    place = {"crs": to_rasterio_crs(target), "transform": target.transform}
    size = {"width": target.width, "height": target.height}
    how = {"resampling": GDAL_KERNELS[kernel], "src_nodata": nodata, "nodata": nodata}
    with WarpedVRT(dataset, **place, **size, **how) as warped:
        return np.asarray(warped.read(bands, window=window))


def is_aligned(source: GeoBox, target: GeoBox) -> bool:
    """Tell whether `source` covers `target`, and its pixels hold whole ones of `target`."""
    if source.crs != target.crs or any(grid.transform.e != -grid.transform.a for grid in (source, target)):
        return False
    ratio, (row, column) = source.transform.a / target.transform.a, _find_begin(source, target)
    left = (source.height * ratio - row - target.height, source.width * ratio - column - target.width)
    whole = all(abs(pixels - round(pixels)) <= TOLERANCE_PX for pixels in (ratio, row, column))
    return whole and ratio >= 1 - TOLERANCE_PX and min(row, column, *left) >= -TOLERANCE_PX


def resample_aligned(
    read: Read, source: GeoBox, target: GeoBox, wanted: tuple[slice, slice], kernel: str, nodata: float
) -> NDArray[Any]:
    """Resample an image on an `is_aligned` grid to some rows and columns of `target`.

    Returns (y, x) of `wanted`; pixels of `nodata` take no part.
    """
    ratio = round(source.transform.a / target.transform.a)
    lengths = (source.height, source.width)
    (rows, down), (columns, across) = (
        compute_line_weights(part.start + round(begin), part.stop - part.start, ratio, length, kernel)
        for part, begin, length in zip(wanted, _find_begin(source, target), lengths, strict=True)
    )
    return apply_weights(read(rows, columns), down, across, nodata)


def _find_begin(source: GeoBox, target: GeoBox) -> tuple[float, float]:
    """Find row and column at which `target` begins in `source`, in pixels of `target`."""
    size = target.transform.a
    return (source.transform.f - target.transform.f) / size, (target.transform.c - source.transform.c) / size


@lru_cache(maxsize=256)
def compute_line_weights(first: int, count: int, ratio: int, length: int, kernel: str) -> Lines:
    """See `compute_kernel_weights`; kept, for all bands of a size are made of the same lines."""
    lines, weights = compute_kernel_weights(first, count, ratio, length, KERNELS[kernel])
    return lines, csr_array(weights.astype(np.float32))


def apply_weights(read: NDArray[Any], down: Any, across: Any, nodata: float) -> NDArray[Any]:
    """Resample coarse pixels `read` (y, x) with weight matrices, keeping their dtype.

    `down` (fine, coarse) applies along y, `across` along x.
    Pixels without data, `nodata` or NaN, take no part, and stay without: their finer pixels are `nodata`. No others
    are, for what rings below 0 is 1 where `nodata` is 0.
    """
    there = np.isfinite(read) & (read != nodata)
    if there.all():
        return _to_dtype(_apply_along_axes(down, read, across), read.dtype, nodata)
    held = there.astype(np.float32)
    values = _apply_along_axes(down, np.where(there, read, 0), across) / np.maximum(
        _apply_along_axes(down, held, across), HALF
    )
    stored = _to_dtype(values, read.dtype, nodata)
    return np.where(_repeat_mask(down, there, across), stored, stored.dtype.type(nodata))


def _apply_along_axes(down: Any, values: NDArray[Any], across: Any) -> NDArray[np.float32]:
    """Apply the weights along x first, where pixels are fewer."""
    wide = across @ np.ascontiguousarray(values.T, dtype=np.float32)
    return np.asarray(down @ np.ascontiguousarray(wide.T))


def _repeat_mask(down: Any, there: NDArray[np.bool_], across: Any) -> NDArray[np.bool_]:
    """Tell for each fine pixel whether its coarse pixel has data."""
    rows, columns = (np.asarray(weights.argmax(axis=1)) for weights in (down, across))
    return np.asarray(there[np.ix_(rows, columns)])


def _cubic_weights(away: NDArray[np.float64]) -> NDArray[np.float64]:
    near, far = (1.5 * away - 2.5) * away**2 + 1, ((-0.5 * away + 2.5) * away - 4) * away + 2
    return np.where(away <= 1, near, np.where(away < 2, far, 0))


def _to_dtype(values: NDArray[Any], dtype: np.dtype[Any], nodata: float) -> NDArray[Any]:
    if dtype.kind not in "ui":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    lowest = limits.min + (nodata == limits.min)
    return np.asarray(np.clip(np.rint(values), lowest, limits.max), dtype)
