"""Convert masks to other class schemes, booleans and bits, on NumPy and dask."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kappamask.models import CubeError, ModelCard, load_card
from kappamask.models.card import NODATA_CODE
from kappamask.models.schemes import CLASSES, DILATED, OWN, UNUSABLE, Scheme, class_codes, is_own, scheme_of

__all__ = [
    "CLEAR",
    "CLOUD",
    "MISSING",
    "SEMI_TRANSPARENT",
    "SHADOW",
    "UNDEFINED",
    "bits",
    "flag_attributes",
    "from_scheme",
    "in_own_scheme",
    "scheme_attributes",
    "to_scheme",
    "unusable",
]

UNDEFINED, CLEAR, SHADOW, SEMI_TRANSPARENT, CLOUD, MISSING = range(6)
"""As KappaZeta's code and KappaSet have them (0 undefined, 5 missing; some summaries swap these two)."""
SHOWN = 16
"""Codes that an error lists."""


def flag_attributes(card: ModelCard) -> dict[str, Any]:
    """CF flag attributes (CF conventions 3.5) for a mask with the classes of `card`."""
    return {
        "flag_values": np.array([c.value for c in card.classes], dtype=np.uint8),
        "flag_meanings": " ".join(c.name for c in card.classes),
        "flag_colors": " ".join(f"#{c.color_hint}" for c in card.classes),
    }


def to_scheme(mask: xr.DataArray, name: str) -> xr.DataArray:
    """A KappaMask mask in another class scheme, with that scheme's names and colours as CF flag attributes.

    mask: codes 0 to 5 and 255, whole numbers of any type or floats with NaN (no data), any dims, numpy or dask.
    name: SCL, CMIX, Fmask, S2cloudless, FMSC, MAJA, DL_L8S2_UV, CloudSEN12, bits, or KappaMask, which changes nothing;
        `kappamask.models.schemes.losses` says what a scheme cannot express.

    Returns uint8, lazy if the mask is; nodata (255, NaN) is 255. Raises CubeError for an unknown scheme or code, and
    for a mask whose attribute `scheme` says that it is in another scheme already.
    """
    if is_own(name):
        return in_own_scheme(mask)
    scheme = scheme_of(name)
    if not is_own(_scheme(mask)):
        raise CubeError(f"The mask is in {_scheme(mask)} already: first turn it back with from_scheme.")
    table = dict(enumerate(scheme.written)) | {NODATA_CODE: NODATA_CODE}
    return _recoded(mask, table, OWN).assign_attrs(scheme_attributes(scheme))


def from_scheme(mask: xr.DataArray, name: str) -> xr.DataArray:
    """A mask in another class scheme as KappaMask codes, uint8; the other way of `to_scheme`, which see.

    Raises CubeError for a code that the scheme does not have, or if the attribute `scheme` names another scheme.
    """
    stated = mask.attrs.get("scheme", name) if isinstance(mask, xr.DataArray) else name
    if str(stated).casefold() != str(name).casefold():
        raise CubeError(f"The mask says that its scheme is {stated}, not {name}.")
    if is_own(name):
        return in_own_scheme(mask)
    scheme = scheme_of(name)
    made = _recoded(mask, scheme.readings, scheme.name)
    kept = {key: value for key, value in made.attrs.items() if key not in ("scheme", "flag_masks")}
    made.attrs = kept | {"long_name": f"{OWN} class", **flag_attributes(load_card("compact"))}
    return made


def in_own_scheme(mask: xr.DataArray) -> xr.DataArray:
    """The mask in KappaMask codes, uint8, from whatever scheme its attribute `scheme` names."""
    if not is_own(_scheme(mask)):
        return from_scheme(mask, _scheme(mask))
    return _recoded(mask, _readings(OWN), OWN)


