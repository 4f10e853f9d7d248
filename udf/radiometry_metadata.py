"""Name what numbers can mean, and read which of it metadata state, with the reason."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from kappamask.models import CubeError

__all__ = [
    "ADD_OFFSET",
    "AUXILIARY",
    "MODES",
    "QUANTIFICATION",
    "RADIOMETRY_REASON",
    "RADIOMETRY_SOURCE",
    "RANGE_ATTRIBUTES",
    "Decision",
    "find_plausible_range",
    "find_scale_and_offset",
    "find_unknown_packing",
    "find_valid_range",
    "hide_invalid",
    "is_decoded_without_offset",
    "read_radiometry",
]

QUANTIFICATION = 1e-4
"""Reflectance of one digital number (QUANTIFICATION_VALUE 10000 in every product so far)."""
ADD_OFFSET = -0.1
"""RADIO_ADD_OFFSET and BOA_ADD_OFFSET, -1000 for all bands since baseline 04.00, as reflectance."""
RADIOMETRY_SOURCE = "radiometry_source"
"""Attribute: which metadata the attribute `radiometry` was read from; absent where somebody set it."""
RADIOMETRY_REASON = "radiometry_reason"
"""Attribute: `radiometry`, a colon, and why a reader took it; of no use once somebody set another radiometry."""
DECODED_REASON = "decoded with the file's scale_factor"
OFFSET_BASELINE = 4.0
_UNDOTTED = re.compile(r"N?(\d?\d)\.?(\d\d)")
"""Baselines as products' names have them (N0511), and as programs store them (511)."""
PACKING_KEYS = (("scale_factor", "add_offset"), ("scales", "offsets"))
"""Attributes of packed numbers: those of CF, and those of rasterio, one for each band."""
CLOUDFERRO_BASELINE = 99.99
"""A reprocessing by CloudFerro whose number says nothing about the offset."""

MODES: dict[str, tuple[float, float]] = {
    "reflectance": (1.0, 0.0),
    "dn_harmonized": (QUANTIFICATION, 0.0),
    "dn_offset": (QUANTIFICATION, ADD_OFFSET),
}
"""Mode -> (scale, offset) with reflectance = scale * number + offset."""
PLAUSIBLE_REFLECTANCE = (-0.2, 10.0)
"""No surface sends reflectances outside: they are some undeclared nodata value (-9999, -32768, 9.97e36); products go
down to -0.1, and saturated pixels, 65535, are 6.55."""
PLAUSIBLE_NUMBERS = (-2_000.0, 110_000.0)
"""The same for numbers whose meaning is not known yet."""
AUXILIARY = ("AOT", "WVP")
"""Layers of Level-2A that are no reflectance: never offset."""

COLLECTIONS: dict[str, str] = {
    "SENTINEL2_L1C": "dn_harmonized",
    "SENTINEL2_L2A": "dn_harmonized",
    "COPERNICUS/S2_HARMONIZED": "dn_harmonized",
    "COPERNICUS/S2_SR_HARMONIZED": "dn_harmonized",
    "sentinel-2-c1-l2a": "dn_offset",
}
"""Collection id -> what its numbers mean: openEO on Copernicus Data Space; Earth Engine; Earth Search v1.
Collections that mix both (Planetary Computer and Earth Search `sentinel-2-l2a`) go by baseline and pixels."""
RANGE_ATTRIBUTES = ("valid_range", "valid_min", "valid_max")
"""The first goes before the others, as in the conventions."""


@dataclass(frozen=True)
class Decision:
    """A mode and its reason; "unknown" only where no pixel is valid."""

    mode: str
    reason: str
    by_metadata: bool = False
    """Metadata say so that may be wrong, or of another date: the pixels may raise a doubt."""


def read_radiometry(attributes: Mapping[str, Any], encoding: Mapping[str, Any]) -> Decision | None:
    """Return what the metadata say of the radiometry, if they do."""
    readers = (_from_attribute, _from_encoding, _from_packing, _from_collection, _from_baseline)
    return next((found for found in (read(attributes, encoding) for read in readers) if found), None)


