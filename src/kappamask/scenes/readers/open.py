"""Open a scene of any known format, and find scenes in a folder."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from kappamask.files.atomic import check_utf8
from kappamask.models import SceneError
from kappamask.models.band_names import check_band_list, find_band
from kappamask.models.cleaning import PIXEL_M
from kappamask.scenes.grid import sort_north_up
from kappamask.scenes.readers.eopf import is_eopf, open_eopf, read_classification
from kappamask.scenes.readers.geotiff import open_geotiff
from kappamask.scenes.readers.jp2 import list_band_files, open_folder
from kappamask.scenes.readers.lazy_variables import to_dask
from kappamask.scenes.readers.netcdf import open_dataset, open_netcdf, rename_dims, to_cube
from kappamask.scenes.readers.raster import open_local_raster
from kappamask.scenes.readers.safe import is_safe, open_safe, read_classes
from kappamask.scenes.readers.stac import open_item
from kappamask.scenes.readers.vrt import open_vrt
from kappamask.scenes.readers.zarr import is_zarr, open_group
from kappamask.scenes.readers.zarr_metadata import check_store
from kappamask.scenes.resample import KERNELS, halve_cube
from kappamask.udf.schemes import to_scheme
from kappamask.udf.series import add_scene_facts

__all__ = ["READERS", "OpenOptions", "Reader", "find_scenes", "open_scene", "read_scl"]

RESOLUTIONS_M = (PIXEL_M, 20)
OWN_VARIABLES = frozenset({"mask", "score"})
"""Variables of a netCDF that `write_mask` wrote."""


class OpenOptions(NamedTuple):
    """Options of `open_scene`, for readers that have a use for them."""

    bands: Iterable[str] | None
    level: str | None
    resampling: str
    resolution: float


class Reader(NamedTuple):
    """A format: how a scene of it is recognised, and how it is opened."""

    kind: str
    """What such a scene is, for the message that lists all formats."""
    accepts: Callable[[Path], bool]
    open: Callable[[Path, OpenOptions], xr.DataArray]
    """Returns dims ([t,] bands, y, x), lazy; raises SceneError."""
    has_resolution: bool = False
    """`open` reads 20 m itself; other cubes of 10 m are averaged."""
    in_folder: bool = True
    """`find_scenes` finds such scenes in a folder; those that may be a mask are left out."""


def _open_zarr(path: Path, options: OpenOptions) -> xr.DataArray:
    check_store(path)
    if is_eopf(path):
        return open_eopf(path, *options)
    found = to_dask(path, path.name, rename_dims(open_group(path)))
    return sort_north_up(to_cube(path.name, found, options.bands, options.level))


def _has_suffix(*suffixes: str) -> Callable[[Path], bool]:
    return lambda path: not path.is_dir() and path.suffix.lower() in suffixes


JP2_FOLDER = Reader(
    "a folder of JP2 band files",
    lambda path: path.is_dir() and bool(list_band_files(path)),
    lambda path, options: open_folder(path, *options),
    has_resolution=True,
)
READERS = (
    Reader(
        "a Sentinel-2 product (.SAFE, or a .zip of it)",
        is_safe,
        lambda path, options: open_safe(path, *options),
        has_resolution=True,
    ),
    Reader(
        "a GeoTIFF (.tif) with band descriptions",
        _has_suffix(".tif", ".tiff"),
        lambda path, options: open_geotiff(path, options.bands, options.level),
    ),
    Reader(
        "a VRT stack (.vrt)",
        _has_suffix(".vrt"),
        lambda path, options: open_vrt(path, options.bands, options.level, options.resampling),
    ),
    Reader("a netCDF (.nc)", _has_suffix(".nc"), lambda path, options: open_netcdf(path, options.bands, options.level)),
    Reader("a Zarr folder (.zarr)", lambda path: path.is_dir() and is_zarr(path), _open_zarr),
    Reader(
        "a STAC item (.json or https address)",
        _has_suffix(".json"),
        lambda path, options: open_item(path, *options),
        in_folder=False,
    ),
    JP2_FOLDER,
)
"""Every format that is read; the first that accepts a path opens it. CONTRIBUTING.md says what a new one needs."""


def open_scene(
    path: str | Path,
    *,
    bands: Iterable[str] | None = None,
    level: str | None = None,
    resampling: str = "bilinear",
    resolution: float = PIXEL_M,
    pixel_m: float | None = None,
) -> xr.DataArray:
    """Open a scene as a lazy cube: dims (bands, y, x), dask, values as stored.

    `path`: a Sentinel-2 product of either level as ESA makes it, its folder (NAME.SAFE), a zip archive of that, its
    MTD_MSIL1C.xml or MTD_MSIL2A.xml, or the folder of a granule where it has several; a GeoTIFF whose band
    descriptions are band names; a VRT stack of files next to it; a netCDF or Zarr folder with one variable for each
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
    (its name), `platform` (such as Sentinel-2A), `tile` (such as 32TQM) and `orbit` (the relative one). The path is
    `.encoding["source"]`, as in xarray.
    Raises SceneError if the path is no scene, lacks a band, is damaged, or contradicts itself; computing the cube
    raises it where pixels cannot be read.
    """
    scene = Path(path)
    if resampling not in KERNELS:
        raise SceneError(f"No resampling {resampling!r}: known are {', '.join(KERNELS)}.")
    if resolution not in RESOLUTIONS_M:
        raise SceneError(f"No resolution {resolution!r}: known are {', '.join(map(str, RESOLUTIONS_M))} (metres).")
    check_band_list(bands)
    options = OpenOptions(bands, level, resampling, resolution)
    if address := _as_url(path):
        return _note_source(add_scene_facts(open_item(address, *options)), address)
    if not check_utf8(scene).exists():
        raise SceneError(f"No file or folder {scene}.")
    reader = _find_reader(scene)
    cube = reader.open(scene, options)
    if resolution != PIXEL_M and not reader.has_resolution:
        cube = halve_cube(scene.name, cube, resolution, pixel_m)
    return _note_source(add_scene_facts(cube), path)


def _note_source(cube: xr.DataArray, path: str | Path) -> xr.DataArray:
    """Note what the cube was read from where xarray does, in its encoding."""
    cube.encoding = {**cube.encoding, "source": str(path)}
    return cube


def _find_reader(scene: Path) -> Reader:
    for reader in READERS:
        if reader.accepts(scene):
            return reader
    if scene.is_dir():
        return JP2_FOLDER  # its files may be numbered, and its own error says more
    raise SceneError(f"{scene.name} is no scene: needed is {_list_kinds()}.")


def _list_kinds() -> str:
    *kinds, last = (reader.kind for reader in READERS)
    return f"{', '.join(kinds)}, or {last}"


def read_scl(path: str | Path, like: xr.DataArray) -> xr.DataArray | None:
    """Read Sen2Cor's scene classification of a Level-2A product on the grid of `like`.

    `like` has dims (…, y, x).
    Lazy, uint8 (y, x), each of its pixels repeated; codes 0 to 11, with their names as CF flag attributes. None for
    Level-1C and for scenes that are no SAFE and no EOPF Zarr products.
    Raises SceneError if the product is damaged, or does not cover `like`; computing raises it as well.
    """
    scene = Path(path)
    if _as_url(path) or not check_utf8(scene).exists():
        return None
    read = read_classes if is_safe(scene) else read_classification if scene.is_dir() and is_eopf(scene) else None
    found = read(scene, like) if read else None
    return None if found is None else found.assign_attrs(to_scheme(xr.DataArray(np.uint8(0)), "SCL").attrs)


def _as_url(path: str | Path) -> str | None:
    """Return `path` as a URL, or None; the slash that `pathlib` removes is put back."""
    found = re.match(r"(https?):/+(?=[^/])", str(path))
    return f"{found[1]}://{str(path)[found.end() :]}" if found else None


def find_scenes(folder: str | Path) -> list[Path]:
    """List the scenes in `folder`, sorted.

    The folder itself is the scene if it is a product, a Zarr, or holds JP2 band files.
    Goes by names, and leaves out files whose layers are named as masks, scores and the like; `open_scene` is what
    tells whether a file is a whole scene.
    Raises SceneError if the folder is missing or holds none.
    """
    root = Path(folder)
    if not root.is_dir():
        raise SceneError(f"No folder {root}.")
    if any(reader.accepts(root) for reader in READERS):
        return [root]
    found = [path for path in sorted(root.iterdir()) if not path.name.startswith(".") and _is_scene(path)]
    if not found:
        raise SceneError(f"Folder {root} holds no scene: needed is {_list_kinds()}.")
    return found


def _is_scene(path: Path) -> bool:
    if not any(reader.accepts(path) for reader in READERS if reader.in_folder):
        return False
    if is_safe(path) or not path.is_file():  # a folder, or a link to nowhere, which is not left out in silence
        return True
    return not _is_mask_or_score_file(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _is_mask_or_score_file(path: Path, _changed: int) -> bool:
    """Tell whether a file's layers have names, none of them that of a band.

    A file that cannot be read is left to `open_scene`.
    Several layers with a digit in a name may be bands that are misspelt, so they are not left out in silence.
    """
    try:
        names = _read_descriptions(path)
    except (SceneError, OSError):
        return False
    if not names or not all(names) or any(map(find_band, names)):
        return False
    return len(names) == 1 or not any(sign.isdigit() for sign in "".join(names))


def _read_descriptions(path: Path) -> list[str]:
    if path.suffix.lower() == ".nc":
        names = {str(name) for name in open_dataset(path).data_vars}
        return sorted(names) if names <= OWN_VARIABLES else []
    with open_local_raster(path) as dataset:
        return [text or "" for text in dataset.descriptions]
