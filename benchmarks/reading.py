"""Describe a product, read its bands as one array, and time that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from kappamask.scenes import open_scene

WRITTEN = "T18SUH_20180202T160000"
"""What the names of bands begin with that `product.py` wrote."""
ROWS = 1024
"""Pixels read at a time: a row of blocks of ESA's JP2s."""


def read_whole(product: Path, target: Path, side: int) -> list[str]:
    """Write a square of the product as .npy; return its bands.

    uint16 (band, y, x) at 10 m, row by row.
    """
    cube = open_scene(product, level="L1C")
    bands = [str(band) for band in cube["bands"].values]
    out = np.lib.format.open_memmap(target, "w+", np.uint16, (len(bands), side, side))
    for y in range(0, side, ROWS):
        out[:, y : y + ROWS] = cube.isel(y=slice(y, min(y + ROWS, side)), x=slice(side)).values
    out.flush()
    return bands


def time_reading(product: Path, found: list[dict[str, Any]], side: int, repeat: int) -> Iterator[dict[str, Any]]:
    """Time decoding and resampling of each peer's bands.

    Of peers with the same bands once.
    """
    for bands in dict.fromkeys(tuple(row["bands"]) for row in found):
        seconds = []
        for _ in range(repeat):
            began = perf_counter()
            cube = open_scene(product, level="L1C", bands=list(bands))
            for y in range(0, side, ROWS):
                cube.isel(y=slice(y, min(y + ROWS, side)), x=slice(side)).max().compute()
            seconds.append(round(perf_counter() - began, 3))
        yield {"bands": list(bands), "seconds": seconds, "median": median(seconds)}


def describe_product(product: Path) -> dict[str, Any]:
    """Return name, files and a hash of their bytes, and whether `product.py` wrote it."""
    files = sorted(product.rglob("*.jp2")) if product.is_dir() else [product]
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    size = sum(path.stat().st_size for path in files)
    facts = {"name": product.name, "files": len(files), "bytes": size, "sha256": digest.hexdigest()}
    return facts | {"repeated": any(path.name.startswith(WRITTEN) for path in files)}