def is_decoded_without_offset(said: Decision | None, encoding: Mapping[str, Any]) -> bool:
    """Tell whether numbers were decoded by a scale alone, without an offset."""
    decoded = said is not None and said.reason == DECODED_REASON
    return decoded and _single_number(encoding.get("add_offset", 0.0)) in (0.0, None)


def _from_attribute(attributes: Mapping[str, Any], _: Mapping[str, Any]) -> Decision | None:
    mode = str(attributes.get("radiometry"))
    by_metadata = RADIOMETRY_SOURCE in attributes
    return Decision(mode, _stated_reason(mode, attributes), by_metadata) if mode in MODES else None


def _stated_reason(mode: str, attributes: Mapping[str, Any]) -> str:
    """Return the reason that a reader gave for this mode, else the attribute itself."""
    of, _, reason = str(attributes.get(RADIOMETRY_REASON, "")).partition(": ")
    return reason if of == mode and reason else "from the attribute 'radiometry'"


def _from_encoding(_: Mapping[str, Any], encoding: Mapping[str, Any]) -> Decision | None:
    packed = _single_number(encoding.get("scale_factor")) not in (None, 1.0)
    return Decision("reflectance", DECODED_REASON) if packed else None


def _from_packing(attributes: Mapping[str, Any], _: Mapping[str, Any]) -> Decision | None:
    for keys in PACKING_KEYS:
        packing = _read_packing(attributes, keys)
        for mode, values in MODES.items():
            if mode != "reflectance" and packing and np.allclose(packing, values):
                why = f"from {keys[0]} {packing[0]:g} and {keys[1]} {packing[1]:g}"
                return Decision(mode, why, by_metadata=True)
    return None


def find_unknown_packing(attributes: Mapping[str, Any]) -> str:
    """Return as text a scale and offset that mean no known radiometry, else ""."""
    for keys in PACKING_KEYS:
        if not any(key in attributes for key in keys):
            continue
        packing = _read_packing(attributes, keys)
        if not packing or not any(np.allclose(packing, values) for values in MODES.values()):  # (1, 0) says nothing
            return " and ".join(f"{key}={attributes[key]!r}" for key in keys if key in attributes)
    return ""


def _read_packing(attributes: Mapping[str, Any], keys: tuple[str, str]) -> tuple[float, float] | None:
    """Read scale and offset; None if they are no numbers, or differ between bands."""
    scale, offset = (
        _single_number(attributes.get(key, default)) for key, default in zip(keys, (1.0, 0.0), strict=True)
    )
    return None if scale is None or offset is None else (scale, offset)


def _from_collection(attributes: Mapping[str, Any], _: Mapping[str, Any]) -> Decision | None:
    collection = str(attributes.get("collection"))
    known = collection in COLLECTIONS
    return Decision(COLLECTIONS[collection], f"collection {collection}", by_metadata=True) if known else None


def _from_baseline(attributes: Mapping[str, Any], _: Mapping[str, Any]) -> Decision | None:
    text = attributes.get("processing_baseline", attributes.get("s2:processing_baseline"))
    undotted = _UNDOTTED.fullmatch(str(text).strip().upper())
    try:
        number = float(f"{undotted[1]}.{undotted[2]}" if undotted else str(text))
    except ValueError:
        return None
    if number == CLOUDFERRO_BASELINE or not np.isfinite(number):
        return None
    mode = "dn_offset" if number >= OFFSET_BASELINE else "dn_harmonized"
    return Decision(mode, f"processing baseline {text}", by_metadata=True)


def _single_number(value: Any) -> float | None:
    """Return one number from a scalar, or from a list of equal entries."""
    try:
        numbers = np.unique(np.asarray(value, dtype=float))
    except (TypeError, ValueError):
        return None
    return float(numbers[0]) if numbers.size == 1 and np.isfinite(numbers[0]) else None


