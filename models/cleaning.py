"""Options of mask cleaning, in metres, and the neighbourhood that each of them needs.

The same options are understood by `kappamask.udf.clean`, the UDF's context and the process graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, radians, sqrt, tan
from typing import Any, TypedDict

from kappamask.models.errors import CubeError
from kappamask.models.hints import option

__all__ = [
    "CLEANED_CLASSES",
    "MAX_BUFFER_M",
    "PIXEL_M",
    "PRODUCT_SIDE_M",
    "ROUNDING_TOLERANCE",
    "SHADOW_MARGIN_M",
    "Cleaning",
    "CleaningOptions",
    "Pixel",
    "check_overlap",
    "read_cleaning",
    "shadow_wedge_steps",
    "split_pixel_size",
]

Pixel = float | tuple[float, float]
"""Metres: height and width of a pixel, or the side of a square one."""
CLEANED_CLASSES = ("cloud_shadow", "semi_transparent_cloud", "cloud")
"""Classes that are cleaned, the weakest first: where two meet, the stronger one is kept."""
PIXEL_M = 10
"""Metres: side of the pixels that KappaMask's networks are made for; on a back-end no other is known of."""
PRODUCT_SIDE_M = 109_800.0
"""Metres: side of a product (Sentinel-2 Products Specification Document), beyond which nothing can be cleaned."""
MAX_CLOUD_TOP_M = 12_000.0
"""Metres: no cloud is taken to cast a shadow from higher up, as in Fmask (Zhu and Woodcock 2012)."""
VIEW_SLOPE = tan(radians(12))
"""Metres by which a cloud is displaced for each metre of its height: MSI looks up to 12 degrees off the vertical."""
MAX_ZENITH_DEG = 85.0
"""Degrees from the vertical; beyond, shadows are longer than a product, and Level-2A is not made (above 82)."""
SHADOW_MARGIN_M = 50.0
"""Metres by which a shadow may miss its cloud's line: the blur of a network's edges."""
ROUNDING_TOLERANCE = 1e-6
"""Relative; so that 60 m are 6 pixels of 10 m whatever the binary fractions of coordinates."""
MAX_BUFFER_M = 160.0
"""Metres; of a published process, whose graph fixes the chunks before anyone says how wide the buffer is, so that all
pay for the widest: with this, 14 % more pixels than without a buffer (chunks of 480 in place of 512 px)."""


class CleaningOptions(TypedDict, total=False):
    """Options of `clean`; a step whose option is left out is not done."""

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

    def min_pixels(self, pixel_m: Pixel) -> tuple[int, int]:
        """Return the pixels of the smallest object, and hole, that is kept."""
        height, width = split_pixel_size(pixel_m)
        areas = (self.min_object_m2, self.fill_holes_m2)
        objects, holes = (ceil(area / (height * width) * (1 - ROUNDING_TOLERANCE)) for area in areas)
        return objects, holes

    def support_px(self, pixel_m: Pixel) -> int:
        """Return the radius in pixels of the neighbourhood that cleaning needs."""
        buffer = max((metres for _, metres in self.buffers), default=0.0)
        shapes, finest = sum(max(0, least - 1) for least in self.min_pixels(pixel_m)), min(split_pixel_size(pixel_m))
        return self._shadow_support_px(pixel_m) + shapes + floor(buffer / finest * (1 + ROUNDING_TOLERANCE))

    def _shadow_support_px(self, pixel_m: Pixel) -> int:
        height, width = split_pixel_size(pixel_m)
        length, wider = self.shadow_length_m / width, max(1.0, width / height)
        if self.sun is None:
            return floor(length * wider * (1 + ROUNDING_TOLERANCE))
        found = shadow_wedge_steps(length, self.sun[0], height / width)
        steps = [ceil(step * wider) + ceil(radius * wider) for step, radius in found]
        return ceil(SHADOW_MARGIN_M / width * wider) + sum(steps) if length else 0


def split_pixel_size(pixel_m: Pixel) -> tuple[float, float]:
    """Return height and width of a pixel, metres."""
    return pixel_m if isinstance(pixel_m, tuple) else (pixel_m, pixel_m)


