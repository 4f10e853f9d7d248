"""Class schemes of other cloud masks, and what a conversion loses.

KappaMask's classes: 0 undefined, 1 clear, 2 cloud shadow, 3 semi-transparent cloud, 4 cloud, 5 missing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from kappamask.models.card import MISSING_CODE, NODATA_CODE
from kappamask.models.card_document import DEFAULT_COLORS
from kappamask.models.errors import CubeError

__all__ = [
    "CLASSES",
    "DILATED_BIT",
    "KAPPAMASK",
    "SCHEMES",
    "UNUSABLE",
    "Code",
    "Scheme",
    "find_class_codes",
    "find_scheme",
    "is_kappamask",
    "list_losses",
    "list_schemes",
]

KAPPAMASK = "KappaMask"
"""The scheme that masks are made in."""
CLASSES = ("undefined", "clear", "cloud_shadow", "semi_transparent_cloud", "cloud", "missing")
"""KappaMask's codes 0 to 5 (KappaSet, km_predict)."""
UNUSABLE = ("cloud_shadow", "semi_transparent_cloud", "cloud", "missing")
"""What most users leave out of an analysis."""
DILATED_BIT = 2
"""In the scheme `bits`: next to cloud or shadow, and no part of it before the mask was cleaned."""


class Code(NamedTuple):
    """A code of a scheme: name, colour as RRGGBB, and its KappaMask class."""

    value: int
    name: str
    color: str
    kappamask_code: int


@dataclass(frozen=True)
class Scheme:
    """One class scheme; 255 is nodata in each, and is in no row."""

    name: str
    source: str
    """Who defines the codes."""
    codes: tuple[int, ...]
    """The code of each KappaMask class, 0 to 5."""
    rows: tuple[Code, ...]
    bits: tuple[tuple[int, int], ...] = ()
    """Where pixels combine bits: (bits, KappaMask class), strongest first; the first that a pixel has any of counts."""
    notes: tuple[str, ...] = ()
    """What rows cannot say of what is lost."""

    @property
    def classes_by_code(self) -> dict[int, int]:
        """KappaMask class of each code.

        255 stays so, but is missing where the scheme writes missing pixels as 255.
        """
        nodata = MISSING_CODE if self.codes[MISSING_CODE] == NODATA_CODE else NODATA_CODE
        return {row.value: row.kappamask_code for row in self.rows} | self._bit_classes() | {NODATA_CODE: nodata}

    def _bit_classes(self) -> dict[int, int]:
        first = {v: [read for bits, read in self.bits if v & bits][:1] for v in range(NODATA_CODE)}
        return {value: found[0] for value, found in first.items() if found}


_UNDEF, _CLEAR, _SHADOW, _THIN, _CLOUD, _NONE = DEFAULT_COLORS.values()


_WATER, _SNOW = "0000ff", "ff96ff"
"""Sentinel Hub's colours of these classes in SCL."""


