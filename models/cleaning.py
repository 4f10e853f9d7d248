"""Options of mask cleaning, in metres, and the neighbourhood that each of them needs.

The same options are understood by `kappamask.udf.clean`, the UDF's context and the process graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, radians, sqrt, tan
from typing import Any, TypedDict

from kappamask.models.errors import CubeError

__all__ = [
    "GROWING",
    "LARGEST_BUFFER_M",
    "MARGIN_M",
    "PIXEL_M",
    "ROUNDING",
    "Cleaning",
    "CleaningOptions",
    "Pixel",
    "check_reach",
    "doublings",
    "read_cleaning",
    "sides",
]

Pixel = float | tuple[float, float]
"""Metres: height and width of a pixel, or the side of a square one."""
GROWING = ("cloud_shadow", "semi_transparent_cloud", "cloud")
"""Classes that are cleaned, the weakest first: where two meet, the stronger one is kept."""
PIXEL_M = 10.0
"""Metres: side of the pixels that KappaMask's networks are made for; on a back-end no other is known of."""
PRODUCT_M = 109_800.0
"""Metres: side of a product (Sentinel-2 Products Specification Document), beyond which nothing can be cleaned."""
CLOUD_TOP_M = 12_000.0
"""Metres: no cloud is taken to cast a shadow from higher up, as in Fmask (Zhu and Woodcock 2012)."""
VIEW = tan(radians(12))
"""Metres by which a cloud is displaced for each metre of its height: MSI looks up to 12 degrees off the vertical."""
LOW_SUN = 85.0
"""Degrees from the vertical; beyond, shadows are longer than a product, and Level-2A is not made (above 82)."""
MARGIN_M = 50.0
"""Metres by which a shadow may miss its cloud's line: the blur of a network's edges."""
ROUNDING = 1e-6
"""Relative; so that 60 m are 6 pixels of 10 m whatever the binary fractions of coordinates."""
LARGEST_BUFFER_M = 160.0
"""Metres; of a published process, whose graph fixes the chunks before anyone says how wide the buffer is, so that all
pay for the widest: with this, 14 % more pixels than without a buffer (chunks of 480 in place of 512 px)."""


class CleaningOptions(TypedDict, total=False):
    """Options of `clean`; every one may be left out, and then nothing of the kind is done."""

    buffer_m: float | Mapping[str, float]
    """Metres by which cloud, semi-transparent cloud and shadow grow; or class name to metres."""
    min_object_m2: float
    """Square metres; connected cloud and shadow of less becomes clear."""
    fill_holes_m2: float
    """Square metres; a clear area of less that cloud and shadow enclose takes the strongest class around it."""
    shadow_length_m: float
    """Metres; shadow farther than this from any cloud becomes clear. With `sun`, left out: 12 km * tan(zenith)."""
    sun: Sequence[float]
    """Zenith and azimuth of the sun in degrees, azimuth clockwise from north: shadow must lie on the other side."""


@dataclass(frozen=True)
class Cleaning:
    """Options of `clean`, checked."""

    buffers: tuple[tuple[str, float], ...] = ()
    """Class and metres, the weakest class first; no class without a buffer."""
    min_object_m2: float = 0.0
    fill_holes_m2: float = 0.0
    shadow_length_m: float = 0.0
    """0: shadows are left alone."""
    sun: tuple[float, float] | None = None

    def __bool__(self) -> bool:
        return self != Cleaning()

    def __str__(self) -> str:
        said = [f"buffer {name} {metres:g} m" for name, metres in self.buffers]
        areas = {"objects": self.min_object_m2, "holes": self.fill_holes_m2}
        said += [f"{what} below {area:g} m2" for what, area in areas.items() if area]
        said += [f"shadow within {self.shadow_length_m:g} m"] if self.shadow_length_m else []
        return ", ".join(said + ([f"sun {self.sun[0]:g} {self.sun[1]:g}"] if self.sun else []))

    def least(self, pixel_m: Pixel) -> tuple[int, int]:
        """Pixels of the smallest object, and of the smallest hole, that is left as it is."""
        height, width = sides(pixel_m)
        areas = (self.min_object_m2, self.fill_holes_m2)
        objects, holes = (ceil(area / (height * width) * (1 - ROUNDING)) for area in areas)
        return objects, holes

    def reach(self, pixel_m: Pixel) -> int:
        """Pixels along x or y beyond which nothing has a say in what becomes of a pixel."""
        buffer = max((metres for _, metres in self.buffers), default=0.0)
        shapes, finest = sum(max(0, least - 1) for least in self.least(pixel_m)), min(sides(pixel_m))
        return self._shadow_reach(pixel_m) + shapes + floor(buffer / finest * (1 + ROUNDING))

    def _shadow_reach(self, pixel_m: Pixel) -> int:
        height, width = sides(pixel_m)
        length, wider = self.shadow_length_m / width, max(1.0, width / height)
        if self.sun is None:
            return floor(length * wider * (1 + ROUNDING))
        found = doublings(length, self.sun[0], height / width)
        steps = [ceil(step * wider) + ceil(radius * wider) for step, radius in found]
        return ceil(MARGIN_M / width * wider) + sum(steps) if length else 0


