"""Read one band of a GeoTIFF or JPEG 2000 file lazily on a given grid."""

from dataclasses import dataclass
from typing import Any, Final

import dask.array
import numpy as np
from dask.array import Array
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.io import DatasetReader
from rasterio.windows import Window

from kappamask.files.archives import Member, Source
from kappamask.scenes.grid import halve_grid, read_grid, read_window, to_stored_window, turn_north_up
from kappamask.scenes.readers.block_cache import KEPT
from kappamask.scenes.readers.raster import (
    CHUNK,
    NODATA_DN,
    find_hidden_pixels,
    has_mask,
    number_type,
    open_local_raster,
)
from kappamask.scenes.readers.stac_driver import fill_hidden, find_source_window
from kappamask.scenes.resample import halve_pixels, is_aligned, resample_aligned, resample_window

__all__ = ["Image"]

da: Any = dask.array  # its annotations are partial
SOLID: Final = np.ones((2, 2), bool)
"""What pixels without data are held to be part of: one alone is a dark pixel that ringing has brought to 0."""
REACH: Final = 5
"""Half-resolution pixels next to nodata that may be mixed with it: 4 by the longest filter of JPEG 2000, of 9 taps (ISO
15444-1, annex F), and one by what lossy coding spreads."""


@dataclass(frozen=True)
class Image:
    """One band of a file, and its grid.

    It keeps no open handle and can be pickled.
    """

    source: Source
    band: int
    """In the file, from 1."""
    half: bool
    """Whether it is read with pixels twice as large."""
    level: bool
    """Whether the file has a level of those: JPEG 2000 has, but for small images, for which GDAL offers none."""
    grid: GeoBox
    """Of the pixels that are read."""
    dtype: np.dtype[Any]
    block: tuple[int, int]
    """Height and width, of the pixels that are read."""
    version: int
    """When the file was last changed, nanoseconds."""
    masked: bool
    """Whether a mask, in the file or next to it, or an alpha band says where it has data."""
    nodata: float
    """What pixels are that the mask hides."""

    @classmethod
    def open(cls, source: Source, band: int = 1, *, half: bool = False, nodata: float | None = None) -> "Image":
        """Open a band of a file.

        Raises SceneError if the file cannot be read, has no such band, or is not north-up.
        `half`: the first reduced level of JPEG 2000, of which each pixel stands for 2 x 2, centred a quarter of a pixel
        to the north-west of them; of other files, the means of 2 x 2.
        """
        with open_local_raster(source) as dataset:
            grid, dtype, block = read_grid(dataset), number_type(dataset, band), dataset.block_shapes[band - 1]
            empty = np.nan if dtype.kind == "f" else NODATA_DN
            fill, masked = empty if nodata is None else nodata, has_mask(dataset, source, band)
            level = half and not masked and dataset.driver == "JP2OpenJPEG" and bool(dataset.overviews(band))
        if level:
            with open_local_raster(source, overview_level=0) as dataset:
                block = dataset.block_shapes[band - 1]
        if half:
            grid = halve_grid(grid)
        file = source.archive if isinstance(source, Member) else source
        return cls(source, band, half, level, grid, dtype, block, file.stat().st_mtime_ns, masked, fill)

    def to_dask(self, target: GeoBox, kernel: str = "bilinear") -> Array:
        """Return the band as a dask array (1, y, x) on `target`.

        Chunks have CHUNK pixels a side.
        Where the grids differ, it is resampled by `kernel`; pixels of value 0, nodata, take no part in that.
        Computing raises SceneError where the file is damaged.
        """
        band: Array = da.map_blocks(
            _read_chunk,
            image=self,
            target=target,
            kernel=kernel,
            chunks=((1,), *da.core.normalize_chunks((CHUNK, CHUNK), shape=(target.height, target.width))),
            dtype=self.dtype,
            meta=np.empty((0, 0, 0), dtype=self.dtype),
        )
        return band

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Read pixels (y, x) of the band's own grid.

        Blocks that were read before are not decoded again.
        """
        if not self.level:
            return self._read_window(rows, columns)
        wide = [
            slice(max(0, part.start - 2 * REACH), min(length, part.stop + 2 * REACH))
            for part, length in zip((rows, columns), (self.grid.height, self.grid.width), strict=True)
        ]
        inner = [slice(a.start - b.start, a.stop - b.start) for a, b in zip((rows, columns), wide, strict=True)]
        return _hide_mixed(self._read_window(*wide))[inner[0], inner[1]]

    def _read_window(self, rows: slice, columns: slice) -> NDArray[Any]:
        key = (self.source, self.version, self.band, self.half, self.nodata)
        shape = (self.grid.height, self.grid.width)
        return KEPT.read_window(self._decode_window, key, rows, columns, shape=shape, block=self.block)

    def _decode_window(self, rows: slice, columns: slice) -> NDArray[Any]:
        finer = 2 if self.half and not self.level else 1
        within = [slice(part.start * finer, part.stop * finer) for part in (rows, columns)]
        with open_local_raster(self.source, **self.options) as dataset:
            pixels = self._hide(dataset, read_window(dataset, self.band, *within), *within)
        return halve_pixels(pixels, NODATA_DN) if finer > 1 else pixels

    def _hide(self, dataset: DatasetReader, pixels: NDArray[Any], rows: slice, columns: slice) -> NDArray[Any]:
        """Set the pixels (y, x) that the file's mask hides to `nodata`."""
        if not self.masked:
            return pixels
        hidden = find_hidden_pixels(dataset, self.source, self.band, to_stored_window(dataset, rows, columns))
        if hidden is None:
            return pixels
        return np.where(turn_north_up(dataset, hidden), pixels.dtype.type(self.nodata), pixels)

    @property
    def options(self) -> dict[str, int]:
        """How GDAL is to open the file."""
        return {"overview_level": 0} if self.level else {}


def _read_chunk(image: Image, target: GeoBox, kernel: str, block_info: Any) -> NDArray[Any]:
    _, rows, columns = (slice(*ends) for ends in block_info[None]["array-location"])
    if image.grid == target:
        return image.read(rows, columns)[None]
    if is_aligned(image.grid, target):
        return resample_aligned(image.read, image.grid, target, (rows, columns), kernel, NODATA_DN)[None]
    window = Window.from_slices(rows, columns)
    with open_local_raster(image.source, **image.options) as dataset:
        if not image.masked:
            return resample_window(dataset, [image.band], window, target, kernel, NODATA_DN)
        part = target[rows, columns]
        needed = find_source_window(dataset, part)
        if needed is None:
            return np.full((1, *part.shape), NODATA_DN, image.dtype)
        with fill_hidden(dataset, image.source, image.band, needed, [NODATA_DN], NODATA_DN) as filled:
            return resample_window(filled, [1], Window(0, 0, part.width, part.height), part, kernel, NODATA_DN)


def _hide_mixed(values: NDArray[Any]) -> NDArray[Any]:
    """Set pixels next to nodata to nodata in a reduced level.

    The wavelets mix nodata into them.
    """
    empty = values == NODATA_DN
    if not empty.any():
        return values
    from scipy.ndimage import binary_opening, maximum_filter

    solid = binary_opening(np.pad(empty, 1, mode="edge"), SOLID)[1:-1, 1:-1]
    near = maximum_filter(solid, 2 * REACH + 1, mode="nearest")
    return np.where(near, values.dtype.type(NODATA_DN), values)
