"""Convert masks to other class schemes, booleans and bits, on NumPy and dask."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import CubeError, ModelCard, load_card
from kappamask.models.card import NODATA_CODE
from kappamask.models.schemes import (
    CLASSES,
    DILATED_BIT,
    KAPPAMASK,
    UNUSABLE,
    Scheme,
    find_class_codes,
    find_scheme,
    is_kappamask,
)
from kappamask.udf.cube import compute_chunk_sizes

__all__ = [
    "CLEAR",
    "CLOUD",
    "MISSING",
    "SEMI_TRANSPARENT",
    "SHADOW",
    "UNDEFINED",
    "from_scheme",
    "make_flag_attributes",
    "make_scheme_attributes",
    "to_bits",
    "to_kappamask",
    "to_scheme",
    "unusable_pixels",
]

UNDEFINED, CLEAR, SHADOW, SEMI_TRANSPARENT, CLOUD, MISSING = range(6)
"""As KappaZeta's code and KappaSet have them (0 undefined, 5 missing; some summaries swap these two)."""
MAX_LISTED = 16
"""Codes that an error lists."""


def make_flag_attributes(card: ModelCard) -> dict[str, Any]:
    """Return CF flag attributes (CF conventions 3.5) for the classes of `card`."""
    return {
        "flag_values": np.array([c.value for c in card.classes], dtype=np.uint8),
        "flag_meanings": " ".join(c.name for c in card.classes),
        "flag_colors": " ".join(f"#{c.color_hint}" for c in card.classes),
    }


def to_scheme(mask: xr.DataArray, name: str) -> xr.DataArray:
    """Convert a KappaMask mask to another class scheme.

    Names and colours of the scheme become CF flag attributes.

    mask: codes 0 to 5 and 255, whole numbers of any type or floats with NaN (no data), any dims, numpy or dask.
    name: SCL, CMIX, Fmask, S2cloudless, FMSC, MAJA, DL_L8S2_UV, CloudSEN12, bits, or KappaMask, which changes nothing;
        `kappamask.models.schemes.losses` says what a scheme cannot express.

    Returns uint8, lazy if the mask is; nodata (255, NaN) is 255. Raises CubeError for an unknown scheme or code, and
    for a mask whose attribute `scheme` says that it is in another scheme already.
    """
    if is_kappamask(name):
        return to_kappamask(mask)
    scheme = find_scheme(name)
    if not is_kappamask(_scheme_name(mask)):
        raise CubeError(f"The mask is in {_scheme_name(mask)} already: first turn it back with from_scheme.")
    table = dict(enumerate(scheme.codes)) | {NODATA_CODE: NODATA_CODE}
    return _recode_codes(mask, table, KAPPAMASK).assign_attrs(make_scheme_attributes(scheme))


def from_scheme(mask: xr.DataArray, name: str) -> xr.DataArray:
    """Convert a mask in another class scheme to KappaMask codes, uint8.

    It is the inverse of `to_scheme`, which says what masks may be.

    Raises CubeError for a code that the scheme does not have, or if the attribute `scheme` names another scheme.
    """
    stated = mask.attrs.get("scheme", name) if isinstance(mask, xr.DataArray) else name
    if str(stated).casefold() != str(name).casefold():
        raise CubeError(f"The mask says that its scheme is {stated}, not {name}.")
    if is_kappamask(name):
        return to_kappamask(mask)
    scheme = find_scheme(name)
    made = _recode_codes(mask, scheme.classes_by_code, scheme.name)
    kept = {key: value for key, value in made.attrs.items() if key not in ("scheme", "flag_masks")}
    made.attrs = kept | {"long_name": f"{KAPPAMASK} class", **make_flag_attributes(load_card("compact"))}
    return made


def to_kappamask(mask: xr.DataArray) -> xr.DataArray:
    """Convert a mask from the scheme in its attributes to KappaMask codes, uint8."""
    if not is_kappamask(_scheme_name(mask)):
        return from_scheme(mask, _scheme_name(mask))
    return _recode_codes(mask, _code_table(KAPPAMASK), KAPPAMASK)


def unusable_pixels(mask: xr.DataArray, classes: Iterable[str] = UNUSABLE) -> xr.DataArray:
    """Find the pixels to leave out, True as openEO's `mask` wants it.

    mask: as for `to_scheme`, or in the scheme that its attribute `scheme` names.
    classes: names of KappaMask classes. Nodata (255, NaN) is always True.

    Returns bool with the mask's dims, lazy if it is. Raises CubeError for an unknown class, scheme or code.
    """
    codes, name = find_class_codes(classes), _scheme_name(mask)
    table = {value: int(code in codes) for value, code in _code_table(name).items()} | {NODATA_CODE: 1}
    made = _recode_codes(mask, table, name).astype(bool).rename("unusable")
    made.attrs = {"long_name": "pixels to leave out"}
    return made