def unusable(mask: xr.DataArray, classes: Iterable[str] = UNUSABLE) -> xr.DataArray:
    """Which pixels to leave out, as openEO's `mask` wants it: True (not zero) is masked.

    mask: as for `to_scheme`, or in the scheme that its attribute `scheme` names.
    classes: names of KappaMask classes. Nodata (255, NaN) is always True.

    Returns bool with the mask's dims, lazy if it is. Raises CubeError for an unknown class, scheme or code.
    """
    codes, name = class_codes(classes), _scheme(mask)
    table = {value: int(code in codes) for value, code in _readings(name).items()} | {NODATA_CODE: 1}
    made = _recoded(mask, table, name).astype(bool).rename("unusable")
    made.attrs = {"long_name": "pixels to leave out"}
    return made


def bits(mask: xr.DataArray, before: xr.DataArray | None = None) -> xr.DataArray:
    """A bit-packed quality band, uint8 with CF flag_masks, the bits placed as in Landsat Collection 2's QA_PIXEL.

    1 missing, 2 dilated, 4 semi-transparent cloud, 8 cloud, 16 cloud shadow, 64 clear, 128 undefined; 255 nodata.
    mask: as for `unusable`. before: the mask before `clean`; where that was clear and this is not, 2 is added.
    """
    packed = to_scheme(in_own_scheme(mask), "bits")
    if before is None:
        return packed
    grown = unusable(mask, UNUSABLE[:-1]) & (in_own_scheme(before) == CLASSES.index("clear"))
    return (packed + DILATED * grown.astype(np.uint8)).rename(packed.name).assign_attrs(packed.attrs)


def scheme_attributes(scheme: Scheme) -> dict[str, Any]:
    """CF flag attributes of a mask in this scheme."""
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


def _readings(name: str) -> dict[int, int]:
    """KappaMask class, or nodata, of each code of a scheme."""
    own = {code: code for code in (*range(len(CLASSES)), NODATA_CODE)}
    return own if is_own(name) else scheme_of(name).readings


def _scheme(mask: xr.DataArray) -> str:
    _kind(mask)
    return str(mask.attrs.get("scheme", OWN))


def _kind(mask: xr.DataArray) -> str:
    """Kind of the mask's numbers, as numpy names it."""
    if not isinstance(mask, xr.DataArray):
        raise CubeError(f"A mask must be an xarray.DataArray of class codes, not {type(mask).__name__}.")
    return str(mask.dtype.kind)


def _recoded(mask: xr.DataArray, table: Mapping[int, int], scheme: str) -> xr.DataArray:
    """`mask` with each code replaced as `table` says, as uint8."""
    if _kind(mask) not in "uif":
        raise CubeError(f"The mask holds {mask.dtype}; needed are class codes, whole numbers.")
    # bytes.translate reads a table eight times faster than an index array does, which numpy makes 64 bits wide.
    codes, known = bytes(table.get(code, 0) for code in range(NODATA_CODE + 1)), bytes(table)

    def recode(block: NDArray[Any]) -> NDArray[np.uint8]:
        found = _bytes(block)
        if found is None or found.translate(None, known):
            raise CubeError(_unknown(block, table, scheme))
        return np.frombuffer(bytearray(found.translate(codes)), dtype=np.uint8).reshape(block.shape)

    data = mask.data
    return mask.copy(data=recode(data) if mask.chunks is None else data.map_blocks(recode, dtype=np.uint8))


def _bytes(block: NDArray[Any]) -> bytes | None:
    """The codes in C order, NaN as nodata; None if one is no whole number from 0 to 255."""
    if block.dtype == np.uint8:
        return block.tobytes()
    whole = np.nan_to_num(block, nan=NODATA_CODE) if block.dtype.kind == "f" else block
    fits = ((whole >= 0) & (whole <= NODATA_CODE) & (whole % 1 == 0)).all()
    return whole.astype(np.uint8).tobytes() if fits else None


def _unknown(block: NDArray[Any], table: Mapping[int, int], scheme: str) -> str:
    found = np.unique(block[~np.isnan(block)]).tolist()
    unknown = [f"{value:g}" for value in found if value not in table][:SHOWN]
    known = ", ".join(map(str, sorted(table)[:SHOWN])) + (", …" if len(table) > SHOWN else "")
    return f"The mask holds {', '.join(unknown)}, which {scheme} does not have; known are {known}."
