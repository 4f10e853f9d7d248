"""A folder of JPEG 2000 files, one band each, at 10, 20 or 60 m."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import xarray as xr

from kappamask.models import SENTINEL2_BANDS, SceneError
from kappamask.scenes.cube import make_cube
from kappamask.scenes.layers import files_by_band, joined
from kappamask.scenes.metadata import attributes, sensed
from kappamask.scenes.names import choose, tile
from kappamask.scenes.raster import NODATA
from kappamask.scenes.zipped import Source

__all__ = ["band_files", "open_folder"]


def open_folder(
    folder: Path, bands: Iterable[str] | None, level: str | None, kernel: str, metres: float
) -> xr.DataArray:
    """See `open_scene`. The grid is the same whichever bands are asked for."""
    files = band_files(folder)
    if not files:
        raise SceneError(f"Folder {folder} holds no band files: needed are JP2s whose names hold B01 … B12, B8A.")
    labels = choose(folder.name, [band for band in SENTINEL2_BANDS if band in files], bands)
    _check_one_scene(folder.name, files)
    data, grid = joined(folder.name, files, labels, kernel, metres)
    names = sorted(source.name for sources in files.values() for source in sources)
    texts = " ".join([folder.resolve().name, *names])
    return make_cube(data, labels, grid, attributes(texts, {}, level), NODATA)


def band_files(folder: Path) -> dict[str, list[Source]]:
    """Band label -> its JP2s directly in `folder`."""
    return files_by_band(folder.glob("*.[jJ][pP]2"))


def _check_one_scene(name: str, files: Mapping[str, Sequence[Source]]) -> None:
    """SceneError if the names of the band files tell of several dates or tiles; names that tell nothing pass."""
    names = [source.name for sources in files.values() for source in sources]
    for what, told in (("dates", sensed), ("tiles", tile)):
        found = {fact: one for one in names if (fact := told(one))}
        if len(found) > 1:
            listed = ", ".join(f"{fact} ({one})" for fact, one in sorted(found.items()))
            raise SceneError(f"{name} holds bands of several {what}: {listed}; use bands of one scene.")