def find_scale_and_offset(band: str, mode: str) -> tuple[float, float]:
    """Return the (scale, offset) that turns a number of `band` into reflectance.

    AOT and WVP are only divided by 10000.
    """
    if band in AUXILIARY:
        return QUANTIFICATION, 0.0
    return MODES.get(mode, MODES["reflectance"])


def find_plausible_range(mode: str) -> tuple[float, float]:
    """Return the lowest and the highest number that can be a measurement."""
    if mode not in MODES:
        return PLAUSIBLE_NUMBERS
    scale, offset = MODES[mode]
    return (PLAUSIBLE_REFLECTANCE[0] - offset) / scale, (PLAUSIBLE_REFLECTANCE[1] - offset) / scale


def hide_invalid(cube: xr.DataArray) -> xr.DataArray:
    """Set numbers outside the declared range to NaN, lazily if the cube is lazy.

    cube: dims ([t,] bands, y, x). Fractions without an encoding are left as they are: somebody computed them, and
    xarray may have kept the range of what they were before. Raises CubeError as `find_valid_range` does.
    """
    is_as_read = cube.dtype.kind in "iu" or bool(cube.encoding)
    span = find_valid_range(cube.attrs, cube.encoding) if is_as_read else None
    if span is None:
        return cube
    inside = (cube >= span[0]) & (cube <= span[1]) | cube.coords["bands"].isin(AUXILIARY)
    made = cube.where(inside.transpose(*cube.dims))
    made.attrs, made.encoding = cube.attrs, cube.encoding
    return made


def find_valid_range(attributes: Mapping[str, Any], encoding: Mapping[str, Any]) -> tuple[float, float] | None:
    """Find the lowest and the highest valid number, or None if none is declared.

    Whole limits are those of the stored numbers, fractions up to 10 those of reflectances: what was decoded, as
    `encoding` tells, or is still packed, as the attribute scale_factor does, has them converted.
    Raises CubeError where the attributes are no numbers, or valid_range not two.
    """
    if (limits := _read_limits(attributes)) is None:
        return None
    low, high = limits
    is_whole = all(np.asarray(attributes[key]).dtype.kind in "iu" for key in RANGE_ATTRIBUTES if key in attributes)
    is_reflectance = not is_whole and all(
        abs(limit) <= PLAUSIBLE_REFLECTANCE[1] for limit in limits if np.isfinite(limit)
    )
    if (packing := _read_cf_packing(encoding)) and not is_reflectance:
        return low * packing[0] + packing[1], high * packing[0] + packing[1]
    if (packing := _read_cf_packing(attributes)) and is_reflectance:
        return (low - packing[1]) / packing[0], (high - packing[1]) / packing[0]
    return low, high


def _read_limits(attributes: Mapping[str, Any]) -> tuple[float, float] | None:
    given = {key: attributes[key] for key in RANGE_ATTRIBUTES if attributes.get(key) is not None}
    if not given:
        return None
    try:
        if "valid_range" in given:
            low, high = (float(limit) for limit in np.asarray(given["valid_range"]).ravel())
            return low, high
        return _read_number(given.get("valid_min", -np.inf)), _read_number(given.get("valid_max", np.inf))
    except (TypeError, ValueError) as error:
        listed = ", ".join(f"'{key}' is {value!r}" for key, value in given.items())
        raise CubeError(
            f"The attribute {listed}; needed are numbers, two for valid_range: mend it, or leave it out."
        ) from error


def _read_number(value: Any) -> float:
    (number,) = np.asarray(value, dtype=np.float64).ravel()
    return float(number)


def _read_cf_packing(facts: Mapping[str, Any]) -> tuple[float, float] | None:
    """Read scale_factor and add_offset; None where they are absent, no numbers, or change nothing."""
    packing = _read_packing(facts, PACKING_KEYS[0])
    return None if packing == (1.0, 0.0) else packing
