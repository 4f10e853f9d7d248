"""Small scenes on disk, of every kind that is read."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

CRS = "EPSG:32635"
WEST, NORTH = 500_000.0, 6_500_000.0
BANDS = ("B02", "B03", "B04", "B08")


def digits(bands: int = 4, height: int = 96, width: int = 80) -> np.ndarray:
    """Make digital numbers from 300 to 8300 that differ between pixels and between bands."""
    flat = np.arange(bands * height * width, dtype=np.int64) * 7919 % 8000 + 300
    return flat.reshape(bands, height, width).astype(np.uint16)


def geotiff(
    path: Path,
    values: np.ndarray | None = None,
    names: tuple[str | None, ...] = BANDS,
    tags: dict[str, str] | None = None,
    scale: tuple[float, float] | None = None,
    **profile: Any,
) -> Path:
    values = digits(len(names)) if values is None else values
    count, height, width = values.shape
    base = {"driver": "GTiff", "crs": CRS, "transform": from_origin(WEST, NORTH, 10, 10), "dtype": values.dtype}
    with rasterio.open(path, "w", count=count, height=height, width=width, **{**base, **profile}) as dataset:
        dataset.write(values)
        dataset.descriptions = names
        dataset.update_tags(**(tags or {}))
        if scale:
            dataset.scales, dataset.offsets = (scale[0],) * count, (scale[1],) * count
    return path


def jp2(path: Path, values: np.ndarray, size: float, west: float = WEST, crs: str = CRS) -> Path:
    """One lossless JPEG 2000 band of `size` metres a pixel."""
    profile = {"driver": "JP2OpenJPEG", "quality": 100, "reversible": True}
    return geotiff(path, values[None], (None,), crs=crs, transform=from_origin(west, NORTH, size, size), **profile)


def per_band(bands: tuple[str, ...] = BANDS, dtype: str = "uint16", **attrs: Any) -> xr.Dataset:
    """The same pixels as a dataset with a variable for each band, each with `attrs`."""
    layers = cube().astype(dtype).to_dataset("bands")[list(bands)]
    return layers.assign({band: layer.assign_attrs(attrs) for band, layer in layers.items()})


def cube(values: np.ndarray | None = None, names: tuple[str, ...] = BANDS, **attrs: Any) -> xr.DataArray:
    """The same pixels in memory, located as `geotiff` locates them."""
    values = digits(len(names)) if values is None else values
    y, x = NORTH - 10 * (np.arange(values.shape[1]) + 0.5), WEST + 10 * (np.arange(values.shape[2]) + 0.5)
    made = xr.DataArray(values, dims=("bands", "y", "x"), coords={"bands": list(names), "y": y, "x": x}, attrs=attrs)
    return made.rio.write_crs(CRS)


SHAPE = (96, 80)


def hole() -> np.ndarray:
    """Return where a file's mask says that it has data: not in its north-western corner."""
    there = np.full(SHAPE, 255, np.uint8)
    there[:20, :30] = 0
    return there


def masked_file(path: Path, values: np.ndarray, how: str, driver: str, west: float = WEST) -> None:
    """Write a one-band file with its mask inside, next to it, or as alpha."""
    options = {"driver": driver, "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint16", "crs": CRS}
    options |= {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    alpha = how == "alpha"
    options |= {"ALPHA": "YES"} if alpha and driver == "GTiff" else {}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=how == "internal"),
        rasterio.open(path, "w", count=1 + alpha, transform=from_origin(west, NORTH, 10, 10), **options) as file,
    ):
        if alpha:
            file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
            file.write(np.stack([values, hole().astype(np.uint16) * 257]))
        else:
            file.write(values, 1)
        if how == "internal":
            file.write_mask(hole())
    if how == "sidecar":
        with rasterio.open(f"{path}.msk", "w", driver="GTiff", count=1, height=96, width=80, dtype="uint8") as mask:
            mask.write(hole(), 1)
