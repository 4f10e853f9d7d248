"""What ground a patch shows: as its data set says, or else by the colour of what its labels call clear.

By colour is an approximation, with limits that others published for one sensor each; towns it cannot tell at all.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kappamask.datasets import Patch
from kappamask.datasets.patch import ENOUGH
from kappamask.udf.classes import CLEAR

__all__ = ["COLOURS", "Colour", "grounds"]

Planes = Mapping[str, NDArray[np.float32]]


class Colour:
    """A kind of ground by its colour: the bands that it takes, and the rule (band -> reflectance) -> bool."""

    def __init__(self, bands: str, rule: Callable[[Planes], NDArray[np.bool_]]) -> None:
        self.bands, self.rule = tuple(bands.split()), rule

    def share(self, patch: Patch) -> float | None:
        """Share of the clear pixels of this colour; None without a band or a clear pixel with data."""
        if not {*self.bands} <= {*patch.bands}:
            return None
        planes = patch.stack(self.bands)[:, patch.truth == CLEAR]
        planes = planes[:, np.isfinite(planes).all(axis=0)]
        return float(self.rule(dict(zip(self.bands, planes, strict=True))).mean()) if planes.size else None


def _index(planes: Planes, one: str, other: str) -> NDArray[np.float32]:
    """Normalised difference, 0 where both are 0."""
    total = planes[one] + planes[other]
    return np.asarray((planes[one] - planes[other]) / np.where(total == 0, 1, total), np.float32)


def _snow(planes: Planes) -> NDArray[np.bool_]:
    """Hall, Riggs and Salomonson 1995: NDSI above 0.4, and near infrared above 0.11, which parts it from water."""
    return np.asarray((_index(planes, "B03", "B11") > 0.4) & (planes["B08"] > 0.11))


def _water(planes: Planes) -> NDArray[np.bool_]:
    """McFeeters 1996: NDWI of green and near infrared above 0; what is snow is not water."""
    return np.asarray((_index(planes, "B03", "B08") > 0) & ~_snow(planes))


def _desert(planes: Planes) -> NDArray[np.bool_]:
    """Irish 2000, Zhu and Woodcock 2012: B08 / B11 below 0.75 is rock and sand; Sobrino et al. 2004: NDVI below 0.2."""
    return np.asarray((planes["B08"] < 0.75 * planes["B11"]) & (_index(planes, "B08", "B04") < 0.2))


def _forest(planes: Planes) -> NDArray[np.bool_]:
    """Kaufman et al. 1997: reflectance at 2.2 um below 0.05 is dark dense vegetation; NDVI above 0.4 as in Sen2Cor."""
    return np.asarray((planes["B12"] < 0.05) & (_index(planes, "B08", "B04") > 0.4))


COLOURS: Final = {
    "snow": Colour("B03 B08 B11", _snow),
    "water": Colour("B03 B08 B11", _water),
    "desert": Colour("B04 B08 B11", _desert),
    "forest": Colour("B04 B08 B12", _forest),
}
"""Stratum -> its colour."""


def grounds(patch: Patch) -> frozenset[str]:
    """The strata of `datasets.patch.GROUNDS` that a patch is of; it may be of several, or of none.

    What the data set tells counts; of the others a patch is, if `ENOUGH` of its clear pixels have that colour.
    """
    told = {name for name, is_so in patch.tags.items() if is_so}
    asked = {name: colour for name, colour in COLOURS.items() if name not in patch.tags}
    return frozenset(told | {name for name, colour in asked.items() if (colour.share(patch) or 0) >= ENOUGH})
