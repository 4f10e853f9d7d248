"""Shares of the classes in a mask of any scheme, in KappaMask's codes."""

from collections.abc import Iterable
from dataclasses import dataclass

import xarray as xr

from kappamask.models import ClassValue
from kappamask.scenes.encoding import format_class_name, map_codes
from kappamask.scenes.statistics import count_class_pixels, to_classes
from kappamask.udf.schemes import CLOUD, MISSING, SEMI_TRANSPARENT, UNDEFINED

__all__ = ["CLOUDS", "NO_DATA", "Share", "Shares", "count_shares", "format_class_name", "map_codes"]

NO_DATA = frozenset({UNDEFINED, MISSING})
CLOUDS = frozenset({SEMI_TRANSPARENT, CLOUD})


@dataclass(frozen=True)
class Share:
    """One class in one mask."""

    of: ClassValue
    meaning: int
    """The KappaMask class that it stands for."""
    pixels: int

    @property
    def label(self) -> str:
        """The class's name in words."""
        return format_class_name(self.of.name)


@dataclass(frozen=True)
class Shares:
    """The classes of one mask, in the order of their values."""

    classes: tuple[Share, ...]
    nodata: int = 0
    """Pixels with 255: outside the requested area, and in a job's mask those without data too."""

    @property
    def area(self) -> int:
        """Pixels of the requested area, with or without data, 255 apart."""
        return sum(one.pixels for one in self.classes)

    @property
    def valid(self) -> int:
        """Pixels with a class that is not 'no data'."""
        return sum(one.pixels for one in self.valid_classes)

    @property
    def valid_classes(self) -> tuple[Share, ...]:
        """The classes that valid pixels have."""
        return tuple(one for one in self.classes if one.meaning not in NO_DATA)

    def percent(self, one: Share) -> float | None:
        """Return a class's percent of the valid pixels; None if there are none.

        Where the class means 'no data', it is of the pixels of the area.
        """
        whole = self.area if one.meaning in NO_DATA else self.valid
        return 100 * one.pixels / whole if whole else None

    @property
    def valid_percent(self) -> float:
        """Percent of the area that has data."""
        return 100 * self.valid / self.area if self.area else 0.0

    @property
    def cloud_cover(self) -> float | None:
        """Return the percent of the valid pixels under cloud, opaque or semi-transparent.

        None where that is not known.
        """
        return self.percent_of(CLOUDS)

    def percent_of(self, meanings: Iterable[int]) -> float | None:
        """Return the percent of the valid pixels that have these KappaMask classes.

        None if there are no valid pixels, or no such class.
        """
        found = self.classes_meaning(meanings)
        return 100 * sum(one.pixels for one in found) / self.valid if self.valid and found else None

    def classes_meaning(self, meanings: Iterable[int]) -> tuple[Share, ...]:
        """List the classes that stand for these KappaMask classes."""
        wanted = set(meanings)
        return tuple(one for one in self.classes if one.meaning in wanted)

    @property
    def clouds(self) -> str:
        """The classes that count as cloud, in words."""
        *most, last = [one.label for one in self.classes_meaning(CLOUDS)] or ["no class"]
        return f"{', '.join(most)} and {last}" if most else last

    @property
    def fractions(self) -> dict[str, float]:
        """Part of the area, 0 to 1, by the classes' names."""
        return {one.of.name: one.pixels / max(self.area, 1) for one in self.classes}

    @property
    def percentages(self) -> dict[str, float | None]:
        """Percent of the pixels with data, by the classes' names."""
        return {one.of.name: self.percent(one) for one in self.classes}


def count_shares(mask: xr.DataArray) -> Shares:
    """Count the classes of a mask of integers; 255, outside the area, is left out.

    Any dims, numpy or dask.
    A mask of bits is counted in KappaMask's classes. Raises SceneError if a pixel has a code that the legend does
    not name.
    """
    counted, outside = count_class_pixels(mask)
    codes = map_codes(to_classes(mask))
    return Shares(tuple(Share(one, codes[one.value], pixels) for one, pixels in counted.items()), outside)


# Earlier names, which the documentation showed.
shares = count_shares
