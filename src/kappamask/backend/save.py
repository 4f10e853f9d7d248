"""Write results: a cloud-optimised GeoTIFF for each date, or one netCDF."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from openeo_driver.errors import OpenEOApiException

from kappamask.backend.grid import transform_bounds
from kappamask.files.atomic import atomic_write
from kappamask.files.geojson import make_box_geometry
from kappamask.scenes.readers.raster import GDAL_ERRORS

__all__ = ["write"]

log = logging.getLogger(__name__)

GTIFF = "image/tiff; application=geotiff; profile=cloud-optimized"
NETCDF = "application/x-netcdf"
USED_OPTIONS = ("filename_prefix", "ZLEVEL")
"""Format options with an effect here; the back-end's others are accepted and logged."""
DEFLATE_LEVEL = 6
"""ZLEVEL runs from 1, fast, to 9, small (zlib)."""
_PREFIX = re.compile(r"\w[\w.\- ]{0,59}")
"""A plain name; with four bytes a letter, date and suffix, below the 255 bytes that a file's name may have."""
GRID_MAPPING = "spatial_ref"
"""Name of the netCDF variable that holds the CRS: what rioxarray and GDAL look for first."""
UNNAMED = "var"
"""Name of the one band of a cube without a band dimension."""


def write(cube: xr.DataArray, folder: Path | str, fmt: str, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Write a cube into `folder`; the result is file name -> asset metadata.

    cube: dims ("t",) "bands", "y", "x".

    Raises the openEO errors FormatUnsuitable for a format other than GTiff and netCDF or for a cube without pixels,
    and FormatArgumentInvalid for a `filename_prefix` that is no plain name, or a ZLEVEL that is none.
    """
    if "bands" not in cube.dims:
        cube = cube.expand_dims(bands=[UNNAMED]).transpose(..., "bands", "y", "x")
    writers: dict[str, Callable[..., dict[str, dict[str, Any]]]] = {"gtiff": _write_gtiffs, "netcdf": _write_netcdf}
    if fmt.lower() not in writers:
        raise _make_error("FormatUnsuitable", f"No format {fmt}; there are GTiff and netCDF.")
    if not cube.size:
        raise _make_error("FormatUnsuitable", f"The result is empty, {dict(cube.sizes)}; no file can hold that.")
    prefix, level = _check_options(options)
    unused = sorted(set(options) - set(USED_OPTIONS))
    if unused:
        log.info("Format options without effect here: %s.", ", ".join(unused))
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    return writers[fmt.lower()](cube, target, prefix, level)


def _check_options(options: dict[str, Any]) -> tuple[str, int]:
    """Start of files' names, and level of compression."""
    prefix, level = options.get("filename_prefix", "openEO"), str(options.get("ZLEVEL", DEFLATE_LEVEL))
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise _make_error(
            "FormatArgumentInvalid",
            f"The filename_prefix {str(prefix)[:100]!r} is no plain name; give at most 60 letters, digits, - and _.",
        )
    if level not in set("123456789"):
        raise _make_error("FormatArgumentInvalid", f"The ZLEVEL {level[:100]!r} is no whole number from 1 to 9.")
    return prefix, int(level)


def _make_error(code: str, message: str) -> OpenEOApiException:
    return OpenEOApiException(message, code=code, status_code=400)


def _write_gtiffs(cube: xr.DataArray, folder: Path, prefix: str, level: int) -> dict[str, dict[str, Any]]:
    if "t" not in cube.dims:
        return {f"{prefix}.tif": _write_gtiff(cube.compute(), folder / f"{prefix}.tif", level)}
    assets = {}
    for i, day in enumerate(pd.DatetimeIndex(cube.t.values)):
        name = f"{prefix}_{day:%Y-%m-%d}Z.tif"
        facts = _write_gtiff(cube.isel(t=i, drop=True).compute(), folder / name, level)
        assets[name] = {**facts, "datetime": f"{day:%Y-%m-%d}T00:00:00Z"}
    return assets


def _write_gtiff(cube: xr.DataArray, path: Path, level: int) -> dict[str, Any]:
    values = cube.values
    profile = {
        **dict(zip(("count", "height", "width"), values.shape, strict=True)),
        "driver": "COG", "dtype": values.dtype, "nodata": _find_nodata(cube),
        "crs": cube.rio.crs, "transform": cube.rio.transform(),
        "compress": "deflate", "level": level, "num_threads": "all_cpus", "overview_resampling": "nearest",
    }  # fmt: skip

    with atomic_write(path, GDAL_ERRORS) as draft, rasterio.open(draft, "w", **profile) as file:
        file.write(values)
        file.descriptions = tuple(map(str, cube.bands.values))
    return _describe_asset(cube, path, GTIFF)


def _write_netcdf(cube: xr.DataArray, folder: Path, prefix: str, level: int) -> dict[str, dict[str, Any]]:
    """Write one variable for each band, georeferenced as CF and GDAL expect it."""
    cube = cube.compute()
    data = _cf_dataset(cube)
    encoding: dict[str, dict[str, Any]] = {
        str(name): {"zlib": True, "complevel": level, "_FillValue": _find_nodata(cube), "grid_mapping": GRID_MAPPING}
        for name in data.data_vars
    }
    encoding |= {axis: {"_FillValue": None} for axis in ("x", "y")}
    path = folder / f"{prefix}.nc"
    with atomic_write(path) as draft:
        data.to_netcdf(draft, engine="netcdf4", encoding=encoding)
    facts = _describe_asset(cube, path, NETCDF)
    if "t" in cube.dims and cube.sizes["t"]:
        days = pd.DatetimeIndex(cube.t.values)
        facts |= {
            "start_datetime": f"{days.min():%Y-%m-%d}T00:00:00Z",
            "end_datetime": f"{days.max():%Y-%m-%d}T00:00:00Z",
        }
    return {path.name: facts}


def _cf_dataset(cube: xr.DataArray) -> xr.Dataset:
    """Turn a cube into a CF dataset, with the CRS as `spatial_ref`."""
    plain = cube.reset_coords(drop=True)
    plain = plain.assign_coords(bands=[str(b) for b in cube.bands.values]).drop_attrs()
    data = plain.to_dataset(dim="bands").rio.write_crs(cube.rio.crs, grid_mapping_name=GRID_MAPPING)
    data = data.rio.write_transform(cube.rio.transform()).rio.write_coordinate_system()
    for name, variable in data.data_vars.items():
        variable.attrs["long_name"] = str(name)
    if "t" in data.coords:
        data.t.attrs.update({"standard_name": "time", "long_name": "time", "axis": "T"})
    attrs = {"Conventions": "CF-1.9", "institution": "kappamask embedded openEO back-end"}
    located: xr.Dataset = data.assign_attrs(attrs)
    return located


def _find_nodata(cube: xr.DataArray) -> float:
    return float(cube.attrs.get("_FillValue", np.nan))


def _describe_asset(cube: xr.DataArray, path: Path, kind: str) -> dict[str, Any]:
    """Describe what openeo-driver turns into a STAC asset and item."""
    bands = [str(b) for b in cube.bands.values]
    west, south, east, north = bounds = cube.rio.bounds()
    epsg = cube.rio.crs.to_epsg()
    box = transform_bounds(bounds, epsg, 4326)
    return {
        "output_dir": str(path.parent),
        "href": str(path),
        "type": kind,
        "roles": ["data"],
        "bands": [{"name": band} for band in bands],
        "nodata": "nan" if np.isnan(_find_nodata(cube)) else _find_nodata(cube),
        "file:size": path.stat().st_size,
        "proj:epsg": epsg,
        "proj:bbox": [west, south, east, north],
        "proj:shape": [cube.sizes["y"], cube.sizes["x"]],
        "bbox": [*box],
        "geometry": make_box_geometry(box),
        "raster:bands": [_describe_statistics(cube.sel(bands=band), band) for band in cube.bands.values],
    }


def _describe_statistics(band: xr.DataArray, name: Any) -> dict[str, Any]:
    values = band.values[band.values != _find_nodata(band)]
    valid = values[np.isfinite(values)]
    if valid.size == 0:
        return {"name": str(name), "statistics": {"valid_percent": 0.0}}
    figures = {
        "minimum": valid.min(),
        "maximum": valid.max(),
        "mean": valid.mean(dtype=np.float64),
        "stddev": valid.std(dtype=np.float64),
    }
    return {
        "name": str(name),
        "statistics": {**{k: float(v) for k, v in figures.items()}, "valid_percent": 100 * valid.size / band.size},
    }
