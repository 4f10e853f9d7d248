"""Open a scene of any known format, and find scenes in a folder."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr

from kappamask.files.atomic import check_utf8
from kappamask.models import SceneError
from kappamask.scenes.band_names import band_name
from kappamask.scenes.grid import sort_north_up
from kappamask.scenes.readers.eopf import is_eopf, open_eopf, read_classification
from kappamask.scenes.readers.geotiff import open_geotiff
from kappamask.scenes.readers.jp2 import band_files, open_folder
from kappamask.scenes.readers.lazy_variables import to_dask
from kappamask.scenes.readers.netcdf import open_dataset, open_netcdf, rename_dims, to_cube
from kappamask.scenes.readers.raster import local_raster
from kappamask.scenes.readers.safe import is_safe, open_safe, read_classes
from kappamask.scenes.readers.stac import open_item
from kappamask.scenes.readers.vrt import open_vrt
from kappamask.scenes.readers.zarr import check_store, is_zarr, open_group
from kappamask.scenes.resample import KERNELS, halve_cube
from kappamask.udf.schemes import to_scheme
from kappamask.udf.series import add_scene_facts

__all__ = ["open_scene", "open_zarr", "read_scl", "scan"]

Opener = Callable[[Path, Iterable[str] | None, str | None], xr.DataArray]
OPENERS: dict[str, Opener] = {".tif": open_geotiff, ".tiff": open_geotiff, ".nc": open_netcdf}
WRITTEN = frozenset({"mask", "score"})
"""Variables of a netCDF that `write_mask` wrote."""
RESOLUTIONS = (10, 20)
"""Metres."""
KINDS = (
    "a Sentinel-2 product (.SAFE, or a .zip of it), a GeoTIFF (.tif) with band descriptions, a VRT stack (.vrt), a "
    "netCDF (.nc), a Zarr folder (.zarr), a STAC item (.json or https address), or a folder of JP2 band files"
)


def open_zarr(path: Path, bands: Iterable[str] | None, level: str | None, kernel: str, metres: float) -> xr.DataArray:
    """See `open_scene`; the rules of netCDF hold for cubes, whose pixels stay as they are."""
    check_store(path)
    if is_eopf(path):
        return open_eopf(path, bands, level, kernel, metres)
    return sort_north_up(to_cube(path.name, to_dask(path, path.name, rename_dims(open_group(path))), bands, level))


def open_scene(
    path: str | Path,
    *,
    bands: Iterable[str] | None = None,
    level: str | None = None,
    resampling: str = "bilinear",
    resolution: float = 10,
    pixel_m: float | None = None,
) -> xr.DataArray:
    """A scene as a lazy cube: dims (bands, y, x), dask, numbers and dtype as stored.

    `path`: a Sentinel-2 product of either level as ESA makes it, its folder (NAME.SAFE), a zip archive of that, its
    MTD_MSIL1C.xml or MTD_MSIL2A.xml, or the folder of a granule where it has several; a GeoTIFF whose band
    descriptions are band names; a VRT stack of files beside it; a netCDF or Zarr folder with one variable for each
    band or with a labelled band dimension, several dates as dims (t, bands, y, x); an EOPF Zarr product; the file
    (.json) or https address of a STAC item; a folder of JP2s, one band each. Coarser bands are resampled to the
    finest grid, in a folder cut to the area that all bands cover.
    `bands`: which to read, in this order; names for all bands, in order, where layers have none.
    `level`: "L1C" or "L2A", where the scene does not say.
    `resampling`: of the coarser bands: "nearest", "bilinear", "cubic", or "sinc" as the official KappaMask tool does.
    `resolution`: 10, or 20 metres a pixel: then JP2s of 10 m are read at half their resolution, in a quarter of the
    time, and other scenes of 10 m are averaged; bands that have coarser pixels are as they are, or resampled.
    `pixel_m`: metres of a pixel's side, where a file has no CRS to tell.

    Coordinates: `bands` (labels such as B02), `y` and `x` (float64 pixel centres), `.rio.crs` where the file has one.
    Attributes, each only where known: `level`, `datetime` (ISO 8601, UTC), `radiometry` ("reflectance",
    "dn_harmonized", "dn_offset"), `collection`, `processing_baseline`, `_FillValue`; of a Sentinel-2 product `product`
    (its name), `platform` (such as Sentinel-2A), `tile` (such as 32TQM) and `orbit` (the relative one).
    Raises SceneError if the path is no scene, lacks a band, is damaged, or contradicts itself; computing the cube
    raises it where pixels cannot be read.
    """
    scene = Path(path)
    if resampling not in KERNELS:
        raise SceneError(f"No resampling {resampling!r}: known are {', '.join(KERNELS)}.")
    if resolution not in RESOLUTIONS:
        raise SceneError(f"No resolution {resolution!r}: known are {', '.join(map(str, RESOLUTIONS))} (metres).")
    if address := _address(path):
        return add_scene_facts(open_item(address, bands, level, resampling, resolution))
    if not check_utf8(scene).exists():
        raise SceneError(f"No file or folder {scene}.")
    if is_safe(scene):
        return add_scene_facts(open_safe(scene, bands, level, resampling, resolution))
    if scene.is_dir() and not is_zarr(scene):
        return add_scene_facts(open_folder(scene, bands, level, resampling, resolution))
    return add_scene_facts(
        halve_cube(scene.name, _open_file(scene, bands, level, resampling, resolution), resolution, pixel_m)
    )


def read_scl(path: str | Path, like: xr.DataArray) -> xr.DataArray | None:
    """Sen2Cor's scene classification that a Level-2A product came with, on the grid of `like` (…, y, x).

    Lazy, uint8 (y, x), each of its pixels repeated; codes 0 to 11, with their names as CF flag attributes. None for
    Level-1C and for scenes that are no SAFE and no EOPF Zarr products.
    Raises SceneError if the product is damaged, or does not cover `like`; computing raises it as well.
    """
    scene = Path(path)
    if _address(path) or not check_utf8(scene).exists():
        return None
    read = read_classes if is_safe(scene) else read_classification if scene.is_dir() and is_eopf(scene) else None
    found = read(scene, like) if read else None
    return None if found is None else found.assign_attrs(to_scheme(xr.DataArray(np.uint8(0)), "SCL").attrs)


def _open_file(
    scene: Path, bands: Iterable[str] | None, level: str | None, resampling: str, metres: float
) -> xr.DataArray:
    if scene.is_dir():
        return open_zarr(scene, bands, level, resampling, metres)
    suffix = scene.suffix.lower()
    if suffix == ".json":
        return open_item(scene, bands, level, resampling, metres)
    if suffix == ".vrt":
        return open_vrt(scene, bands, level, resampling)
    opener = OPENERS.get(suffix)
    if opener is None:
        raise SceneError(f"{scene.name} is no scene: needed is {KINDS}.")
    return opener(scene, bands, level)


def _address(path: str | Path) -> str | None:
    """`path` if it is an address of the web, with the slashes that `pathlib` took from it."""
    found = re.match(r"(https?):/+(?=[^/])", str(path))
    return f"{found[1]}://{str(path)[found.end() :]}" if found else None


def scan(folder: str | Path) -> list[Path]:
    """The scenes in `folder`, sorted, or the folder itself if it is a product, a Zarr, or holds JP2 band files.

    Goes by names, and leaves out files whose layers are told to be masks, scores and the like; `open_scene` is what
    tells whether a file is a whole scene.
    Raises SceneError if the folder is missing or holds none.
    """
    root = Path(folder)
    if not root.is_dir():
        raise SceneError(f"No folder {root}.")
    if band_files(root) or is_safe(root) or is_zarr(root):
        return [root]
    found = [path for path in sorted(root.iterdir()) if not path.name.startswith(".") and _is_scene(path)]
    if not found:
        raise SceneError(f"Folder {root} holds no scene: needed is {KINDS}.")
    return found


def _is_scene(path: Path) -> bool:
    if is_safe(path):
        return True
    if path.is_dir():
        return is_zarr(path) or bool(band_files(path))
    known = path.suffix.lower() in (*OPENERS, ".vrt")
    return known and not (path.is_file() and _is_product(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=4096)
def _is_product(path: Path, _changed: int) -> bool:
    """Whether a file's layers have names, none that of a band; what cannot be read is left for `open_scene` to judge.

    Several layers with a digit in a name may be bands that are misspelt, so they are not left out in silence.
    """
    try:
        names = _layers(path)
    except (SceneError, OSError):
        return False
    if not names or not all(names) or any(map(band_name, names)):
        return False
    return len(names) == 1 or not any(sign.isdigit() for sign in "".join(names))


def _layers(path: Path) -> list[str]:
    if path.suffix.lower() == ".nc":
        names = {str(name) for name in open_dataset(path).data_vars}
        return sorted(names) if names <= WRITTEN else []
    with local_raster(path) as dataset:
        return [text or "" for text in dataset.descriptions]