def sides(pixel_m: Pixel) -> tuple[float, float]:
    """Height and width of a pixel, metres."""
    return pixel_m if isinstance(pixel_m, tuple) else (pixel_m, pixel_m)


def doublings(length: float, zenith: float, ratio: float = 1.0) -> list[tuple[float, float]]:
    """(shift, radius): a set united with itself grown by a disc and shifted, time and again, becomes a wedge.

    The unit is a pixel's width, of which its height is `ratio`. The wedge is `length` long and as wide at each distance
    as clouds are displaced when seen aslant, and half a pixel's diagonal more at each step, for shifts are rounded to
    whole pixels.
    """
    found, grown, half = [], 1.0, sqrt((1 + ratio**2) / 4)
    while grown < length:
        step = min(grown, length - grown)
        found.append((step, step * VIEW / tan(radians(zenith)) + half))
        grown += step
    return found


def read_cleaning(options: Mapping[str, Any]) -> Cleaning:
    """Options as `CleaningOptions` has them. Raises CubeError for an unknown one or for no sensible number."""
    unknown = sorted(set(options) - set(CleaningOptions.__annotations__))
    if unknown:
        raise CubeError(
            f"No cleaning option {', '.join(unknown)}: known are {', '.join(CleaningOptions.__annotations__)}."
        )
    sun = _sun(options.get("sun"))
    default = CLOUD_TOP_M * tan(radians(sun[0])) if sun else 0.0
    return Cleaning(
        _buffers(options.get("buffer_m", 0.0)),
        _number("min_object_m2", options.get("min_object_m2", 0.0)),
        _number("fill_holes_m2", options.get("fill_holes_m2", 0.0)),
        _number("shadow_length_m", options.get("shadow_length_m", 0.0)) or default,
        sun,
    )


def _buffers(given: Any) -> tuple[tuple[str, float], ...]:
    wanted = given if isinstance(given, Mapping) else dict.fromkeys(GROWING, given)
    unknown = [repr(name) for name in wanted if name not in GROWING]
    if unknown:
        raise CubeError(f"No buffer can be given to {', '.join(unknown)}: only to {', '.join(GROWING)}.")
    metres = {name: _number("buffer_m", wanted[name]) for name in GROWING if name in wanted}
    return tuple((name, value) for name, value in metres.items() if value)


def _sun(given: Any) -> tuple[float, float] | None:
    if given is None:
        return None
    try:
        zenith, azimuth = (float(angle) for angle in given)
    except (TypeError, ValueError):
        zenith = azimuth = -1.0
    if not (0 < zenith <= LOW_SUN and 0 <= azimuth <= 360):
        raise CubeError(
            f"The sun is given as {given!r}; needed are its zenith, above 0 and up to {LOW_SUN:g} degrees, and its "
            "azimuth, 0 to 360 degrees from north, such as (35.2, 158)."
        )
    return zenith, azimuth


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise CubeError(f"{name} is {value!r}; needed is a number, 0 or more.")
    most = PRODUCT_M**2 if name.endswith("_m2") else PRODUCT_M
    if value > most:
        raise CubeError(f"{name} is {value:g}; {most:g} at most, for no product of Sentinel-2 is larger.")
    return float(value)


def check_reach(cleaning: Cleaning, most: int, chunks: str) -> None:
    """Raises CubeError, which says what can be had, if `cleaning` reaches beyond `most` pixels around a chunk.

    chunks: which ones, in words that follow "chunks".
    """
    reach = cleaning.reach(PIXEL_M)
    if reach > most:
        raise CubeError(
            f"The cleaning reaches {reach} px, but chunks {chunks} know only {most} px around them: what is asked for "
            f"may add up to {most} px, such as a buffer or shadow length of {most * PIXEL_M:g} m, or objects or holes "
            f"of {(most + 1) * PIXEL_M**2:g} m2; or clean the masks with kappamask.udf.clean when they are fetched."
        )
