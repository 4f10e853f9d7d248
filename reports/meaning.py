"""What the classes of a mask stand for, in KappaMask's codes, whatever the mask's scheme."""

import re

import xarray as xr

from kappamask.scenes.legend import legend
from kappamask.udf.classes import CLEAR, CLOUD, MISSING, SEMI_TRANSPARENT, SHADOW, UNDEFINED

__all__ = ["CLOUDS", "NO_DATA", "meanings", "words"]

NO_DATA = frozenset({UNDEFINED, MISSING})
CLOUDS = frozenset({SEMI_TRANSPARENT, CLOUD})
MEANINGS = (
    (r"no.?data|missing|^fill|outside|saturated|defective", MISSING),
    (r"undefined|unclassified|unknown|not.?labelled", UNDEFINED),
    (r"^(?!.*cloud).*(topo|terrain|cast).*shadow", CLEAR),
    (r"shadow", SHADOW),
    (r"cirrus|thin|semi|haze", SEMI_TRANSPARENT),
    (r"(no|non|not|without).?cloud|cloud.?(free|less)", CLEAR),
    (r"cloud", CLOUD),
)
"""What the name of a class says, the first that fits; of anything else (land, water, snow …) that it is clear. Fits the
names of KappaMask, Sen2Cor's SCL, Fmask, CloudSEN12, s2cloudless and CMIX."""


def words(name: str) -> str:
    """A class's name as people write it."""
    return name.replace("semi_transparent", "semi-transparent").replace("_", " ")


def meanings(mask: xr.DataArray) -> dict[int, int]:
    """Value of each class in the mask's legend -> the KappaMask code that its name stands for."""
    return {one.value: _meaning(one.name.lower()) for one in legend(mask)}


def _meaning(name: str) -> int:
    return next((code for pattern, code in MEANINGS if re.search(pattern, name)), CLEAR)
