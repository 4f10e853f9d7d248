"""Read GeoTIFF scenes with band names in the band descriptions."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import xarray as xr

from kappamask.models import SceneError
from kappamask.models.band_names import (
    are_numbered,
    choose_bands,
    explain_unclear,
    find_bands,
    list_numbered,
    normalise_bands,
)
from kappamask.models.hints import option
from kappamask.scenes.grid import make_cube, read_grid
from kappamask.scenes.metadata import collect_attributes, name_source, read_packing_mode
from kappamask.scenes.readers.raster import find_alpha, make_lazy_bands, open_local_raster
from kappamask.udf.radiometry_metadata import AUXILIARY

__all__ = ["choose_band_labels", "open_geotiff"]


def open_geotiff(path: Path, bands: Iterable[str] | None, level: str | None) -> xr.DataArray:
    """See `open_scene`."""
    with open_local_raster(path) as dataset:
        alpha = find_alpha(dataset) == dataset.count  # read as a mask
        texts = dataset.descriptions[:-1] if alpha else dataset.descriptions
        labels, indexes = choose_band_labels(path.name, texts, bands)
        packed = [
            (dataset.scales[i - 1], dataset.offsets[i - 1])
            for label, i in zip(labels, indexes, strict=True)
            if label not in AUXILIARY
        ]
        radiometry = read_packing_mode(path.name, packed)
        attrs = collect_attributes(path.name, dataset.tags(), level, radiometry) | name_source(radiometry)
        grid, nodata = read_grid(dataset), dataset.nodata
    return make_cube(make_lazy_bands(path, indexes), labels, grid, attrs, nodata)


def choose_band_labels(
    name: str, texts: Sequence[str | None], wanted: Iterable[str] | None
) -> tuple[list[str], list[int]]:
    """Choose labels to read, and their numbers, from 1, among the layers that `texts` describe.

    `wanted` names all bands, in order, where no text names one, or the texts only number the layers.
    Raises SceneError as `choose_bands` does.
    """
    asked = list(wanted) if wanted is not None else None
    named = {i: label for i, label in enumerate(find_bands(texts), 1) if label}
    unnamed = list_numbered(texts)
    if not named and asked is not None and len(asked) == len(unnamed):
        named = dict(zip((place + 1 for place in unnamed), normalise_bands(asked), strict=True))
    if not named:
        raise SceneError(
            f"{name} has no Sentinel-2 band names{_describe_numbers(texts)}: write band descriptions (B02, B03, …), or "
            f"name all {len(unnamed)} in order with {option('bands', ['B02', '…'])}."
        )
    if asked is None and (unclear := explain_unclear(texts)):
        raise SceneError(f"{name}: {unclear}")
    labels = choose_bands(name, list(named.values()), asked)
    numbers = {label: i for i, label in named.items()}
    return labels, [numbers[label] for label in labels]


def _describe_numbers(texts: Sequence[str | None]) -> str:
    return f", only numbers ({', '.join(filter(None, texts[:3]))}, …)" if are_numbered(texts) else ""