_NO_SHADOW = "It knows no shadow, which is written as clear."


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            "SCL", "ESA, scene classification of Sen2Cor in Level-2A; colours of Sentinel Hub", (7, 4, 3, 10, 9, 0),
            (
                Code(0, "no_data", "000000", 5), Code(1, "saturated_or_defective", "ff0000", 5),
                Code(2, "dark_area_pixels", "2f2f2f", 1), Code(3, "cloud_shadows", "643200", 2),
                Code(4, "vegetation", "00a000", 1), Code(5, "not_vegetated", "ffe65a", 1), Code(6, "water", _WATER, 1),
                Code(7, "unclassified", "808080", 0), Code(8, "cloud_medium_probability", "c0c0c0", 4),
                Code(9, "cloud_high_probability", "ffffff", 4), Code(10, "thin_cirrus", "64c8ff", 3),
                Code(11, "snow", _SNOW, 1),
            ),
            notes=("It has no plain clear: clear is written as 4 vegetation, whatever the ground is.",),
        ),
        Scheme(
            "CMIX", "Cloud Masking Intercomparison Exercise, in Domnich et al. 2021; 0 as in KappaZeta's cm-vsm",
            (0, 1, 4, 3, 2, 255),
            (
                Code(0, "unclassified", _UNDEF, 0), Code(1, "clear", _CLEAR, 1), Code(2, "cloud", _CLOUD, 4),
                Code(3, "semi_transparent_cloud", _THIN, 3), Code(4, "cloud_shadow", _SHADOW, 2),
            ),
        ),
        Scheme(
            "Fmask", "Fmask 4 (Qiu, Zhu, He 2019); 255 is no observation", (255, 0, 2, 4, 4, 255),
            (
                Code(0, "clear_land", _CLEAR, 1), Code(1, "clear_water", _WATER, 1),
                Code(2, "cloud_shadow", _SHADOW, 2), Code(3, "snow", _SNOW, 1), Code(4, "cloud", _CLOUD, 4),
            ),
            notes=(
                "It has no plain clear: clear is written as 0 clear_land, whatever the ground is.",
                "The package python-fmask writes other codes (1 clear, 2 cloud, 3 shadow, 4 snow, 5 water): not these.",
            ),
        ),
        Scheme(
            "S2cloudless", "Sentinel Hub, band CLM: 0 no clouds, 1 clouds, 255 no data", (255, 0, 0, 1, 1, 255),
            (Code(0, "clear", _CLEAR, 1), Code(1, "cloud", _CLOUD, 4)),
            notes=(_NO_SHADOW,),
        ),
        Scheme(
            "FMSC", "Francis, Mrziglod, Sidiropoulos, Muller 2020: Sentinel-2 Cloud Mask Catalogue, classes in order",
            (255, 0, 2, 1, 1, 255),
            (Code(0, "clear", _CLEAR, 1), Code(1, "cloud", _CLOUD, 4), Code(2, "cloud_shadow", _SHADOW, 2)),
        ),
        Scheme(
            "MAJA", "CNES and CESBIO, cloud mask CLM of Theia's Level-2A products, bits of value 1 to 128",
            (255, 0, 1 | 32, 16, 1 | 2, 255),
            (
                Code(0, "clear", _CLEAR, 1), Code(1 | 2, "cloud", _CLOUD, 4), Code(16, "thinnest_cloud", _THIN, 3),
                Code(1 | 32, "cloud_shadow", _SHADOW, 2),
            ),
            bits=((2 | 4 | 8, 4), (16 | 128, 3), (32 | 64, 2), (1, 0)),
            notes=(
                "Of several bits the first counts of: cloud (2 all clouds, 4 seen on this date, 8 seen against other "
                "dates), semi_transparent_cloud (16 thinnest, 128 high), cloud_shadow (32 of a cloud in the image, 64 "
                "of one outside); 1 alone, cloud or shadow, is read as undefined.",
                "In MAJA's native format bits mean other things (4 and 8 shadow, 64 thinnest): not these.",
                "Missing pixels are in MAJA's edge mask, not here; all eight bits at once are read as missing.",
            ),
        ),
        Scheme(
            "DL_L8S2_UV", "Lopez-Puigdollers, Mateo-Garcia, Gomez-Chova 2021 (IPL-UV/DL-L8S2-UV)", (0, 1, 1, 2, 2, 0),
            (Code(0, "invalid", _NONE, 5), Code(1, "clear", _CLEAR, 1), Code(2, "cloud", _CLOUD, 4)),
            notes=(_NO_SHADOW,),
        ),
        Scheme(
            "CloudSEN12", "Aybar et al. 2022, semantic categories; 99 is not labelled", (99, 0, 3, 2, 1, 99),
            (
                Code(0, "clear", _CLEAR, 1), Code(1, "thick_cloud", _CLOUD, 4), Code(2, "thin_cloud", _THIN, 3),
                Code(3, "cloud_shadow", _SHADOW, 2), Code(99, "no_label", _NONE, 5),
            ),
        ),
        Scheme(
            "bits", "this project, where Landsat Collection 2 has the same in QA_PIXEL (bits 0 to 7)",
            (128, 64, 16, 4, 8, 1),
            (
                Code(1, "missing", _NONE, 5), Code(4, "semi_transparent_cloud", _THIN, 3), Code(8, "cloud", _CLOUD, 4),
                Code(16, "cloud_shadow", _SHADOW, 2), Code(64, "clear", _CLEAR, 1), Code(128, "undefined", _UNDEF, 0),
            ),
            bits=((1, 5), (8, 4), (4, 3), (16, 2), (64, 1), (128, 0)),
            notes=("2, dilated, is added where `kappamask.udf.to_bits` is also given the mask before it was cleaned.",),
        ),
    )
}  # fmt: skip
"""Name -> scheme; CONTRIBUTING.md says what a new one needs.

Codes of SCL, Fmask, S2cloudless, FMSC and DL_L8S2_UV are read as KappaZeta's cm-vsm (`main.cpp`,
`esa_s2.cpp`) and the table of Domnich et al. 2021 have it, except that no data and defective pixels are missing."""


