"""How high the sun stood: scenes of long shadows and dim ground are a stratum of their own."""

from datetime import UTC, datetime
from math import acos, cos, degrees, pi, radians, sin
from typing import Final

__all__ = ["LOW", "low_sun", "zenith"]

LOW: Final = 70.0
"""Degrees from the zenith beyond which the sun is low: Sen2Cor's tables of the atmosphere end there (its ATBD)."""


def low_sun(longitude: float, latitude: float, when: datetime) -> bool:
    """Whether the sun stood lower than 20 degrees above the horizon; arguments as those of `zenith`."""
    return zenith(longitude, latitude, when) > LOW


def zenith(longitude: float, latitude: float, when: datetime) -> float:
    """Degrees between the sun and the zenith, to about half a degree (Fourier series of Spencer 1971).

    longitude, latitude: degrees east and north. when: taken as UTC if it has no time zone.
    """
    utc = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    hours = utc.hour + utc.minute / 60 + utc.second / 3600
    year = 2 * pi / 365 * (utc.timetuple().tm_yday - 1 + (hours - 12) / 24)
    hour_angle = radians(15 * (hours - 12) + longitude) + _equation_of_time(year)
    tilt, place = _declination(year), radians(latitude)
    height = sin(place) * sin(tilt) + cos(place) * cos(tilt) * cos(hour_angle)
    return degrees(acos(max(-1.0, min(1.0, height))))


def _equation_of_time(year: float) -> float:
    """Radians that true noon is ahead of the clock's."""
    return 0.0000075 + 0.001868 * cos(year) - 0.032077 * sin(year) - 0.014615 * cos(2 * year) - 0.040849 * sin(2 * year)


def _declination(year: float) -> float:
    """Radians that the sun is north of the equator."""
    return (
        0.006918 - 0.399912 * cos(year) + 0.070257 * sin(year)
        - 0.006758 * cos(2 * year) + 0.000907 * sin(2 * year) - 0.002697 * cos(3 * year) + 0.00148 * sin(3 * year)
    )  # fmt: skip
