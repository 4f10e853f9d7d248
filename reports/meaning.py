"""What the classes of a mask stand for, in KappaMask's codes, whatever the mask's scheme."""

import xarray as xr

from kappamask.models import SceneError
from kappamask.scenes.legend import legend
from kappamask.udf.classes import CLEAR, CLOUD, MISSING, SEMI_TRANSPARENT, SHADOW, UNDEFINED

__all__ = ["CLOUDS", "NO_DATA", "meanings", "words"]

NO_DATA = frozenset({UNDEFINED, MISSING})
CLOUDS = frozenset({SEMI_TRANSPARENT, CLOUD})
NAMES = {
    "undefined": UNDEFINED, "clear": CLEAR, "cloud_shadow": SHADOW, "semi_transparent_cloud": SEMI_TRANSPARENT,
    "cloud": CLOUD, "missing": MISSING,
}  # fmt: skip
"""KappaMask's own names."""


def words(name: str) -> str:
    """A class's name as people write it."""
    return name.replace("semi_transparent", "semi-transparent").replace("_", " ")


def meanings(mask: xr.DataArray) -> dict[int, int]:
    """Value of each class in the mask's legend -> the KappaMask code that it stands for.

    Raises SceneError if a class has a name that no known scheme gives to its value.
    """
    classes = legend(mask)
    unknown = [c.name for c in classes if c.name not in NAMES]
    if unknown:
        raise SceneError(f"The mask's classes {', '.join(unknown)} are not of a known scheme.")
    return {c.value: NAMES[c.name] for c in classes}
