"""Write masks and scores as Cloud Optimized GeoTIFF, chunk by chunk."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import rasterio
import rasterio.shutil
import xarray as xr
from dask.system import CPU_COUNT
from numpy.typing import NDArray
from rasterio.io import DatasetWriter
from rasterio.transform import Affine
from rasterio.windows import Window

from kappamask.files.atomic import atomic_write
from kappamask.models import SceneError
from kappamask.models.card import NODATA_CODE
from kappamask.scenes.encoding import list_category_names, make_colormap, read_legend, to_percent
from kappamask.scenes.grid import check_regular, sort_north_up
from kappamask.scenes.readers.raster import GDAL_ERRORS, open_local_raster

__all__ = ["check_geotiff", "joined_threads", "make_scores_path", "write_geotiff"]

da: Any = dask.array  # its annotations are partial
BLOCK = 512
"""Side of the blocks in the file, pixels: what COG readers expect."""
COG = {"driver": "COG", "blocksize": BLOCK, "compress": "DEFLATE", "num_threads": "ALL_CPUS"}
FLAGS = ("flag_values", "flag_meanings", "flag_colors")
STORED_ELSEWHERE = (*FLAGS, "long_name", "scale_factor", "add_offset", "_FillValue")
"""Attributes that a GeoTIFF has places of its own for."""


class _StoreTarget:
    """A dataset as the target of `dask.array.store`."""

    def __init__(self, dataset: DatasetWriter) -> None:
        self.dataset = dataset

    def __setitem__(self, key: tuple[slice, ...], block: NDArray[Any]) -> None:
        bands, rows, columns = key
        self.dataset.write(block, range(bands.start + 1, bands.stop + 1), window=Window.from_slices(rows, columns))


def write_geotiff(mask: xr.DataArray, path: Path, scores: xr.DataArray | None) -> list[Path]:
    """See `write_mask`. Mask and scores are computed in one pass, so the network runs once."""
    layers = {path: _make_mask_layer(mask)}
    if scores is not None:
        layers[make_scores_path(path)] = _make_score_layer(scores)
    with ExitStack() as stack:
        cogs = {target: stack.enter_context(atomic_write(target, GDAL_ERRORS)) for target in layers}
        drafts = {target: cog.with_name("draft.tif") for target, cog in cogs.items()}
        _fill([(drafts[target], layer) for target, layer in layers.items()])
        for target, draft in drafts.items():
            rasterio.shutil.copy(draft, cogs[target], overview_resampling=layers[target].attrs["overviews"], **COG)
            _check_copy(draft, cogs[target])
            for extra in draft.parent.glob("draft.tif*"):
                extra.unlink()
        cogs[path].with_name(f"{path.name}.aux.xml").write_bytes(list_category_names(read_legend(mask)))
    return list(layers)


def check_geotiff(mask: xr.DataArray) -> None:
    """Raise SceneError unless `mask` is of one date and on a regular grid."""
    _require_one_date(mask)
    check_regular("The mask", mask)


def make_scores_path(path: Path) -> Path:
    """Return the path of the scores of the mask at `path`."""
    return path.with_name(f"{path.stem}_scores{path.suffix}")


def _check_copy(draft: Path, final: Path) -> None:
    """Read the file back, for GDAL's COG driver says nothing when the disk is full."""
    try:
        same = _compute_checksums(draft) == _compute_checksums(final)
    except SceneError as error:
        raise SceneError(
            f"Cannot write {final.name}, it is not whole when read back; is the disk full? {error}"
        ) from error
    if not same:
        raise SceneError(f"Cannot write {final.name}: what is read back differs from what was written.")


def _compute_checksums(path: Path) -> list[int]:
    """Compute those of each band at full resolution; overviews are only read."""
    with open_local_raster(path) as dataset:
        sums = [dataset.checksum(band) for band in dataset.indexes]
        levels = len(dataset.overviews(1))
    for level in range(levels):
        with open_local_raster(path, overview_level=level) as dataset:
            dataset.checksum(1)
    return sums


def _fill(layers: list[tuple[Path, xr.DataArray]]) -> None:
    with ExitStack() as stack:
        targets = [_StoreTarget(stack.enter_context(_create_geotiff(path, layer))) for path, layer in layers]
        with joined_threads():
            da.store([da.asarray(layer.data) for _, layer in layers], targets, lock=True)


@contextmanager
def _create_geotiff(path: Path, layer: xr.DataArray) -> Iterator[DatasetWriter]:
    profile = {"driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "bigtiff": "IF_SAFER"}
    if "classes" not in layer.attrs:  # GDAL would take four layers of bytes for red, green, blue and alpha
        profile["photometric"] = "MINISBLACK"
    count, height, width = layer.shape
    size = {"count": count, "height": height, "width": width, "dtype": layer.dtype, "nodata": layer.attrs["_FillValue"]}
    with rasterio.open(path, "w", crs=layer.rio.crs, transform=_find_transform(layer), **size, **profile) as dataset:
        dataset.descriptions = tuple(layer.coords["layer"].values)
        dataset.update_tags(**layer.attrs["tags"])
        if "classes" in layer.attrs:
            dataset.update_tags(1, **layer.attrs["flags"])
            dataset.write_colormap(1, make_colormap(layer.attrs["classes"]))
        if "scale_factor" in layer.attrs:
            dataset.scales, dataset.offsets = ((layer.attrs[key],) * count for key in ("scale_factor", "add_offset"))
        yield dataset


def _make_mask_layer(mask: xr.DataArray) -> xr.DataArray:
    flags = {key: _format_value(mask.attrs[key]) for key in FLAGS if key in mask.attrs}
    extra = {
        "_FillValue": NODATA_CODE,
        "classes": read_legend(mask),
        "flags": flags,
        "tags": _format_tags(mask),
        "overviews": "MODE",
    }
    layer = sort_north_up(_require_one_date(mask)).expand_dims(layer=["KappaMask class"]).transpose("layer", "y", "x")
    return layer.assign_attrs(extra)


def _make_score_layer(scores: xr.DataArray) -> xr.DataArray:
    layer = sort_north_up(_require_one_date(to_percent(scores))).rename({"class": "layer"}).transpose("layer", "y", "x")
    return layer.assign_attrs(tags=_format_tags(scores), overviews="AVERAGE")


def _require_one_date(array: xr.DataArray) -> xr.DataArray:
    if array.sizes.get("t", 1) != 1:
        raise SceneError(f"A GeoTIFF holds one date, not {array.sizes['t']}: write .nc, or take mask.isel(t=0).")
    return array.isel(t=0, drop=True) if "t" in array.dims else array


def _find_transform(layer: xr.DataArray) -> Affine:
    return layer.rio.transform(recalc=True) if {"x", "y"} <= set(layer.coords) else Affine.identity()


def _format_tags(array: xr.DataArray) -> dict[str, str]:
    provenance = {key: _format_value(value) for key, value in array.attrs.items() if key not in STORED_ELSEWHERE}
    return provenance | {"TIFFTAG_SOFTWARE": f"kappamask-openeo {version('kappamask-openeo')}"}


def _format_value(value: Any) -> str:
    return " ".join(map(str, np.atleast_1d(value)))


@contextmanager
def joined_threads() -> Iterator[None]:
    """Compute dask graphs in threads, and wait for the last task before leaving.

    After a failure dask alone lets running tasks go on, and they would write into a file that is being closed.
    """
    threads = dask.config.get("num_workers", CPU_COUNT)
    with ThreadPoolExecutor(threads) as pool, dask.config.set(scheduler="threads", pool=pool):
        yield