def shadow_wedge_steps(length: float, zenith: float, ratio: float = 1.0) -> list[tuple[float, float]]:
    """Return the (shift, radius) steps that turn a set into its shadow wedge.

    In each step the set is united with itself, dilated by a disc of this radius and shifted.

    The unit is a pixel's width, of which its height is `ratio`. The wedge is `length` long and as wide at each distance
    as clouds are displaced when seen at an angle, and half a pixel's diagonal more at each step, for shifts are rounded
    to whole pixels.
    """
    found, grown, half = [], 1.0, sqrt((1 + ratio**2) / 4)
    while grown < length:
        step = min(grown, length - grown)
        found.append((step, step * VIEW_SLOPE / tan(radians(zenith)) + half))
        grown += step
    return found


def read_cleaning(options: Mapping[str, Any]) -> Cleaning:
    """Check options as `CleaningOptions` has them.

    Raises CubeError for an unknown option, and for a number that makes no sense.
    """
    unknown = sorted(set(options) - set(CleaningOptions.__annotations__))
    if unknown:
        raise CubeError(
            f"No cleaning option {', '.join(unknown)}: known are {', '.join(CleaningOptions.__annotations__)}."
        )
    sun = _parse_sun(options.get("sun"))
    default = MAX_CLOUD_TOP_M * tan(radians(sun[0])) if sun else 0.0
    return Cleaning(
        _parse_buffers(options.get("buffer_m", 0.0)),
        _parse_number("min_object_m2", options.get("min_object_m2", 0.0)),
        _parse_number("fill_holes_m2", options.get("fill_holes_m2", 0.0)),
        _parse_number("shadow_length_m", options.get("shadow_length_m", 0.0)) or default,
        sun,
    )


def _parse_buffers(given: Any) -> tuple[tuple[str, float], ...]:
    wanted = given if isinstance(given, Mapping) else dict.fromkeys(CLEANED_CLASSES, given)
    unknown = [repr(name) for name in wanted if name not in CLEANED_CLASSES]
    if unknown:
        raise CubeError(f"No buffer can be given to {', '.join(unknown)}: only to {', '.join(CLEANED_CLASSES)}.")
    metres = {name: _parse_number("buffer_m", wanted[name]) for name in CLEANED_CLASSES if name in wanted}
    return tuple((name, value) for name, value in metres.items() if value)


def _parse_sun(given: Any) -> tuple[float, float] | None:
    if given is None:
        return None
    try:
        zenith, azimuth = (float(angle) for angle in given)
    except (TypeError, ValueError):
        zenith = azimuth = -1.0
    if not (0 < zenith <= MAX_ZENITH_DEG and 0 <= azimuth <= 360):
        raise CubeError(
            f"The sun is given as {given!r}; needed are its zenith, above 0 and up to {MAX_ZENITH_DEG:g} degrees, "
            "and its azimuth, 0 to 360 degrees from north, such as (35.2, 158)."
        )
    return zenith, azimuth


def _parse_number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise CubeError(f"{option(name)} is {value!r}; needed is a number, 0 or more.")
    most = PRODUCT_SIDE_M**2 if name.endswith("_m2") else PRODUCT_SIDE_M
    if value > most:
        raise CubeError(f"{option(name)} is {value:g}; {most:g} at most, for no product of Sentinel-2 is larger.")
    return float(value)


def check_overlap(cleaning: Cleaning, most: int, chunks: str) -> None:
    """Raise CubeError if `cleaning` needs more than `limit_px` pixels around a chunk.

    The message says what is possible.

    chunks: which ones, in words that follow "chunks".
    """
    reach = cleaning.support_px(PIXEL_M)
    if reach > most:
        raise CubeError(
            f"The cleaning reaches {reach} px, but chunks {chunks} know only {most} px around them: what is asked for "
            f"may add up to {most} px, such as a buffer or shadow length of {most * PIXEL_M:g} m, or objects or holes "
            f"of {(most + 1) * PIXEL_M**2:g} m2; or clean the masks with kappamask.udf.clean when they are fetched."
        )
