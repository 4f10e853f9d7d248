"""Chunk sizes and overlaps of `apply_neighborhood`, and the margin around an area.

Back-ends pad chunks with nodata where the cube ends, even where the archive has pixels, so the cube is loaded
larger than asked for and clipped afterwards.
"""

from math import ceil, cos, radians
from typing import Any

from kappamask.models import CubeError, ModelCard
from kappamask.models.cleaning import PIXEL_M, Cleaning, check_overlap

__all__ = ["enlarge_extent", "make_chunk_arguments", "resolve_overlap"]

GRID = 60.0
"""Metres; a margin that is a multiple of the coarsest band's pixel leaves all grids in phase."""
METRES_PER_DEGREE_LATITUDE = 110_574.0
"""At the equator, where it is least, so that a margin is never too small (WGS 84)."""
METRES_PER_DEGREE_LONGITUDE = 111_319.0
"""At the equator, rounded down; elsewhere times the cosine of the latitude (on the ellipsoid it is more)."""
LATITUDES = 84.0
"""Sentinel-2's UTM grid ends here."""
BLOCK = 16
"""Px; chunks of other sizes are shuffled once more when a GeoTIFF is written, and networks want this stride."""
NOTHING = Cleaning()


def enlarge_extent(extent: dict[str, Any], pixels: int) -> dict[str, Any]:
    """Enlarge an extent by a margin of at least `pixels` of 10 m.

    extent: west, south, east, north and crs, as openEO has them. crs: EPSG:4326 (also if left out) or a UTM zone of WGS
    84. Raises CubeError for another, or for no area.
    """
    missing = [key for key in ("west", "south", "east", "north") if key not in extent]
    if missing:
        raise CubeError(f"The area lacks {', '.join(missing)}: give west, south, east, north (and crs).")
    if not (extent["west"] < extent["east"] and extent["south"] < extent["north"]):
        raise CubeError(
            f"The area {extent} is empty: west must be less than east, south less than north. Across the antimeridian "
            "mask the parts to the west and to the east of it apart, as kappamask submit does."
        )
    dx, dy = _metres_to_units(extent, ceil(pixels * PIXEL_M / GRID) * GRID)
    return {
        **extent,
        "west": extent["west"] - dx,
        "east": extent["east"] + dx,
        "south": extent["south"] - dy,
        "north": extent["north"] + dy,
    }


def _metres_to_units(extent: dict[str, Any], metres: float) -> tuple[float, float]:
    code = _parse_epsg(extent.get("crs"))
    if 32601 <= code <= 32660 or 32701 <= code <= 32760:
        return metres, metres
    if code != 4326:
        raise CubeError(f"The area's crs is EPSG:{code}; give it in EPSG:4326 or in a UTM zone (EPSG:326xx, 327xx).")
    latitude = max(abs(extent["south"]), abs(extent["north"]))
    if latitude > LATITUDES:
        raise CubeError(f"The area reaches latitude {latitude}; Sentinel-2's grid ends at {LATITUDES:.0f} degrees.")
    return metres / (METRES_PER_DEGREE_LONGITUDE * cos(radians(latitude))), metres / METRES_PER_DEGREE_LATITUDE


def _parse_epsg(crs: Any) -> int:
    text = str(crs if crs is not None else 4326).upper().removeprefix("EPSG:")
    if not text.isdigit():
        raise CubeError(f"The area's crs is {crs!r}; give it as EPSG:4326 or as a UTM zone, EPSG:326xx or EPSG:327xx.")
    return int(text)


def make_chunk_arguments(
    card: ModelCard, size: int | None = None, overlap: int | None = None, cleaning: Cleaning = NOTHING
) -> dict[str, Any]:
    """Return `size` and `overlap` of apply_neighborhood: square, one date at a time.

    Left out, the overlap is the card's and what `cleaning` needs, and size the card's window less two overlaps.
    Raises CubeError unless 0 < overlap <= size, and size and size + 2 * overlap are multiples of 16: otherwise
    back-ends shift the result, leave the overlap out, or shuffle once more; and if `cleaning` reaches farther than the
    overlap can be, so that chunks would not be cleaned as the whole image is.
    """
    overlap = resolve_overlap(card, overlap, cleaning)
    size = card.window - 2 * overlap if size is None else size
    if not 0 < overlap <= size:
        raise CubeError(f"Chunks of {size} px with {overlap} px overlap: needed is 0 < overlap <= size.")
    if size % BLOCK or (size + 2 * overlap) % BLOCK:
        raise CubeError(
            f"Chunks of {size} px with {overlap} px overlap: size and size + 2 * overlap must be multiples of {BLOCK}, "
            f"such as {card.window - 2 * card.overlap} with {card.overlap}."
        )

    def square(pixels: int) -> list[dict[str, Any]]:
        return [{"dimension": dimension, "unit": "px", "value": pixels} for dimension in ("x", "y")]

    return {"size": [*square(size), {"dimension": "t", "value": "P1D"}], "overlap": square(overlap)}


def resolve_overlap(card: ModelCard, overlap: int | None, cleaning: Cleaning) -> int:
    """Return the overlap of chunks in pixels: `overlap`, or the card's and what `cleaning` needs.

    Raises CubeError, which says what can be had, if that does not fit in the card's window or is more than is given.
    """
    reach = cleaning.support_px(PIXEL_M)
    if not reach:
        return card.overlap if overlap is None else overlap
    # Half a block, because two overlaps and the payload must be whole blocks.
    half = BLOCK // 2
    needed, largest = -(-(card.overlap + reach) // half) * half, card.window // 3 // half * half
    if overlap is not None:
        check_overlap(cleaning, overlap, f"with {overlap} px overlap")
        return overlap
    check_overlap(cleaning, largest - card.overlap, f"of {card.window} px ({card.id})")
    return needed