def to_bits(mask: xr.DataArray, before: xr.DataArray | None = None) -> xr.DataArray:
    """Pack a mask into a quality band of bits, as Landsat's QA_PIXEL has them.

    The result is uint8 with CF flag_masks; Landsat's Collection 2 has the same bits.

    1 missing, 2 dilated, 4 semi-transparent cloud, 8 cloud, 16 cloud shadow, 64 clear, 128 undefined; 255 nodata.
    mask: as for `unusable`. before: the mask before `clean`; where that was clear and this is not, 2 is added.
    """
    packed = to_scheme(to_kappamask(mask), "bits")
    if before is None:
        return packed
    grown = unusable_pixels(mask, UNUSABLE[:-1]) & (to_kappamask(before) == CLASSES.index("clear"))
    return (packed + DILATED_BIT * grown.astype(np.uint8)).rename(packed.name).assign_attrs(packed.attrs)


def make_scheme_attributes(scheme: Scheme) -> dict[str, Any]:
    """Return the CF flag attributes of a mask in this scheme."""
    values = np.array([row.value for row in scheme.rows], dtype=np.uint8)
    masks = {"flag_masks": values} if scheme.name == "bits" else {}
    return {
        "long_name": f"{scheme.name} class",
        "scheme": scheme.name,
        "flag_values": values,
        "flag_meanings": " ".join(row.name for row in scheme.rows),
        "flag_colors": " ".join(f"#{row.color}" for row in scheme.rows),
        **masks,
    }


def _code_table(name: str) -> dict[int, int]:
    """Return the KappaMask class, or nodata, of each code of a scheme."""
    own = {code: code for code in (*range(len(CLASSES)), NODATA_CODE)}
    return own if is_kappamask(name) else find_scheme(name).classes_by_code


def _scheme_name(mask: xr.DataArray) -> str:
    _dtype_kind(mask)
    return str(mask.attrs.get("scheme", KAPPAMASK))


def _dtype_kind(mask: xr.DataArray) -> str:
    """Return the kind of the mask's numbers, as numpy names it."""
    if not isinstance(mask, xr.DataArray):
        raise CubeError(f"A mask must be an xarray.DataArray of class codes, not {type(mask).__name__}.")
    return str(mask.dtype.kind)


def _recode_codes(mask: xr.DataArray, table: Mapping[int, int], scheme: str) -> xr.DataArray:
    """Replace each code of `mask` as `table` says; uint8."""
    if _dtype_kind(mask) not in "uif":
        raise CubeError(f"The mask holds {mask.dtype}; needed are class codes, whole numbers.")
    # bytes.translate reads a table eight times faster than an index array does, which numpy makes 64 bits wide.
    codes, known = bytes(table.get(code, 0) for code in range(NODATA_CODE + 1)), bytes(table)

    def recode(block: NDArray[Any]) -> NDArray[np.uint8]:
        found = _to_bytes(block)
        if found is None or found.translate(None, known):
            raise CubeError(_describe_unknown(block, table, scheme))
        return np.frombuffer(bytearray(found.translate(codes)), dtype=np.uint8).reshape(block.shape)

    mask = compute_chunk_sizes(mask)
    data = mask.data
    return mask.copy(data=recode(data) if mask.chunks is None else data.map_blocks(recode, dtype=np.uint8))


def _to_bytes(block: NDArray[Any]) -> bytes | None:
    """Return the codes as bytes in C order, NaN as nodata.

    Returns None if one is no whole number from 0 to 255.
    """
    if isinstance(block, np.ma.MaskedArray):
        block = np.asarray(np.ma.filled(block.astype(np.float64), np.nan))
    if block.dtype == np.uint8:
        return block.tobytes()
    whole = np.nan_to_num(block, nan=NODATA_CODE) if block.dtype.kind == "f" else block
    fits = ((whole >= 0) & (whole <= NODATA_CODE) & (whole % 1 == 0)).all()
    return whole.astype(np.uint8).tobytes() if fits else None


def _describe_unknown(block: NDArray[Any], table: Mapping[int, int], scheme: str) -> str:
    found = np.unique(block[~np.isnan(block)]).tolist()
    unknown = [f"{value:g}" for value in found if value not in table][:MAX_LISTED]
    known = ", ".join(map(str, sorted(table)[:MAX_LISTED])) + (", …" if len(table) > MAX_LISTED else "")
    return f"The mask holds {', '.join(unknown)}, which {scheme} does not have; known are {known}."
