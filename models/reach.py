"""Whether chunks know enough of their neighbours to be cleaned as the whole image is."""

from kappamask.models.cleaning import PIXEL_M, Cleaning
from kappamask.models.errors import CubeError

__all__ = ["LARGEST_BUFFER_M", "check_reach"]

LARGEST_BUFFER_M = 160.0
"""Metres; of a published process, whose graph fixes the chunks before anyone says how wide the buffer is, so that all
pay for the widest: with this, 14 % more pixels than without a buffer (chunks of 480 in place of 512 px)."""


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
