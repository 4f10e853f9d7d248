"""Open local rasters with an allow-list of GDAL drivers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import dask.array
import numpy as np
import rasterio
from dask.array import Array
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from kappamask.files.archives import Member, Source
from kappamask.files.atomic import check_utf8
from kappamask.models import SceneError
from kappamask.models.band_names import find_band
from kappamask.models.schemes import CLASSES
from kappamask.scenes.grid import read_grid, to_stored_window, turn_north_up

__all__ = [
    "CHUNK",
    "ENVIRONMENT",
    "GDAL_ERRORS",
    "NODATA_DN",
    "fill_value",
    "find_alpha",
    "find_hidden_pixels",
    "has_mask",
    "make_lazy_bands",
    "number_type",
    "open_local_raster",
]

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""rasterio passes some of GDAL's errors on as they are, and has no public name for them."""
da: Any = dask.array  # its annotations are partial
DRIVERS = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xffO\xffQ": "JP2OpenJPEG",
}
"""First bytes (TIFF 6.0, BigTIFF, ISO 15444-1) -> the GDAL driver that may open the file, and no other: VRT, WMS and
the like name further files and hosts, so an untrusted scene must not be one. Suffixes prove nothing."""
ENVIRONMENT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "CPL_DEBUG": "OFF",
    "GDAL_CACHEMAX": 128,
}
"""No side-car files, no zeros in place of a block that cannot be read, and 128 MB of blocks that are kept, where GDAL
takes 5 % of the memory (GDAL's configuration options)."""
CHUNK = 1024
"""Side of a dask chunk, pixels: the block size of Sentinel-2 JP2s, and 2 MiB a band."""
ALPHA_NAMES = ("alpha", "datamask", "data_mask", "valid", "valid_mask", "validity")
"""Descriptions of bands that are 0 where there are no data; dataMask is Sentinel Hub's."""
NODATA_DN = 0
"""Digital number of Sentinel-2 that means no data."""


@contextmanager
def open_local_raster(source: Source, **options: Any) -> Iterator[DatasetReader]:
    """Open a local GeoTIFF or JPEG 2000, also in an archive.

    GDAL's errors, also while reading, become SceneError.
    `options` are those of the driver, and `overview_level`.
    """
    name, driver = _choose_driver(source)
    try:
        with rasterio.Env(**ENVIRONMENT), rasterio.open(name, driver=driver, **options) as dataset:
            yield dataset
    except (*GDAL_ERRORS, OSError) as error:
        reason = str(error.__cause__ or error).replace(str(name), source.name).rstrip(".")
        raise SceneError(f"{source.name} cannot be read as a whole GeoTIFF or JPEG 2000: {reason}.") from error


def _choose_driver(source: Source) -> tuple[str | Path, str]:
    """Return GDAL's name of a file, and the one driver that may open it.

    In products in archives all images are JPEG 2000.
    """
    path = source.archive if isinstance(source, Member) else source
    if not check_utf8(path).is_file():
        raise SceneError(f"No file {path}.")
    return (source.gdal, "JP2OpenJPEG") if isinstance(source, Member) else (source.resolve(), _driver_of_file(source))


