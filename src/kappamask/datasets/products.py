"""Find the Sentinel-2 products that a data set names, and read their reflectance."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import acos, cos, degrees, pi, radians, sin
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import SceneError
from kappamask.udf.radiometry import MODES
from kappamask.udf.radiometry_metadata import find_scale_and_offset

__all__ = ["LOW", "compute_sun_zenith", "find_products", "is_low_sun", "read_reflectance", "tag_low_sun"]

LOW: Final = 70.0
"""Degrees from the zenith beyond which the sun is low: Sen2Cor's tables of the atmosphere end there (its ATBD)."""
ENDINGS: Final = (".SAFE.zip", ".SAFE", ".zip")


def is_low_sun(longitude: float, latitude: float, when: datetime) -> bool:
    """Return whether the sun was lower than 20 degrees above the horizon.

    Arguments as those of `compute_sun_zenith`.
    """
    return compute_sun_zenith(longitude, latitude, when) > LOW


def compute_sun_zenith(longitude: float, latitude: float, when: datetime) -> float:
    """Compute the sun's zenith angle in degrees, to about half a degree.

    Fourier series of Spencer 1971.

    longitude, latitude: degrees east and north. when: taken as UTC if it has no time zone.
    """
    utc = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    hours = utc.hour + utc.minute / 60 + utc.second / 3600
    year = 2 * pi / 365 * (utc.timetuple().tm_yday - 1 + (hours - 12) / 24)
    hour_angle = radians(15 * (hours - 12) + longitude) + _equation_of_time(year)
    tilt, place = _solar_declination(year), radians(latitude)
    height = sin(place) * sin(tilt) + cos(place) * cos(tilt) * cos(hour_angle)
    return degrees(acos(max(-1.0, min(1.0, height))))


def _equation_of_time(year: float) -> float:
    """Compute the radians that true noon is ahead of the clock's."""
    return 0.0000075 + 0.001868 * cos(year) - 0.032077 * sin(year) - 0.014615 * cos(2 * year) - 0.040849 * sin(2 * year)


def _solar_declination(year: float) -> float:
    """Compute the radians that the sun is north of the equator."""
    return (
        0.006918 - 0.399912 * cos(year) + 0.070257 * sin(year)
        - 0.006758 * cos(2 * year) + 0.000907 * sin(2 * year) - 0.002697 * cos(3 * year) + 0.00148 * sin(3 * year)
    )  # fmt: skip


def find_products(folder: Path) -> dict[str, Path]:
    """Find all products under `folder`: name without .SAFE -> folder or zip archive."""
    found: dict[str, Path] = {}
    for ending in reversed(ENDINGS):
        found |= {path.name.removesuffix(ending): path for path in sorted(folder.rglob(f"S2*{ending}"))}
    return {name.removesuffix(".SAFE"): path for name, path in found.items()}


def read_reflectance(cube: xr.DataArray, name: str) -> NDArray[np.float32]:
    """Read reflectance (band, y, x) of a product's cube, NaN for nodata.

    Raises SceneError where the product does not say what its numbers mean.
    """
    mode = str(cube.attrs.get("radiometry"))
    if mode not in MODES:
        raise SceneError(f"{name} does not say what its numbers mean; download it again.")
    numbers = np.asarray(cube.values, np.float32)
    steps = np.array([find_scale_and_offset(str(band), mode) for band in cube["bands"].values], np.float32)[
        ..., None, None
    ]
    empty = numbers == cube.attrs.get("_FillValue", 0)
    return np.where(empty, np.nan, numbers * steps[:, 0] + steps[:, 1]).astype(np.float32)


def tag_low_sun(cube: xr.DataArray) -> Mapping[str, bool]:
    """Return the tag `low_sun` at the middle of a cube with CRS and date.

    Empty where it lacks one of them.
    """
    when = cube.attrs.get("datetime")
    if not when or cube.rio.crs is None:
        return {}
    from pyproj import Transformer

    x, y = (float(cube[axis][[0, -1]].mean()) for axis in ("x", "y"))
    longitude, latitude = Transformer.from_crs(cube.rio.crs, 4326, always_xy=True).transform(x, y)
    return {"low_sun": is_low_sun(longitude, latitude, datetime.fromisoformat(str(when)))}
