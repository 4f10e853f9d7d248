"""Bands that lie in files of their own, at 10, 20 or 60 m: brought to the finest of the grids, or to that of 20 m."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor
from typing import Any, Final

import dask.array
from dask.array import Array
from rasterio.transform import Affine

from kappamask.models import SceneError
from kappamask.scenes.grid import Grid
from kappamask.scenes.halve import FINEST
from kappamask.scenes.image import Image
from kappamask.scenes.names import band_name
from kappamask.scenes.zipped import Source

__all__ = ["files_by_band", "joined"]

da: Any = dask.array  # its annotations are partial
EDGE: Final = 1e-6
"""Pixels: edges this near count as one, for corners are rounded in files."""


def files_by_band(files: Iterable[Source]) -> dict[str, list[Source]]:
    """Band label -> the files whose names hold it; a product has some bands at several resolutions."""
    found: dict[str, list[Source]] = {}
    for file in sorted(files, key=lambda file: file.name):
        label = band_name(file.name.rpartition(".")[0])
        if label:
            found.setdefault(label, []).append(file)
    return found


def joined(
    name: str, files: Mapping[str, Sequence[Source]], labels: Sequence[str], kernel: str, metres: float
) -> tuple[Array, Grid]:
    """The bands `labels` as a dask array (band, y, x), and the grid that they lie on, the same for all `labels`.

    Where a band comes at several resolutions, the finest that has pixels of `metres` or more is read; where all are
    finer, and `metres` is not 10, which is as fine as can be, half the resolution. Coarser ones are resampled by
    `kernel`. The grid is the finest of those, cut to the area that all bands cover.
    Raises SceneError if a file cannot be read, if the bands are not of one scene, or not of `metres`.
    """
    images = {label: _fitting(name, label, sources, metres) for label, sources in files.items()}
    target = _common(name, {label: image.grid for label, image in images.items()})
    return da.concatenate([images[label].lazy(target, kernel) for label in labels]), target


def _fitting(name: str, label: str, sources: Sequence[Source], metres: float) -> Image:
    images = sorted((Image.of(source) for source in sources), key=lambda image: image.grid.transform.a)
    coarse = [image for image in images if metres <= FINEST or image.grid.transform.a >= metres - EDGE]
    if coarse:
        return coarse[0]
    half = Image.of(images[-1].source, half=True)
    if abs(half.grid.transform.a - metres) > EDGE:
        own = half.grid.transform.a / 2
        raise SceneError(f"{name}: {label} has pixels of {own:g}, which are not halved to {metres:g} m.")
    return half


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
