"""The scores beside a mask, as `write_mask` wrote them."""

from pathlib import Path

import numpy as np
import xarray as xr

from kappamask.models import SceneError
from kappamask.scenes.cube import located
from kappamask.scenes.grid import grid_of
from kappamask.scenes.masks import MASK_SUFFIXES
from kappamask.scenes.netcdf import open_dataset
from kappamask.scenes.raster import lazy_bands, local_raster

__all__ = ["read_scores"]


def read_scores(path: str | Path) -> xr.DataArray:
    """Scores of a mask, float32 (class, y, x), lazy, NaN where there is no data; `class` has the classes' names.

    path: `NAME_scores.tif`, one band a class, or the netCDF that also holds the mask. Stored scale, offset and nodata
    are undone. Raises SceneError if the file holds no scores, or is damaged.
    """
    source = Path(path)
    if source.suffix.lower() not in MASK_SUFFIXES:
        raise SceneError(f"{source.name} holds no scores: needed is one of {', '.join(MASK_SUFFIXES)}.")
    return _from_netcdf(source) if source.suffix.lower() == ".nc" else _from_geotiff(source)


def _from_geotiff(path: Path) -> xr.DataArray:
    with local_raster(path) as dataset:
        names, nodata = dataset.descriptions, dataset.nodata
        scale, offset, grid = np.float32(dataset.scales), np.float32(dataset.offsets), grid_of(dataset)
    if not all(names):
        raise SceneError(f"{path.name} holds no scores: its bands have no descriptions, which name the classes.")
    data, coords = lazy_bands(path, [*range(1, len(names) + 1)]), {"class": list(names), "y": grid.y, "x": grid.x}
    stored = located(xr.DataArray(data, dims=("class", "y", "x"), coords=coords), grid)
    return _decoded(stored, nodata, xr.DataArray(scale, dims="class"), xr.DataArray(offset, dims="class"))


def _from_netcdf(path: Path) -> xr.DataArray:
    dataset = open_dataset(path)
    if "score" not in dataset or "class" not in dataset["score"].dims:
        raise SceneError(f"{path.name} holds no scores: it has no variable 'score' with a dimension 'class'.")
    stored = dataset["score"]
    facts = stored.attrs
    scale, offset = (xr.DataArray(np.float32(facts.get(*one))) for one in (("scale_factor", 1), ("add_offset", 0)))
    return _decoded(stored.transpose("class", "y", "x"), facts.get("_FillValue"), scale, offset)


def _decoded(stored: xr.DataArray, nodata: float | None, scale: xr.DataArray, offset: xr.DataArray) -> xr.DataArray:
    empty = stored.isnull() if nodata is None or np.isnan(nodata) else stored == nodata
    return (stored.astype(np.float32) * scale + offset).where(~empty)
