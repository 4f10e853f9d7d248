"""Bands by name or common name, and the openEO process `ndvi`."""

from __future__ import annotations

import xarray as xr
from openeo.metadata import Band

from kappamask.backend.errors import api_error
from kappamask.backend.pixel_math import decode_nodata
from kappamask.udf.cube import COMMON_NAMES

__all__ = ["check_target_band", "compute_ndvi", "describe_band"]

EO_NAMES = {band: "rededge" if name.startswith("rededge") else name for name, band in COMMON_NAMES.items()}
"""Sentinel-2 band -> its common name in the STAC extension eo, version 1, which three bands share."""


def describe_band(name: str) -> Band:
    """Describe a band with its common name, if it has one."""
    return Band(name=name, common_name=EO_NAMES.get(name))


def compute_ndvi(cube: xr.DataArray, nir: str, red: str, target_band: str | None) -> xr.DataArray:
    """Compute (nir - red) / (nir + red).

    The result has no band dimension, or is added to the cube as the band `target_band`.

    nir, red: a band's name, or a common name. NaN where both are 0.
    Raises the openEO errors DimensionAmbiguous, NirBandAmbiguous, RedBandAmbiguous and BandExists.
    """
    if "bands" not in cube.dims:
        raise api_error("DimensionAmbiguous", "ndvi needs a cube with a dimension of bands; this one has none.")
    numbers = decode_nodata(cube)
    names = [str(band) for band in cube.bands.values]
    check_target_band(names, target_band)
    n = numbers.isel(bands=_find_band(names, nir, "NirBandAmbiguous"), drop=True)
    r = numbers.isel(bands=_find_band(names, red, "RedBandAmbiguous"), drop=True)
    index: xr.DataArray = ((n - r) / (n + r).where(n + r != 0)).astype("float32")
    if target_band is None:
        return index
    added = index.expand_dims(bands=[target_band]).transpose(*cube.dims)
    return xr.concat([numbers, added], "bands", coords="minimal", compat="override")


def check_target_band(names: list[str], target_band: str | None) -> None:
    """Raise the openEO error BandExists if the band that is to be added is there."""
    if target_band in names:
        raise api_error("BandExists", f"The cube already has a band {target_band}; choose another target_band.")


def _find_band(names: list[str], wanted: str, code: str) -> int:
    """Find a band's position by its name, else by its common name."""
    if wanted in names:
        return names.index(wanted)
    if COMMON_NAMES.get(wanted) in names:
        return names.index(COMMON_NAMES[wanted])
    raise api_error(code, f"No band is named {wanted}, by name or common name; there are {', '.join(names)}.")
