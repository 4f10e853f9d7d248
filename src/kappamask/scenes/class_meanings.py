"""What the classes of a mask stand for, as KappaMask codes, and their names in words."""

import re

import xarray as xr

from kappamask.models.schemes import SCHEMES
from kappamask.scenes.encoding import legend
from kappamask.udf.schemes import CLEAR, CLOUD, MISSING, SEMI_TRANSPARENT, SHADOW, UNDEFINED

__all__ = ["meanings", "words"]

MEANINGS = (
    (r"no.?data|missing|^fill|outside|invalid|saturated|defective", MISSING),
    (r"undefined|unclassified|unknown|not.?labelled", UNDEFINED),
    (r"^(?!.*cloud).*(topo|terrain|cast).*shadow", CLEAR),
    (r"shadow", SHADOW),
    (r"cirrus|thin|semi|haze", SEMI_TRANSPARENT),
    (r"(no|non|not|without).?cloud|cloud.?(free|less)", CLEAR),
    (r"cloud", CLOUD),
)
"""What the name of a class says where the mask names no scheme that is known, the first that fits; of anything else
(land, water, snow …) that it is clear."""


def words(name: str) -> str:
    """Return a class's name without underscores: "semi-transparent cloud"."""
    return name.replace("semi_transparent", "semi-transparent").replace("_", " ")


def meanings(mask: xr.DataArray) -> dict[int, int]:
    """Value of each class in the mask's legend -> the KappaMask code that it stands for.

    By the scheme that the attribute `scheme` names, where `kappamask.models.schemes` knows it, else by the names.
    """
    scheme = SCHEMES.get(str(mask.attrs.get("scheme")))
    read = {row.value: row.kappamask_code for row in scheme.rows} if scheme else {}
    return {one.value: read.get(one.value, _by_name(one.name.lower())) for one in legend(mask)}


def _by_name(name: str) -> int:
    return next((code for pattern, code in MEANINGS if re.search(pattern, name)), CLEAR)
