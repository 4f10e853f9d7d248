"""Footprint of a grid in longitude and latitude."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rasterio.warp import transform

from kappamask.models import SceneError
from kappamask.scenes.readers.raster import GDAL_ERRORS

__all__ = ["Footprint", "trace_footprint"]

EDGE_POINTS = 21
"""Points along an edge: a line that is straight in UTM bends by some 10 m over 110 km in degrees, between these by less
than a pixel."""
DIGITS = 7
"""Of a degree: a centimetre."""
TURN, HALF = 360.0, 180.0
"""Degrees around the globe, and to the antimeridian."""
NEAR = 1e-6
"""Degrees: points this near the antimeridian are on it."""
EDGE = 1e-12
"""Relative: an outline that ends just inside the antimeridian is not cut there."""
CORNERS = 3
"""A polygon has no fewer."""


@dataclass(frozen=True)
class Footprint:
    """GeoJSON geometry in EPSG:4326 and its bounding box, or None without a CRS."""

    geometry: dict[str, Any] | None
    bbox: list[float] | None
    """West, south, east, north; west is larger than east where the antimeridian is crossed (RFC 7946, 5.2)."""


def trace_footprint(array: xr.DataArray) -> Footprint:
    """Outline the grid of `array` (y, x), cut at the antimeridian.

    Pixels without data are included.
    Around a pole it is all that lies poleward of the outline.
    Raises SceneError if the coordinates are none that the reference system has.
    """
    if array.rio.crs is None:
        return Footprint(None, None)
    ring = _outline_degrees(array)
    if abs(ring[-1][0] - ring[0][0]) > HALF:
        ring = _with_pole(ring)
    shifted = (np.add(ring, (turn, 0)) for turn in (TURN, 0, -TURN))
    parts = [part for one in shifted if len(part := _clip_turn(one)) >= CORNERS]
    lows, highs = [part.min(axis=0) for part in parts], [part.max(axis=0) for part in parts]
    box = [lows[0][0], min(low[1] for low in lows), highs[-1][0], max(high[1] for high in highs)]
    return Footprint(_make_polygon([_close_ring(part) for part in parts]), [round(float(edge), DIGITS) for edge in box])


def _outline_degrees(array: xr.DataArray) -> NDArray[np.float64]:
    """Compute longitude and latitude along the outline.

    Longitudes do not jump, so they may be beyond 180 degrees.
    """
    x, y = zip(*_make_outline(*array.rio.bounds(recalc=True)), strict=True)
    with suppress(*GDAL_ERRORS):
        longitude, latitude = transform(array.rio.crs, "EPSG:4326", x, y)
        ring = np.column_stack([np.unwrap(longitude, period=TURN), latitude])
        if np.isfinite(ring).all():
            return ring
    raise SceneError(f"The mask's corners, x {x[0]:g} and y {y[0]:g} among them, are not in its CRS {array.rio.crs}.")


def _with_pole(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Open a ring around a pole at the antimeridian, and close it along the pole."""
    folded = np.column_stack([(ring[:, 0] + HALF) % TURN - HALF, ring[:, 1]])
    folded = folded[np.argsort(folded[:, 0])]
    edge, pole = folded[[0, -1], 1].mean(), np.copysign(90.0, folded[:, 1].mean())
    between = folded[np.abs(folded[:, 0]) < HALF - NEAR]
    ends = np.array([(-HALF, edge), *between, (HALF, edge), (HALF, pole), (-HALF, pole)])
    return (ends if pole > 0 else ends[::-1]) * [1 - EDGE, 1]


def _make_outline(west: float, south: float, east: float, north: float) -> list[tuple[float, float]]:
    """Make the outline counter-clockwise, as in RFC 7946; the first point is not repeated."""
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    sides = [np.linspace(start, end, EDGE_POINTS)[:-1] for start, end in pairwise(corners)]
    return [(float(x), float(y)) for x, y in np.concatenate(sides)]


def _clip_turn(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clip a ring to -180 to 180 degrees, one side at a time.

    Sutherland and Hodgman 1974.
    """
    for sign in (1, -1):
        ring = np.array([*_clip_edge(ring * [sign, 1])]).reshape(-1, 2) * [sign, 1]
    return ring


def _clip_edge(ring: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    for last, point in zip(np.roll(ring, 1, axis=0), ring, strict=True):
        if (last[0] < HALF) != (point[0] < HALF):
            yield last + (point - last) * (HALF - last[0]) / (point[0] - last[0])
        if point[0] < HALF:
            yield point


def _close_ring(ring: NDArray[np.float64]) -> list[list[float]]:
    return [[round(float(value), DIGITS) for value in point] for point in (*ring, ring[0])]


def _make_polygon(rings: list[list[list[float]]]) -> dict[str, Any]:
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings}
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}
