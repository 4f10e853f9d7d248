"""Write masks to GeoTIFF or netCDF, whole or as they are streamed, and read them."""

import math
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import dask.array
import netCDF4
import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from dask.array import Array
from numpy.typing import NDArray
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

from kappamask.files.atomic import atomic_write
from kappamask.models import SceneError
from kappamask.models.card import NODATA_CODE
from kappamask.scenes.encoding import fits, hide_nodata, round_to_percent, to_percent
from kappamask.scenes.grid import read_grid, sort_north_up, to_coordinates, write_grid
from kappamask.scenes.readers.lazy_variables import read_crs
from kappamask.scenes.readers.netcdf import AXES, open_dates
from kappamask.scenes.readers.raster import (
    GDAL_ERRORS,
    find_alpha,
    has_mask,
    make_lazy_bands,
    number_type,
    open_local_raster,
)
from kappamask.scenes.writers.geotiff import check_geotiff, joined_threads, make_scores_path, write_geotiff
from kappamask.udf.cube import compute_chunk_sizes
from kappamask.udf.stream import MaskPiece, ProgressCallback, Stream

__all__ = [
    "MASK_SUFFIXES",
    "SpooledMask",
    "check_mask",
    "list_output_files",
    "read_mask",
    "spool_to_disk",
    "write_mask",
    "write_netcdf",
]

da: Any = dask.array  # its annotations are partial
CONVENTIONS = "CF-1.11"
PACKING = {"zlib": True, "complevel": 4}
MASK_SUFFIXES = (".tif", ".tiff", ".nc")
SPOOL_ROWS = 512
"""Of a chunk that is read again: whole blocks of the GeoTIFF that will hold it."""


def write_netcdf(mask: xr.DataArray, path: Path, scores: xr.DataArray | None) -> list[Path]:
    """See `write_mask`.

    xarray writes the coordinates, and the layers are stored by hand: so the file is closed after the last task has
    ended, which `to_netcdf` does not wait for when one fails. The lock is xarray's, for the scene that is being read
    may be a netCDF too, and the library beneath knows one thread only.
    """
    layers = {"mask": mask} if scores is None else {"mask": mask, "score": to_percent(scores)}
    dataset = xr.Dataset(layers, attrs={"Conventions": CONVENTIONS})
    dataset = dataset.rio.write_crs(mask.rio.crs) if mask.rio.crs else dataset
    with atomic_write(path, GDAL_ERRORS) as draft:
        dataset.drop_vars(list(layers)).to_netcdf(draft, engine="netcdf4")
        with netCDF4.Dataset(draft, "a") as file, joined_threads():
            targets = [_create_variable(file, name, layer) for name, layer in layers.items()]
            da.store([da.asarray(layer.data) for layer in layers.values()], targets, lock=NETCDF4_PYTHON_LOCK)
    return [path]


def _create_variable(file: Any, name: str, layer: xr.DataArray) -> Any:
    """Create a netCDF variable for `layer`.

    Codes have no fill value, because readers would turn them into floats.
    """
    fill = layer.attrs.get("_FillValue", False)
    for dim in set(layer.dims) - set(file.dimensions):  # those without coordinates
        file.createDimension(dim, layer.sizes[dim])
    variable = file.createVariable(name, layer.dtype, layer.dims, fill_value=fill, **PACKING)
    variable.set_auto_maskandscale(False)  # scores are scaled already
    variable.setncatts({key: value for key, value in layer.attrs.items() if key != "_FillValue"})
    if layer.rio.crs:
        variable.setncattr("grid_mapping", layer.rio.grid_mapping)
    return variable


def write_mask(mask: xr.DataArray, path: str | Path, *, scores: xr.DataArray | None = None) -> list[Path]:
    """Write a mask, uint8 (y, x), and its scores, if any; return the files.

    Scores are float32 from 0 to 1, NaN where missing, or uint8 in percent, 255 where missing; stored are whole percents
    as uint8, with scale 0.01 and nodata 255, which most readers undo.
    `.tif`: a Cloud Optimized GeoTIFF with palette, class names (in `.aux.xml` too, where GDAL looks for them),
    nodata 255, overviews of the commonest class, and the mask's attributes as tags; scores go to `NAME_scores.tif`, one
    band a class, overviews of the mean.
    `.nc`: CF netCDF with variables `mask` and `score`; masks with a dimension t need it.
    Lazy masks are computed chunk by chunk. The file appears whole or not at all. Raises SceneError if it cannot be
    written, or if the mask is no uint8 mask.
    """
    target, mask = Path(path), _rename_dims(mask)
    scores = None if scores is None else _rename_dims(scores)
    check_mask(mask, target)
    return write_netcdf(mask, target, scores) if _is_netcdf(target) else write_geotiff(mask, target, scores)


