"""Tiny labelled data sets in the exact layouts of the published ones."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import xarray as xr
from pyarrow import parquet
from rasterio.io import MemoryFile

from kappamask.models import SENTINEL2_BANDS

L1C = SENTINEL2_BANDS[:13]


def kappazeta(path: Path, numbers: np.ndarray, labels: np.ndarray) -> Path:
    """Write a netCDF of digital numbers (13, y, x) / 65535.

    It has a variable for each band, Label, and what else is there.

    As cm-vsm writes it (netcdf_interface.cpp): it calls rows x and columns y, and adds masks and colours of 8 bits.
    """
    facts = {"scaling_factor": np.float32(1), "resampling_filter": "sinc", "last_modified": "2022-09-13T00:00:00"}
    layers = {band: (numbers[i] / 65535).astype(np.float32) for i, band in enumerate(L1C)}
    layers |= {name: labels[::-1].astype(np.uint8) for name in ("SCL", "S2CC", "KML1C", "TCI_R", "TCI_G", "TCI_B")}
    layers["Label"] = labels.astype(np.uint8)
    whole = {"version": "0.3.7", "product_name": path.stem, "overlap": np.float32(0)}
    path.parent.mkdir(parents=True, exist_ok=True)
    xr.Dataset({name: (("x", "y"), array, facts) for name, array in layers.items()}, attrs=whole).to_netcdf(path)
    return path


def geotiff_bytes(array: np.ndarray) -> bytes:
    """A GeoTIFF (band, y, x) as bytes."""
    with MemoryFile() as memory:
        facts = {"count": len(array), "height": array.shape[1], "width": array.shape[2], "dtype": array.dtype}
        with memory.open(driver="GTiff", **facts) as target:
            target.write(array)
        return bytes(memory.read())


def tortilla(files: Mapping[str, bytes], rows: Sequence[Mapping[str, Any]], magic: bytes = b"#y") -> bytes:
    """Join the files behind a header of 50 bytes, with their table at the end."""
    start, table = 50, []
    for (name, content), row in zip(files.items(), rows, strict=True):
        place = {"tortilla:id": name, "tortilla:offset": start, "tortilla:length": len(content)}
        table.append(place | {"tortilla:data_split": None} | dict(row))
        start += len(content)
    footer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(table), footer)
    where = start.to_bytes(8, "little") + len(footer.getvalue()).to_bytes(8, "little")
    return (magic + where).ljust(50, b"\0") + b"".join(files.values()) + footer.getvalue()


def cloudsen12(path: Path, patches: Mapping[str, tuple[np.ndarray, np.ndarray, Mapping[str, Any]]]) -> Path:
    """A TACO file: for each patch a tortilla of its image and its labels."""
    inner = {
        name: tortilla(
            {"s2l1c": geotiff_bytes(image), "target": geotiff_bytes(labels[None])},
            [{"tortilla:file_format": "GTiff"}] * 2,
        )
        for name, (image, labels, _) in patches.items()
    }
    common = {"tortilla:file_format": "TORTILLA", "label_type": "high", "real_proj_shape": 509}
    path.write_bytes(tortilla(inner, [common | dict(row) for _, _, row in patches.values()], b"WX"))
    return path
