"""Small Zarr folders of both formats: cubes, and products laid out as EOPF's."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
import zarr
from files import NORTH, WEST, digits

FormatOfZarr = Literal[2, 3]
NAME = "S2A_MSIL2A_20250415T094041_N0511_R036_T35VLC_20250415T155631"
L2A = {
    ("measurements/reflectance", 10): ("b02", "b03", "b04", "b08"),
    ("measurements/reflectance", 20): ("b01", "b02", "b03", "b04", "b05", "b06", "b07", "b11", "b12", "b8a"),
    ("measurements/reflectance", 60): ("b01", "b02", "b09", "b11"),
    ("quality/atmosphere", 10): ("aot", "wvp"),
    ("conditions/mask/l2a_classification", 20): ("scl",),
    ("quality/mask", 10): ("b02", "b03", "b04", "b08"),
}
L1C = {
    ("measurements/reflectance", 10): ("b02", "b03", "b04", "b08"),
    ("measurements/reflectance", 20): ("b05", "b06", "b07", "b11", "b12", "b8a"),
    ("measurements/reflectance", 60): ("b01", "b09", "b10"),
    ("conditions/mask/l1c_classification", 60): ("b00",),
}
"""(group, metres) -> what it holds."""
PACKED = {"scale_factor": 1e-4, "add_offset": -0.1}
STORED = {"valid_min": 1, "valid_max": 65535, "fill_value": 0, "dtype": "<u2", "units": "digital_counts"}


def zarr_cube(path: Path, dataset: xr.Dataset, form: FormatOfZarr = 3, **encoding: Any) -> Path:
    """Write a cube in format `form`, with consolidated metadata."""
    options: dict[str, Any] = {"encoding": {key: encoding for key in dataset if encoding}, "zarr_format": form}
    dataset.to_zarr(path, mode="w", consolidated=True, **options)
    return path


def find_metadata(array: Path, form: FormatOfZarr) -> Path:
    """What describes the array of a folder."""
    return array / (".zarray" if form == 2 else "zarr.json")


def find_chunk(array: Path, form: FormatOfZarr, *place: int) -> Path:
    """The file of the chunk at `place`."""
    return array / (".".join(map(str, place)) if form == 2 else "/".join(map(str, ("c", *place))))


def edit_json(file: Path, **change: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | change))


def eopf(
    folder: Path,
    layout: dict[tuple[str, int], tuple[str, ...]] = L2A,
    name: str = NAME,
    size: int = 120,
    packing: dict[str, float] | None = None,
    form: FormatOfZarr = 2,
    **facts: Any,
) -> Path:
    """Write a product of `size` pixels of 10 m a side, as `xarray-eopf` finds them.

    Chunks are a third of a side.
    """
    path = folder / f"{name}.zarr"
    properties = {"datetime": "2025-04-15T09:40:41.024Z", "proj:epsg": 32635, "platform": "sentinel-2a"}
    attrs = {"stac_discovery": {"id": name, "properties": properties}}
    root = zarr.open_group(str(path), mode="w", zarr_format=form)
    root.attrs.update(attrs | {"other_metadata": {"horizontal_CRS_code": "EPSG:32635"}} | facts)
    for (group, metres), bands in layout.items():
        _write(path, group, metres, bands, size * 10 // metres, PACKED if packing is None else packing, form)
    zarr.consolidate_metadata(str(path), zarr_format=form)
    return path


def pixels(group: str, metres: int, bands: tuple[str, ...], side: int) -> np.ndarray:
    """What a group holds, (band, y, x)."""
    if bands == ("scl",):
        return (np.arange(side * side) // 5 % 12).astype(np.uint8).reshape(1, side, side)
    return (digits(len(bands), side, side) + metres).astype(np.uint8 if "mask" in group else np.uint16)


def _write(
    path: Path,
    group: str,
    metres: int,
    bands: tuple[str, ...],
    side: int,
    packing: dict[str, float],
    form: FormatOfZarr,
) -> None:
    plain = {"scale_factor": 1e-3} if "atmosphere" in group else packing if "reflectance" in group else {}
    layers = {
        band: (("y", "x"), values, STORED | plain)
        for band, values in zip(bands, pixels(group, metres, bands, side), strict=True)
    }
    step = np.arange(side) + 0.5
    coordinates = {"x": (WEST + metres * step).astype(np.int64), "y": (NORTH - metres * step).astype(np.int64)}
    encoding = {band: {"chunks": (side // 3, side // 3), "_FillValue": 0} for band in bands}
    dataset = xr.Dataset(layers, coords=coordinates)
    options: dict[str, Any] = {"encoding": encoding, "zarr_format": form}
    dataset.to_zarr(path, group=f"{group}/r{metres}m", mode="a", consolidated=False, **options)