def list_schemes() -> tuple[str, ...]:
    """List the names of all schemes."""
    return (KAPPAMASK, *SCHEMES)


def is_kappamask(name: str) -> bool:
    """Tell whether `name` is KappaMask's own scheme; CubeError for an unknown name."""
    return _check_name(name) == KAPPAMASK


def find_scheme(name: str) -> Scheme:
    """Find another mask's scheme by name, in upper or lower case.

    Raises CubeError, which lists all, for an unknown name.
    """
    return SCHEMES[_check_name(name)]


def find_class_codes(names: Iterable[str]) -> tuple[int, ...]:
    """Return the codes of KappaMask class names; CubeError for an unknown name."""
    given = [names] if isinstance(names, str) else list(names)
    unknown = [repr(name) for name in given if name not in CLASSES]
    if unknown:
        raise CubeError(f"No class {', '.join(unknown)}: known are {', '.join(CLASSES)}.")
    return tuple(CLASSES.index(name) for name in given)


def list_losses(name: str) -> list[str]:
    """List, as sentences, what a conversion to `name` and back merges.

    Notes of the scheme follow. Raises CubeError for an unknown name.
    """
    if is_kappamask(name):
        return []
    scheme = find_scheme(name)
    words = {row.value: f"{row.value} {row.name}" for row in scheme.rows} | {NODATA_CODE: f"{NODATA_CODE} nodata"}
    to = [(words[value], CLASSES[code]) for code, value in enumerate(scheme.codes)]
    to.append((words[NODATA_CODE], "what lies outside the area"))
    back = [(CLASSES[row.kappamask_code], words[row.value]) for row in scheme.rows]
    ways = [(f"{KAPPAMASK} to {scheme.name}", to), (f"{scheme.name} to {KAPPAMASK}", back)]
    return [f"{way}: {text}." for way, pairs in ways for text in _list_merged(pairs)] + list(scheme.notes)


def _check_name(name: str) -> str:
    found = {known.casefold(): known for known in list_schemes()}.get(str(name).casefold())
    if found is None:
        raise CubeError(f"No class scheme {name!r}: known are {', '.join(list_schemes())}.")
    return found


def _list_merged(pairs: list[tuple[str, str]]) -> list[str]:
    """List 'a and b become x' for each x that several become."""
    sources: dict[str, list[str]] = {}
    for target, source in pairs:
        sources.setdefault(target, []).append(source)
    return [f"{', '.join(s[:-1])} and {s[-1]} become {target}" for target, s in sources.items() if len(s) > 1]


# The earlier name, which the documentation showed.
losses = list_losses
