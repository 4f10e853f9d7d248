"""VRT stacks: the files that a VRT names, opened like any GeoTIFF or JPEG 2000, on the VRT's grid."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import dask.array
import xarray as xr
from dask.array import Array

from kappamask.models import SceneError
from kappamask.scenes.cube import make_cube
from kappamask.scenes.geotiff import band_labels
from kappamask.scenes.grid import Grid, grid_of
from kappamask.scenes.image import Image
from kappamask.scenes.metadata import attributes, packing
from kappamask.scenes.names import band_name
from kappamask.scenes.raster import NODATA, local_raster
from kappamask.scenes.vrt_text import Layer, Rectangle, Stack, read_vrt
from kappamask.udf.radiometry import AUXILIARY

__all__ = ["open_vrt"]

da: Any = dask.array  # its annotations are partial
NEAR = 0.01
"""Pixels by which a file may lie beside the place that the VRT gives it; numbers in a VRT are rounded."""


class _File(NamedTuple):
    grid: Grid
    text: str | None
    """What names the band, where anything does."""


def open_vrt(path: Path, bands: Iterable[str] | None, level: str | None, kernel: str) -> xr.DataArray:
    """See `open_scene`. Bands are named by their descriptions, else by those in their files, else by the files' names.

    Each band is one of a GeoTIFF or JPEG 2000 in the VRT's folder or below; coarser ones are resampled by `kernel`.
    """
    stack = read_vrt(path)
    files = [_opened(path.name, layer, stack.grid) for layer in stack.layers]
    labels, numbers = band_labels(path.name, [file.text for file in files], bands)
    chosen = {label: stack.layers[number - 1] for label, number in zip(labels, numbers, strict=True)}
    packed = packing(path.name, [layer.packing for label, layer in chosen.items() if label not in AUXILIARY])
    nodata = _nodata(path.name, chosen.values())
    pixels = [
        _pixels(path.name, stack, number, files[number - 1].grid, NODATA if nodata is None else nodata, kernel)
        for number in numbers
    ]
    attrs = attributes(path.name, stack.tags, level, packed)
    return make_cube(da.concatenate(pixels), labels, stack.grid, attrs, nodata)


def _opened(name: str, layer: Layer, grid: Grid) -> _File:
    with local_raster(layer.file) as dataset:
        if not 1 <= layer.number <= dataset.count:
            raise SceneError(f"{name}: {layer.file.name} has no band {layer.number}, only 1 to {dataset.count}.")
        own, described = grid_of(dataset), dataset.descriptions[layer.number - 1]
    if not _agree(layer, own, grid):
        raise SceneError(
            f"{name} puts {layer.file.name} elsewhere than its georeference does, or cuts it; make it a GeoTIFF first "
            f"(gdal_translate {name} scene.tif)."
        )
    texts = (layer.description, described, layer.file.stem)
    return _File(own, next((text for text in texts if band_name(text)), None))


def _agree(layer: Layer, own: Grid, grid: Grid) -> bool:
    """Whether a VRT puts the pixels of a file where its georeference does, and leaves out none that it has room for."""
    whole, all_over = (0.0, 0.0, own.width, own.height), (0.0, 0.0, grid.width, grid.height)
    inside, place = layer.inside or whole, layer.place or all_over
    pairs = zip(_corners(own, inside), _corners(grid, place), strict=True)
    near = all(abs(a - b) <= NEAR * grid.transform.a for a, b in pairs)
    return own.crs == grid.crs and near and (inside == whole or place == all_over)


def _corners(grid: Grid, rectangle: Rectangle) -> tuple[float, float, float, float]:
    """West, north, east, south."""
    x, y, width, height = rectangle
    across, down = grid.transform.a, grid.transform.e
    west, north = grid.transform.c + x * across, grid.transform.f + y * down
    return west, north, west + width * across, north + height * down


def _nodata(name: str, layers: Iterable[Layer]) -> float | None:
    values = {str(layer.nodata): layer.nodata for layer in layers}
    if len(values) > 1:
        raise SceneError(f"{name} declares several nodata values ({', '.join(values)}); all bands need the same.")
    return next(iter(values.values()))


def _pixels(name: str, stack: Stack, number: int, own: Grid, nodata: float, kernel: str) -> Array:
    layer = stack.layers[number - 1]
    if own != stack.grid and nodata != NODATA:
        raise SceneError(f"{name} needs bands resampled, which keeps the nodata value 0 only, not {nodata:g}.")
    return Image.of(layer.file, layer.number).lazy(stack.grid, kernel)
