"""GeoTIFF scenes: one file, band names in the band descriptions."""

from collections.abc import Iterable
from pathlib import Path

import xarray as xr
from rasterio.io import DatasetReader

from kappamask.models import SceneError
from kappamask.scenes.cube import make_cube
from kappamask.scenes.grid import grid_of
from kappamask.scenes.metadata import attributes, packing
from kappamask.scenes.names import band_name, choose, normalise
from kappamask.scenes.raster import lazy_bands, local_raster

__all__ = ["open_geotiff"]

AUXILIARY = ("AOT", "WVP")


def open_geotiff(path: Path, bands: Iterable[str] | None, level: str | None) -> xr.DataArray:
    """See `open_scene`."""
    with local_raster(path) as dataset:
        labels, indexes = _labels(path.name, dataset, list(bands) if bands is not None else None)
        packed = [
            (dataset.scales[i - 1], dataset.offsets[i - 1])
            for label, i in zip(labels, indexes, strict=True)
            if label not in AUXILIARY
        ]
        radiometry = packing(path.name, packed)
        attrs = attributes(path.name, dataset.tags(), level, radiometry)
        grid, nodata = grid_of(dataset), dataset.nodata
    return make_cube(lazy_bands(path, indexes), labels, grid, attrs, nodata)


def _labels(name: str, dataset: DatasetReader, wanted: list[str] | None) -> tuple[list[str], list[int]]:
    """Labels to read, and their numbers in the file; `wanted` names all bands, in order, where the file names none."""
    named = {i: label for i, text in enumerate(dataset.descriptions, 1) if (label := band_name(text))}
    if not named and wanted is not None and len(wanted) == dataset.count:
        named = dict(enumerate(normalise(wanted), 1))
    if not named:
        raise SceneError(
            f"{name} has no Sentinel-2 band names: write band descriptions (B02, B03, …), or "
            f"name all {dataset.count} in order with bands=[…] (on the command line --bands B02,B03,…)."
        )
    labels = choose(name, list(named.values()), wanted)
    numbers = {label: i for i, label in named.items()}
    return labels, [numbers[label] for label in labels]
