"""A folder of JPEG 2000 files, one band each, at 10, 20 or 60 m: brought to the finest grid."""

from collections.abc import Iterable
from math import ceil, floor
from pathlib import Path
from typing import Any

import dask.array
import xarray as xr
from rasterio.transform import Affine

from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.scenes.cube import make_cube
from kappamask.scenes.grid import Grid, grid_of
from kappamask.scenes.metadata import attributes, sensed
from kappamask.scenes.names import band_name, choose, tile
from kappamask.scenes.raster import NODATA, lazy_bands, local_raster

__all__ = ["band_files", "open_folder"]

da: Any = dask.array  # its annotations are partial
EDGE = 1e-6
"""Pixels: edges this near count as one, for corners are rounded in files."""


def open_folder(folder: Path, bands: Iterable[str] | None, level: str | None, kernel: str) -> xr.DataArray:
    """See `open_scene`. The grid is the same whichever bands are asked for."""
    files = band_files(folder)
    if not files:
        raise SceneError(f"Folder {folder} holds no band files: needed are JP2s whose names hold B01 … B12, B8A.")
    labels = choose(folder.name, [band for band in SENTINEL2_BANDS if band in files], bands)
    _check_one_scene(folder)
    grids = {label: _grid(path) for label, path in files.items()}
    target = _common(folder.name, grids)
    layers = [
        lazy_bands(files[label], [1], target if grids[label] != target else None, square=True, kernel=kernel)
        for label in labels
    ]
    texts = " ".join([folder.resolve().name, *sorted(path.name for path in files.values())])
    return make_cube(da.concatenate(layers), labels, target, attributes(texts, {}, level), NODATA)


def band_files(folder: Path) -> dict[str, Path]:
    """Band label -> its JP2 directly in `folder`; where a band comes at several resolutions, the finest."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.[jJ][pP]2")):
        label = band_name(path.stem)
        if label and (label not in found or _metres(path) < _metres(found[label])):
            found[label] = path
    return found


def _check_one_scene(folder: Path) -> None:
    """SceneError if the names of the band files tell of several dates or tiles; names that tell nothing pass."""
    names = [path.name for path in sorted(folder.glob("*.[jJ][pP]2")) if band_name(path.stem)]
    for what, told in (("dates", sensed), ("tiles", tile)):
        found = {fact: name for name in names if (fact := told(name))}
        if len(found) > 1:
            listed = ", ".join(f"{fact} ({name})" for fact, name in sorted(found.items()))
            raise SceneError(f"{folder.name} holds bands of several {what}: {listed}; use bands of one scene.")


def _metres(path: Path) -> float:
    with local_raster(path) as dataset:
        return float(dataset.transform.a)


def _grid(path: Path) -> Grid:
    with local_raster(path) as dataset:
        return grid_of(dataset)


def _common(name: str, grids: dict[str, Grid]) -> Grid:
    """The finest grid, cut to what all bands cover; SceneError if the bands are not of one scene.

    Crops of a product cut each resolution at whole pixels, so edges may differ by up to one pixel of the coarser.
    """
    first = min(grids, key=lambda label: grids[label].transform.a)
    finest = grids[first]
    for label, grid in grids.items():
        if grid.crs != finest.crs:
            raise SceneError(f"{name}: {label} is in {grid.crs}, {first} in {finest.crs}; use bands of one scene.")
        gaps = [abs(a - b) for a, b in zip(grid.bounds, finest.bounds, strict=True)]
        if max(gaps) > max(grid.transform.a, finest.transform.a):
            raise SceneError(f"{name}: {label} covers {grid.bounds}, {first} {finest.bounds}; use bands of one scene.")
    if finest.crs is None and len(set(grids.values())) > 1:
        raise SceneError(f"{name}: the files are not georeferenced, so bands of several resolutions cannot be aligned.")
    return _cut(finest, list(grids.values()))


def _cut(finest: Grid, grids: list[Grid]) -> Grid:
    west, south, east, north = zip(*(grid.bounds for grid in grids), strict=True)
    size = finest.transform.a
    left, right = (max(west) - finest.transform.c) / size, (min(east) - finest.transform.c) / size
    top, bottom = (finest.transform.f - min(north)) / size, (finest.transform.f - max(south)) / size
    column, row = ceil(left - EDGE), ceil(top - EDGE)
    corner = Affine(size, 0, finest.transform.c + column * size, 0, -size, finest.transform.f - row * size)
    return Grid(finest.crs, corner, floor(right + EDGE) - column, floor(bottom + EDGE) - row)
