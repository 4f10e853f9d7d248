"""Chunks of `apply_neighborhood`: how large, and with how much of their neighbours."""

from typing import Any

from kappamask.models import CubeError, ModelCard
from kappamask.models.cleaning import PIXEL_M, Cleaning
from kappamask.models.reach import check_reach

__all__ = ["chunk_arguments", "overlap_for"]

BLOCK = 16
"""Px; chunks of other sizes are shuffled once more when a GeoTIFF is written, and networks want this stride."""
NOTHING = Cleaning()


def chunk_arguments(
    card: ModelCard, size: int | None = None, overlap: int | None = None, cleaning: Cleaning = NOTHING
) -> dict[str, Any]:
    """`size` and `overlap` of apply_neighborhood: square, one date at a time.

    Left out, the overlap is the card's and what `cleaning` needs, and size what is left of the card's window.
    Raises CubeError unless 0 < overlap <= size, and size and size + 2 * overlap are multiples of 16: otherwise
    back-ends shift the result, leave the overlap out, or shuffle once more; and if `cleaning` reaches farther than the
    overlap can be, so that chunks would not be cleaned as the whole image is.
    """
    overlap = overlap_for(card, overlap, cleaning)
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


def overlap_for(card: ModelCard, overlap: int | None, cleaning: Cleaning) -> int:
    """Pixels that a chunk has of its neighbours at each side: as given, or the card's and what `cleaning` needs.

    Raises CubeError, which says what can be had, if that does not fit in the card's window or is more than is given.
    """
    reach = cleaning.reach(PIXEL_M)
    if not reach:
        return card.overlap if overlap is None else overlap
    # Half a block, because two overlaps and the payload must be whole blocks.
    half = BLOCK // 2
    needed, largest = -(-(card.overlap + reach) // half) * half, card.window // 3 // half * half
    if overlap is not None:
        check_reach(cleaning, overlap, f"with {overlap} px overlap")
        return overlap
    check_reach(cleaning, largest - card.overlap, f"of {card.window} px ({card.id})")
    return needed
