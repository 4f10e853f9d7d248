"""Colours of the classes in pictures, which people tell apart with any colour vision."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kappamask.models import ClassValue
from kappamask.models.card import NODATA_CODE
from kappamask.models.schemes import CLASSES
from kappamask.udf.schemes import CLEAR, CLOUD, MISSING, SEMI_TRANSPARENT, SHADOW, UNDEFINED

__all__ = ["COLOURS", "OUTLINES", "colour_codes", "draw_outlines", "find_picture_colour"]

COLOURS: Final = {
    UNDEFINED: "e69f00",
    CLEAR: "7fa04a",
    SHADOW: "2f4b8f",
    SEMI_TRANSPARENT: "93c4ec",
    CLOUD: "ffffff",
    MISSING: "000000",
}
"""KappaMask code -> colour in pictures. Every two differ by at least 24 (CIE 1976 L*a*b*) with usual colour vision and
with protanopia, deuteranopia and tritanopia (Machado et al. 2009). Files keep the colours of the model's card."""
OUTLINES: Final = {SHADOW: (61, 165, 255), SEMI_TRANSPARENT: (255, 176, 0), CLOUD: (255, 45, 120)}
"""Class -> red, green, blue of its outline: apart from each other, and from land, water and cloud."""
BY_CLASS: Final = {(value, name): COLOURS[value] for value, name in enumerate(CLASSES)}


def find_picture_colour(one: ClassValue) -> str:
    """Return the colour (RRGGBB) of a class in pictures.

    A class of another scheme keeps its own.
    """
    return BY_CLASS.get((one.value, one.name), one.color_hint)


def colour_codes(codes: NDArray[np.integer], classes: Sequence[ClassValue]) -> NDArray[np.uint8]:
    """Colour codes (y, x) by their classes: RGBA, uint8 (y, x, 4).

    Codes of no class are transparent.
    """
    table = np.zeros((256, 4), np.uint8)
    for one in classes:
        table[one.value] = (*bytes.fromhex(find_picture_colour(one)), 255)
    table[NODATA_CODE] = 0
    return np.asarray(table[np.clip(codes, 0, NODATA_CODE)])


def draw_outlines(
    colour: NDArray[np.float32], codes: NDArray[np.uint8], classes: Mapping[int, int]
) -> NDArray[np.float32]:
    """Draw the outlines of a mask (y, x) on an image (y, x, 3).

    `classes` maps its values to KappaMask's codes.
    """
    drawn = colour.copy()
    for value, code in classes.items():
        if code in OUTLINES:
            drawn[_find_edge(codes == value)] = np.array(OUTLINES[code]) / 255
    return drawn


def _find_edge(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find pixels of the area with one of four neighbours outside it.

    The image's own border is no edge.
    """
    around = np.pad(inside, 1, mode="edge")
    return inside & ~(around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:])