def _rename_dims(array: xr.DataArray) -> xr.DataArray:
    """Rename the dims of `array` to t, y, x where other libraries name them otherwise."""
    names = {old: new for old, new in AXES.items() if old in array.dims and new not in array.dims}
    return compute_chunk_sizes(array.rename(names))


def check_mask(mask: xr.DataArray, path: Path) -> None:
    """Raise SceneError if `write_mask` would refuse `mask` and `path`, whatever its pixels are."""
    if path.suffix.lower() not in MASK_SUFFIXES:
        raise SceneError(f"Cannot write {path.name}: a mask is a .tif or a .nc file.")
    if mask.dtype != np.uint8 or set(mask.dims) - {"t"} != {"y", "x"}:
        raise SceneError(f"A mask is uint8 with dims (y, x), not {mask.dtype} with {mask.dims}.")
    if not _is_netcdf(path):
        check_geotiff(mask)


def read_mask(path: str | Path, *, band: int | None = None, scheme: str | None = None) -> xr.DataArray:
    """Read a mask that `write_mask` wrote, or any raster of class codes.

    Returns integers (y, x), lazy, with attributes from its tags.
    A netCDF of several dates gives (t, y, x). Pixels that the file's mask or alpha band hides are 255, and so are those
    of a declared nodata value that is none of its classes. band: which band of a GeoTIFF, from 1 on; left out, it must
    have one besides alpha. scheme: what the codes are, where the file does not say. Raises SceneError if the file is
    missing, damaged, or holds more than one layer, or not that band, or declares a class as nodata.
    """
    source = Path(path)
    mask, nodata = _read_netcdf(source) if _is_netcdf(source) else _read_geotiff(source, band)
    return mask if nodata is None or band not in (None, 1) else hide_nodata(source.name, mask, nodata, scheme)


def list_output_files(path: Path, *, scores: bool) -> list[Path]:
    """List the files with pixels that `write_mask` makes for this path."""
    return [path, make_scores_path(path)] if scores and not _is_netcdf(path) else [path]


def _is_netcdf(path: Path) -> bool:
    return path.suffix.lower() == ".nc"


def _read_geotiff(path: Path, band: int | None) -> tuple[xr.DataArray, float | None]:
    """Read a mask, and the nodata value that the file declares."""
    with open_local_raster(path) as dataset:
        grid, nodata, alpha = read_grid(dataset), dataset.nodata, find_alpha(dataset)
        layers = [number for number in range(1, dataset.count + 1) if number != alpha]
        dtype, attrs = number_type(dataset, layers[0]), dataset.tags() | dataset.tags(layers[0])
        is_storable = fits(float(NODATA_CODE), dtype) or not has_mask(dataset, path, layers[0])
        described = next((n for n in layers if str(dataset.descriptions[n - 1]).lower() == "mask"), layers[0])
    is_there, needed = (len(layers) == 1, "one") if band is None else (band in layers, f"band {band}")
    if not is_there or dtype.kind not in "ui" or not is_storable:
        raise SceneError(
            f"{path.name} is no mask: it has {len(layers)} bands of {dtype}; needed is {needed} of whole numbers, as "
            f"gdal_translate -b {described} -ot Byte {path.name} mask.tif makes it of band {described}."
        )
    pixels, coords = make_lazy_bands(path, [band or layers[0]], NODATA_CODE)[0], to_coordinates(grid)
    mask = xr.DataArray(pixels, dims=("y", "x"), coords=coords, attrs=attrs, name="mask")
    return write_grid(mask, grid), nodata


