"""Write masks to GeoTIFF or netCDF, and read them back."""

from pathlib import Path
from typing import Any

import dask.array
import netCDF4
import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

from kappamask.files.atomic import atomic_write
from kappamask.models import SceneError
from kappamask.models.card import NODATA_CODE
from kappamask.models.schemes import CLASSES, SCHEMES
from kappamask.scenes.encoding import format_class_name, map_codes, to_percent
from kappamask.scenes.grid import read_grid, sort_north_up, to_coordinates, write_grid
from kappamask.scenes.readers.lazy_variables import fits, read_crs
from kappamask.scenes.readers.netcdf import AXES, open_dates
from kappamask.scenes.readers.raster import GDAL_ERRORS, find_alpha, has_mask, lazy_bands, local_raster, number_type
from kappamask.scenes.writers.geotiff import check_geotiff, joined_threads, scores_path, write_geotiff
from kappamask.udf.schemes import MISSING, UNDEFINED

__all__ = ["MASK_SUFFIXES", "check_mask", "list_output_files", "read_mask", "write_mask", "write_netcdf"]

da: Any = dask.array  # its annotations are partial
CONVENTIONS = "CF-1.11"
PACKING = {"zlib": True, "complevel": 4}
MASK_SUFFIXES = (".tif", ".tiff", ".nc")


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
    return array.rename({old: new for old, new in AXES.items() if old in array.dims and new not in array.dims})


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
    return mask if nodata is None or band not in (None, 1) else _hide_nodata(source.name, mask, nodata, scheme)


def _hide_nodata(name: str, mask: xr.DataArray, nodata: float, scheme: str | None) -> xr.DataArray:
    """Set pixels of a declared nodata value to 255; those of a class without data keep their code."""
    if nodata == NODATA_CODE or not fits(nodata, mask.dtype):
        return mask
    known = SCHEMES.get(str(scheme or mask.attrs.get("scheme")))
    meaning = (known.classes_by_code if known else map_codes(mask)).get(int(nodata))
    if meaning is None:
        return mask.where(mask != mask.dtype.type(nodata), mask.dtype.type(NODATA_CODE))
    if meaning in (UNDEFINED, MISSING):
        return mask
    word = format_class_name(CLASSES[meaning])
    raise SceneError(
        f"{name} declares {nodata:g} as no data, which is {word} in {known.name if known else 'its classes'}: if these "
        f"pixels are {word}, take that away (gdal_edit.py -unsetnodata {name}); if there is none, give them 255."
    )


def list_output_files(path: Path, *, scores: bool) -> list[Path]:
    """List the files with pixels that `write_mask` makes for this path."""
    return [path, scores_path(path)] if scores and not _is_netcdf(path) else [path]


def _is_netcdf(path: Path) -> bool:
    return path.suffix.lower() == ".nc"


def _read_geotiff(path: Path, band: int | None) -> tuple[xr.DataArray, float | None]:
    """Read a mask, and the nodata value that the file declares."""
    with local_raster(path) as dataset:
        grid, nodata, alpha = read_grid(dataset), dataset.nodata, find_alpha(dataset)
        layers = [number for number in range(1, dataset.count + 1) if number != alpha]
        dtype, attrs = number_type(dataset, layers[0]), dataset.tags() | dataset.tags(layers[0])
        is_storable = fits(float(NODATA_CODE), dtype) or not has_mask(dataset, path, layers[0])
    is_there, needed = (len(layers) == 1, "one") if band is None else (band in layers, f"band {band}")
    if not is_there or dtype.kind not in "ui" or not is_storable:
        raise SceneError(
            f"{path.name} is no mask: it has {len(layers)} bands of {dtype}; needed is {needed} of whole numbers, as "
            f"gdal_translate -b 1 -ot Byte {path.name} mask.tif makes it of the first."
        )
    pixels, coords = lazy_bands(path, [band or layers[0]], NODATA_CODE)[0], to_coordinates(grid)
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