def _driver_of_file(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(max(map(len, DRIVERS)))
    found = [driver for magic, driver in DRIVERS.items() if head.startswith(magic)]
    if not found:
        raise SceneError(f"{path.name} is neither a GeoTIFF nor a JPEG 2000: its first bytes are {head[:4]!r}.")
    return found[0]


def number_type(dataset: DatasetReader, band: int) -> np.dtype[Any]:
    """Return the dtype of a band (numbered from 1).

    Raises SceneError for complex numbers, of which numpy lacks some kinds, and for a band that is not there.
    """
    if band > dataset.count:
        raise SceneError(f"{Path(dataset.name).name} has {dataset.count} bands, and band {band} is asked for.")
    name = str(dataset.dtypes[band - 1])
    if name.startswith("complex"):
        raise SceneError(f"{Path(dataset.name).name} holds {name}; needed are whole numbers or reflectance (float).")
    return np.dtype(name)


def make_lazy_bands(path: Path, indexes: list[int], hidden_value: int | None = None) -> Array:
    """Read bands (numbered from 1) of a file as a dask array (band, y, x).

    The dtype is the file's; chunks follow its blocks.
    Each chunk opens the file again: no handles stay open, and the array can be pickled.
    hidden_value: what pixels are that the file's mask hides; left out, as `fill_value` chooses.
    Computing raises SceneError where the file is damaged.
    """
    with open_local_raster(path) as dataset:
        grid, dtype = read_grid(dataset), number_type(dataset, indexes[0])
        by_band = dataset.interleaving is None or dataset.interleaving.name == "band"
        height, width = _choose_chunk(dataset.block_shapes[0], grid)
    band_chunks = (1,) * len(indexes) if by_band else (len(indexes),)
    bands: Array = da.map_blocks(
        _read,
        path=path,
        indexes=tuple(indexes),
        hidden_value=hidden_value,
        chunks=(band_chunks, *da.core.normalize_chunks((height, width), shape=(grid.height, grid.width))),
        dtype=dtype,
        meta=np.empty((0, 0, 0), dtype=dtype),
    )
    return bands


def _choose_chunk(block: tuple[int, int], grid: GeoBox) -> tuple[int, int]:
    """Choose whole blocks of the file, about CHUNK squared pixels; strips make wide chunks."""
    width = min(grid.width, -(-CHUNK // block[1]) * block[1])
    rows = max(1, CHUNK * CHUNK // width)
    return min(grid.height, -(-rows // block[0]) * block[0]), width


def _read(path: Path, indexes: tuple[int, ...], hidden_value: int | None, block_info: Any) -> NDArray[Any]:
    (first, last), *ends = block_info[None]["array-location"]
    rows, columns = (slice(*pair) for pair in ends)
    with open_local_raster(path) as dataset:
        window = to_stored_window(dataset, rows, columns)
        values = np.asarray(dataset.read(list(indexes[first:last]), window=window))
        hidden = find_hidden_pixels(dataset, path, indexes[0], window)
        if hidden is not None:
            fill = fill_value(dataset, values.dtype) if hidden_value is None else values.dtype.type(hidden_value)
            values = np.where(hidden, fill, values)
        return turn_north_up(dataset, values)


def has_mask(dataset: DatasetReader, path: Source | str, band: int) -> bool:
    """Tell whether a mask says where a band has data.

    It may be in the file, in an alpha band, or in a file NAME.msk.
    """
    has_own = MaskFlags.per_dataset in dataset.mask_flag_enums[band - 1] or find_alpha(dataset) not in (None, band)
    return has_own or _mask_file(path) is not None


def find_alpha(dataset: DatasetReader) -> int | None:
    """Return the number of the alpha band, which says where there are data, or None.

    It is marked as one, or described as one of `ALPHA_NAMES`. GDAL takes it for a mask only where there are two or four
    bands. Programs mark a fourth band so that is none: one that is described as a Sentinel-2 band, or as a class whose
    score it holds, is data.
    """
    kinds = zip(dataset.colorinterp, dataset.descriptions, strict=True)
    for number, (kind, text) in enumerate(kinds, 1):
        is_marked = kind == ColorInterp.alpha and not find_band(text) and text not in CLASSES
        if dataset.count > 1 and (is_marked or (text or "").lower() in ALPHA_NAMES):
            return number
    return None


def find_hidden_pixels(
    dataset: DatasetReader, path: Source | str, band: int, window: Window
) -> NDArray[np.bool_] | None:
    """Read which pixels (y, x) of a window the file's mask hides (GDAL RFC 15).

    None where it has no mask.
    Raises SceneError if a mask file next to the file is of another size.
    """
    alpha = find_alpha(dataset)
    hidden = [] if alpha in (None, band) else [dataset.read(alpha, window=window) == 0]
    if MaskFlags.per_dataset in dataset.mask_flag_enums[band - 1]:  # a file may have both
        hidden.append(dataset.read_masks(band, window=window) == 0)
    if hidden:
        return np.asarray(np.logical_or.reduce(hidden))
    mask_path = _mask_file(path)
    if mask_path is None:
        return None
    with catch_warnings(action="ignore", category=NotGeoreferencedWarning), open_local_raster(mask_path) as mask:
        if mask.shape != dataset.shape:
            raise SceneError(
                f"{mask_path.name} does not fit the pixels of {Path(dataset.name).name}: remove or repair it."
            )
        return np.asarray(mask.read(band if mask.count > 1 else 1, window=window) == 0)


def fill_value(dataset: DatasetReader, dtype: np.dtype[Any]) -> Any:
    """Choose the value of masked pixels: the file's nodata value, else NaN or 0."""
    if dataset.nodata is not None:
        return dtype.type(dataset.nodata)
    return dtype.type(np.nan if dtype.kind == "f" else NODATA_DN)


def _mask_file(path: Source | str) -> Path | None:
    mask_path = Path(f"{path}.msk") if isinstance(path, Path) else None
    return mask_path if mask_path and mask_path.is_file() else None