def _read_netcdf(path: Path) -> tuple[xr.DataArray, float | None]:
    """Read a mask, and the nodata value that the file declares."""
    dataset = open_dates(path)
    codes = [v for v in dataset.data_vars.values() if set(v.dims) - {"t"} == {"y", "x"} and v.dtype.kind in "ui"]
    if "mask" not in dataset and len(codes) != 1:
        raise SceneError(f"{path.name} is no mask: needed is one variable of whole numbers with dims y, x.")
    mask = (dataset["mask"] if "mask" in dataset else codes[0]).transpose(..., "y", "x").rename("mask")
    crs = read_crs(path.name, dataset)
    declared = mask.attrs.get("_FillValue", mask.attrs.get("missing_value", mask.encoding.get("_FillValue")))
    return sort_north_up(mask.rio.write_crs(crs) if crs else mask), None if declared is None else float(declared)


class SpooledMask(NamedTuple):
    """Lazy arrays that read files of the folder in which they were made."""

    mask: xr.DataArray
    """uint8 ([t,] y, x)."""
    score: xr.DataArray | None
    """In percent, uint8 ([t,] class, y, x), 255 where missing."""


def spool_to_disk(stream: Stream, folder: Path, *, scores: bool, show: ProgressCallback) -> SpooledMask:
    """Make a mask in `folder`; dims, coordinates and attributes are those of `kappamask.udf.cloud_mask`."""
    like = stream.make_template()
    with (folder / "mask").open("wb") as masks, (folder / "score").open("wb") as kept:
        strips = [_RowWriter(masks, like["mask"].shape[-1:])]
        if scores:
            strips.append(_RowWriter(kept, like["score"].shape[-3:-2] + like["score"].shape[-1:]))

        def write(piece: MaskPiece) -> None:
            strips[0].add(piece, piece.mask)
            if scores:
                strips[1].add(piece, round_to_percent(piece.scores).transpose(1, 0, 2))

        stream.run(write, show)
    mask = like["mask"].copy(data=_lazy_bytes(folder / "mask", like["mask"].shape))
    lines = like["score"].transpose(..., "y", "class", "x")
    stored = lines.copy(data=_lazy_bytes(folder / "score", lines.shape, ndim=3)).transpose(*like["score"].dims)
    return SpooledMask(mask, stored if scores else None)


class _RowWriter:
    """Pieces side by side, put together to whole rows and appended to a file."""

    def __init__(self, file: BinaryIO, line: tuple[int, ...]) -> None:
        self.file, self.line = file, line
        self.rows = np.empty((0, *line), dtype=np.uint8)

    def add(self, piece: MaskPiece, values: NDArray[np.uint8]) -> None:
        """Append `values` (y, …, x) of a piece.

        Pieces of the same rows must come from left to right.
        """
        if piece.x.start == 0:
            self.rows = np.empty((len(values), *self.line), dtype=np.uint8)
        self.rows[..., piece.x] = values
        if piece.x.stop == self.line[-1]:
            self.file.write(self.rows.data)


def _lazy_bytes(path: Path, shape: tuple[int, ...], ndim: int = 2) -> Array:
    """Map the bytes of a file as a dask array of `ndim` axes.

    The first axis is y, or dates with y as the second.
    """
    height, *line = shape[-ndim:]
    dates = [_lazy_rows(path, date * height, height, tuple(line)) for date in range(math.prod(shape[:-ndim]))]
    return da.stack(dates).reshape(shape) if len(shape) > ndim else dates[0]


def _lazy_rows(path: Path, first: int, height: int, line: tuple[int, ...]) -> Array:
    chunks = da.core.normalize_chunks((SPOOL_ROWS, *([-1] * len(line))), shape=(height, *line))
    meta = np.empty((0,) * (1 + len(line)), dtype=np.uint8)
    lazy: Array = da.map_blocks(_read_spooled, path=path, first=first, chunks=chunks, dtype=np.uint8, meta=meta)
    return lazy


def _read_spooled(path: Path, first: int, block_info: Any) -> NDArray[np.uint8]:
    (start, stop), *rest = block_info[None]["array-location"]
    line = tuple(last for _, last in rest)
    size = math.prod(line)
    flat = np.fromfile(path, np.uint8, (stop - start) * size, offset=(first + start) * size)
    return flat.reshape(stop - start, *line)
