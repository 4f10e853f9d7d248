"""Open a scene of any kind that is known, and find scenes in a folder."""

from collections.abc import Callable, Iterable
from pathlib import Path

import xarray as xr

from kappamask.models import SceneError
from kappamask.scenes.folder import band_files, open_folder
from kappamask.scenes.geotiff import open_geotiff
from kappamask.scenes.netcdf import open_netcdf

__all__ = ["open_scene", "scan"]

Opener = Callable[[Path, Iterable[str] | None, str | None], xr.DataArray]
OPENERS: dict[str, Opener] = {".tif": open_geotiff, ".tiff": open_geotiff, ".nc": open_netcdf}
KINDS = "a GeoTIFF (.tif) with band descriptions, a netCDF (.nc), or a folder of JP2 band files"


def open_scene(path: str | Path, *, bands: Iterable[str] | None = None, level: str | None = None) -> xr.DataArray:
    """A scene as a lazy cube: dims (bands, y, x), dask, numbers and dtype as stored.

    `path`: a GeoTIFF whose band descriptions are band names; a netCDF with one variable for each band or with a
    labelled band dimension; a folder of JP2s, one band each, of which the coarser are resampled (bilinear) to the
    finest grid, cut to the area that all bands cover.
    `bands`: which to read, in this order; names for all bands, in order, where a GeoTIFF has none.
    `level`: "L1C" or "L2A", where the scene does not say.

    Coordinates: `bands` (labels such as B02), `y` and `x` (float64 pixel centres), `.rio.crs` where the file has one.
    Attributes, each only where known: `level`, `datetime` (ISO 8601, UTC), `radiometry` ("reflectance",
    "dn_harmonized", "dn_offset"), `collection`, `processing_baseline`, `_FillValue`.
    Raises SceneError if the path is no scene, lacks a band, is damaged, or contradicts itself; computing the cube
    raises it where pixels cannot be read.
    """
    scene = Path(path)
    if not scene.exists():
        raise SceneError(f"No file or folder {scene}.")
    if scene.is_dir():
        return open_folder(scene, bands, level)
    opener = OPENERS.get(scene.suffix.lower())
    if opener is None:
        raise SceneError(f"{scene.name} is no scene: needed is {KINDS}.")
    return opener(scene, bands, level)


def scan(folder: str | Path) -> list[Path]:
    """The scenes in `folder`, sorted, or the folder itself if it holds JP2 band files.

    Goes by names alone: `open_scene` is what tells whether a file is a whole scene.
    Raises SceneError if the folder is missing or holds none.
    """
    root = Path(folder)
    if not root.is_dir():
        raise SceneError(f"No folder {root}.")
    if band_files(root):
        return [root]
    found = [path for path in sorted(root.iterdir()) if not path.name.startswith(".") and _is_scene(path)]
    if not found:
        raise SceneError(f"Folder {root} holds no scene: needed is {KINDS}.")
    return found


def _is_scene(path: Path) -> bool:
    return bool(band_files(path)) if path.is_dir() else path.suffix.lower() in OPENERS
