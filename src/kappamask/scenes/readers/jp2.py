"""Read a folder of JPEG 2000 files, one band each, on one grid."""

import re
from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor
from pathlib import Path
from typing import Any, Final

import dask.array
import xarray as xr
from dask.array import Array
from odc.geo.geobox import GeoBox

from kappamask.files.archives import Source
from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.models.band_names import are_numbered, choose_bands, find_band, has_number, normalise_bands
from kappamask.models.cleaning import PIXEL_M
from kappamask.models.hints import option
from kappamask.scenes.grid import make_cube, to_rasterio_crs
from kappamask.scenes.metadata import collect_attributes, parse_sensing_time, parse_tile
from kappamask.scenes.readers.image import Image
from kappamask.scenes.readers.raster import NODATA_DN

__all__ = ["group_by_band", "list_band_files", "open_folder", "stack_bands"]

da: Any = dask.array  # its annotations are partial
EDGE: Final = 1e-6
"""Pixels: edges this near count as one, for corners are rounded in files."""


def group_by_band(files: Iterable[Source]) -> dict[str, list[Source]]:
    """Group files by the band label in their names.

    A product has some bands at several resolutions.
    """
    files = list(files)
    stems = [file.name.rpartition(".")[0] for file in files]
    counted = are_numbered([stem for stem in stems if find_band(stem) or has_number(stem)])
    found: dict[str, list[Source]] = {}
    for file in sorted(files, key=lambda file: file.name):
        label = None if counted else find_band(file.name.rpartition(".")[0])
        if label:
            found.setdefault(label, []).append(file)
    return found


def stack_bands(
    name: str, files: Mapping[str, Sequence[Source]], labels: Sequence[str], kernel: str, metres: float
) -> tuple[Array, GeoBox]:
    """Stack the bands `labels` as a dask array (band, y, x) on one grid.

    The grid is returned too; it is the same for all `labels`.
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
    coarse = [image for image in images if metres <= PIXEL_M or image.grid.transform.a >= metres - EDGE]
    if coarse:
        return coarse[0]
    half = Image.open(images[-1].source, half=True)
    if abs(half.grid.transform.a - metres) > EDGE:
        own = half.grid.transform.a / 2
        raise SceneError(f"{name}: {label} has pixels of {own:g}, which are not halved to {metres:g} m.")
    return half


def _common_grid(name: str, grids: dict[str, GeoBox]) -> GeoBox:
    """Return the finest grid, cut to the area that all bands cover.

    Raises SceneError if the bands are not of one scene.
    Crops of a product cut each resolution at whole pixels, so edges may differ by up to one pixel of the coarser.
    """
    first = min(grids, key=lambda label: grids[label].transform.a)
    finest = grids[first]
    for label, grid in grids.items():
        if grid.crs != finest.crs:
            places = f"{label} is in {to_rasterio_crs(grid)}, {first} in {to_rasterio_crs(finest)}"
            raise SceneError(f"{name}: {places}; use bands of one scene.")
        own, other = grid.boundingbox.bbox, finest.boundingbox.bbox
        gaps = [abs(a - b) for a, b in zip(own, other, strict=True)]
        if max(gaps) > max(grid.transform.a, finest.transform.a):
            raise SceneError(f"{name}: {label} covers {own}, {first} {other}; use bands of one scene.")
    if finest.crs is None and len(set(grids.values())) > 1:
        raise SceneError(f"{name}: the files are not georeferenced, so bands of several resolutions cannot be aligned.")
    return _intersect_grids(finest, list(grids.values()))


def _intersect_grids(finest: GeoBox, grids: list[GeoBox]) -> GeoBox:
    west, south, east, north = zip(*(grid.boundingbox for grid in grids), strict=True)
    left, top = ~finest.transform @ (max(west), min(north))
    right, bottom = ~finest.transform @ (min(east), max(south))
    columns, rows = (slice(ceil(a - EDGE), floor(b + EDGE)) for a, b in ((left, right), (top, bottom)))
    return finest[rows, columns]


def open_folder(
    folder: Path, bands: Iterable[str] | None, level: str | None, kernel: str, metres: float
) -> xr.DataArray:
    """See `open_scene`. The grid is the same whichever bands are asked for."""
    bands = None if bands is None else list(bands)
    files = list_band_files(folder) or _name_numbered_files(folder, bands)
    if not files:
        raise SceneError(f"Folder {folder} holds no band files: needed are JP2s whose names hold B01 … B12, B8A.")
    labels = choose_bands(folder.name, [band for band in SENTINEL2_BANDS if band in files], bands)
    _check_one_scene(folder.name, files)
    data, grid = stack_bands(folder.name, files, labels, kernel, metres)
    names = sorted(source.name for sources in files.values() for source in sources)
    texts = " ".join([folder.resolve().name, *names])
    return make_cube(data, labels, grid, collect_attributes(texts, {}, level), NODATA_DN)


def _name_numbered_files(folder: Path, wanted: Sequence[str] | None) -> dict[str, list[Source]]:
    """Give the JP2s of `folder` that are only numbered the names `wanted`, in order.

    The result is empty where no file is only numbered.
    Raises SceneError unless there is one name for each.
    """
    numbered = [file for file in folder.glob("*.[jJ][pP]2") if has_number(file.stem)]
    numbered.sort(key=lambda file: int(re.findall(r"\d+", file.stem)[-1]))
    if numbered and len(wanted or ()) != len(numbered):
        raise SceneError(
            f"Folder {folder} has files with numbers only ({', '.join(file.name for file in numbered[:3])}, …), which "
            f"are no Sentinel-2 band names: name all {len(numbered)} in order with {option('bands', ['B02', '…'])}."
        )
    return (
        {label: [file] for label, file in zip(normalise_bands(wanted or ()), numbered, strict=True)} if numbered else {}
    )


def list_band_files(folder: Path) -> dict[str, list[Source]]:
    """Map band labels to their JP2s directly in `folder`."""
    return group_by_band(folder.glob("*.[jJ][pP]2"))


def _check_one_scene(name: str, files: Mapping[str, Sequence[Source]]) -> None:
    """Raise SceneError if the band files' names contain several dates or tiles.

    Names without a date or tile pass.
    """
    names = [source.name for sources in files.values() for source in sources]
    for what, parse in (("dates", parse_sensing_time), ("tiles", parse_tile)):
        found = {fact: one for one in names if (fact := parse(one))}
        if len(found) > 1:
            listed = ", ".join(f"{fact} ({one})" for fact, one in sorted(found.items()))
            raise SceneError(f"{name} holds bands of several {what}: {listed}; use bands of one scene.")
