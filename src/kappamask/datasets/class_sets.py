"""Represent uncertain labels as sets of classes, one bit for each class.

0 is not judged. A set of one class is a certain label; `CLOUD_OF_EITHER_KIND` says cloud without telling thin from
thick, `CLEAR_OR_SHADOW` says only that no cloud is there.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CLEAR",
    "CLEAR_OR_SEMI_TRANSPARENT",
    "CLEAR_OR_SHADOW",
    "CLOUD",
    "CLOUD_OF_EITHER_KIND",
    "NOT_JUDGED",
    "SEMI_TRANSPARENT",
    "SHADOW",
    "Labels",
    "drop_missing",
    "from_codes",
    "is_certain",
    "is_cloud",
    "to_codes",
]

Sets = NDArray[np.uint8]

NOT_JUDGED: Final = 0
CLEAR, SHADOW, SEMI_TRANSPARENT, CLOUD = 1, 2, 4, 8
CLEAR_OR_SHADOW: Final = CLEAR | SHADOW
CLEAR_OR_SEMI_TRANSPARENT: Final = CLEAR | SEMI_TRANSPARENT
CLOUD_OF_EITHER_KIND: Final = SEMI_TRANSPARENT | CLOUD
_OF_CODES: Final = np.array([NOT_JUDGED, CLEAR, SHADOW, SEMI_TRANSPARENT, CLOUD], np.uint8)


def from_codes(codes: NDArray[Any], *, merges_thin: bool = False, tells_shadow: bool = True) -> Sets:
    """Convert class codes (y, x) to sets, uint8 (y, x).

    codes: 0 not judged, 1 clear, 2 cloud shadow, 3 semi-transparent cloud, 4 cloud.
    merges_thin: True where 4 stands for cloud of either kind. tells_shadow: False where 1 stands for clear or shadow.
    """
    table = _OF_CODES.copy()
    if merges_thin:
        table[3:] = CLOUD_OF_EITHER_KIND
    if not tells_shadow:
        table[1] = CLEAR_OR_SHADOW
    return np.asarray(table[codes])


def to_codes(sets: Sets) -> NDArray[np.uint8]:
    """Convert sets to class codes; 0, not judged, for sets of several classes."""
    codes = np.zeros(sets.shape, np.uint8)
    for code, one in enumerate((CLEAR, SHADOW, SEMI_TRANSPARENT, CLOUD), start=1):
        codes[sets == one] = code
    return codes


def is_certain(sets: Sets, wanted: int) -> NDArray[np.bool_]:
    """Find pixels whose class is certain to be in the set `wanted`.

    Every class that they may have is in it.
    """
    return np.asarray((sets > 0) & ((sets & ~np.uint8(wanted)) == 0))


def is_cloud(sets: Sets) -> NDArray[np.bool_]:
    """Find pixels that are cloud of either kind."""
    return is_certain(sets, CLOUD_OF_EITHER_KIND)


class Labels(NamedTuple):
    """Sets of classes (y, x), with B10 and without it."""

    with_b10: Sets
    without_b10: Sets


def drop_missing(sets: Sets, blue: NDArray[Any]) -> Sets:
    """Set pixels to not judged where `blue`, reflectance of B02 (y, x), is NaN."""
    return np.where(np.isnan(blue), np.uint8(NOT_JUDGED), sets).astype(np.uint8)
