"""Read a folder of JPEG 2000 files, one band each, on one grid."""

import re
from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor
from pathlib import Path
from typing import Any, Final

import dask.array
import xarray as xr
from dask.array import Array
from rasterio.transform import Affine

from kappamask.files.archives import Source
from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.scenes.band_names import are_numbered, band_name, choose, normalise, parse_tile
from kappamask.scenes.cube import make_cube
from kappamask.scenes.grid import Grid
from kappamask.scenes.metadata import attributes, parse_sensing_time
from kappamask.scenes.readers.image import Image
from kappamask.scenes.readers.raster import NODATA
from kappamask.scenes.resample import FINEST
from kappamask.udf.cube import has_number

__all__ = ["band_files", "files_by_band", "open_folder", "stack_bands"]

da: Any = dask.array  # its annotations are partial
EDGE: Final = 1e-6
"""Pixels: edges this near count as one, for corners are rounded in files."""


def files_by_band(files: Iterable[Source]) -> dict[str, list[Source]]:
    """Band label -> the files whose names hold it; a product has some bands at several resolutions."""
    files = list(files)
    stems = [file.name.rpartition(".")[0] for file in files]
    counted = are_numbered([stem for stem in stems if band_name(stem) or has_number(stem)])
    found: dict[str, list[Source]] = {}
    for file in sorted(files, key=lambda file: file.name):
        label = None if counted else band_name(file.name.rpartition(".")[0])
        if label:
            found.setdefault(label, []).append(file)
    return found


def stack_bands(
    name: str, files: Mapping[str, Sequence[Source]], labels: Sequence[str], kernel: str, metres: float
) -> tuple[Array, Grid]:
    """The bands `labels` as a dask array (band, y, x), and the grid that they lie on, the same for all `labels`.

    Where a band comes at several resolutions, the finest that has pixels of `metres` or more is read; where all are
    finer, and `metres` is not 10, which is as fine as can be, half the resolution. Coarser ones are resampled by
    `kernel`. The grid is the finest of those, cut to the area that all bands cover.
    Raises SceneError if a file cannot be read, if the bands are not of one scene, or not of `metres`.
    """
    images = {label: _choose_image(name, label, sources, metres) for label, sources in files.items()}
    target = _common_grid(name, {label: image.grid for label, image in images.items()})
    return da.concatenate([images[label].to_dask(target, kernel) for label in labels]), target


def _choose_image(name: str, label: str, sources: Sequence[Source], metres: float) -> Image:
    images = sorted((Image.open(source) for source in sources), key=lambda image: image.grid.transform.a)
    coarse = [image for image in images if metres <= FINEST or image.grid.transform.a >= metres - EDGE]
    if coarse:
        return coarse[0]
    half = Image.open(images[-1].source, half=True)
    if abs(half.grid.transform.a - metres) > EDGE:
        own = half.grid.transform.a / 2
        raise SceneError(f"{name}: {label} has pixels of {own:g}, which are not halved to {metres:g} m.")
    return half


def _common_grid(name: str, grids: dict[str, Grid]) -> Grid:
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
    return _intersect_grids(finest, list(grids.values()))


def _intersect_grids(finest: Grid, grids: list[Grid]) -> Grid:
    west, south, east, north = zip(*(grid.bounds for grid in grids), strict=True)
    size = finest.transform.a
    left, right = (max(west) - finest.transform.c) / size, (min(east) - finest.transform.c) / size
    top, bottom = (finest.transform.f - min(north)) / size, (finest.transform.f - max(south)) / size
    column, row = ceil(left - EDGE), ceil(top - EDGE)
    corner = Affine(size, 0, finest.transform.c + column * size, 0, -size, finest.transform.f - row * size)
    return Grid(finest.crs, corner, floor(right + EDGE) - column, floor(bottom + EDGE) - row)


def open_folder(
    folder: Path, bands: Iterable[str] | None, level: str | None, kernel: str, metres: float
) -> xr.DataArray:
    """See `open_scene`. The grid is the same whichever bands are asked for."""
    bands = None if bands is None else list(bands)
    files = band_files(folder) or _name_numbered_files(folder, bands)
    if not files:
        raise SceneError(f"Folder {folder} holds no band files: needed are JP2s whose names hold B01 … B12, B8A.")
    labels = choose(folder.name, [band for band in SENTINEL2_BANDS if band in files], bands)
    _check_one_scene(folder.name, files)
    data, grid = stack_bands(folder.name, files, labels, kernel, metres)
    names = sorted(source.name for sources in files.values() for source in sources)
    texts = " ".join([folder.resolve().name, *names])
    return make_cube(data, labels, grid, attributes(texts, {}, level), NODATA)


def _name_numbered_files(folder: Path, wanted: Sequence[str] | None) -> dict[str, list[Source]]:
    """Give the JP2s of `folder` that are only numbered the names `wanted`, in order; {} where none is numbered.

    Raises SceneError unless there is one name for each.
    """
    numbered = [file for file in folder.glob("*.[jJ][pP]2") if has_number(file.stem)]
    numbered.sort(key=lambda file: int(re.findall(r"\d+", file.stem)[-1]))
    if numbered and len(wanted or ()) != len(numbered):
        raise SceneError(
            f"Folder {folder} has files with numbers only ({', '.join(file.name for file in numbered[:3])}, …), which "
            f"are no Sentinel-2 band names: name all {len(numbered)} in order with bands=[…] (on the command line "
            "--bands B02,B03,…)."
        )
    return {label: [file] for label, file in zip(normalise(wanted or ()), numbered, strict=True)} if numbered else {}


def band_files(folder: Path) -> dict[str, list[Source]]:
    """Band label -> its JP2s directly in `folder`."""
    return files_by_band(folder.glob("*.[jJ][pP]2"))


def _check_one_scene(name: str, files: Mapping[str, Sequence[Source]]) -> None:
    """SceneError if the names of the band files tell of several dates or tiles; names that tell nothing pass."""
    names = [source.name for sources in files.values() for source in sources]
    for what, told in (("dates", parse_sensing_time), ("tiles", parse_tile)):
        found = {fact: one for one in names if (fact := told(one))}
        if len(found) > 1:
            listed = ", ".join(f"{fact} ({one})" for fact, one in sorted(found.items()))
            raise SceneError(f"{name} holds bands of several {what}: {listed}; use bands of one scene.")
