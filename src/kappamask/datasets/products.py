"""Products that a data set names and does not hold: found beside it, and read as reflectance."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.datasets.sun import low_sun
from kappamask.models import SceneError
from kappamask.udf.radiometry import MODES, affine

__all__ = ["low_over", "products_in", "reflectance"]

ENDINGS: Final = (".SAFE.zip", ".SAFE", ".zip")


def products_in(folder: Path) -> dict[str, Path]:
    """Name without .SAFE -> product, for all products under `folder`, as folders or zip archives."""
    found: dict[str, Path] = {}
    for ending in reversed(ENDINGS):
        found |= {path.name.removesuffix(ending): path for path in sorted(folder.rglob(f"S2*{ending}"))}
    return {name.removesuffix(".SAFE"): path for name, path in found.items()}


def reflectance(cube: xr.DataArray, name: str) -> NDArray[np.float32]:
    """Reflectance (band, y, x) of a product's cube, NaN where a number is its nodata.

    Raises SceneError where the product does not say what its numbers mean.
    """
    mode = str(cube.attrs.get("radiometry"))
    if mode not in MODES:
        raise SceneError(f"{name} does not say what its numbers mean; get it anew.")
    numbers = np.asarray(cube.values, np.float32)
    steps = np.array([affine(str(band), mode) for band in cube["bands"].values], np.float32)[..., None, None]
    empty = numbers == cube.attrs.get("_FillValue", 0)
    return np.where(empty, np.nan, numbers * steps[:, 0] + steps[:, 1]).astype(np.float32)


def low_over(cube: xr.DataArray) -> Mapping[str, bool]:
    """The tag `low_sun` at the middle of a cube with a CRS and a date; empty where it lacks one of them."""
    when = cube.attrs.get("datetime")
    if not when or cube.rio.crs is None:
        return {}
    from pyproj import Transformer

    x, y = (float(cube[axis][[0, -1]].mean()) for axis in ("x", "y"))
    longitude, latitude = Transformer.from_crs(cube.rio.crs, 4326, always_xy=True).transform(x, y)
    return {"low_sun": low_sun(longitude, latitude, datetime.fromisoformat(str(when)))}
